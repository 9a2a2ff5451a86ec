package sfu

import (
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
)

// A receiver gets the best layer that is not larger than it wants, before and after it has said so,
// and the others get what they got.
func TestAReceiverGetsTheLayerOfTheSizeThatItWants(t *testing.T) {
	r := newSimulcast(t, 150, 500, 1700)
	r.widths = []int{180, 360, 720}
	r.play(2 * time.Second)
	subscriber, w := r.subscribe(r.now)
	_, other := r.subscribe(r.now)
	for _, c := range []struct {
		what  string
		bound layers.Bound
		layer int
	}{
		{"at first", layers.Bound{}, 2},
		{"a thumbnail", layers.Bound{Pixels: 180 * 180}, 0},
		{"a little less than the best", layers.Bound{Pixels: 720*720 - 1}, 1},
		{"less than there is", layers.Bound{Pixels: 1}, 0},
		{"everything again", layers.Bound{}, 2},
	} {
		subscriber.Bound(c.bound, r.now)
		r.play(time.Second)
		r.expect(c.what, w, c.layer)
		r.expect("the other, "+c.what, other, 2)
	}
}

// A size is known by the keyframes of a layer: after those of layers that are larger than is wanted
// have come, they are not sent any more.
func TestASizeThatIsNotKnownIsFoundOut(t *testing.T) {
	r := newSimulcast(t, 150, 500, 1700)
	r.play(time.Second)
	subscriber, w := r.subscribe(r.now)
	subscriber.Bound(layers.Bound{Pixels: 180 * 180}, r.now)
	r.play(time.Second)
	r.expect("no size is known", w, 2)
	r.widths = []int{180, 360, 720}
	for range 3 {
		subscriber.Rerouted(r.now) // it asks for a keyframe
		r.play(time.Second)
	}
	r.expect("the sizes are known", w, 0)
}

// Of a camera with temporal layers no more pictures are sent than are wanted, without gaps in their
// numbers, and no other receiver has less for that.
func TestAReceiverGetsNoMorePicturesThanItWants(t *testing.T) {
	w := newWorld(t, 1, threeTemporal, 500)
	r, other := w.receiver(func(*receiver) {}), w.receiver(func(*receiver) {})
	w.play(2 * time.Second)
	for _, c := range []struct{ bound, low, high int }{{0, 55, 61}, {15, 27, 32}, {7, 13, 17}, {1, 13, 17}, {0, 55, 61}} {
		r.subscriber.Bound(layers.Bound{FPS: c.bound}, w.now)
		w.play(500 * time.Millisecond) // until the choice is made, and the way up is free
		r.from()
		other.from()
		w.play(2 * time.Second)
		if r.count < c.low || r.count > c.high || other.count < 55 {
			t.Errorf("at most %d pictures a second: %d pictures in 2 s, the other %d", c.bound, r.count, other.count)
		}
	}
	if r.pictures > 0 || r.freezes > 2 {
		t.Errorf("%d gaps in the numbers of pictures, %d freezes", r.pictures, r.freezes)
	}
}
