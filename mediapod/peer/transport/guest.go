package transport

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
)

// Guest is the ICE agent of another library behind the same sockets, that of a publisher. The library reads all that gets to it, so a guest keeps away
// what its peer need not send. Its methods are safe for concurrent use.
type Guest struct {
	sockets        *Sockets
	name, password string // of ICE
	flows          flows  // over TCP

	secured atomic.Bool
	shut    atomic.Bool

	mu      sync.Mutex // guards the fields below
	budget  *compound.Budget
	dropped func() // called for the first packet over the budget; nil after that
}

// Admit makes the credentials of an agent. It may get so many RTCP packets per second; dropped is called once, when there are more, and must not block.
func (s *Sockets) Admit(rtcpPerSecond int, dropped func()) (*Guest, error) {
	g := &Guest{
		sockets: s, name: rand.Text()[:16], password: rand.Text() + rand.Text()[:6], budget: compound.NewBudget(rtcpPerSecond), dropped: dropped,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("admitting agent: %w", ErrClosed)
	}
	s.guests[g.name] = g
	return g, nil
}

// Credentials are the ICE user name fragment and password of the agent.
func (g *Guest) Credentials() (name, password string) {
	return g.name, g.password
}

// Secured notes that the DTLS handshake is over: nothing in the clear gets to the agent any more.
func (g *Guest) Secured() { g.secured.Store(true) }

// Shut has nothing get to the agent any more.
func (g *Guest) Shut() { g.shut.Store(true) }

// Close forgets the agent and ends what its peer has opened over TCP. It is idempotent.
func (g *Guest) Close() {
	g.Shut()
	g.sockets.mu.Lock()
	delete(g.sockets.guests, g.name)
	g.sockets.mu.Unlock()
	g.flows.close()
}

// Filter returns what of a packet gets to the agent, in place; nothing when it is empty. It is quick for media.
func (g *Guest) Filter(packet []byte) []byte {
	if g == nil {
		return packet
	}
	if g.shut.Load() || len(packet) < 2 {
		return nil
	}
	switch first := packet[0]; {
	case first >= 20 && first <= 63 && g.secured.Load(): // DTLS (RFC 7983)
		return protected(packet)
	case first >= 128 && first <= 191 && packet[1] >= 192 && packet[1] <= 223 && !g.takes(len(packet)):
		return nil
	}
	return packet
}

// takes counts an RTCP packet, encrypted as it is: whoever writes from the peer's address can use up its budget, and end nothing by that.
func (g *Guest) takes(bytes int) bool {
	g.mu.Lock()
	ok := g.budget.Take(bytes, time.Now()) == compound.Taken
	var dropped func()
	if !ok {
		dropped, g.dropped = g.dropped, nil
	}
	g.mu.Unlock()
	if dropped != nil {
		dropped()
	}
	return ok
}
