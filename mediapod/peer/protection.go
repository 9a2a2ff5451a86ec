package peer

import (
	"sync"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// Protection is another engine that goes on with the connections of a room when this one is lost.
type Protection struct {
	// Addresses of it are told to the peers of the room beside this engine's own.
	Addresses []Address
	// Permit says until when this engine may send.
	Permit *transport.Permit
}

// after returns the addresses as peers of a process are told them that has a rank.
func (p *Protection) after(rank transport.Rank) []Address {
	ranked := make([]Address, len(p.Addresses))
	for i, address := range p.Addresses {
		address.Rank = rank + 1
		ranked[i] = address
	}
	return ranked
}

// Protect sets the protection of a room; nil is none. It counts for the connections that are made
// from then on. Those that there are can adopt it.
func (e *Engine) Protect(room string, by *Protection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if by == nil {
		delete(e.protections, room)
	} else {
		e.protections[room] = by
	}
}

// cover is by whom another engine may go on with a connection, and whether the peer knows of that
// one. The zero value is by nobody.
type cover struct {
	mu       sync.Mutex // guards the fields below
	by, told *Protection
}

// begin has a new connection of a room keep to the protection that the room has; the peer is told
// of it by our description.
func (c *cover) begin(e *Engine, room string, conn *transport.Conn) {
	e.mu.Lock()
	by := e.protections[room]
	e.mu.Unlock()
	if by != nil {
		conn.Guard(by.Permit)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by, c.told = by, by
}

// protection returns it; nil when there is none.
func (c *cover) protection() *Protection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by
}

func (c *cover) is(by *Protection) bool { return by != nil && c.protection() == by }

// adopt has a connection keep to another protection from now on. It does not when as many processes
// have gone on with the connection as there are ranks.
func (c *cover) adopt(conn *transport.Conn, by *Protection) {
	if conn.Rank() >= transport.MaxRank {
		return
	}
	conn.Guard(by.Permit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = by
}

// announce gives the candidates of a protection that counts and that the peer was not told of.
func (c *cover) announce(conn *transport.Conn, by *Protection, mid string, tell func(media.ICECandidate)) {
	c.mu.Lock()
	due := c.by == by && c.told != by
	if due {
		c.told = by
	}
	c.mu.Unlock()
	if !due || tell == nil {
		return
	}
	for _, candidate := range candidates(by.after(conn.Rank())) {
		tell(media.ICECandidate{Candidate: "candidate:" + candidate, SDPMid: mid})
	}
}

// Resume implements media.Engine: it has taken over nothing.
func (e *Engine) Resume(media.PublicationOptions) (media.Publication, bool) { return nil, false }

// ResumeSubscription implements media.Engine: it has taken over nothing.
func (e *Engine) ResumeSubscription(media.Publication, media.SubscriptionOptions) (media.Subscription, bool) {
	return nil, false
}

// Remember implements media.Engine: nobody goes on with a room.
func (e *Engine) Remember(string, string, media.Memory) {}

// Remembered implements media.Engine: it has taken over nothing.
func (e *Engine) Remembered(string) map[string]media.Memory { return nil }

// ProtectedBy says whether a protection counts for the publisher's connection.
func (p *Publication) ProtectedBy(by *Protection) bool {
	c := p.current()
	return c != nil && c.cover.is(by)
}

// ProtectedBy says whether a protection counts for the subscription.
func (s *Subscription) ProtectedBy(by *Protection) bool { return s.cover.is(by) }

// Adopt has a protection count for the publisher's connection, which none does any more. The peer
// is to be told by Announce when the other engine knows of the connection.
func (p *Publication) Adopt(by *Protection) {
	if c := p.current(); c != nil && c.loopback == nil { // what is sent back does not go over
		c.cover.adopt(c.conn, by)
	}
}

// Adopt has a protection count for the subscription, as that of Publication does.
func (s *Subscription) Adopt(by *Protection) { s.cover.adopt(s.conn, by) }

// Announce tells the publisher of the other engine, unless it knows.
func (p *Publication) Announce(by *Protection) {
	if c := p.current(); c != nil && len(c.lines) > 0 {
		c.cover.announce(c.conn, by, c.lines[0].mid, p.options.Trickle)
	}
}

// Announce tells the subscriber of the other engine, unless it knows.
func (s *Subscription) Announce(by *Protection) {
	s.cover.announce(s.conn, by, firstMID, s.options.Trickle)
}

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
