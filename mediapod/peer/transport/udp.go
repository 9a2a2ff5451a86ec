package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UDPSocket is the media socket. All that is sent over UDP passes through it. Reading returns what is not for connections of this package,
// and serves those meanwhile.
type UDPSocket struct {
	*net.UDPConn
	sockets *Sockets
	raw     syscall.RawConn
	ipv6    bool // addresses are those of IPv6, also of peers with IPv4
	// segments tells that the kernel cuts bursts into packets (UDP_SEGMENT, udp(7), since Linux 4.18).
	segments atomic.Bool
}

func newUDPSocket(conn *net.UDPConn, sockets *Sockets) (*UDPSocket, error) {
	// Smaller buffers lose packets in bursts, no more.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("preparing media socket: %w", err)
	}
	s := &UDPSocket{UDPConn: conn, sockets: sockets, raw: raw}
	var failure error
	err = raw.Control(func(fd uintptr) {
		var family int
		family, failure = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		s.ipv6 = family == unix.AF_INET6
		// The kernel is asked, since one that does not know of segments would send a burst as one packet.
		_, unable := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		s.segments.Store(unable == nil)
	})
	if err = errors.Join(err, failure); err != nil {
		return nil, fmt.Errorf("preparing media socket: %w", err)
	}
	return s, nil
}

// LocalAddr is always the unspecified address: for others pion's mux insists on being asked by the very address.
func (s *UDPSocket) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv6unspecified, Port: s.UDPConn.LocalAddr().(*net.UDPAddr).Port}
}

// ReadFromAddrPort returns an error only when the socket is closed or a deadline is over, since pion's mux gives up for
// good after any other.
func (s *UDPSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for pause := time.Millisecond; ; {
		n, from, err := s.UDPConn.ReadFromUDPAddrPort(b)
		var timeout net.Error
		switch {
		case err == nil:
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if !s.sockets.take(b[:n], from) {
				return n, from, nil
			}
			pause = time.Millisecond
		case errors.Is(err, net.ErrClosed), errors.As(err, &timeout) && timeout.Timeout():
			return 0, netip.AddrPort{}, err
		default: // the kernel is out of memory, or the like
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
		}
	}
}

// WriteToAddrPort sends one packet.
func (s *UDPSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.UDPConn.WriteToUDPAddrPort(b, to)
}

// writeBurst sends the packets of a burst, in order, with as few system calls as possible. It returns how many packets the kernel took.
func (s *UDPSocket) writeBurst(b *burst, to netip.AddrPort) int {
	taken, start := 0, 0
	for i := 0; i < len(b.sizes); {
		n, bytes := b.run(i)
		data := b.data[start : start+bytes]
		switch {
		case n > 1 && s.writeSegments(b, data, b.sizes[i], to) == nil:
			taken += n
		default:
			taken += s.writeEach(b, data, b.sizes[i:i+n], to)
		}
		start += bytes
		i += n
	}
	return taken
}

// writeSegments sends a run of packets by one system call. An error means that none was sent: the route's packets are smaller, its device has no
// checksums, or the like.
func (s *UDPSocket) writeSegments(b *burst, data []byte, size int, to netip.AddrPort) error {
	if !s.segments.Load() {
		return unix.ENOTSUP
	}
	err := s.send(b, data, b.segmentSize(size), to)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP) {
		s.segments.Store(false) // no device for it (udp_send_skb in Linux), so not worth trying each time
	}
	return err
}

// writeEach sends packets by one system call each. One that can't be sent does not keep the others.
func (s *UDPSocket) writeEach(b *burst, data []byte, sizes []int, to netip.AddrPort) int {
	taken := 0
	for _, size := range sizes {
		err := s.send(b, data[:size], nil, to)
		if err == nil {
			taken++
		} else if errors.Is(err, net.ErrClosed) {
			return taken
		}
		data = data[size:]
	}
	return taken
}

// send makes one system call. When the socket has no room it waits, which holds up who sends until the device has taken some.
func (s *UDPSocket) send(b *burst, data, control []byte, to netip.AddrPort) error {
	if to.Addr().Zone() == "" && (s.ipv6 || to.Addr().Is4()) {
		b.call.prepare(data, control, to, s.ipv6)
		if err := s.raw.Control(b.call.run); err != nil {
			return err
		}
		if !errors.Is(b.call.err, unix.EAGAIN) {
			return b.call.err
		}
	}
	_, _, err := s.UDPConn.WriteMsgUDPAddrPort(data, control, to)
	return err
}
