package roomclient

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

const (
	// receiveBuffer of a socket in bytes: a process with many receivers does not read each of them
	// at once.
	receiveBuffer = 1 << 20
	controlBytes  = 64
	largestPacket = 1600
)

// network opens the sockets of one peer connection.
type network struct {
	*stdnet.Net
	options *MediaOptions
	// arrived sees each packet first, with the time at which it came, and tells whether pion is to
	// have it; handled is called when pion has taken the one before.
	arrived func(packet []byte, at time.Time) bool
	handled func()
}

var _ transport.Net = (*network)(nil)

// ListenUDP opens a socket.
func (n *network) ListenUDP(family string, address *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := net.ListenUDP(family, address)
	if err != nil {
		return nil, err
	}
	if err := prepare(conn, n.options.Device); err != nil {
		_ = conn.Close() // it was never used
		return nil, fmt.Errorf("preparing a media socket: %w", err)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // a smaller one loses packets in bursts, no more
	s := &socket{UDPConn: conn, network: n}
	if n.options.Path != nil {
		s.impaired = newImpaired(s, n.options.Path)
	}
	return s, nil
}

// socket is a media socket. Its reading side is for one goroutine.
type socket struct {
	*net.UDPConn
	network  *network
	impaired *impaired // nil: packets come as they come
	control  [controlBytes]byte
}

// ReadFromAddrPort reads a packet.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	s.network.handled()
	for {
		var n int
		var from netip.AddrPort
		var at time.Time
		var err error
		if s.impaired != nil {
			n, from, at, err = s.impaired.read(b)
		} else {
			n, from, at, err = s.receive(b)
		}
		if err != nil {
			return 0, netip.AddrPort{}, err
		}
		if s.network.arrived(b[:n], at) {
			return n, from, nil
		}
	}
}

// receive reads a packet, and when it came to the socket.
func (s *socket) receive(b []byte) (int, netip.AddrPort, time.Time, error) {
	n, controls, _, from, err := s.ReadMsgUDPAddrPort(b, s.control[:])
	if err != nil {
		return 0, netip.AddrPort{}, time.Time{}, err
	}
	at := arrivalTime(s.control[:controls])
	if at.IsZero() {
		at = time.Now()
	}
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), at, nil
}

// WriteToAddrPort sends a packet.
func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.impaired != nil {
		return s.impaired.write(b, to)
	}
	return s.WriteToUDPAddrPort(b, to)
}

// Close closes the socket.
func (s *socket) Close() error {
	err := s.UDPConn.Close()
	if s.impaired != nil {
		s.impaired.close()
	}
	return err
}
