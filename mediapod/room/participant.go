package room

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// Participant acts in a room for one client. Its methods are safe for concurrent use; once the client has left or was evicted they refuse
// with CodeUserNotFound. A reply that a method takes is called at the place in the order of what the client is
// told where its answer belongs; it only queues.
//
// All fields are guarded by the room's mutex, but for those of the first group, which never change.
type Participant struct {
	room *Room
	id   string // connection id
	seat *seat

	// link is nil while the client has no socket. Then what it misses is kept, and timer evicts it in the end.
	link   Link
	timer  *time.Timer
	losses int // of the socket, to tell which one a timer belongs to
	missed missed

	budget     budget        // what it may still have others told
	publishing *rate.Limiter // how often it may publish

	stream        *stream // what it publishes, or is about to
	early         []media.ICECandidate
	subscriptions map[string]*subscription // connection id of the publisher -> what is received of it
	heardLevels   map[string]int           // connection id of a publisher -> the network quality level that the client was told
	gone          bool
}

// ConnectionID returns the public id.
func (p *Participant) ConnectionID() string { return p.id }

// RPCSessionID returns the private id. It is a secret.
func (p *Participant) RPCSessionID() string {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.seat.desired.RPCSessionID
}

// Leave takes the participant out at its own wish. It is told nothing more.
func (p *Participant) Leave() error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return p.left()
	}
	p.room.remove(p, ReasonDisconnect)
	if p.link != nil {
		p.link.Finish()
	}
	return nil
}

// Alive refuses once the participant is no longer in the room.
func (p *Participant) Alive() error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return p.left()
	}
	return nil
}

// Detach says that a link can't be used any more. The client may come back by Reattach until the reconnection
// window is over; then it is evicted with networkDisconnect. A link that the participant no longer has does not matter.
func (p *Participant) Detach(link Link) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone || p.link != link {
		return
	}
	p.link = nil
	p.keep(link.Release())
	window := time.Duration(p.room.registry.window.Load())
	p.losses++
	loss := p.losses
	p.timer = time.AfterFunc(window, func() { p.expire(loss) })
	p.room.registry.log.V(1).Info("Participant lost its socket", "room", p.room.uid, "connection", p.id, "window", window.String())
}

// expire evicts the participant, unless it came back after that loss of its socket.
func (p *Participant) expire(loss int) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone || p.link != nil || p.losses != loss {
		return
	}
	p.room.evict(p, ReasonNetworkDisconnect)
}

// ForceDisconnect lets a moderator throw somebody out, itself included: the others are told, the moderator is answered, the target is told.
func (p *Participant) ForceDisconnect(connectionID string, reply func()) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return p.left()
	}
	if !p.seat.mayModerate() {
		return refuse(CodeUnauthorized, "Unable to force disconnect. The user does not have a valid token")
	}
	target, found := p.room.find(connectionID)
	if !found {
		return refuse(CodeUserNotFound, "Connection not found when calling 'forceDisconnect'")
	}
	p.room.remove(target, ReasonForceDisconnectByUser)
	reply()
	target.dismiss(ReasonForceDisconnectByUser)
	return nil
}

// announcement is what others are told of the participant. The room is locked.
func (p *Participant) announcement() Announcement {
	announcement := Announcement{ConnectionID: p.id, Created: p.seat.activated, Metadata: p.seat.metadata()}
	if p.stream != nil && p.stream.live {
		info := p.stream.info
		announcement.Stream = &info
	}
	return announcement
}

// tellOthers notifies everybody else in the room. The room is locked.
func (p *Participant) tellOthers(notification Notification) {
	for _, other := range p.room.participants {
		if other != p {
			other.notify(notification)
		}
	}
}

// notify tells the client, or keeps it until it is back. The room is locked.
func (p *Participant) notify(notification Notification) {
	if p.link != nil {
		p.link.Notify(notification)
		return
	}
	p.keep([]Notification{notification})
}

// keep remembers what the client has to be told when it is back. The room is locked.
func (p *Participant) keep(notifications []Notification) {
	p.room.registry.expended.Add(uint64(p.missed.add(notifications)))
}

// stale reports whether a client that is back must not be told something that it may have missed. The room is locked.
func (p *Participant) stale(notification Notification) bool {
	published, is := notification.(ParticipantPublished)
	if !is {
		return false
	}
	// The client has heard it after all when it receives the stream. Told again, it would lose its hold of the peer
	// connection (openvidu-rpc, trap 20).
	received := p.subscriptions[published.ConnectionID]
	return received != nil && received.stream.info.ID == published.Stream.ID
}

// dismiss tells a participant that was removed that it must go. The room is locked.
func (p *Participant) dismiss(reason string) {
	if p.link != nil {
		p.link.Notify(ParticipantEvicted{ConnectionID: p.id, Reason: reason})
		p.link.Finish()
	}
	p.missed = missed{}
}

// stopWaiting ends the reconnection window. The room is locked.
func (p *Participant) stopWaiting() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// endSubscriptions stops receiving everything, and returns what is to be closed. The room is locked.
func (p *Participant) endSubscriptions(reason string) []io.Closer {
	var closers []io.Closer
	for _, s := range p.byCreation() {
		p.room.diary.received(p, s, reason)
		if s.media != nil {
			closers = append(closers, s.media)
		}
	}
	clear(p.subscriptions)
	return closers
}

// byCreation returns what the participant receives, or is about to, in the order in which it began. The room is locked.
func (p *Participant) byCreation() []*subscription {
	return slices.SortedFunc(maps.Values(p.subscriptions), func(a, b *subscription) int { return cmp.Compare(a.order, b.order) })
}

// streams returns what the participant sends, and the ids of what it receives, by creation. The room is locked.
func (p *Participant) streams() (published []Stream, received []string) {
	if p.stream != nil && p.stream.live {
		published = append(published, p.stream.info)
	}
	for _, s := range p.byCreation() {
		if s.received() {
			received = append(received, s.stream.info.ID)
		}
	}
	return published, received
}
