package lease

import (
	"math/rand/v2"
	"testing"
	"time"
)

// walk is a world in which nearly everything happens in time, by the millisecond, and faults are as
// rare as it takes for several of them to meet. The clocks go as differently as they may.
type walk struct {
	world
	random       *rand.Rand
	frozen       [2]time.Duration // until when the primary is, the standby is
	held         [2]time.Duration // until when nothing comes to the primary, to the standby
	unreachable  bool             // no nomination reaches the client
	slow         bool             // the primary often looks late
	beat, listen time.Duration
	trace        []string
}

func newWalk(seed uint64, broken string) *walk {
	w := &walk{world: newWorld(broken), random: rand.New(rand.NewPCG(seed, 54))}
	const most = 0.005
	w.primary.rate = 1 + most*(2*w.random.Float64()-1)
	w.standby.rate = 1 + most*(2*w.random.Float64()-1)
	w.unreachable = w.random.IntN(10) == 0
	w.slow = w.random.IntN(3) == 0
	return w
}

// once says yes once in so many milliseconds.
func (w *walk) once(milliseconds int) bool { return w.random.IntN(milliseconds) == 0 }

func (w *walk) take(name string) {
	if w.do(name) {
		w.trace = append(w.trace, w.now.String()+" "+name)
	}
}

func (w *walk) faults() {
	for i := range w.frozen {
		if w.once(1500) {
			w.frozen[i] = w.now + time.Duration(w.random.IntN(2500))*time.Millisecond
		}
		if w.once(1500) {
			w.held[i] = w.now + time.Duration(w.random.IntN(2500))*time.Millisecond
		}
	}
	for _, fault := range []struct {
		name         string
		milliseconds int
	}{
		{"connection ends", 4000}, {"primary dies", 8000}, {"standby dies", 16000},
		{"primary hands over", 16000}, {"standby leaves", 16000},
	} {
		if w.once(fault.milliseconds) {
			w.take(fault.name)
		}
	}
}

func (w *walk) primaryRuns() {
	w.encrypt()
	if !w.followed && w.once(200) {
		w.take("primary follows")
	}
	if w.now >= w.beat {
		w.beat = w.now + BeatInterval
		w.take("primary beats")
	}
	if w.now > w.held[0] && w.once(2) {
		w.take("primary reads")
	}
	if w.once(50) {
		w.take("primary sees the end")
		w.take("primary is refused")
	}
	if w.once(5) {
		w.take("primary reads the client")
	}
	if w.now >= w.listen {
		w.listen = w.now + Lag/4
		if w.slow {
			w.listen += time.Duration(w.random.Int64N(int64(Stall)))
		}
		w.take("primary looks at the clock")
	}
	if w.once(3) {
		w.take("primary looks at the client")
	}
}

// encrypt uses some indices.
func (w *walk) encrypt() {
	if w.primary.dead || !w.room.May(w.at(w.primary)) {
		return
	}
	w.next += w.random.IntN(100)
	released := w.released
	if w.broken == "block" {
		released += Block
	}
	if w.room.State(w.at(w.primary)) == Leased {
		w.next = min(w.next, released)
	}
}

func (w *walk) standbyRuns() {
	if w.now > w.held[1] && w.once(2) {
		w.take("standby reads")
	}
	if w.once(50) {
		w.take("standby sees the end")
		w.take("standby is refused")
	}
	if w.once(5) {
		w.take("standby is due")
		w.take("standby reads the client")
	}
}

func (w *walk) clientRuns() {
	if !w.unreachable && w.once(50) {
		w.take("client goes over")
	}
	if w.once(50) {
		w.take("client reaches the standby")
	}
	if w.once(10) && (!w.moved || w.once(5)) {
		w.take("client reaches the primary")
	}
}

// run returns the promise that was broken.
func (w *walk) run() string {
	for w.now < 8*time.Second && (!w.decided() || !w.copy.May()) {
		w.now += time.Millisecond
		w.faults()
		if w.now > w.frozen[0] {
			w.primaryRuns()
		}
		if w.now > w.frozen[1] {
			w.standbyRuns()
		}
		w.clientRuns()
		if v := w.violation(); v != "" {
			return v
		}
	}
	return ""
}

func TestNeverBothMayEncryptOnLongWalks(t *testing.T) {
	owners := 0
	for seed := range uint64(300) {
		w := newWalk(seed, "")
		if v := w.run(); v != "" {
			t.Fatalf("seed %d: %s\n%v", seed, v, w.trace)
		}
		if w.copy.May() {
			owners++
		}
	}
	if owners < 50 {
		t.Errorf("the standby took over in %d walks only", owners)
	}
	t.Log(owners, "takeovers")
}

func TestWalksFindWhatEachRuleIsFor(t *testing.T) {
	for _, broken := range []string{"block", "term", "end", "no client", "frozen", "refused standby"} {
		t.Run(broken, func(t *testing.T) {
			for seed := range uint64(3000) {
				if newWalk(seed, broken).run() != "" {
					t.Log("walk", seed)
					return
				}
			}
			t.Error("no walk breaks a promise")
		})
	}
}
