// Package layers is the single authority on which simulcast layer a receiver gets, with which of
// its temporal layers, and on which layers a publisher has stopped. Layers are listed from low to
// high. Times are arguments: it has no clock.
package layers

import "time"

// Max is how many layers a track can have.
const Max = 4

// Layer is what is known of a layer.
type Layer struct {
	// Kbps is its bitrate; 0 while it was not measured.
	Kbps int
	// Alive tells that the publisher sends it.
	Alive bool
	// UpTo is the bitrate of its temporal layers up to each; all the same when it has none. FPS is
	// how many pictures a second these are.
	UpTo, FPS [Temporal]int
	// Pixels is the size of its picture; 0 while it is not known.
	Pixels int
}

// Path is what is known of the way to a receiver.
type Path struct {
	// Kbps is what it carries of video; 0 while it has carried all that it was given.
	Kbps int
	// Congested tells that it does not carry what it is given now.
	Congested bool
	// Clogged tells that it is congested, and this by far.
	Clogged bool
}

// Choose returns the index of the best layer that the path and a limit carry, maxKbps being 0 for
// no limit; the lowest when none does. current is the one that the receiver has now, -1 for none.
// What the path carries without congestion it goes on carrying, whatever was estimated. Another
// layer must fit by far: it starts with a keyframe, for which there has to be room. wanted is the
// bitrate in kbps that the path would have to be shown to carry for the next better layer; 0 when
// there is none, or when this is not the time to try.
func Choose(all []Layer, current int, path Path, maxKbps int) (choice, wanted int) {
	choice = -1
	lowest := -1
	for i, l := range all {
		if !l.Alive {
			continue
		}
		if lowest < 0 {
			lowest = i
		}
		if !allowed(l, maxKbps, i == current) {
			continue
		}
		takes := l.Kbps
		switch {
		case i == current, i == lowest:
		case path.Congested:
			takes = l.Kbps * relief / 100
		default:
			takes = l.Kbps * ascent / 100
		}
		if path.Kbps > 0 && (path.Congested || i > current) && (l.Kbps == 0 || takes > path.Kbps) {
			if wanted == 0 && i > current && !path.Congested {
				wanted = l.Kbps * tried / 100
			}
			continue
		}
		if path.Congested && current >= 0 && i > current {
			continue
		}
		choice = i
	}
	if choice < 0 {
		choice = lowest
	}
	if choice < 0 { // all have stopped: the next keyframe will be of the one that it has
		choice = max(current, 0)
	}
	return choice, wanted
}

const (
	// ascent is what a path must carry for a better layer, in percent of that, and tried what it is
	// probed for.
	ascent = 130
	tried  = 135
	// relief is what an estimate that was just made lower must have room for to change over to a
	// lower layer: the queue is still long, and a keyframe that does not get through takes longer
	// to repair than a layer that is lower still takes to be left again.
	relief = 150
	// headroom is what a path must be shown to carry for more temporal layers, in percent: encoders
	// vary.
	headroom = 115
	// tolerance is by how much the layer that is forwarded may exceed the receiver's limit for a
	// while, in percent.
	tolerance = 110
)

// allowed reports whether a receiver's limit allows a layer.
func allowed(l Layer, maxKbps int, current bool) bool {
	switch {
	case maxKbps == 0:
		return true
	case current:
		return l.Kbps <= maxKbps*tolerance/100
	}
	return l.Kbps > 0 && l.Kbps <= maxKbps
}

// A layer has stopped when for silence nothing of it has come, while another one brought missed
// frames. All layers of a picture that does not move bring next to nothing.
const (
	silence = 600 * time.Millisecond
	missed  = 3
)

// Liveness tells which layers of a track have stopped. Its zero value is ready. It is not safe for
// concurrent use.
type Liveness struct {
	layers [Max]progress
}

type progress struct {
	frames uint64
	at     time.Time
	others [Max]uint64 // the frames of the others at that time
	ended  bool
}

// Update takes how many frames have come of each layer so far; there are at most Max.
func (l *Liveness) Update(frames []uint64, now time.Time) {
	for i, n := range frames {
		p := &l.layers[i]
		if n != p.frames || p.at.IsZero() {
			p.frames, p.at, p.ended = n, now, false
			copy(p.others[:], frames)
			continue
		}
		for j, other := range frames {
			if other-p.others[j] >= missed && now.Sub(p.at) >= silence {
				p.ended = true
			}
		}
	}
}

// Alive reports whether the layer was sent at the last update.
func (l *Liveness) Alive(i int) bool {
	return !l.layers[i].ended
}
