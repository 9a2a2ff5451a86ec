// Package levels is the single authority on the service levels of a room: how many have joined in
// the last minute, how long that took them, and how much was lost of media at worst. It knows no
// clock. docs/monitoring.md explains the figures to users.
package levels

import (
	"cmp"
	"slices"
	"time"
)

const (
	// Span is what the figures are of. The part of it that is over last is shorter by up to a slot.
	Span = time.Minute
	// slotTime is the part of a minute after which figures go.
	slotTime = 10 * time.Second
	// maxTimes bounds the times that are kept of a slot: the median is that of the last ones.
	maxTimes = 64
	// maxSlots is how many slots touch a Span.
	maxSlots = int(Span/slotTime) + 1
	// maxCount bounds what is counted.
	maxCount = 1_000_000
)

// Figures are the service levels of the last minute. The zero value is a minute without news.
type Figures struct {
	// Joins and Failed count those who got in, and attempts that were refused.
	Joins, Failed int
	// MedianJoin is how long getting in took, from the open socket to the answer, for half of
	// Joins at most; in milliseconds, 0 when that is not known.
	MedianJoin time.Duration
	// LostPercent is the greatest share of packets that was lost between a client and the media
	// pod, one of 0, 1, 2, 5, 10, 20, 50 and 100: at most so many of a hundred.
	LostPercent int
}

// Slot is what happened in a part of a minute. Its fields are exported for a room's memory.
type Slot struct {
	// Number of the slot since 1970.
	Number int64
	Joins  int
	Failed int
	// Took has the last times of Joins.
	Took        []time.Duration
	LostPercent int
}

// Window is the last minute of a room. The zero value has no news. It is not safe for concurrent
// use.
type Window struct {
	// Slots with news, oldest first. They are exported for a room's memory.
	Slots []Slot
}

// Joined counts somebody who got in. What it took is 0 when that is not known.
func (w *Window) Joined(took time.Duration, now time.Time) {
	s := w.slot(now)
	s.Joins = min(s.Joins+1, maxCount)
	if took <= 0 {
		return
	}
	if len(s.Took) == maxTimes {
		s.Took = slices.Delete(s.Took, 0, 1)
	}
	s.Took = append(s.Took, took)
}

// Failed counts an attempt to get in that was refused.
func (w *Window) Failed(now time.Time) {
	s := w.slot(now)
	s.Failed = min(s.Failed+1, maxCount)
}

// Lost takes a share of packets that was lost, from 0 to 1. Less than one in 200 is no news.
func (w *Window) Lost(share float64, now time.Time) {
	if percent := percentOf(share); percent > 0 {
		s := w.slot(now)
		s.LostPercent = max(s.LostPercent, percent)
	}
}

// percentOf returns the step that a share is at most; 0 when it is next to nothing. Coarse steps
// keep the figures from changing all the time.
func percentOf(share float64) int {
	if share < 0.005 {
		return 0
	}
	for _, step := range []int{1, 2, 5, 10, 20, 50} {
		if share*100 <= float64(step) {
			return step
		}
	}
	return 100
}

// Figures returns what the last minute was like, and forgets what is older.
func (w *Window) Figures(now time.Time) Figures {
	w.expire(now)
	var f Figures
	var took []time.Duration
	for _, s := range w.Slots {
		f.Joins += s.Joins
		f.Failed += s.Failed
		f.LostPercent = max(f.LostPercent, s.LostPercent)
		took = append(took, s.Took...)
	}
	if len(took) > 0 {
		slices.Sort(took)
		f.MedianJoin = max(time.Millisecond, took[(len(took)-1)/2].Round(time.Millisecond))
	}
	return f
}

// Recall takes the news of another pod for this room's own. Slots that can't be are left out: the
// pods' clocks may differ.
func (w *Window) Recall(before Window, now time.Time) {
	w.Slots = nil
	for _, s := range before.Slots {
		if s.Number <= number(now) && s.Joins >= 0 && s.Failed >= 0 && len(s.Took) <= maxTimes && len(w.Slots) < maxSlots {
			w.Slots = append(w.Slots, s)
		}
	}
	slices.SortStableFunc(w.Slots, func(a, b Slot) int { return cmp.Compare(a.Number, b.Number) })
	w.expire(now)
}

// Clone returns a copy that does not change with the window.
func (w *Window) Clone() Window {
	clone := Window{Slots: slices.Clone(w.Slots)}
	for i := range clone.Slots {
		clone.Slots[i].Took = slices.Clone(clone.Slots[i].Took)
	}
	return clone
}

// slot returns the slot of now.
func (w *Window) slot(now time.Time) *Slot {
	w.expire(now)
	last := len(w.Slots) - 1
	if last < 0 || w.Slots[last].Number < number(now) {
		w.Slots = append(w.Slots, Slot{Number: number(now)})
		last++
	}
	return &w.Slots[last]
}

// expire forgets the slots that have ended a minute ago or earlier.
func (w *Window) expire(now time.Time) {
	oldest := number(now.Add(-Span))
	w.Slots = slices.DeleteFunc(w.Slots, func(s Slot) bool { return s.Number < oldest })
}

func number(t time.Time) int64 { return t.UnixNano() / int64(slotTime) }
