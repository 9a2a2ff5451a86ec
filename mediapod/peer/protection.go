package peer

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// Protection is another engine that goes on with the connections of a room when this one is lost.
type Protection struct {
	// Addresses of it are told to the peers of the room beside this engine's own. Their Rank is
	// above 0.
	Addresses []Address
	// Permit says until when this engine may send.
	Permit *transport.Permit
}

// Protect sets the protection of a room; nil is none. It counts for the connections that are made
// from then on: the peers of those that there are do not know the other engine.
func (e *Engine) Protect(room string, by *Protection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if by == nil {
		delete(e.protections, room)
	} else {
		e.protections[room] = by
	}
}

// protects has a new connection of a room keep to the permit of its protection, which it returns.
func (e *Engine) protects(room string, c *transport.Conn) *Protection {
	e.mu.Lock()
	by := e.protections[room]
	e.mu.Unlock()
	if by != nil {
		c.Guard(by.Permit)
	}
	return by
}

// Resume implements media.Engine: it has taken over nothing.
func (e *Engine) Resume(media.PublicationOptions) (media.Publication, bool) { return nil, false }

// ResumeSubscription implements media.Engine: it has taken over nothing.
func (e *Engine) ResumeSubscription(media.Publication, media.SubscriptionOptions) (media.Subscription, bool) {
	return nil, false
}

// ProtectedBy says whether a protection counts for the publisher's connection.
func (p *Publication) ProtectedBy(by *Protection) bool {
	c := p.current()
	return c != nil && by != nil && c.protection == by
}

// ProtectedBy says whether a protection counts for the subscription.
func (s *Subscription) ProtectedBy(by *Protection) bool { return by != nil && s.protection == by }

// Bound and Release say what may be sent to the publisher; see transport.Conn.
func (p *Publication) Bound(state PublicationState) {
	if c := p.current(); c != nil && c.conn.Is(state.Connection) {
		c.conn.Bound(state.Connection)
	}
}

// Release is described at Bound.
func (p *Publication) Release(state PublicationState) {
	if c := p.current(); c != nil && c.conn.Is(state.Connection) {
		c.conn.Release(state.Connection)
	}
}

// Bound and Release say what may be sent to the subscriber; see transport.Conn.
func (s *Subscription) Bound(state SubscriptionState) { s.conn.Bound(state.Connection) }

// Release is described at Bound.
func (s *Subscription) Release(state SubscriptionState) { s.conn.Release(state.Connection) }

// Guard has a permit count for the publisher's connection; see transport.Conn.Guard.
func (p *Publication) Guard(permit *transport.Permit) {
	if c := p.current(); c != nil {
		c.conn.Guard(permit)
	}
}

// Guard has a permit count for the subscription; see transport.Conn.Guard.
func (s *Subscription) Guard(permit *transport.Permit) { s.conn.Guard(permit) }

// IsConnected says whether the publisher has a connection.
func (p *Publication) IsConnected() bool { return p.current() != nil }

// MediaHeard is when media came from the publisher last; see transport.Conn.MediaHeard.
func (p *Publication) MediaHeard() time.Time {
	if c := p.current(); c != nil {
		return c.conn.MediaHeard()
	}
	return time.Time{}
}

// GoOn has nobody protect the publisher's connection any more, which this engine goes on with. As
// many indices as skip are left out: the other engine may have used them.
func (p *Publication) GoOn(skip uint16) {
	if c := p.current(); c != nil {
		c.conn.GoOn(skip)
	}
}

// GoOn has nobody protect the subscription any more, which this engine goes on with. As many
// indices as skip are left out: the other engine may have used them.
func (s *Subscription) GoOn(skip uint16) {
	s.conn.GoOn(skip)
	if skip > 0 { // else what is sent goes on as it is
		s.subscriber.Skip(skip, time.Now())
	}
}
