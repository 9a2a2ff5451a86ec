// Package nack is the single authority on which packets of an incoming stream are missing and when
// to ask for them (again). Times are arguments: it has no clock.
package nack

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/seqnum"
)

const (
	// MaxMissing bounds the list. A gap that does not fit is not worth repairing packet by packet.
	MaxMissing = 256
	// MaxRequests is how often one packet is asked for.
	MaxRequests = 8
	// firstDelay lets packets that were only reordered arrive by themselves.
	firstDelay = 10 * time.Millisecond
	// firstRetry is the wait after the first request; each further wait is half as long again.
	firstRetry = 40 * time.Millisecond
)

// Tracker follows one incoming stream. Its zero value is ready. It is not safe for concurrent use.
type Tracker struct {
	missing []entry // ascending, at most MaxMissing
	newest  uint16
	started bool
}

type entry struct {
	due      time.Time
	retry    time.Duration
	sequence uint16
	requests uint8
}

// Received notes that a packet arrived, for the first time or again. It returns false when so many
// packets were lost before it that the stream needs a keyframe instead; the list is then empty.
func (t *Tracker) Received(sequence uint16, now time.Time) bool {
	if !t.started {
		t.started = true
		t.newest = sequence
		return true
	}
	diff := seqnum.Diff(sequence, t.newest)
	if diff <= 0 {
		t.remove(sequence)
		return true
	}
	lost := diff - 1
	next := t.newest + 1
	t.newest = sequence
	if lost+len(t.missing) > MaxMissing {
		t.missing = t.missing[:0]
		return false
	}
	for i := range lost {
		t.missing = append(t.missing, entry{sequence: next + uint16(i), due: now.Add(firstDelay), retry: firstRetry})
	}
	return true
}

func (t *Tracker) remove(sequence uint16) {
	for i := range t.missing {
		if t.missing[i].sequence == sequence {
			t.missing = append(t.missing[:i], t.missing[i+1:]...)
			return
		}
	}
}

// Due appends to dst the numbers to ask for now, in ascending order, and gives up on those that
// were asked for MaxRequests times in vain.
func (t *Tracker) Due(now time.Time, dst []uint16) []uint16 {
	kept := t.missing[:0]
	for _, e := range t.missing {
		if !now.Before(e.due) {
			if e.requests == MaxRequests {
				continue
			}
			dst = append(dst, e.sequence)
			e.requests++
			e.due = now.Add(e.retry)
			e.retry += e.retry / 2
		}
		kept = append(kept, e)
	}
	t.missing = kept
	return dst
}

// Missing returns how many packets are being asked for.
func (t *Tracker) Missing() int {
	return len(t.missing)
}
