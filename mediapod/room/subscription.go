package room

import (
	"context"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// subscription is one participant's reception of one stream. The stream never changes; the rest is guarded by the room's mutex.
//
//	offered --client's answer--> answered --outdated--> another one, which renews it, takes its place and is offered
//
// Each of them ends when the client unsubscribes or prepares to receive anew, when the stream ends, or when either participant leaves.
type subscription struct {
	stream     *stream
	media      media.Subscription // nil while the offer is made
	answered   bool
	order      int
	candidates int
	// began is when the client was first told to receive the stream, also by a subscription that this one has taken the place of.
	began time.Time

	// outdated says that the client can't receive what the publisher sends now: it needs another offer. renewing says that one is being made.
	outdated, renewing bool
	// renews says that the offer was sent by ForciblyReconnectSubscriber, since the client received the stream before.
	renews bool
}

// received reports whether the client counts as one that receives the stream.
func (s *subscription) received() bool {
	return s.answered || s.renews
}

// PrepareReceive makes the SDP offer by which the client receives a stream. What it received of the same publisher before is dropped.
func (p *Participant) PrepareReceive(ctx context.Context, streamID string) (string, error) {
	received, options, err := p.beginSubscription(streamID)
	if err != nil {
		return "", err
	}
	subscription, offer, err := p.room.engine().Subscribe(ctx, received.stream.publication, options)
	if err != nil {
		p.abandonSubscription(received)
		return "", mediaError(err, "Unable to create subscriber endpoint")
	}
	if !p.completeSubscription(received, subscription) {
		p.room.registry.release(subscription)
		return "", refuse(CodeMediaEndpoint, "Unable to create subscriber endpoint: the subscription was ended meanwhile")
	}
	return offer, nil
}

func (p *Participant) beginSubscription(streamID string) (*subscription, media.SubscriptionOptions, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	var options media.SubscriptionOptions
	if p.gone {
		return nil, options, p.left()
	}
	s, err := r.findStream(streamID)
	if err != nil {
		return nil, options, err
	}
	if s.owner == p {
		return nil, options, refuse(CodeUserNotStreaming, "Can loopback only when publishing media")
	}
	r.subscriptionSeq++
	received := &subscription{stream: s, order: r.subscriptionSeq}
	if before := p.subscriptions[s.owner.id]; before != nil {
		// A client that receives the stream already begins anew, as after the loss of its network.
		received.began = before.began
		p.forgetSubscription(s.owner.id)
	}
	p.subscriptions[s.owner.id] = received
	return received, p.subscriptionOptions(received), nil
}

// subscriptionOptions are what the engine is told of a subscription. The room is locked.
func (p *Participant) subscriptionOptions(received *subscription) media.SubscriptionOptions {
	return media.SubscriptionOptions{
		MaxVideoKbps: p.seat.desired.MaxReceiveKbps,
		Outdated:     func() { go p.outdate(received) }, // the engine must not wait for the room
		Rerouted:     p.room.rerouted,
	}
}

// findStream returns a stream that was announced, or the refusal for one that was not. The room is locked.
func (r *Room) findStream(streamID string) (*stream, *Error) {
	if s, found := r.live[streamID]; found {
		return s, nil
	}
	owner := streamID[max(0, strings.LastIndex(streamID, "con_")):]
	if _, found := r.find(owner); !found {
		// The quote that is missing is missing in the reference, too.
		return nil, refuse(CodeUserNotFound, "User '%s not found in session '%s'", owner, r.sessionID)
	}
	return nil, refuse(CodeUserNotStreaming, "User '%s not streaming media in session '%s'", owner, r.sessionID)
}

// completeSubscription keeps the media of a subscription. It reports whether that is still wanted.
func (p *Participant) completeSubscription(received *subscription, subscription media.Subscription) bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.subscriptions[received.stream.owner.id] != received {
		return false
	}
	received.media = subscription
	return true
}

func (p *Participant) abandonSubscription(received *subscription) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.subscriptions[received.stream.owner.id] == received {
		p.dropSubscription(received.stream.owner.id)
	}
}

// dropSubscription ends what is received of a publisher, if anything, for good. The room is locked.
func (p *Participant) dropSubscription(publisherID string) {
	if received, found := p.subscriptions[publisherID]; found {
		p.room.diary.received(p, received, string(reasons.Unsubscribe))
		p.forgetSubscription(publisherID)
	}
}

// forgetSubscription ends a subscription. The room is locked.
func (p *Participant) forgetSubscription(publisherID string) {
	received, found := p.subscriptions[publisherID]
	if !found {
		return
	}
	delete(p.subscriptions, publisherID)
	if received.media != nil {
		p.room.registry.release(received.media)
	}
	p.room.registry.changed.mark(p.room.uid)
}

// Receive takes the client's SDP answer to the offer of PrepareReceive. The reply is called at the place in the order of what the client is
// told where its answer belongs. It only queues.
func (p *Participant) Receive(ctx context.Context, streamID, answer string, reply func()) error {
	return p.receive(ctx, streamID, answer, false, reply)
}

func (p *Participant) receive(ctx context.Context, streamID, answer string, forced bool, reply func()) error {
	received, subscription, err := p.prepared(streamID, forced)
	if err != nil {
		return err
	}
	if err := subscription.Answer(ctx, answer); err != nil {
		p.abandonSubscription(received)
		return mediaError(err, "Error generating SDP response for subscribing user "+p.id)
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return p.left()
	}
	received.answered = true
	if p.subscriptions[received.stream.owner.id] == received {
		p.room.diary.receives(p, received)
	}
	reply()
	p.renew(received)
	p.room.registry.changed.mark(p.room.uid)
	return nil
}

// prepared returns the subscription whose offer the client has.
func (p *Participant) prepared(streamID string, forced bool) (*subscription, media.Subscription, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.gone {
		return nil, nil, p.left()
	}
	s, err := r.findStream(streamID)
	if err != nil {
		return nil, nil, err
	}
	received := p.subscriptions[s.owner.id]
	if received == nil || received.media == nil || received.stream != s || received.answered || received.renews != forced {
		if forced && received != nil && received.answered {
			// The client answers an offer that is no longer good, and has given up the peer connection that was (openvidu-rpc 3.10).
			received.outdated = true
			p.renew(received)
		}
		return nil, nil, refuse(CodeMediaEndpoint, "User '%s' has no offer to answer for stream '%s': 'prepareReceiveVideoFrom' comes first", p.id, streamID)
	}
	return received, received.media, nil
}

// Unsubscribe stops receiving what a participant publishes, if anything is received.
func (p *Participant) Unsubscribe(publisherID string) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return p.left()
	}
	if _, found := p.room.find(publisherID); !found {
		return refuse(CodeUserNotFound, "User %s not found in session %s", publisherID, p.room.sessionID)
	}
	p.dropSubscription(publisherID)
	return nil
}
