package transport

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
)

// Guest is the ICE agent of another library behind the same sockets, that of a publisher. The library reads all that gets to it, so a guest keeps away
// what its peer need not send, and reads the peer's RTCP by itself. Its methods are safe for concurrent use.
type Guest struct {
	sockets        *Sockets
	name, password string // of ICE
	events         Events
	flows          flows // over TCP

	keys atomic.Pointer[keys] // for RTCP; nil until secured
	shut atomic.Bool
}

// Admit makes the credentials of an agent. Of the events Connected is not called, and without Feedback the peer is not believed to receive anything.
func (s *Sockets) Admit(events Events) (*Guest, error) {
	events.Media = func([]byte, time.Time) {} // the agent reads it by itself
	g := &Guest{sockets: s, name: rand.Text()[:16], password: rand.Text() + rand.Text()[:6], events: events}
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

// Secured notes that the DTLS handshake is over, in which the peer was the client, and takes its keys. Nothing in the clear gets to the agent any more.
// Only the first call counts.
func (g *Guest) Secured(exporter srtp.KeyingMaterialExporter, profile dtls.SRTPProtectionProfile) error {
	if g.keys.Load() != nil {
		return nil
	}
	perSecond := compound.SenderPacketsPerSecond
	if g.events.Feedback != nil {
		perSecond = compound.ReceiverPacketsPerSecond
	}
	k, err := exportKeys(exporter, profile, false, perSecond)
	if err != nil {
		return err
	}
	g.keys.Store(k)
	return nil
}

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
	case first >= 20 && first <= 63: // DTLS (RFC 7983)
		if g.keys.Load() != nil {
			return protected(packet)
		}
	case isRTCP(packet):
		g.control(packet)
		return nil
	}
	return packet
}

// control takes an RTCP packet.
func (g *Guest) control(packet []byte) {
	k := g.keys.Load()
	if k == nil {
		return
	}
	raw, err := k.open(packet, time.Now())
	switch {
	case err == nil:
		g.events.control(raw)
	case errors.Is(err, ErrLimit) && !g.shut.Swap(true):
		g.events.Ended(err)
	}
}
