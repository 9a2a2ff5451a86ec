package sfu

import (
	"math"
	"testing"
	"time"
)

// TestWhateverAPathWasLikeItIsMadeUpFor puts receivers behind paths that change at random, from
// hopeless to good, with publishers who stop layers, reconnect and are silent. However that was:
// when all is well again, so is the picture.
func TestWhateverAPathWasLikeItIsMadeUpFor(t *testing.T) {
	for seed := range uint64(96) {
		var pattern []uint8
		if seed%2 == 1 {
			pattern = threeTemporal
		}
		kbps := [][]int{{800}, {150, 500, 1700}, {100, 375, 1500}}[seed%3]
		w := newWorld(t, seed, pattern, kbps...)
		w.muted = seed%4 < 2 // so that nothing but video tells of the path
		w.receiver(func(r *receiver) { r.kbps = 5000 })
		w.play(2 * time.Second)
		for range 5 {
			for _, r := range w.receivers {
				r.kbps = int(20 * math.Pow(250, w.random.Float64()))
				r.buffer = time.Duration(50+w.random.IntN(1000)) * time.Millisecond
				r.loss = []float64{0, 0, 0, 0, 0.3 * w.random.Float64(), 1}[w.random.IntN(6)]
			}
			switch w.random.IntN(6) {
			case 0:
				w.connect(pattern, kbps...)
			case 1:
				w.cameras[w.random.IntN(len(kbps))].kbps = 0
			case 2:
				w.receiver(func(r *receiver) { r.kbps = 300 })
			}
			w.play(time.Duration(500+w.random.IntN(8000)) * time.Millisecond)
			for i, c := range w.cameras {
				c.kbps = kbps[i]
			}
		}
		for _, r := range w.receivers {
			r.kbps, r.loss, r.buffer = 5000, 0, 300*time.Millisecond
		}
		w.play(20 * time.Second)
		for i, r := range w.receivers {
			r.from()
			w.play(2 * time.Second)
			if r.layer != len(kbps) || r.count < 2*framesPerSecond-6 || r.pictures > 0 {
				t.Errorf("seed %d, receiver %d: layer %d of %v, %d frames in 2 s, %d gaps in the numbers of pictures; %d are paused",
					seed, i, r.layer, kbps, r.count, r.pictures, w.publisher.Paused())
			}
		}
	}
}
