package sfu

import (
	"testing"
	"time"
)

func TestRandomLossFreezesNoPicture(t *testing.T) {
	worst := time.Duration(0)
	for seed := range uint64(3) {
		w := newWorld(t, seed, nil, 150, 500, 1700)
		lossy := w.receiver(func(r *receiver) { r.loss = 0.05 })
		other := w.receiver(nil)
		w.play(5 * time.Second)
		lossy.from()
		other.from()
		keyframes := w.cameras[2].keyframes
		w.play(time.Minute)
		if lossy.freezes > 0 || lossy.layer != 3 || lossy.count < 59*framesPerSecond {
			t.Errorf("seed %d: %d freezes, the longest %v, %d frames of layer %d", seed, lossy.freezes, lossy.worst, lossy.count, lossy.layer)
		}
		if other.worst > 40*time.Millisecond || w.cameras[2].keyframes != keyframes {
			t.Errorf("seed %d: another receiver saw a freeze of %v, %d keyframes", seed, other.worst, w.cameras[2].keyframes-keyframes)
		}
		worst = max(worst, lossy.worst)
		t.Logf("seed %d: worst %v, %d asked for, %d copies, %d lost, %d frames, %d plis, %.1f %% more bytes", seed, lossy.worst, lossy.requests, lossy.copies,
			lossy.lost, lossy.count,
			lossy.plis, float64(lossy.bytes)*100/float64(other.bytes)-100)
	}
	t.Logf("worst of all: %v", worst)
}

func TestALinkThatIsCutAndMended(t *testing.T) {
	for name, c := range map[string]struct {
		pattern  []uint8
		buffer   time.Duration
		encoding time.Duration
	}{
		"little buffer":        {nil, 100 * time.Millisecond, 80 * time.Millisecond},
		"usual buffer":         {nil, 300 * time.Millisecond, 80 * time.Millisecond},
		"much buffer":          {nil, time.Second, 80 * time.Millisecond},
		"a fast encoder":       {nil, 300 * time.Millisecond, 0},
		"with temporal layers": {[]uint8{0, 2, 1, 2}, 300 * time.Millisecond, 80 * time.Millisecond},
	} {
		for seed := range uint64(8) {
			w := newWorld(t, seed, c.pattern, 150, 500, 1700)
			w.encoding = c.encoding
			r := w.receiver(func(r *receiver) { r.kbps, r.buffer = 3000, c.buffer })
			w.play(10 * time.Second)
			if r.layer != 3 {
				t.Fatalf("%s: layer %d at first", name, r.layer)
			}
			r.from()
			cut := w.now
			r.kbps = 500
			w.play(20 * time.Second)
			if r.layer != 1 {
				t.Errorf("%s: layer %d", name, r.layer)
			}
			down, freeze, freezeAt := r.layerAt.Sub(cut), r.worst, r.worstAt.Sub(cut)
			low := r.layer
			r.from()
			mended := w.now
			r.kbps = 3000
			w.play(20 * time.Second)
			up := r.layerAt.Sub(mended)
			t.Logf("%s: layer %d after %v, freeze %v (at %v); layer %d after %v, freeze %v (at %v); %d plis",
				name, low, down, freeze, freezeAt, r.layer, up, r.worst, r.worstAt.Sub(mended), r.plis)
			if down > 2*time.Second || freeze > 500*time.Millisecond ||
				r.layer != 3 || up > 10*time.Second || r.worst > 500*time.Millisecond || r.pictures > 0 {
				t.Errorf("%s: missed", name)
			}
		}
	}
}

func TestALayerThatFitsBarelyIsNotTriedAgainAndAgain(t *testing.T) {
	for _, middle := range []int{200, 250, 300, 340, 375, 430, 480} {
		for _, buffer := range []time.Duration{200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond} {
			for seed := range uint64(2) {
				w := newWorld(t, seed, nil, 100, middle, 1500)
				r := w.receiver(func(r *receiver) { r.kbps, r.buffer = 3000, buffer })
				w.play(10 * time.Second)
				r.from()
				cut, layer, changes := w.now, r.layer, 0
				r.kbps = 500
				for w.now.Sub(cut) < 20*time.Second {
					w.play(40 * time.Millisecond)
					if r.layer != layer {
						layer = r.layer
						changes++
					}
				}
				worst, worstAt := r.worst, r.worstAt.Sub(cut)
				mended := w.now
				r.kbps = 3000
				w.play(10 * time.Second)
				t.Logf("%d kbps, %v: %d changes, layer %d in the end, freeze %v (at %v); layer %d after %v",
					middle, buffer, changes, layer, worst, worstAt, r.layer, r.layerAt.Sub(mended))
				if changes > 6 || worst > 500*time.Millisecond || r.layer != 3 || r.pictures > 0 {
					t.Errorf("%d kbps, %v, seed %d: missed", middle, buffer, seed)
				}
			}
		}
	}
}

// threeTemporal is the usual pattern of three temporal layers: the lowest is a quarter of the
// frames, the two lower ones half of them.
var threeTemporal = []uint8{0, 2, 1, 2}

func TestUpperTemporalLayersAreLeftOutOnAPathBelowTheLowestLayer(t *testing.T) {
	for name, kbps := range map[string][]int{"a single layer": {600}, "simulcast": {600, 1500}} {
		for seed := range uint64(2) {
			w := newWorld(t, seed, threeTemporal, kbps...)
			r := w.receiver(func(r *receiver) { r.kbps = 5000 })
			other := w.receiver(nil)
			w.play(5 * time.Second)
			r.kbps = 450 // with audio; the two lower temporal layers are 300 kbps
			w.play(5 * time.Second)
			r.from()
			w.play(10 * time.Second)
			if r.count < 4*framesPerSecond || r.count > 10*framesPerSecond*3/4 || r.freezes > 0 || r.layer != 1 {
				t.Errorf("%s: on a slow path: %d frames of layer %d, %d freezes, the longest %v", name, r.count, r.layer, r.freezes, r.worst)
			}
			t.Logf("%s: on a slow path: %d frames, longest gap %v, %d lost, %d copies", name, r.count, r.worst, r.lost, r.copies)
			r.kbps = 5000
			w.play(10 * time.Second)
			r.from()
			w.play(5 * time.Second)
			if r.count < 5*framesPerSecond-5 || r.layer != len(kbps) || r.worst > 70*time.Millisecond {
				t.Errorf("%s: on a fast path again: %d frames of layer %d, a freeze of %v", name, r.count, r.layer, r.worst)
			}
			if r.pictures > 0 || r.plis > 0 {
				t.Errorf("%s: %d gaps in the numbers of pictures, %d requests for keyframes", name, r.pictures, r.plis)
			}
			if other.pictures > 0 || other.worst > 70*time.Millisecond {
				t.Errorf("%s: another receiver saw %d gaps in the numbers of pictures, a freeze of %v", name, other.pictures, other.worst)
			}
		}
	}
}

func TestAReceiverThatGetsLittleProcessorTimeKeepsItsVideo(t *testing.T) {
	const frameRate = 10
	for _, nap := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		for seed := range uint64(20) {
			w := newWorld(t, seed, nil, 150)
			w.frameRate, w.muted = frameRate, true
			r := w.receiver(func(r *receiver) { r.nap = nap })
			w.play(5 * time.Second)
			r.from()
			paused := 0
			for range 600 {
				w.play(100 * time.Millisecond)
				paused += w.publisher.Paused()
			}
			if paused > 0 || r.count < 60*frameRate*95/100 {
				t.Errorf("naps of up to %v, seed %d: %d of 600 times without video, %d frames of %d",
					nap, seed, paused, r.count, 60*frameRate)
			}
			t.Logf("naps of up to %v, seed %d: %d paused, %d frames, longest gap %v, %d lost, %d copies", nap, seed, paused, r.count, r.worst, r.lost, r.copies)
		}
	}
}

func TestVideoPausesOnAHopelessPathAndComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		pattern []uint8
		kbps    []int
	}{
		"simulcast": {nil, []int{150, 500, 1700}}, "a single layer": {nil, []int{800}}, "temporal layers": {threeTemporal, []int{800}},
	} {
		for seed := range uint64(2) {
			w := newWorld(t, seed, c.pattern, c.kbps...)
			r := w.receiver(func(r *receiver) { r.kbps = 3000 })
			w.play(5 * time.Second)
			r.kbps = 85 // audio takes 54
			w.play(8 * time.Second)
			asked := 0
			for _, camera := range w.cameras {
				asked += camera.asked
			}
			r.from()
			w.play(30 * time.Second)
			for _, camera := range w.cameras {
				asked -= camera.asked
			}
			if r.count > 0 || asked != 0 || r.audio < 30*50*95/100 {
				t.Errorf("%s: on a hopeless path: %d frames, %d requests to the publisher, %d packets of audio", name, r.count, -asked, r.audio)
			}
			t.Logf("%s: %d packets of audio of %d, %d copies, %d lost, %d requests for keyframes", name, r.audio, 30*50, r.copies, r.lost, r.plis)
			r.kbps = 3000
			from := w.now
			for r.count == 0 && w.now.Sub(from) < 10*time.Second {
				w.play(10 * time.Millisecond)
			}
			back := w.now.Sub(from)
			w.play(10 * time.Second)
			r.from()
			w.play(3 * time.Second)
			if back >= 10*time.Second || r.layer != len(c.kbps) || r.count < 3*framesPerSecond-5 || r.pictures > 0 {
				t.Errorf("%s: back after %v, %d frames of layer %d, %d gaps in the numbers of pictures", name, back, r.count, r.layer, r.pictures)
			}
			t.Logf("%s: back after %v", name, back)
		}
	}
}

// While video without audio is paused, only probes are sent: nothing else tells what has become of
// the path.
func TestAScreenWithoutAudioComesBackFromAPause(t *testing.T) {
	for _, kbps := range []int{60, 200, 450} {
		for _, buffer := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second} {
			for seed := range uint64(6) {
				w := newWorld(t, seed, nil, 800)
				w.muted = true
				r := w.receiver(func(r *receiver) { r.kbps, r.buffer = 3000, buffer })
				w.play(5 * time.Second)
				r.kbps = kbps
				w.play(time.Duration(8+3*seed) * time.Second)
				r.from()
				w.play(2 * time.Second)
				paused := r.count == 0 && w.publisher.Paused() == 1
				r.from()
				r.kbps = 3000
				from := w.now
				for r.count == 0 && w.now.Sub(from) < 10*time.Second {
					w.play(10 * time.Millisecond)
				}
				back := w.now.Sub(from)
				t.Logf("%d kbps, %v: paused: %v, back after %v", kbps, buffer, paused, back)
				if !paused || back >= 10*time.Second || w.publisher.Paused() != 0 {
					t.Errorf("%d kbps, %v, seed %d: missed", kbps, buffer, seed)
				}
			}
		}
	}
}

func TestAStreamWithoutLayersIsForwardedWhileThereIsHope(t *testing.T) {
	w := newWorld(t, 1, nil, 800)
	r := w.receiver(func(r *receiver) { r.kbps = 750 })
	w.play(5 * time.Second)
	r.from()
	w.play(20 * time.Second)
	if r.bytes*8/20_000 < 600 {
		t.Errorf("%d kbps are forwarded", r.bytes*8/20_000)
	}
}

func TestAPublisherThatReconnectsIsSplicedWithItsTemporalLayers(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, seed, threeTemporal, 600)
		slow := w.receiver(func(r *receiver) { r.kbps = 450 })
		fast := w.receiver(nil)
		w.play(8 * time.Second)
		for _, r := range w.receivers {
			r.from()
		}
		for range 3 {
			w.connect(threeTemporal, 600)
			w.play(4 * time.Second)
		}
		for name, r := range map[string]*receiver{"slow": slow, "fast": fast} {
			if r.pictures > 0 || r.plis > 0 || r.worst > 400*time.Millisecond || r.count < 12*framesPerSecond/3 {
				t.Errorf("seed %d: %s receiver: %d gaps in the numbers of pictures, %d requests for keyframes, a freeze of %v, %d frames",
					seed, name, r.pictures, r.plis, r.worst, r.count)
			}
		}
		if fast.count < 12*framesPerSecond-10 || fast.requests > 0 {
			t.Errorf("seed %d: %d frames, %d packets asked for", seed, fast.count, fast.requests)
		}
	}
}
