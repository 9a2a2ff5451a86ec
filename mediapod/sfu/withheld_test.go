package sfu

import (
	"testing"
	"time"
)

// What a subscriber does not want is not sent to it, and to the others it is. It comes back with a
// keyframe, without a gap in the numbers.
func TestWhatIsWithheldIsNotSent(t *testing.T) {
	for name, pattern := range map[string][]uint8{"one temporal layer": nil, "three temporal layers": threeTemporal} {
		w := newWorld(t, 1, pattern, 150, 500)
		r, other := w.receiver(func(*receiver) {}), w.receiver(func(*receiver) {})
		see := func(what string, audio, video bool) {
			t.Helper()
			w.play(500 * time.Millisecond) // what is on its way, and the keyframe
			r.from()
			other.from()
			w.play(2 * time.Second)
			if (r.audio > 90) != audio || (r.audio == 0) == audio || (r.count > 50) != video || (r.count == 0) == video {
				t.Errorf("%s, %s: %d packets of audio, %d frames in 2 s", name, what, r.audio, r.count)
			}
			if other.audio < 90 || other.count < 50 {
				t.Errorf("%s, %s: the other got %d packets of audio, %d frames in 2 s", name, what, other.audio, other.count)
			}
		}
		r.subscriber.Withhold(Video, true, w.now)
		see("without video", true, false)
		r.subscriber.Withhold(Audio, true, w.now)
		see("without both", false, false)
		r.subscriber.Withhold(Video, false, w.now)
		see("without audio", false, true)
		r.subscriber.Withhold(Audio, false, w.now)
		see("with both", true, true)
		if r.pictures > 0 || r.freezes > 2 {
			t.Errorf("%s: %d gaps in the numbers of pictures, %d freezes", name, r.pictures, r.freezes)
		}
	}
}

// A layer that nobody wants is not asked for.
func TestWhatAllAreWithoutIsNotUsed(t *testing.T) {
	w := newWorld(t, 1, nil, 500)
	r := w.receiver(func(*receiver) {})
	w.play(time.Second)
	r.subscriber.Withhold(Video, true, w.now)
	w.play(time.Second)
	asked := w.cameras[0].asked
	w.play(2 * time.Second)
	if w.cameras[0].layer.wanted() || w.cameras[0].asked != asked {
		t.Error("the layer is asked for")
	}
}
