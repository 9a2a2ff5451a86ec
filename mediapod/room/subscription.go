package room

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// maxReceptions bounds how often one participant receives one stream at once.
const maxReceptions = 8

// subscription is one participant's reception of one stream. Id and stream never change; the rest
// is guarded by the room's mutex.
//
//	offered --client's answer--> answered --outdated--> another one, which renews it and is offered
//
// One that comes from another pod is answered, and outdated unless its media was taken over.
//
// Each of them ends when the client unsubscribes or subscribes anew under the same id, when the
// stream ends, or when either participant leaves.
type subscription struct {
	id         string
	stream     *stream
	media      media.Subscription // nil while the offer is made
	answered   bool
	order      int
	candidates int
	// began is when the client was first told to receive the stream, also by a subscription that
	// this one has taken the place of.
	began time.Time

	// outdated says that the client can't receive what the publisher sends now: it needs another
	// offer. renewing says that one is being made.
	outdated, renewing bool
	// delivery is what the client wants of the stream.
	delivery media.Delivery
	// paused is why the client gets no video, as it was told.
	paused media.Pause
	// renews says that the offer was sent by StreamRenewed, since the client received the stream
	// before.
	renews bool
}

// received reports whether the client counts as one that receives the stream.
func (s *subscription) received() bool {
	return s.answered || s.renews
}

// subscriptions are what a participant receives, or is about to, by id. They belong to their
// participant and are guarded by the room's mutex.
type subscriptions struct {
	byID map[string]*subscription
}

// sorted returns the subscriptions in the order in which they began.
func (s *subscriptions) sorted() []*subscription {
	return slices.SortedFunc(maps.Values(s.byID), func(a, b *subscription) int { return cmp.Compare(a.order, b.order) })
}

// received returns what counts as received, in the order in which it began.
func (s *subscriptions) received() []Reception {
	var received []Reception
	for _, one := range s.sorted() {
		if one.received() {
			received = append(received, one.reception())
		}
	}
	return received
}

// reception returns what is known of the subscription.
func (s *subscription) reception() Reception {
	info := s.stream.info
	return Reception{
		SubscriptionID: s.id, StreamID: info.ID, Lasting: s.id == LastingID(info.ID, s.stream.owner.id),
		Began: s.began, Delivery: s.delivery,
	}
}

// has reports whether the subscription was not ended and none has taken its place.
func (s *subscriptions) has(one *subscription) bool { return s.byID[one.id] == one }

// include reports whether one of them is to the stream.
func (s *subscriptions) include(streamID string) bool {
	for _, one := range s.byID {
		if one.stream.info.ID == streamID {
			return true
		}
	}
	return false
}

// of returns how many of them are to the stream.
func (s *subscriptions) of(stream *stream) (count int) {
	for _, one := range s.byID {
		if one.stream == stream {
			count++
		}
	}
	return count
}

// replaces reports whether a subscription to the stream takes the place of another one to it.
func (s *subscriptions) replaces(id string, stream *stream) bool {
	before := s.byID[id]
	return before != nil && before.stream == stream
}

// remove forgets a subscription and returns what is to be closed.
func (s *subscriptions) remove(one *subscription) []io.Closer {
	delete(s.byID, one.id)
	if one.media == nil {
		return nil
	}
	return []io.Closer{one.media}
}

// forgetReceived forgets a subscription, also at the standby, and returns what is to be closed. The
// room is locked.
func (p *Participant) forgetReceived(received *subscription) []io.Closer {
	p.forgetReception(received)
	return p.subscriptions.remove(received)
}

// Subscribe makes the SDP offer by which the client receives a stream. The id of the subscription
// is the caller's to choose: what the participant received under the same one is dropped.
func (p *Participant) Subscribe(ctx context.Context, subscriptionID, streamID string) (string, error) {
	received, options, err := p.beginSubscription(subscriptionID, streamID)
	if err != nil {
		return "", err
	}
	subscription, offer, err := p.room.engine().Subscribe(ctx, received.stream.publication, options)
	if err != nil {
		p.abandonSubscription(received)
		return "", MediaError{Err: err}
	}
	if !p.completeSubscription(received, subscription) {
		p.room.registry.release(subscription)
		return "", ErrSubscriptionEnded
	}
	return offer, nil
}

func (p *Participant) beginSubscription(id, streamID string) (*subscription, media.SubscriptionOptions, error) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return nil, media.SubscriptionOptions{}, err
	}
	received, err := p.newSubscription(id, streamID)
	if err != nil {
		return nil, media.SubscriptionOptions{}, err
	}
	return received, p.subscriptionOptions(received), nil
}

// newSubscription has a subscription take its place among those of the participant. The room is
// locked.
func (p *Participant) newSubscription(id, streamID string) (*subscription, error) {
	if !p.seat.mayReceive() {
		return nil, ForbiddenError{Receive}
	}
	s, err := p.room.liveStream(streamID)
	if err != nil {
		return nil, err
	}
	if p.subscriptions.of(s) >= maxReceptions && !p.subscriptions.replaces(id, s) {
		return nil, overLimit("too many subscriptions: at most %d to one stream", maxReceptions)
	}
	received := &subscription{id: id, stream: s, order: p.room.next()}
	if before := p.subscriptions.byID[id]; before != nil && before.stream == s {
		// A client that receives the stream already begins anew, as after the loss of its network.
		received.began = before.began
		p.pause(before, media.NoPause)
		p.forgetSubscription(before)
	} else if before != nil {
		p.dropSubscription(before)
	}
	p.subscriptions.byID[id] = received
	return received, nil
}

// subscriptionOptions are what the engine is told of a subscription. The room is locked.
func (p *Participant) subscriptionOptions(received *subscription) media.SubscriptionOptions {
	return media.SubscriptionOptions{
		Participant:  p.id,
		ID:           received.id,
		MaxVideoKbps: p.seat.desired.MaxReceiveKbps,
		Outdated:     func() { go p.outdate(received) }, // the engine must not wait for the room
		Rerouted:     p.room.rerouted,
		PauseChanged: func() { go p.pauseChanged(received) },
		Trickle:      func(candidate media.ICECandidate) { go p.trickleReceived(received, candidate) },
	}
}

// pauseChanged tells the client whether it gets the video of a subscription.
func (p *Participant) pauseChanged(received *subscription) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.subscriptions.has(received) && !p.gone && received.media != nil {
		p.pause(received, received.media.VideoPause())
	}
}

// pause tells the client why it gets no video of a subscription, unless it knows. The room is
// locked.
func (p *Participant) pause(received *subscription, why media.Pause) {
	before := received.paused
	if why == before {
		return
	}
	received.paused = why
	s := received.stream
	p.mailbox.notify(VideoPaused{
		ConnectionID: s.owner.id, StreamID: s.info.ID, SubscriptionID: received.id,
		Pause: why, Before: before, VideoActive: s.info.VideoActive,
	})
}

// trickleReceived tells the client of a candidate of the server for a subscription.
func (p *Participant) trickleReceived(received *subscription, candidate media.ICECandidate) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.subscriptions.has(received) && !p.gone {
		s := received.stream
		p.mailbox.notify(CandidateAdded{s.owner.id, s.info.ID, received.id, p.id, candidate})
	}
}

// completeSubscription keeps the media of a subscription. It reports whether that is still wanted.
func (p *Participant) completeSubscription(received *subscription, subscription media.Subscription) bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if !p.subscriptions.has(received) {
		return false
	}
	received.media = subscription
	received.deliver()
	return true
}

// deliver has that be sent of the stream which the client wants. The room is locked.
func (s *subscription) deliver() {
	if s.media != nil {
		s.media.Deliver(s.delivery)
	}
}

// Deliver says what of a stream is sent to the participant; at first all is. It holds until the
// client subscribes anew.
func (p *Participant) Deliver(subscriptionID string, delivery media.Delivery) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	received := p.subscriptions.byID[subscriptionID]
	if received == nil {
		return NotFoundError{KindSubscription, subscriptionID}
	}
	received.delivery = delivery
	received.deliver()
	if received.answered {
		p.rememberReception(received)
	}
	p.room.registry.mark(p.room.uid)
	return nil
}

func (p *Participant) abandonSubscription(received *subscription) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.subscriptions.has(received) {
		p.dropSubscription(received)
	}
}

// dropSubscription ends a subscription for good. The room is locked.
func (p *Participant) dropSubscription(received *subscription) {
	p.room.recorder.received(p, received, reasons.Unsubscribe)
	p.forgetSubscription(received)
}

// forgetSubscription ends a subscription. The room is locked.
func (p *Participant) forgetSubscription(received *subscription) {
	p.room.registry.release(p.forgetReceived(received)...)
	p.room.registry.mark(p.room.uid)
}

// endSubscriptions stops receiving everything, and returns what is to be closed. The room is
// locked.
func (p *Participant) endSubscriptions(reason reasons.Reason) []io.Closer {
	var closers []io.Closer
	for _, received := range p.subscriptions.sorted() {
		p.room.recorder.received(p, received, reason)
		closers = append(closers, p.forgetReceived(received)...)
	}
	return closers
}

// Answer takes the client's SDP answer to the offer of Subscribe or, when renewed, to that of
// StreamRenewed.
func (p *Participant) Answer(ctx context.Context, subscriptionID, answer string, renewed bool, reply func()) error {
	received, subscription, err := p.offered(subscriptionID, renewed)
	if err != nil {
		return err
	}
	if err := subscription.Answer(ctx, answer); err != nil {
		p.abandonSubscription(received)
		return MediaError{Err: err}
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	received.answered = true
	if p.subscriptions.has(received) {
		p.room.recorder.receives(p, received)
		p.rememberReception(received)
	}
	reply()
	p.renew(received)
	p.room.registry.mark(p.room.uid)
	return nil
}

// offered returns the subscription whose offer the client has.
func (p *Participant) offered(id string, renewed bool) (*subscription, media.Subscription, error) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return nil, nil, err
	}
	received := p.subscriptions.byID[id]
	if received == nil || received.media == nil || received.answered || received.renews != renewed {
		if renewed && received != nil && received.answered {
			// The client answers an offer that is no longer good, and has given up the peer
			// connection that was.
			received.outdated = true
			p.renew(received)
		}
		return nil, nil, ErrNoOffer
	}
	return received, received.media, nil
}

// offerLife is how long a client may take to answer an offer.
const offerLife = 30 * time.Second

// Resubscribe takes the client's answer to an offer of the pod from which its room has come. What
// that has negotiated is lost, so the client is made another offer by StreamRenewed, once reply was
// called. It fails with ErrNoOffer when the client can't have such an offer.
func (p *Participant) Resubscribe(subscriptionID, streamID string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	if p.restoredAt.IsZero() || time.Since(p.restoredAt) > offerLife {
		return ErrNoOffer
	}
	received := p.subscriptions.byID[subscriptionID]
	if received == nil {
		var err error
		if received, err = p.newSubscription(subscriptionID, streamID); err != nil {
			return err
		}
		received.answered = true
		r.recorder.receives(p, received)
		p.rememberReception(received)
	}
	if !received.answered && !received.renews {
		return ErrNoOffer
	}
	reply()
	if received.answered {
		received.outdated = true
		p.renew(received)
	} // else it was made another offer already
	r.registry.mark(r.uid)
	return nil
}

// Unsubscribe ends a subscription.
func (p *Participant) Unsubscribe(subscriptionID string) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	received := p.subscriptions.byID[subscriptionID]
	if received == nil {
		return NotFoundError{KindSubscription, subscriptionID}
	}
	p.dropSubscription(received)
	return nil
}

// AddSubscriberCandidate takes a candidate of the client for a subscription.
func (p *Participant) AddSubscriberCandidate(subscriptionID string, candidate media.ICECandidate) error {
	p.room.mu.Lock()
	if err := p.alive(); err != nil {
		p.room.mu.Unlock()
		return err
	}
	received := p.subscriptions.byID[subscriptionID]
	if received == nil || received.media == nil {
		p.room.mu.Unlock()
		return NotFoundError{KindSubscription, subscriptionID}
	}
	received.candidates++
	subscription, count := received.media, received.candidates
	p.room.mu.Unlock()
	return addCandidate(subscription, candidate, count)
}
