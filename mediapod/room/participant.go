package room

import (
	"io"
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// Participant acts in a room for one client. Its methods are safe for concurrent use; once the
// client has left or was evicted they refuse with ErrLeft, or with ErrClosed when the room is
// closed. A reply that a method takes is called at the place in the order of what the client is
// told where its answer belongs; it only queues.
//
// All fields are guarded by the room's mutex, but for room, id and seat, which never change.
type Participant struct {
	room *Room
	id   string // connection id
	seat *seat

	mailbox       mailbox
	publications  publications
	subscriptions subscriptions
	budget        budget         // what it may still have others notified of
	heardLevels   map[string]int // connection id of a publisher -> the network quality level told
	gone          bool
	// restored says that it comes from another pod, and its client is not back yet; restoredAt is
	// since when it is here or, when the gateway has told, its client without a pod. renewal makes
	// the offers for what the client received there.
	restored   bool
	restoredAt time.Time
	renewal    *time.Timer
	// strandedUntil is for how long a client without a socket may come back while its media is
	// heard.
	strandedUntil time.Time
}

// ConnectionID returns the public id.
func (p *Participant) ConnectionID() string { return p.id }

// Room returns where the participant is, or was.
func (p *Participant) Room() *Room { return p.room }

// PrivateID returns what the client resumes its connection by. It is a secret.
func (p *Participant) PrivateID() string {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.seat.desired.PrivateID
}

// Alive refuses once the participant is no longer in the room.
func (p *Participant) Alive() error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.alive()
}

// alive is Alive; the room is locked.
func (p *Participant) alive() error {
	switch {
	case p.gone && p.room.closed:
		return ErrClosed
	case p.gone:
		return ErrLeft
	}
	return nil
}

// Leave takes the participant out at its own wish. It is told nothing more.
func (p *Participant) Leave() error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	p.room.remove(p, reasons.Disconnect)
	p.mailbox.finish()
	return nil
}

// Suspend says that a sink can't be used any more. The client may come back by Resume until the
// reconnection window is over; then it is evicted with reasons.NetworkDisconnect. A sink that the
// participant no longer has does not matter.
func (p *Participant) Suspend(sink Sink) {
	p.suspend(sink, time.Duration(p.room.registry.window.Load()), 0)
}

// Depart is Suspend for a client that has said it goes away, such as a page that is closed or
// loaded anew: it hardly comes back, and somebody may wait for its place, so the window is
// departureWindow at most.
func (p *Participant) Depart(sink Sink) {
	p.suspend(sink, min(departureWindow, time.Duration(p.room.registry.window.Load())), 0)
}

// Strand is Suspend for a client that may know nothing of it: what has carried its messages is lost
// with its sink. It may come back for longer, while its media shows that it is there.
func (p *Participant) Strand(sink Sink) {
	p.suspend(sink, time.Duration(p.room.registry.window.Load()), strandedWindow)
}

// suspend has the participant wait for its client for a window, and then as long as its media is
// heard for the rest of another one.
func (p *Participant) suspend(sink Sink, window, whileHeard time.Duration) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone || p.mailbox.sink != sink {
		return
	}
	p.strandedUntil = time.Now().Add(whileHeard)
	p.mailbox.suspend(window, p.expire)
	p.room.registry.log.V(1).Info("Participant lost its socket",
		"room", p.room.uid, "connection", p.id, "window", window.String())
}

// resume gives the participant another sink. It reports whether the client can be brought up to
// date; else the participant is evicted. The room is locked.
func (p *Participant) resume(sink Sink, reply func(Resumed)) bool {
	p.mailbox.release()
	if p.mailbox.missed.tooMuch {
		p.room.evict(p, reasons.NetworkDisconnect)
		return false
	}
	p.mailbox.resume(sink, func() { reply(Resumed{p, p.seat.client, p.publications.awaited(), p.restoredAt}) }, p.stale)
	if p.restored {
		p.settle()
	} else {
		p.renewAll()
	}
	return true
}

// expire evicts the participant, unless it came back after that loss of its socket.
func (p *Participant) expire(loss int) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	switch {
	case p.gone || !p.mailbox.waits(loss):
	case time.Now().Before(p.strandedUntil) && time.Since(p.heard()) <= hearingTime:
		p.mailbox.waitOn(hearingTime, p.expire)
	default:
		p.room.evict(p, reasons.NetworkDisconnect)
	}
}

// heard is when the client's media was heard last. The room is locked.
func (p *Participant) heard() (last time.Time) {
	for _, connection := range p.peerConnections() {
		last = later(last, connection.Heard())
	}
	return last
}

// ForceDisconnect lets a moderator throw somebody out, itself included: the others are told, the
// moderator is answered, the target is told.
func (p *Participant) ForceDisconnect(connectionID string, reply func()) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	if !p.seat.mayModerate() {
		return ForbiddenError{ForceDisconnect}
	}
	target, found := p.room.find(connectionID)
	if !found {
		return NotFoundError{KindParticipant, connectionID}
	}
	p.room.remove(target, reasons.ForceDisconnectByUser)
	reply()
	target.dismiss(reasons.ForceDisconnectByUser)
	return nil
}

// peerConnection is what is the same of a publication and a subscription.
type peerConnection interface {
	io.Closer
	Transport() media.Transport
	Heard() time.Time
}

// peerConnections are what the participant sends and receives by. The room is locked.
func (p *Participant) peerConnections() []peerConnection {
	var all []peerConnection
	for _, s := range p.publications.sorted() {
		if s.publication != nil {
			all = append(all, s.publication)
		}
	}
	for _, s := range p.subscriptions.sorted() {
		if s.media != nil {
			all = append(all, s.media)
		}
	}
	return all
}

// announcement is what others are told of the participant. The room is locked.
func (p *Participant) announcement() Announcement {
	return Announcement{
		ConnectionID: p.id,
		Created:      p.seat.activated,
		ClientData:   p.seat.client.Metadata,
		ServerData:   p.seat.desired.ServerData,
		Streams:      p.publications.live(),
	}
}

// notifyOthers notifies everybody else in the room. The room is locked.
func (p *Participant) notifyOthers(notification Notification) {
	for _, other := range p.room.participants {
		if other != p {
			other.mailbox.notify(notification)
		}
	}
}

// stale reports whether a client that is back must not be told something that it may have missed.
// The room is locked.
func (p *Participant) stale(notification Notification) bool {
	published, is := notification.(ParticipantPublished)
	// The client has heard it after all when it receives the stream. Told again, it may lose its
	// hold of the peer connection.
	return is && p.subscriptions.include(published.Stream.ID)
}

// dismiss tells a participant that was removed that it must go. The room is locked.
func (p *Participant) dismiss(reason reasons.Reason) {
	p.mailbox.finish(ParticipantEvicted{ConnectionID: p.id, Reason: reason})
}
