package sfu

import (
	"testing"
	"time"
)

// stillWorld is a world whose picture has moved for a while, and now stands still. A receiver saw
// it.
func stillWorld(t *testing.T, pattern []uint8, moved time.Duration, kbps ...int) (*world, *receiver) {
	t.Helper()
	w := newWorld(t, 1, nil)
	w.still = true
	w.connect(pattern, kbps...)
	early := w.receiver(nil)
	w.play(moved)
	for _, c := range w.cameras {
		c.kbps = 0
	}
	w.play(20 * time.Second)
	return w, early
}

func TestWhoComesWhileThePictureStandsStillSeesIt(t *testing.T) {
	for name, pattern := range map[string][]uint8{"one temporal layer": nil, "three temporal layers": threeTemporal} {
		t.Run(name, func(t *testing.T) {
			w, early := stillWorld(t, pattern, 3*time.Second, 500)
			shown := early.count
			late, lossy := w.receiver(nil), w.receiver(func(r *receiver) { r.loss = 0.005 })
			w.play(500 * time.Millisecond)
			if late.count == 0 || late.lost > 0 {
				t.Errorf("after half a second %d frames are seen", late.count)
			}
			w.play(10 * time.Second)
			for _, r := range []*receiver{late, lossy} {
				if len(r.frames) > 0 || r.count == 0 {
					t.Errorf("%d frames are seen, %d are not complete", r.count, len(r.frames))
				}
			}
			if lossy.lost == 0 || lossy.copies == 0 {
				t.Errorf("%d packets were lost, and %d sent again", lossy.lost, lossy.copies)
			}
			bytes := late.bytes
			w.play(10 * time.Second)
			if early.count != shown || late.bytes-bytes > 100_000 {
				t.Errorf("who sees the picture is shown it again: %d frames, %d bytes", early.count-shown, late.bytes-bytes)
			}

			w.cameras[0].kbps = 500
			for _, r := range []*receiver{early, late, lossy} {
				r.counts = counts{since: w.now}
			}
			lossy.loss = 0
			w.play(3 * time.Second)
			for _, r := range []*receiver{early, late, lossy} {
				if r.count < 80 || r.pictures > 0 {
					t.Errorf("when it moves again, %d frames in 3 s are seen, with %d gaps", r.count, r.pictures)
				}
			}
		})
	}
}

// A picture that moves for long is too large to be kept: a key frame is asked for now and then.
func TestAPictureThatMovesForLongIsRefreshed(t *testing.T) {
	w, _ := stillWorld(t, nil, time.Minute, 2000)
	if n := w.cameras[0].keyframes; n < 8 || n > 14 {
		t.Errorf("%d key frames in a minute", n)
	}
	moving := newWorld(t, 1, nil, 2000)
	moving.receiver(nil)
	moving.play(time.Minute)
	if n := moving.cameras[0].keyframes; n > 2 {
		t.Errorf("a picture that is not kept is refreshed: %d key frames in a minute", n)
	}
}

// The picture that is kept is of the layer that suits the receiver.
func TestOfSeveralLayersTheRightOneIsShown(t *testing.T) {
	w, _ := stillWorld(t, nil, 3*time.Second, 150, 500)
	late := w.receiver(nil)
	w.play(2 * time.Second)
	if late.count == 0 {
		t.Error("nothing is seen")
	}
}
