// Package mediatest is a media engine without media, for tests of what stands above it. It keeps
// the promises of package media: what is closed, which errors there are, what ends with what.
package mediatest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// What a session description of a test must hold to be refused.
const (
	// Malformed is refused with ErrSDP.
	Malformed = "malformed"
	// OnlyH264 is an offer that is refused with ErrForcedCodec where another codec is forced.
	OnlyH264 = "only H264"
	// CantDecode is an answer that is refused with ErrCodecRejected.
	CantDecode = "can't decode"
	// Panics is an offer that makes the engine panic.
	Panics = "panics"
)

// Engine implements media.Engine. The zero value is ready for use. It is safe for concurrent use.
type Engine struct {
	// BeforeAnswer, when set, is called before a publisher's offer is answered.
	BeforeAnswer func(streamID string)

	mu            sync.Mutex // guards what follows
	publications  map[*Publication]struct{}
	subscriptions map[*Subscription]struct{}
	made          int
	memories      map[string]map[string]media.Memory // by room and name
}

// Open returns how many publications and subscriptions are not closed.
func (e *Engine) Open() (publications, subscriptions int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.publications), len(e.subscriptions)
}

// NewPublication implements media.Engine.
func (e *Engine) NewPublication(options media.PublicationOptions) media.Publication {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := &Publication{engine: e, Options: options}
	if e.publications == nil {
		e.publications = make(map[*Publication]struct{})
		e.subscriptions = make(map[*Subscription]struct{})
	}
	e.publications[p] = struct{}{}
	return p
}

// Subscribe implements media.Engine.
func (e *Engine) Subscribe(_ context.Context, publication media.Publication, options media.SubscriptionOptions) (media.Subscription, string, error) {
	p := publication.(*Publication)
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.closed {
		return nil, "", fmt.Errorf("subscribing: %w", media.ErrPublicationClosed)
	}
	e.made++
	s := &Subscription{publication: p, Options: options, Offer: fmt.Sprintf("offer %d of %s", e.made, kinds(p.Options))}
	e.subscriptions[s] = struct{}{}
	return s, s.Offer, nil
}

// Resume implements media.Engine: nothing was taken over.
func (e *Engine) Resume(media.PublicationOptions) (media.Publication, bool) { return nil, false }

// ResumeSubscription implements media.Engine: nothing was taken over.
func (e *Engine) ResumeSubscription(media.Publication, media.SubscriptionOptions) (media.Subscription, bool) {
	return nil, false
}

// TakeOver has the engine know what another one has remembered of a room.
func (e *Engine) TakeOver(from *Engine, room string) {
	for name, memory := range from.Remembered(room) {
		e.Remember(room, name, memory)
	}
}

// Remember implements media.Engine. Remembered returns it.
func (e *Engine) Remember(room, name string, memory media.Memory) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.memories == nil {
		e.memories = make(map[string]map[string]media.Memory)
	}
	if e.memories[room] == nil {
		e.memories[room] = make(map[string]media.Memory)
	}
	if e.memories[room][name] = memory; memory == nil {
		delete(e.memories[room], name)
	}
}

// Remembered implements media.Engine.
func (e *Engine) Remembered(room string) map[string]media.Memory {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.memories[room])
}

func kinds(options media.PublicationOptions) string {
	var kinds []string
	if options.HasAudio {
		kinds = append(kinds, "audio")
	}
	if options.HasVideo {
		kinds = append(kinds, "video")
	}
	return strings.Join(kinds, "+")
}

// Publication implements media.Publication.
type Publication struct {
	engine  *Engine
	Options media.PublicationOptions

	closed     bool
	transport  media.Transport
	heard      time.Time
	candidates []media.ICECandidate
	reception  *media.Reception
	measured   int
}

// Answer implements media.Publication.
func (p *Publication) Answer(_ context.Context, offer string) (string, error) {
	if before := p.engine.BeforeAnswer; before != nil {
		before(p.Options.StreamID)
	}
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	switch {
	case p.closed:
		return "", fmt.Errorf("answering: %w", media.ErrPublicationClosed)
	case strings.Contains(offer, Panics):
		panic(offer)
	case strings.Contains(offer, Malformed):
		return "", fmt.Errorf("parsing the offer: %w", media.ErrSDP)
	case strings.Contains(offer, OnlyH264) && p.Options.ForcedVideoCodec != "" && p.Options.ForcedVideoCodec != "H264":
		return "", fmt.Errorf("looking for %s: %w", p.Options.ForcedVideoCodec, media.ErrForcedCodec)
	}
	return "answer to " + offer, nil
}

// Reception implements media.Publication: it returns what SetReception was given.
func (p *Publication) Reception() (media.Reception, bool) {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	p.measured++
	if p.reception == nil {
		return media.Reception{}, false
	}
	return *p.reception, true
}

// SetReception sets what Reception returns; nil is nothing.
func (p *Publication) SetReception(reception *media.Reception) {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	p.reception = reception
}

// Transport implements media.Publication: it returns what Route was given.
func (p *Publication) Transport() media.Transport {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	return p.transport
}

// Route lets the media come over a transport from now on.
func (p *Publication) Route(transport media.Transport) {
	p.engine.mu.Lock()
	p.transport = transport
	p.engine.mu.Unlock()
	p.Options.Rerouted()
}

// Heard implements media.Publication: it returns what Hear was given.
func (p *Publication) Heard() time.Time {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	return p.heard
}

// Hear has the publisher be heard until a time.
func (p *Publication) Hear(until time.Time) {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	p.heard = until
}

// Measured returns how often Reception was called.
func (p *Publication) Measured() int {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	return p.measured
}

// AddICECandidate implements media.Publication.
func (p *Publication) AddICECandidate(candidate media.ICECandidate) error {
	if strings.Contains(candidate.Candidate, Malformed) {
		return fmt.Errorf("parsing a candidate: %w", media.ErrCandidate)
	}
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	p.candidates = append(p.candidates, candidate)
	return nil
}

// Close implements media.Publication.
func (p *Publication) Close() error {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	p.closed = true
	delete(p.engine.publications, p)
	for s := range p.engine.subscriptions {
		if s.publication == p {
			delete(p.engine.subscriptions, s)
		}
	}
	return nil
}

// Subscription implements media.Subscription.
type Subscription struct {
	publication *Publication
	Options     media.SubscriptionOptions
	// Offer is what the subscriber was offered, Answered the last answer that was taken.
	Offer, Answered string

	transport media.Transport
	heard     time.Time
	pause     media.Pause
	loss      float64
	delivery  media.Delivery
}

// Deliver implements media.Subscription.
func (s *Subscription) Deliver(delivery media.Delivery) {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	s.delivery = delivery
}

// Delivers returns what Deliver was told last.
func (s *Subscription) Delivers() media.Delivery {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	return s.delivery
}

// Delivers returns what Deliver was told last for a participant that receives one stream; that
// nothing is sent without one.
func (e *Engine) Delivers(participant string) media.Delivery {
	for _, s := range e.Subscriptions() {
		if s.Options.Participant == participant {
			return s.Delivers()
		}
	}
	return media.Delivery{NoAudio: true, NoVideo: true}
}

// Transport implements media.Subscription: it returns what Route was given.
func (s *Subscription) Transport() media.Transport {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	return s.transport
}

// Route lets the media go over a transport from now on.
func (s *Subscription) Route(transport media.Transport) {
	s.publication.engine.mu.Lock()
	s.transport = transport
	s.publication.engine.mu.Unlock()
	s.Options.Rerouted()
}

// Heard implements media.Subscription: it returns what Hear was given.
func (s *Subscription) Heard() time.Time {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	return s.heard
}

// Hear has the subscriber be heard until a time.
func (s *Subscription) Hear(until time.Time) {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	s.heard = until
}

// VideoPause implements media.Subscription: it returns what Pause was given.
func (s *Subscription) VideoPause() media.Pause {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	return s.pause
}

// Pause lets no video be sent from now on or, with media.NoPause, again.
func (s *Subscription) Pause(why media.Pause) {
	s.publication.engine.mu.Lock()
	s.pause = why
	s.publication.engine.mu.Unlock()
	s.Options.PauseChanged()
}

// Loss implements media.Subscription: it returns what Lose was given.
func (s *Subscription) Loss() float64 {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	return s.loss
}

// Lose has a share of the packets be lost from now on.
func (s *Subscription) Lose(share float64) {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	s.loss = share
}

// Publications returns those that are not closed.
func (e *Engine) Publications() []*Publication {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.publications))
}

// Subscriptions returns those that are not closed.
func (e *Engine) Subscriptions() []*Subscription {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.subscriptions))
}

// Answer implements media.Subscription.
func (s *Subscription) Answer(_ context.Context, answer string) error {
	switch {
	case strings.Contains(answer, Malformed):
		return fmt.Errorf("parsing the answer: %w", media.ErrSDP)
	case strings.Contains(answer, CantDecode):
		return fmt.Errorf("reading the answer: %w", media.ErrCodecRejected)
	}
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	s.Answered = answer
	return nil
}

// AddICECandidate implements media.Subscription.
func (s *Subscription) AddICECandidate(candidate media.ICECandidate) error {
	if strings.Contains(candidate.Candidate, Malformed) {
		return fmt.Errorf("parsing a candidate: %w", media.ErrCandidate)
	}
	return nil
}

// Close implements media.Subscription.
func (s *Subscription) Close() error {
	s.publication.engine.mu.Lock()
	defer s.publication.engine.mu.Unlock()
	delete(s.publication.engine.subscriptions, s)
	return nil
}

// Candidates returns how many candidates the open publications have got.
func (e *Engine) Candidates() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	count := 0
	for p := range e.publications {
		count += len(p.candidates)
	}
	return count
}
