package sfu

import (
	"math/rand/v2"
	"sync"
	"time"
)

// TickInterval is how often a publisher wants its Tick.
const TickInterval = 20 * time.Millisecond

// reportInterval is how often receiver and sender reports are sent.
const reportInterval = time.Second

// Publisher is one published stream: a fixed track of each kind, each of which takes layers from
// publishing connections and feeds forwarders. Its methods are safe for concurrent use.
type Publisher struct {
	counters *Counters
	ssrc     uint32 // of the RTCP that is sent to publishing connections
	tracks   [kinds]Track
	trip     trip

	mu          sync.Mutex // serialises changes of subscribers, and guards closed
	subscribers set[*Subscriber]
	closed      bool

	reportedAt, restedAt time.Time // owned by Tick
}

// NewPublisher makes a publisher that nothing has been sent to yet. maxVideoKbps bounds what its
// publishing connections are asked to send; 0 is no limit.
func NewPublisher(counters *Counters, maxVideoKbps int) *Publisher {
	p := &Publisher{counters: counters, ssrc: rand.Uint32()}
	for kind := range kinds {
		p.tracks[kind] = Track{kind: kind, publisher: p}
	}
	p.tracks[Video].maxKbps = maxVideoKbps
	return p
}

// Track returns the track of a kind.
func (p *Publisher) Track(kind Kind) *Track {
	return &p.tracks[kind]
}

// Subscribe adds a receiver, which gets its sender reports through control.
func (p *Publisher) Subscribe(control ControlWriter) (*Subscriber, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	s := &Subscriber{publisher: p, control: control}
	p.subscribers.add(s)
	return s, nil
}

func (p *Publisher) remove(s *Subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribers.remove(s)
}

// Close ends the stream: layers and subscribers forward nothing from now on. It is idempotent.
func (p *Publisher) Close() {
	p.mu.Lock()
	p.closed = true
	subscribers := p.subscribers.load()
	p.mu.Unlock()
	for _, s := range subscribers {
		s.Close()
	}
	for kind := range kinds {
		p.tracks[kind].close()
	}
}

// Tick does what time brings: it chooses layers, asks for missing packets and keyframes, and sends
// reports. It is to be called about every TickInterval, by one goroutine.
func (p *Publisher) Tick(now time.Time) {
	report := now.Sub(p.reportedAt) >= reportInterval
	if report {
		p.reportedAt = now
	}
	for kind := range kinds {
		p.tracks[kind].tick(now, report)
	}
	all := report || now.Sub(p.restedAt) >= restInterval
	if all {
		p.restedAt = now
	}
	for _, s := range p.subscribers.load() {
		if all || s.path.busy.Load() {
			s.tick(now, report)
		}
	}
}
