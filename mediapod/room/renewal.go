package room

import (
	"context"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// A client can't be asked to negotiate again on the same peer connection: what it receives is
// renewed by making it build another one.
//
//	engine: outdated --> offer is made in the background --> StreamRenewed --> client: Answer, renewed
//
// While a client has not answered the last offer it gets no other one, since its answers don't say
// which offer they are to. While it has no socket it gets none either: the offer would be old when
// it is back, so that one is made then.

// renewalTimeout bounds how long an offer may take.
const renewalTimeout = 10 * time.Second

// outdate is what the engine calls when a client can't receive a stream any more as it was offered,
// or where it is.
func (p *Participant) outdate(received *subscription) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	received.outdated = true
	p.renew(received)
}

// renew begins to make another offer for a subscription that is outdated, if that is the time for
// it. The room is locked.
func (p *Participant) renew(received *subscription) {
	current := !p.gone && p.subscriptions.has(received)
	if !current || !received.outdated || !received.answered || received.renewing || p.mailbox.sink == nil {
		return
	}
	p.beginRenewal(received)
}

// renewAll makes another offer for everything that a client who is back may not have been offered.
// The room is locked.
func (p *Participant) renewAll() {
	for _, received := range p.subscriptions.sorted() {
		unsure := received.renews && !received.answered
		if !received.renewing && (unsure || received.outdated && received.answered) {
			p.beginRenewal(received)
		}
	}
}

func (p *Participant) beginRenewal(received *subscription) {
	received.renewing = true
	renewal := &subscription{id: received.id, stream: received.stream, order: received.order, renews: true}
	options := p.subscriptionOptions(renewal)
	p.room.registry.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), renewalTimeout)
		defer cancel()
		subscription, offer, err := p.room.engine().Subscribe(ctx, received.stream.publication, options)
		p.room.mu.Lock()
		defer p.room.mu.Unlock()
		received.renewing = false
		if err != nil {
			p.room.registry.log.Info("Could not renew a subscription",
				"room", p.room.uid, "connection", p.id, "reason", err.Error())
			return
		}
		p.completeRenewal(received, renewal, subscription, offer)
	})
}

// completeRenewal sends the offer and ends what the client received before. The room is locked.
func (p *Participant) completeRenewal(received, renewal *subscription, subscription media.Subscription, offer string) {
	r, s := p.room, received.stream
	if p.gone || !p.subscriptions.has(received) || p.mailbox.sink == nil {
		received.outdated = true // for when the client is back
		r.registry.release(subscription)
		return
	}
	renewal.media, renewal.began = subscription, received.began
	renewal.delivery = received.delivery
	renewal.deliver()
	p.pause(received, media.NoPause) // the new one begins with video
	p.subscriptions.byID[renewal.id] = renewal
	// First the client must know: it would take the end of its peer connection for a failure.
	p.mailbox.notify(StreamRenewed{
		ConnectionID: s.owner.id, StreamID: s.info.ID, SubscriptionID: renewal.id, SDPOffer: offer,
	})
	if received.media != nil {
		r.registry.release(received.media)
	}
	r.registry.mark(r.uid)
}
