// Package transport is the authority on how packets get from and to peers: the sockets that all of
// them share, and the connection of each: ICE (RFC 8445), DTLS (RFC 5764), SRTP (RFC 3711). It is
// what the forwarding path begins and ends with, and made for that:
//
//	socket -> the goroutine that reads it: unseal in place -> Events.Media, Events.Control
//	sfu.Forwarder -> Conn.WriteRTP: one buffer per burst -> seal in place -> one system call per burst
//
// It starts no goroutine per connection but for the handshake.
//
// One goroutine reads the UDP socket, for all peers. It must never be held: what it does for a
// packet is bounded by the packet's size and a few receivers, and what it sends is lost when there
// is no room for it.
package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
)

// ErrClosed marks sockets or a connection that were closed.
var ErrClosed = errors.New("closed")

const socketBuffer = 4 << 20 // bytes; the kernel may grant less

// Sockets are one UDP and one TCP port for all peers. Their methods are safe for concurrent use.
type Sockets struct {
	UDP *UDPSocket
	// TCP is nil without ICE-TCP.
	TCP     *TCPListener
	logs    logging.LoggerFactory
	serving sync.WaitGroup

	mu        sync.RWMutex // guards the fields below
	byName    map[string]*Conn
	byAddress addressBook[*Conn]
	// claims are the connections whose peers say that they are at the address of another one, and
	// have not shown it yet.
	claims addressBook[*Conn]
	closed bool
}

// Listen opens the sockets. The zero address is all addresses, a port of 0 is any free one; with a
// negative tcpPort there is no ICE-TCP. refused is told of ICE-TCP connections that are over a
// limit, about once a minute.
func Listen(ip netip.Addr, udpPort, tcpPort int, logs logging.LoggerFactory, refused func(from netip.Prefix, reason error)) (*Sockets, error) {
	host := ""
	if ip.IsValid() {
		host = ip.String()
	}
	s := &Sockets{logs: logs, byName: map[string]*Conn{}, byAddress: newAddressBook[*Conn](), claims: newAddressBook[*Conn]()}
	var err error
	if s.UDP, err = listenUDP(host, udpPort); err != nil {
		return nil, err
	}
	if tcpPort >= 0 {
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(tcpPort)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening for media over TCP: %w", err), s.UDP.close())
		}
		s.TCP = newTCPListener(listener, s, refused)
	}
	return s, nil
}

// Serve starts to read from the UDP socket. It is to be called once.
func (s *Sockets) Serve() {
	s.serving.Go(func() {
		err := s.UDP.serve(func(packet []byte, from netip.AddrPort) { s.take(packet, from) })
		if err != nil {
			s.logs.NewLogger("transport").Error(err.Error())
		}
	})
}

// Close closes the sockets and waits until nothing is read any more. Connections must have been
// closed before.
func (s *Sockets) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.UDP.close()
	if s.TCP != nil {
		err = errors.Join(err, s.TCP.close())
	}
	s.serving.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // they were closed before
	}
	return err
}

// silence is how long a connection that was reached lives without a sign of its peer, which has to
// check every 15 s at least (RFC 7675, section 5.1; browsers do several times a second to every 2.5
// s).
const silence = 32 * time.Second

// SweepInterval is how often Sweep is to be called.
const SweepInterval = askInterval

// Sweep ends the connections whose peers have gone silent, and has the others do what time brings.
func (s *Sockets) Sweep(now time.Time) {
	var lost, due []*Conn
	s.mu.RLock()
	for _, c := range s.byName {
		switch {
		case c.silentFor(now) > silence && (c.route.Load() != nil || c.keys.Load() != nil):
			lost = append(lost, c)
		case now.UnixNano() >= c.due.Load():
			due = append(due, c)
		}
	}
	s.mu.RUnlock()
	for _, c := range lost {
		c.over(nil)
	}
	for _, c := range due {
		c.tick(now)
	}
}

func (s *Sockets) add(c *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.byName[c.name] != nil {
		return errTaken
	}
	s.byName[c.name] = c
	return nil
}

func (s *Sockets) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[c.name] == c {
		delete(s.byName, c.name)
	}
	s.byAddress.remove(c)
	s.claims.remove(c)
}

// learn notes that a connection's peer sends from a UDP address. Where another peer is known to be,
// it has to answer first: anybody can write a check that comes from there.
func (s *Sockets) learn(c *Conn, address netip.AddrPort) {
	s.mu.RLock()
	holder, claimant := s.byAddress.peer(address), s.claims.peer(address)
	s.mu.RUnlock()
	if holder == c || holder != nil && claimant == c {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.byName[c.name] != c: // removed meanwhile
	case s.byAddress.peer(address) == nil:
		s.byAddress.add(c, address)
	default:
		s.claims.add(c, address)
	}
}

// prove notes that a connection's peer has shown that it is at an address.
func (s *Sockets) prove(c *Conn, address netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims.forget(address)
	if s.byName[c.name] == c { // else removed meanwhile
		s.byAddress.add(c, address)
	}
}

// take hands a packet to the connection that it is for. It returns false when there is none.
func (s *Sockets) take(packet []byte, from netip.AddrPort) bool {
	via := route{address: from, socket: s.UDP}
	check := stun.IsMessage(packet)
	if check && !isResponse(packet) {
		return s.check(packet, via)
	}
	s.mu.RLock()
	holder, claimant := s.byAddress.peer(from), s.claims.peer(from)
	s.mu.RUnlock()
	switch {
	case holder == nil && check:
		return false
	case holder == nil:
		return s.find(packet, via)
	case !check:
		holder.receive(packet, via)
	case holder.answers(packet, via):
	case claimant != nil && claimant.answers(packet, via):
		s.prove(claimant, from)
	default:
		return false
	}
	return true
}

// find hands media from an address where nobody is known to be to the connection that it is for:
// one whose peer is known to be at the same IP address, and to use the SSRC. Those of RTCP are not
// unique (Chromium's receivers all use 1), so that only decryption tells whose a packet is. It
// returns false when it is nobody's, or when too much of what came from the IP address was.
func (s *Sockets) find(packet []byte, via route) bool {
	ssrc, ok := senderOf(packet)
	if !ok {
		return false
	}
	s.mu.RLock()
	neighbours := s.byAddress.neighbours(via.address.Addr(), time.Now())
	s.mu.RUnlock()
	for _, c := range neighbours {
		if c.sends(ssrc) && c.moved(packet, via) {
			return true
		}
	}
	return false
}

// check handles a STUN message when it is for a connection, by the first half of its user name (RFC
// 8445, section 7.2.2).
func (s *Sockets) check(packet []byte, via route) bool {
	c := s.checked(packet)
	if c == nil {
		return false
	}
	c.check(packet, via)
	return true
}

func (s *Sockets) checked(packet []byte) *Conn {
	name := checkedName(packet)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}
