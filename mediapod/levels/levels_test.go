package levels

import (
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func TestFiguresAreOfTheLastMinute(t *testing.T) {
	var w Window
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	w.Joined(100*time.Millisecond, at(0))
	w.Joined(300*time.Millisecond, at(5))
	w.Failed(at(25))
	w.Lost(0.03, at(35))
	w.Lost(0.004, at(45)) // next to nothing
	w.Joined(900*time.Millisecond, at(50))
	for _, step := range []struct {
		seconds int
		want    Figures
	}{
		{50, Figures{3, 1, 300 * time.Millisecond, 5}},
		{69, Figures{3, 1, 300 * time.Millisecond, 5}},
		{70, Figures{1, 1, 900 * time.Millisecond, 5}},
		{90, Figures{1, 0, 900 * time.Millisecond, 5}},
		{100, Figures{1, 0, 900 * time.Millisecond, 0}},
		{120, Figures{}},
	} {
		if got := w.Figures(at(step.seconds)); got != step.want {
			t.Errorf("after %d s %+v, want %+v", step.seconds, got, step.want)
		}
	}
	if len(w.Slots) != 0 {
		t.Errorf("%d slots are left", len(w.Slots))
	}
}

func TestLossIsCoarse(t *testing.T) {
	for share, want := range map[float64]int{
		-1: 0, 0: 0, 0.0049: 0, 0.005: 1, 0.01: 1, 0.011: 2, 0.05: 5, 0.051: 10, 0.2: 20, 0.5: 50, 0.51: 100, 1: 100, 7: 100,
	} {
		var w Window
		w.Lost(share, start)
		if got := w.Figures(start).LostPercent; got != want {
			t.Errorf("a share of %v is %d, want %d", share, got, want)
		}
	}
}

func TestAMinuteIsBounded(t *testing.T) {
	var w Window
	for i := range 3 * maxTimes {
		w.Joined(time.Duration(i+1)*time.Millisecond, start)
	}
	w.Joined(0, start) // not known
	got := w.Figures(start)
	want := Figures{Joins: 3*maxTimes + 1, MedianJoin: (2*maxTimes + maxTimes/2) * time.Millisecond}
	if got != want || len(w.Slots[0].Took) != maxTimes {
		t.Errorf("%+v of %d times, want %+v", got, len(w.Slots[0].Took), want)
	}
	for i := range 1000 {
		w.Failed(start.Add(time.Duration(i) * time.Second))
	}
	if len(w.Slots) > maxSlots {
		t.Errorf("%d slots", len(w.Slots))
	}
}

func TestAnotherPodsMinuteIsTakenUp(t *testing.T) {
	var before, after Window
	before.Joined(time.Second, start)
	before.Failed(start.Add(30 * time.Second))
	clone := before.Clone()
	before.Joined(2*time.Second, start.Add(30*time.Second))
	now := start.Add(40 * time.Second)
	clone.Slots = append(clone.Slots, Slot{Number: number(now) + 5, Failed: 7}, Slot{Number: number(now), Failed: -7})
	after.Recall(clone, now)
	if got, want := after.Figures(now), (Figures{Joins: 1, Failed: 1, MedianJoin: time.Second}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
