package room

import (
	"slices"
	"strings"
	"time"
)

// A room whose pod was lost begins anew on this one, with those who were in it: they are away, as
// after the loss of a socket, and come back or are evicted when the window is over.
//
//	pod lost --> restored, away --Resume--> here --settlingTime--> offers for what it received
//	                  |                      +---Reconnect-------> sends what it sent
//	                  +--window over--> evicted: networkDisconnect
//
// What they sent is there at once: others can subscribe before the publisher is back. Where this
// pod was the room's standby, media goes on by itself, and there is nothing to send or offer anew.

// settlingTime is how long a client that is back may take to renew by itself what it receives,
// before it is made to. It does so at once where it has noticed that no media comes any more.
const settlingTime = 500 * time.Millisecond

// LastingID returns the id of the one subscription of a participant to a stream that is found again
// in a room that comes from another pod, since no more than the stream is told of it there: the
// connection id of the publisher where the stream's id ends in that, else the stream's id.
func LastingID(streamID, publisherID string) string {
	if strings.HasSuffix(streamID, "_"+publisherID) {
		return publisherID
	}
	return streamID
}

// Presence is a participant as the pod had it that the room was on before.
type Presence struct {
	// Activated is when its token was used.
	Activated time.Time
	Client    Client
	// Published are the streams that it sends, Received what it receives.
	Published []Stream
	Received  []Reception

	socket string // over which it has joined, where the pod has remembered that
}

// Resumed is what is known of a client that is back.
type Resumed struct {
	// Participant acts for the client, which has told this of itself when it joined.
	Participant *Participant
	Client      Client
	// AwaitsMedia says that its client sends nothing of some stream on this pod yet: it comes from
	// another one, which was lost before Restored.
	AwaitsMedia bool
	Restored    time.Time
}

// restore takes over who was in the room on another pod. The room is locked.
func (r *Room) restore(seats []*seat) {
	slices.SortStableFunc(seats, func(a, b *seat) int { return a.desired.Presence.Activated.Compare(b.desired.Presence.Activated) })
	for _, s := range seats {
		r.restoreParticipant(s)
	}
	for _, s := range seats {
		s.participant.restoreSubscriptions(s.desired.Presence.Received)
		s.desired.Presence = nil
	}
}

// restoreParticipant lets a participant be in the room, and its streams be there. The room is
// locked.
func (r *Room) restoreParticipant(s *seat) {
	presence := s.desired.Presence
	s.state, s.activated, s.client, s.socket = Active, presence.Activated, presence.Client, presence.socket
	p := r.newParticipant(s)
	p.restored, p.restoredAt = true, time.Now()
	p.mailbox.suspend(time.Duration(r.registry.window.Load()), p.expire)
	r.participants = append(r.participants, p)
	r.recorder.restored(p)
	p.remember()
	for _, info := range presence.Published {
		p.restoreStream(info)
	}
	r.registry.log.Info("Participant restored", "room", r.uid, "connection", p.id)
}

// restoreStream lets a stream be there, that nobody sends yet unless its media has been taken over.
// The room is locked.
func (p *Participant) restoreStream(info Stream) {
	r := p.room
	if r.streams[info.ID] != nil {
		return
	}
	s := &stream{owner: p, order: r.next(), info: info, live: true, awaited: true, codec: r.forcedCodec}
	if r.anyCodec {
		s.codec = "" // it may be one that has not got the codec
	}
	options := p.publicationOptions(info.ID, info.StreamOptions, s.codec, p.seat.desired.MaxPublishKbps)
	if publication, resumed := r.engine().Resume(options); resumed {
		s.publication, s.awaited = publication, false
	} else {
		s.publication = r.engine().NewPublication(options)
	}
	p.publications.byID[info.ID], r.streams[info.ID] = s, s
	r.recorder.sendsOn(s)
	if info.MuteForced { // its client may not have heard of it
		r.askForMute(s)
	}
	s.remember()
}

// restoreSubscriptions lets a participant receive what it received, once it was made another offer
// unless its media has been taken over. What is not sent any more it does not. The room is locked.
func (p *Participant) restoreSubscriptions(receptions []Reception) {
	for _, reception := range receptions {
		s, err := p.room.liveStream(reception.StreamID)
		if err != nil || p.subscriptions.byID[reception.SubscriptionID] != nil {
			continue
		}
		received := &subscription{
			id: reception.SubscriptionID, stream: s, order: p.room.next(), answered: true, outdated: true, began: reception.Began,
			delivery: reception.Delivery,
		}
		if received.began.IsZero() {
			received.began = later(p.seat.activated, s.info.Created)
		}
		if subscription, resumed := p.room.engine().ResumeSubscription(s.publication, p.subscriptionOptions(received)); resumed {
			received.media, received.outdated = subscription, false
			received.deliver()
		}
		p.subscriptions.byID[received.id] = received
		if received.media != nil { // it may have paused before there was somebody to tell
			p.pause(received, received.media.VideoPause())
		}
		p.room.recorder.receivesOn(p, received)
		p.rememberReception(received)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// settle has a client that is back, after its room has come from another pod, be offered what it
// received there, unless it asks for it by itself. The room is locked.
func (p *Participant) settle() {
	p.restored = false
	p.renewal = time.AfterFunc(settlingTime, func() {
		p.room.mu.Lock()
		defer p.room.mu.Unlock()
		for _, received := range p.subscriptions.sorted() {
			p.renew(received)
		}
	})
	p.room.registry.mark(p.room.uid)
}

// stopSettling lets no more offers be made. The room is locked.
func (p *Participant) stopSettling() {
	if p.renewal != nil {
		p.renewal.Stop()
	}
}

// awaited reports whether a stream was announced on another pod, and nobody sends it on this one
// yet.
func (p *publications) awaited() bool {
	for _, s := range p.byID {
		if s.awaited {
			return true
		}
	}
	return false
}
