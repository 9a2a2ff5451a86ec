package rate

import (
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000, 0)

// send adds a steady stream and returns when it ends.
func send(m *Meter, kbps int, from time.Time, duration time.Duration) time.Time {
	const step = 10 * time.Millisecond
	at := from
	for ; at.Before(from.Add(duration)); at = at.Add(step) {
		m.Add(kbps*int(step/time.Millisecond)/8, at)
	}
	return at
}

func TestASteadyStreamHasItsBitrate(t *testing.T) {
	for _, duration := range []time.Duration{600 * time.Millisecond, time.Second, 3270 * time.Millisecond} {
		var m Meter
		end := send(&m, 800, epoch, duration)
		if got := m.Kbps(end); got < 760 || got > 840 {
			t.Errorf("after %v: %d kbps, want 800", duration, got)
		}
	}
}

func TestAChangeIsSeenWithinTheWindow(t *testing.T) {
	var m Meter
	end := send(&m, 2000, epoch, 5*time.Second)
	end = send(&m, 400, end, Window+bucket)
	if got := m.Kbps(end); got < 380 || got > 420 {
		t.Errorf("%d kbps, want 400", got)
	}
}

func TestAStreamThatHasJustBegunHasNoBitrateYet(t *testing.T) {
	var m Meter
	if got := m.Kbps(epoch); got != 0 {
		t.Errorf("nothing is %d kbps", got)
	}
	end := send(&m, 800, epoch, 300*time.Millisecond)
	if got := m.Kbps(end); got != 0 {
		t.Errorf("after 300 ms: %d kbps", got)
	}
}

func TestAStreamThatHasEndedHasNone(t *testing.T) {
	var m Meter
	end := send(&m, 800, epoch, 2*time.Second)
	if got := m.Kbps(end.Add(Window)); got != 0 {
		t.Errorf("%d kbps", got)
	}
	end = end.Add(time.Minute)
	send(&m, 800, end, 100*time.Millisecond)
	if got := m.Kbps(end.Add(100 * time.Millisecond)); got != 0 {
		t.Errorf("just begun again: %d kbps", got)
	}
}

func TestTimesMayGoBack(t *testing.T) {
	var m Meter
	end := send(&m, 800, epoch, 2*time.Second)
	m.Add(1000, end.Add(-time.Minute))
	m.Add(0, end.Add(-50*time.Millisecond))
	if got := m.Kbps(end); got < 760 || got > 840 {
		t.Errorf("%d kbps, want 800", got)
	}
}
