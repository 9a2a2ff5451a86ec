package keyframe

import "time"

// Requests merges the keyframe requests of all receivers of a layer: at most one goes upstream per
// interval. Its zero value is ready. Times are arguments. It is not safe for concurrent use.
type Requests struct {
	sentAt   time.Time
	from     time.Time // nothing is to be sent before
	pending  bool
	expected bool // sentAt is when Expect was called, and nothing was sent
	urgent   bool // until the next keyframe
}

// Interval is the least time between two requests upstream. A keyframe costs all receivers several
// times a usual frame; half a second is what a new receiver waits at worst.
const Interval = 500 * time.Millisecond

// urgentInterval is the same while nobody has a picture.
const urgentInterval = 200 * time.Millisecond

// Request asks for a keyframe. It returns true when the request is to be sent now; else a keyframe
// that is on its way answers it, or Due does.
func (r *Requests) Request(now time.Time) bool {
	r.pending, r.from = true, time.Time{}
	return r.Due(now)
}

// RequestFrom asks for a keyframe that would be of no use now: the request is due at that time, or
// when another receiver asks.
func (r *Requests) RequestFrom(at time.Time) {
	if !r.pending {
		r.pending, r.from = true, at
	}
}

// Expect notes that a keyframe should come by itself, as from an encoder that has just started: it
// is asked for only when it is not there after Interval.
func (r *Requests) Expect(now time.Time) {
	r.pending, r.expected = true, true
	r.sentAt = now
}

// Hurry has requests repeated sooner until a keyframe comes: all receivers wait for it.
func (r *Requests) Hurry() { r.urgent = true }

func (r *Requests) interval() time.Duration {
	if r.urgent {
		return urgentInterval
	}
	return Interval
}

// Due reports whether a request is to be sent now, and counts it as sent. A request stays pending
// until a keyframe comes, and is therefore repeated every Interval, or sooner after Hurry.
func (r *Requests) Due(now time.Time) bool {
	if !r.pending || now.Before(r.from) || !r.sentAt.IsZero() && now.Sub(r.sentAt) < r.interval() {
		return false
	}
	r.sentAt, r.expected = now, false
	return true
}

// Arrived notes that a keyframe has started: whoever asked before has got it. One that came by
// itself does not delay the next request.
func (r *Requests) Arrived() {
	if r.expected {
		r.sentAt = time.Time{}
	}
	r.pending, r.expected, r.urgent = false, false, false
}
