// Package rewrite is the single authority on how the sequence numbers and timestamps of successive sources become one
// continuous outgoing stream: the sources are the layers of a publisher, and the streams of its successive
// connections.
package rewrite

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/seqnum"
)

// memory is for how many packets after a splice the source before it can still be asked for lost packets.
const memory = 1024

// Rewriter maps packets of sources of type S onto one outgoing stream. It is not safe for concurrent use.
//
//	source A   100 101 102
//	source B                 7 8 9 10
//	outgoing    40  41  42  43 44 45 46
//	                        ^ Splice(B, 7)
type Rewriter[S comparable] struct {
	clockRate uint32
	current   segment[S]
	previous  segment[S]
	highest   int64 // outgoing, unwrapped
	timestamp uint32
	sentAt    time.Time
}

// segment is the part of the outgoing stream that one source fills.
type segment[S comparable] struct {
	source         S
	live           bool
	in             seqnum.Unwrapper
	firstIn        int64
	firstOut       int64
	timestampDelta uint32
}

// New makes a rewriter whose first packet will have the given number and timestamp, both chosen at random (RFC 3550,
// section 5.1). clockRate is in Hz.
func New[S comparable](clockRate uint32, sequence uint16, timestamp uint32) *Rewriter[S] {
	return &Rewriter[S]{
		clockRate: clockRate,
		highest:   int64(sequence) + 1<<16 - 1,
		timestamp: timestamp,
	}
}

// Source returns the source that is being forwarded; false before the first Splice.
func (r *Rewriter[S]) Source() (S, bool) {
	return r.current.source, r.current.live
}

// Newest returns the highest outgoing number; false before the first Splice.
func (r *Rewriter[S]) Newest() (uint16, bool) {
	return uint16(r.highest), r.current.live
}

// Splice makes the packet with the given number and timestamp, of the given source, the one that follows all that
// was sent so far. The outgoing timestamp goes on by the time that has passed since the last packet.
func (r *Rewriter[S]) Splice(source S, sequence uint16, timestamp uint32, now time.Time) {
	out := r.timestamp
	if r.current.live {
		passed := max(now.Sub(r.sentAt), 0)
		out += max(uint32(passed.Seconds()*float64(r.clockRate)), 1)
		r.previous = r.current
	}
	r.current = segment[S]{source: source, live: true, firstOut: r.highest + 1, timestampDelta: out - timestamp}
	r.current.firstIn = r.current.in.Unwrap(sequence)
}

// Map returns the outgoing number and timestamp of a packet. It returns false for a packet of another source than the
// one that is being forwarded, and for one from before the splice: its numbers are taken.
func (r *Rewriter[S]) Map(source S, sequence uint16, timestamp uint32, now time.Time) (uint16, uint32, bool) {
	s := &r.current
	if !s.live || s.source != source {
		return 0, 0, false
	}
	in := s.in.Unwrap(sequence)
	if in < s.firstIn {
		return 0, 0, false
	}
	out := s.firstOut + in - s.firstIn
	outTimestamp := timestamp + s.timestampDelta
	if out > r.highest {
		r.highest = out
		r.timestamp = outTimestamp
		r.sentAt = now
		if r.previous.live && out-s.firstOut > memory {
			r.previous = segment[S]{}
		}
	}
	return uint16(out), outTimestamp, true
}

// Timestamp maps a timestamp of the source that is being forwarded, for sender reports.
func (r *Rewriter[S]) Timestamp(source S, timestamp uint32) (uint32, bool) {
	if !r.current.live || r.current.source != source {
		return 0, false
	}
	return timestamp + r.current.timestampDelta, true
}

// Origin tells where the packet with the given outgoing number came from: its source, its number there, and what to
// add to its timestamp. It returns false when that was too long ago, or never.
func (r *Rewriter[S]) Origin(sequence uint16) (source S, in uint16, timestampDelta uint32, ok bool) {
	if !r.current.live {
		return source, 0, 0, false
	}
	out := r.highest + int64(seqnum.Diff(sequence, uint16(r.highest)))
	if out > r.highest {
		return source, 0, 0, false
	}
	s := &r.current
	if out < s.firstOut {
		s = &r.previous
		if !s.live || out < s.firstOut {
			return source, 0, 0, false
		}
	}
	return s.source, uint16(s.firstIn + out - s.firstOut), s.timestampDelta, true
}
