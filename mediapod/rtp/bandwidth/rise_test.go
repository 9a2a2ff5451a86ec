package bandwidth

import (
	"testing"
	"time"
)

// follow sends frames of so many bytes over a link, and returns when congestion is found, 0 for
// never.
func follow(l *link, e *Estimator, frames []int, from time.Duration) time.Duration {
	const interval = time.Second / 30
	for i, bytes := range frames {
		at := from + time.Duration(i)*interval
		for ; bytes > 0; bytes -= 1200 {
			l.send(e.Sent(min(bytes, 1200), epoch.Add(at)), min(bytes, 1200), at)
		}
		now := at + interval
		if f := l.report(now - l.delay); f != nil {
			e.Feedback(written(f), epoch.Add(now))
		}
		if e.Congested() {
			return now - from
		}
	}
	return 0
}

func repeated(bytes, n int) (frames []int) {
	for range n {
		frames = append(frames, bytes)
	}
	return frames
}

func TestAQueueIsSeenWhileItGrows(t *testing.T) {
	for name, c := range map[string]struct {
		kbps   int
		frames []int
		within time.Duration // 0: not at all
	}{
		"to a third":              {500, repeated(7000, 30), 350 * time.Millisecond},
		"to a half":               {800, repeated(7000, 30), 450 * time.Millisecond},
		"a keyframe":              {3000, append([]int{36_000}, repeated(7000, 60)...), 0},
		"a keyframe, hardly room": {1900, append([]int{21_000}, repeated(7000, 60)...), 0},
		"enough":                  {1800, repeated(7000, 60), 0},
	} {
		l, e := newLink(3000), &Estimator{}
		l.buffer = 2 * time.Second
		if took := follow(l, e, repeated(7000, 60), 0); took != 0 {
			t.Fatalf("%s: congestion before, after %v", name, took)
		}
		l.kbps = c.kbps
		took := follow(l, e, c.frames, 2*time.Second)
		if c.within == 0 && took != 0 || took > c.within || c.within > 0 && took == 0 {
			t.Errorf("%s: found after %v", name, took)
		}
		if took > 0 && (e.Kbps() < c.kbps*70/100 || e.Kbps() > c.kbps) {
			t.Errorf("%s: %d kbps", name, e.Kbps())
		}
		t.Logf("%s: found after %v, %d kbps", name, took, e.Kbps())
	}
}

func TestALongerWayIsNoRise(t *testing.T) {
	l, e := newLink(0), &Estimator{}
	if took := follow(l, e, repeated(7000, 30), 0); took != 0 {
		t.Fatal(took)
	}
	l.delay += 120 * time.Millisecond
	for i := range 8 { // until it is looked at as a queue
		if took := follow(l, e, repeated(7000, 1), time.Second+time.Duration(i)*time.Second/30); took != 0 {
			t.Errorf("congestion after frame %d", i)
		}
	}
}
