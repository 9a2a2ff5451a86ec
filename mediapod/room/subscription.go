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
			received = append(received, Reception{SubscriptionID: one.id, StreamID: one.stream.info.ID, Began: one.began})
		}
	}
	return received
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

// remove forgets a subscription and returns what is to be closed.
func (s *subscriptions) remove(one *subscription) []io.Closer {
	delete(s.byID, one.id)
	if one.media == nil {
		return nil
	}
	return []io.Closer{one.media}
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
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	var options media.SubscriptionOptions
	if err := p.alive(); err != nil {
		return nil, options, err
	}
	s, err := r.liveStream(streamID)
	if err != nil {
		return nil, options, err
	}
	received := &subscription{id: id, stream: s, order: r.next()}
	if before := p.subscriptions.byID[id]; before != nil && before.stream == s {
		// A client that receives the stream already begins anew, as after the loss of its network.
		received.began = before.began
		p.forgetSubscription(before)
	} else if before != nil {
		p.dropSubscription(before)
	}
	p.subscriptions.byID[id] = received
	return received, p.subscriptionOptions(received), nil
}

// subscriptionOptions are what the engine is told of a subscription. The room is locked.
func (p *Participant) subscriptionOptions(received *subscription) media.SubscriptionOptions {
	return media.SubscriptionOptions{
		Participant:  p.id,
		ID:           received.id,
		MaxVideoKbps: p.seat.desired.MaxReceiveKbps,
		Outdated:     func() { go p.outdate(received) }, // the engine must not wait for the room
		Rerouted:     p.room.rerouted,
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
	return true
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
	p.room.registry.release(p.subscriptions.remove(received)...)
	p.room.registry.changed.Mark(p.room.uid)
}

// endSubscriptions stops receiving everything, and returns what is to be closed. The room is
// locked.
func (p *Participant) endSubscriptions(reason reasons.Reason) []io.Closer {
	var closers []io.Closer
	for _, received := range p.subscriptions.sorted() {
		p.room.recorder.received(p, received, reason)
		closers = append(closers, p.subscriptions.remove(received)...)
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
	}
	reply()
	p.renew(received)
	p.room.registry.changed.Mark(p.room.uid)
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
