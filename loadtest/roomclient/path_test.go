package roomclient

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestAPathLosesDelaysAndNarrows(t *testing.T) {
	const packets, bytes = 10_000, 1000 - ipUDP
	send := func(c Conditions, interval time.Duration) (lost int, longest, last time.Duration) {
		i := &impaired{path: NewPath(c), random: rand.New(rand.NewPCG(1, 2))}
		for n := range packets {
			at := epoch.Add(time.Duration(n) * interval)
			due, dropped := i.pass(bytes, at)
			if dropped {
				lost++
				continue
			}
			last = due.Sub(at)
			longest = max(longest, last)
		}
		return lost, longest, last
	}
	if lost, longest, _ := send(Conditions{}, time.Millisecond); lost != 0 || longest != 0 {
		t.Errorf("a perfect path: %d lost, %v", lost, longest)
	}
	if lost, longest, _ := send(Conditions{Loss: 0.05, Delay: 25 * time.Millisecond}, time.Millisecond); lost < 400 || lost > 600 || longest != 25*time.Millisecond {
		t.Errorf("a lossy one: %d lost, %v", lost, longest)
	}
	// 8 Mbps are offered to 4.
	lost, longest, last := send(Conditions{Kbps: 4000, Queue: 100 * time.Millisecond}, time.Millisecond)
	if lost < packets*45/100 || lost > packets*55/100 {
		t.Errorf("a narrow one: %d lost", lost)
	}
	if longest > 103*time.Millisecond || last < 95*time.Millisecond {
		t.Errorf("a narrow one: %v at most, %v in the end", longest, last)
	}
}
