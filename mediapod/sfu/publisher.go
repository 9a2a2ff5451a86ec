package sfu

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

// TickInterval is how often a publisher wants its Tick.
const TickInterval = 20 * time.Millisecond

// reportInterval is how often receiver and sender reports are sent.
const reportInterval = time.Second

// Publisher is one published stream: a fixed track of each kind, each of which takes layers from publishing connections
// and feeds forwarders. Its methods are safe for concurrent use.
type Publisher struct {
	counters *Counters
	ssrc     uint32 // of the RTCP that is sent to publishing connections
	tracks   [kinds]Track

	mu          sync.Mutex // serialises changes of subscribers, and guards closed
	subscribers set[*Subscriber]
	closed      bool

	reportedAt time.Time // owned by Tick
}

// NewPublisher makes a publisher that nothing has been sent to yet. maxVideoKbps bounds what its publishing connections are
// asked to send; 0 is no limit.
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

// Tick does what time brings: it asks for missing packets and keyframes and sends reports. It is to be called about
// every TickInterval, by one goroutine.
func (p *Publisher) Tick(now time.Time) {
	report := now.Sub(p.reportedAt) >= reportInterval
	if report {
		p.reportedAt = now
	}
	for kind := range kinds {
		t := &p.tracks[kind]
		layer := t.current.Load()
		if layer == nil {
			continue
		}
		layer.tick(now)
		if report {
			layer.report(now, t.limit())
		}
	}
	for _, s := range p.subscribers.load() {
		s.tick(now, report)
	}
}

// Track is one kind of media of a publisher. Its methods are safe for concurrent use.
type Track struct {
	kind      Kind
	publisher *Publisher
	maxKbps   int // 0 is no limit

	forwarders set[*Forwarder]
	current    atomic.Pointer[Layer] // what forwarders should get; nil while nobody publishes

	mu     sync.Mutex // serialises changes of forwarders and current, and guards closed
	closed bool
}

// Publish adds a layer that a publishing connection has started to send. It replaces the track's layer: each forwarder
// changes over at the new layer's first keyframe, or at its first packet when it has none.
func (t *Track) Publish(config LayerConfig, now time.Time) (*Layer, error) {
	layer := newLayer(t, config, now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	t.current.Store(layer)
	for _, f := range t.forwarders.load() {
		f.aim(layer)
	}
	return layer, nil
}

func (t *Track) add(f *Forwarder, now time.Time) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return ErrClosed
	}
	layer := t.current.Load()
	f.aim(layer)
	t.forwarders.add(f)
	t.mu.Unlock()
	// Only now, so that the keyframe that answers this finds the forwarder in the set.
	if layer != nil {
		layer.RequestKeyframe(now)
	}
	return nil
}

func (t *Track) remove(f *Forwarder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forwarders.remove(f)
}

func (t *Track) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.current.Store(nil)
	t.forwarders.items.Store(nil)
}

// limit returns the highest bitrate in kbps that is of use: the track's own limit or, when lower, the highest of those
// of its forwarders. 0 is no limit.
func (t *Track) limit() int {
	forwarders := t.forwarders.load()
	if len(forwarders) == 0 {
		return t.maxKbps
	}
	highest := 0
	for _, f := range forwarders {
		if f.config.MaxKbps == 0 {
			return t.maxKbps
		}
		highest = max(highest, f.config.MaxKbps)
	}
	if t.maxKbps == 0 {
		return highest
	}
	return min(highest, t.maxKbps)
}

const (
	audioKbps     = 64        // what a limit leaves for the audio beside the video
	unlimitedKbps = 1_000_000 // what lifts a limit
)

// bitrateLimit is the message by which a sender is told not to exceed a video bitrate, 0 for no limit
// (draft-alvestrand-rmcat-remb, section 2.2). It bounds all that the sender's connection carries.
func bitrateLimit(sender, media uint32, kbps int) rtcp.Packet {
	total := unlimitedKbps
	if kbps > 0 {
		total = min(kbps+audioKbps, unlimitedKbps)
	}
	return &rtcp.ReceiverEstimatedMaximumBitrate{
		SenderSSRC: sender,
		Bitrate:    float32(total) * 1000,
		SSRCs:      []uint32{media},
	}
}
