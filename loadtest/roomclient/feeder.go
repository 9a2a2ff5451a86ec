package roomclient

import (
	"slices"
	"sync"
	"time"
)

const (
	// feedStep is how often a feeder looks for what is due.
	feedStep = 10 * time.Millisecond
	// reportInterval is how often receiver and sender reports are sent.
	reportInterval = time.Second
)

// feeder sends the feedback of all receivers of a Media by one goroutine, which runs while there
// are any.
type feeder struct {
	mu      sync.Mutex // guards the fields below
	members []*fed
	running bool
}

// fed is a receiver. The times are the goroutine's.
type fed struct {
	peer             *peer
	report, feedback time.Time // when the next ones are due
}

func (f *feeder) add(p *peer, interval time.Duration) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, &fed{peer: p, feedback: now.Add(interval), report: now.Add(reportInterval)})
	if !f.running {
		f.running = true
		go f.run(interval)
	}
}

func (f *feeder) remove(p *peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The goroutine may be reading the old slice.
	f.members = slices.DeleteFunc(slices.Clone(f.members), func(m *fed) bool { return m.peer == p })
}

func (f *feeder) run(interval time.Duration) {
	tick := time.NewTicker(feedStep)
	defer tick.Stop()
	sequences := make([]uint16, 0, maxMissing)
	for now := range tick.C {
		f.mu.Lock()
		members := f.members
		f.running = len(members) > 0
		f.mu.Unlock()
		if len(members) == 0 {
			return
		}
		for _, m := range members {
			m.feed(now, interval, sequences)
		}
	}
}

// feed sends what is due.
func (m *fed) feed(now time.Time, interval time.Duration, sequences []uint16) {
	packets := m.peer.incoming.repairs(now, sequences)
	if !now.Before(m.feedback) {
		m.feedback = now.Add(interval)
		packets = append(packets, m.peer.incoming.transportFeedback()...)
	}
	if !now.Before(m.report) {
		m.report = now.Add(reportInterval)
		packets = append(packets, m.peer.incoming.receiverReport()...)
	}
	if len(packets) > 0 {
		_ = m.peer.pc.WriteRTCP(packets) // what it says is repeated, or the connection has ended
	}
}
