package bandwidth

import "time"

// Probes raise what is sent step by step, so that the queue of a path that does not carry more
// stays short.
const (
	stepTime = 250 * time.Millisecond
	stepUp   = 125 // percent of the step before
	// settle is how long after its last step a probe waits for the reports.
	settle = time.Second
	// A probe is tried minPause after congestion; after each one that failed, or was followed by
	// congestion, the pause is twice as long as before. A path that carries more again is found out
	// within maxPause and what the steps take.
	minPause = 2 * time.Second
	maxPause = 4 * time.Second
	// nextPause follows a probe that succeeded.
	nextPause = 500 * time.Millisecond
	// proven is how long after a probe congestion shows that it was wrong.
	proven = 10 * time.Second
	// probeQueue is the queue that ends a probe, doubtful that from which on it takes no further
	// step.
	probeQueue = 30 * time.Millisecond
	doubtful   = 15 * time.Millisecond
)

// probe tries what a path carries beyond what is sent.
type probe struct {
	running bool
	target  int // kbps; of the current step
	wanted  int
	stepAt  time.Time
	endedAt time.Time
	pause   time.Duration // since endedAt
	shown   bool          // the last one succeeded
	atQueue time.Duration // the queue when it began
}

// Probe returns how much is to be sent in kbps, all in all, to find out whether the path carries
// what is wanted, or 0 when this is not the time for that. sending is what is sent now without the
// probe. It is to be called every few milliseconds.
func (e *Estimator) Probe(wanted, sending int, now time.Time) int {
	e.rest(sending, now)
	p := &e.probe
	if wanted == 0 || e.estimate == 0 || e.congested || e.estimate >= wanted {
		p.running = false
		return 0
	}
	if !p.running {
		pause := max(p.pause, minPause)
		if p.shown {
			pause = nextPause
		}
		if now.Sub(p.endedAt) < pause || e.queue(recent-1) >= drained {
			return 0
		}
		// It begins half way up to what has come through before.
		target := max(sending, (sending+min(e.estimate, wanted))/2, minKbps)
		*p = probe{running: true, wanted: wanted, target: target, stepAt: now.Add(-stepTime), pause: p.pause, atQueue: e.queue(recent - 1)}
	}
	if now.Sub(p.stepAt) >= stepTime && p.target < wanted && e.queue(recent-1) < p.atQueue+doubtful {
		p.target = min(p.target*stepUp/100, wanted)
		p.stepAt = now
	}
	if now.Sub(p.stepAt) >= stepTime+settle {
		p.fail(now)
		return 0
	}
	// A little more than the target, since the reports round down and what is sent comes in pieces.
	return p.target * 105 / 100
}

// judge looks at an interval during a probe.
func (e *Estimator) judge(queue, before time.Duration, loss bool, now time.Time) {
	p := &e.probe
	if !p.running {
		return
	}
	switch {
	case e.estimate >= p.wanted:
		// The pause stays as long as it is: congestion may follow.
		p.running, p.shown, p.endedAt = false, true, now
	case loss || queue >= p.atQueue+probeQueue && queue >= before:
		p.fail(now)
	}
}

func (p *probe) fail(now time.Time) {
	p.running, p.shown, p.endedAt = false, false, now
	p.pause = min(max(2*p.pause, 2*minPause), maxPause)
}

// congested notes that the path was found congested.
func (p *probe) congested(now time.Time) {
	switch {
	case p.running || now.Sub(p.endedAt) < proven && !p.endedAt.IsZero():
		p.fail(now)
	default:
		p.shown, p.endedAt, p.pause = false, now, 0
	}
}
