// Package rewrite is the single authority on how the sequence numbers, timestamps and picture
// numbers of successive sources become one continuous outgoing stream: the sources are the layers
// of a publisher, and the streams of its successive connections. Packets of a source can be
// skipped: the numbers of what follows close up.
package rewrite

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/seqnum"
)

// memory is for how many packets after a splice the source before it can still be asked for lost
// packets.
const memory = 1024

// Rewriter maps packets of sources of type S onto one outgoing stream. It is not safe for
// concurrent use.
//
//	source A   100 101 102
//	source B                 7 8 9 10
//	outgoing    40  41  42  43 44 45 46
//	                        ^ Splice(B, 7)
type Rewriter[S comparable] struct {
	clockRate uint32
	current   segment[S]
	previous  segment[S]
	stopped   bool  // current is what was forwarded last, and is not any more
	highest   int64 // outgoing, unwrapped
	timestamp uint32
	sentAt    time.Time
	picture   Picture // the newest that went out
}

// Picture is how a picture is numbered in a payload.
type Picture struct {
	Number uint16
	Bits   uint8 // of Number: 7 or 15; 0 when pictures are not numbered
	Base   uint8 // of 8 bits
}

// segment is the part of the outgoing stream that one source fills.
type segment[S comparable] struct {
	source         S
	live           bool
	numbers        line
	timestampDelta uint32
	pictures       line // when numbered
	numbered       bool
	baseDelta      uint8
}

// New makes a rewriter whose first packet will have the given number and timestamp, both chosen at
// random (RFC 3550, section 5.1). clockRate is in Hz.
func New[S comparable](clockRate uint32, sequence uint16, timestamp uint32) *Rewriter[S] {
	return &Rewriter[S]{
		clockRate: clockRate,
		highest:   int64(sequence) + 1<<16 - 1,
		timestamp: timestamp,
	}
}

// State is where an outgoing stream is: what its next packet has to follow.
type State struct {
	Sequence  uint16
	Timestamp uint32
	SentAt    time.Time // zero when nothing was sent
	Picture   Picture
}

// Export returns where the outgoing stream is.
func (r *Rewriter[S]) Export() State {
	return State{Sequence: uint16(r.highest), Timestamp: r.timestamp, SentAt: r.sentAt, Picture: r.picture}
}

// Resume makes a rewriter that goes on with a stream. What was sent before can't be asked for.
func Resume[S comparable](clockRate uint32, state State) *Rewriter[S] {
	r := New[S](clockRate, state.Sequence+1, state.Timestamp)
	r.sentAt, r.picture = state.SentAt, state.Picture
	return r
}

// Source returns the source that is being forwarded; false before the first Splice, and after Stop.
func (r *Rewriter[S]) Source() (source S, ok bool) {
	if !r.current.live || r.stopped {
		return source, false
	}
	return r.current.source, true
}

// Newest returns the highest outgoing number; false before the first Splice.
func (r *Rewriter[S]) Newest() (uint16, bool) {
	return uint16(r.highest), r.current.live
}

// Splice makes the packet with the given number, timestamp and picture, of the given source, the
// one that follows all that was sent so far. The outgoing timestamp goes on by the time that has
// passed since the last packet.
func (r *Rewriter[S]) Splice(source S, sequence uint16, timestamp uint32, picture Picture, now time.Time) {
	out := r.timestamp
	if !r.sentAt.IsZero() {
		passed := max(now.Sub(r.sentAt), 0)
		out += max(uint32(passed.Seconds()*float64(r.clockRate)), 1)
		r.previous = r.current
	}
	r.stopped = false
	r.current = segment[S]{source: source, live: true, timestampDelta: out - timestamp}
	r.current.numbers = newLine(16, sequence, r.highest+1)
	if picture.Bits == 0 {
		return
	}
	next := picture
	if r.picture.Bits != 0 {
		next.Number, next.Base = r.picture.Number+1, r.picture.Base+1
	}
	r.current.numbered = true
	r.current.pictures = newLine(picture.Bits, picture.Number, int64(next.Number))
	r.current.baseDelta = next.Base - picture.Base
}

// Stop ends the source that is being forwarded. What was sent of it can still be asked for.
func (r *Rewriter[S]) Stop() {
	r.stopped = true
}

// Map returns the outgoing number and timestamp of a packet. It returns false for a packet of
// another source than the one that is being forwarded, for one that was skipped, and for one from
// before the splice: its numbers are taken.
func (r *Rewriter[S]) Map(source S, sequence uint16, timestamp uint32, now time.Time) (uint16, uint32, bool) {
	s := &r.current
	if !s.live || r.stopped || s.source != source {
		return 0, 0, false
	}
	out, ok := s.numbers.mapped(sequence)
	if !ok {
		return 0, 0, false
	}
	outTimestamp := timestamp + s.timestampDelta
	if out > r.highest {
		r.highest = out
		r.timestamp = outTimestamp
		r.sentAt = now
		if r.previous.live && out-s.numbers.firstOut > memory {
			r.previous = segment[S]{}
		}
	}
	return uint16(out), outTimestamp, true
}

// Skip leaves a packet of the source that is being forwarded, and its picture, out of the outgoing
// stream. It returns false when the packet has a number there already, since packets after it were
// sent: then something else has to be sent in its place.
func (r *Rewriter[S]) Skip(sequence uint16, picture Picture) bool {
	if r.current.numbered && picture.Bits != 0 {
		r.current.pictures.skip(picture.Number)
	}
	return r.current.numbers.skip(sequence)
}

// Picture returns the outgoing numbers of a picture of the source that is being forwarded. Pictures
// that are not numbered stay as they are.
func (r *Rewriter[S]) Picture(picture Picture) Picture {
	out := r.current.picture(picture)
	if r.current.numbered && (r.picture.Bits == 0 || int16(out.Number-r.picture.Number)<<1 > 0) {
		r.picture = out
	}
	return out
}

func (s *segment[S]) picture(picture Picture) Picture {
	if !s.numbered || picture.Bits == 0 {
		return picture
	}
	if out, ok := s.pictures.mapped(picture.Number); ok {
		picture.Number = uint16(out) & (1<<15 - 1)
	}
	picture.Base += s.baseDelta
	return picture
}

// Timestamp maps a timestamp of the source that is being forwarded, for sender reports.
func (r *Rewriter[S]) Timestamp(source S, timestamp uint32) (uint32, bool) {
	if !r.current.live || r.stopped || r.current.source != source {
		return 0, false
	}
	return timestamp + r.current.timestampDelta, true
}

// Origin tells where the packet with the given outgoing number came from: its source, its number
// there, and what to add to its timestamp. It returns false when that was too long ago, or never.
func (r *Rewriter[S]) Origin(sequence uint16) (source S, in uint16, timestampDelta uint32, ok bool) {
	s, out := r.segment(sequence)
	if s == nil {
		return source, 0, 0, false
	}
	in, ok = s.numbers.origin(out)
	return s.source, in, s.timestampDelta, ok
}

// PictureOf returns the outgoing numbers of the picture that the packet with the given outgoing
// number is part of.
func (r *Rewriter[S]) PictureOf(sequence uint16, picture Picture) Picture {
	if s, _ := r.segment(sequence); s != nil {
		return s.picture(picture)
	}
	return picture
}

// segment returns what an outgoing number is part of, and the number unwrapped; nil when that was
// too long ago, or never.
func (r *Rewriter[S]) segment(sequence uint16) (*segment[S], int64) {
	if !r.current.live {
		return nil, 0
	}
	out := r.highest + int64(seqnum.Diff(sequence, uint16(r.highest)))
	switch {
	case out > r.highest:
		return nil, 0
	case out >= r.current.numbers.firstOut:
		return &r.current, out
	case r.previous.live && out >= r.previous.numbers.firstOut:
		return &r.previous, out
	}
	return nil, 0
}
