package roomclient

import (
	"slices"
	"time"
)

const (
	// maxMissing bounds the packets that are asked for at a time, as browsers do; what exceeds it
	// is given up.
	maxMissing = 500
	// A packet is asked for again after a round trip, at most maxAsks times, and given up maxWait
	// after it was missed.
	maxAsks      = 10
	maxWait      = time.Second
	firstTrip    = 50 * time.Millisecond
	leastRepeat  = 20 * time.Millisecond
	askKeyframes = 300 * time.Millisecond
)

// repairs decides what a receiver of video asks its sender for: packets that are missing, or a key
// frame when they do not come. Sequence numbers are extended. It is not safe for concurrent use.
type repairs struct {
	missing       []missed
	trip          time.Duration // until a packet that is asked for comes
	broken        bool          // something was given up: a key frame is needed
	askedKeyframe time.Time
}

// missed is a packet that should have come at a time, and what was done about it.
type missed struct {
	sequence    int64
	since, last time.Time
	asks        int
}

func newRepairs() repairs { return repairs{trip: firstTrip} }

// idle reports whether nothing is to be asked for.
func (r *repairs) idle() bool { return !r.broken && len(r.missing) == 0 }

// miss notes the packets from first on, before another one, as missing.
func (r *repairs) miss(first, before int64, at time.Time) {
	for s := first; s < before; s++ {
		if len(r.missing) == maxMissing {
			r.missing = r.missing[:0]
			r.broken = true
			return
		}
		r.missing = append(r.missing, missed{sequence: s, since: at})
	}
}

// found forgets that a packet is missing, if it was, and returns what was known of it.
func (r *repairs) found(s int64) (m missed, known bool) {
	i, known := slices.BinarySearchFunc(r.missing, s, func(m missed, s int64) int { return int(m.sequence - s) })
	if known {
		m = r.missing[i]
		r.missing = slices.Delete(r.missing, i, i+1)
	}
	return m, known
}

// repaired is found for a packet that was sent again: it tells how long that takes.
func (r *repairs) repaired(s int64, at time.Time) {
	if m, known := r.found(s); known && m.asks == 1 {
		r.trip += (at.Sub(m.last) - r.trip) / 8
	}
}

// restart notes a key frame: what was missing before it is of no use any more.
func (r *repairs) restart(at int64) {
	r.broken = false
	r.missing = slices.DeleteFunc(r.missing, func(m missed) bool { return m.sequence < at })
}

// due appends the packets that are to be asked for now, and tells whether a key frame is to be
// asked for.
func (r *repairs) due(now time.Time, sequences []uint16) (asked []uint16, keyframe bool) {
	repeat := max(r.trip*5/4, leastRepeat)
	left := r.missing[:0]
	for _, m := range r.missing {
		if m.asks == maxAsks || now.Sub(m.since) > maxWait {
			r.broken = true
			continue
		}
		if m.asks == 0 || now.Sub(m.last) >= repeat {
			m.asks++
			m.last = now
			sequences = append(sequences, uint16(m.sequence))
		}
		left = append(left, m)
	}
	r.missing = left
	if r.broken && now.Sub(r.askedKeyframe) >= askKeyframes {
		r.askedKeyframe = now
		return sequences, true
	}
	return sequences, false
}
