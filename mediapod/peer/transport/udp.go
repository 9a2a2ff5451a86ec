package transport

import (
	"errors"
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
	// segments tells that the kernel cuts bursts into packets (UDP_SEGMENT, udp(7), since Linux 4.18).
	segments atomic.Bool
}

func newUDPSocket(conn *net.UDPConn, sockets *Sockets) *UDPSocket {
	// Smaller buffers lose packets in bursts, no more.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	s := &UDPSocket{UDPConn: conn, sockets: sockets}
	s.segments.Store(canSegment(conn))
	return s
}

// canSegment asks the kernel, since one that does not know of segments would send a burst as one packet.
func canSegment(conn *net.UDPConn) (able bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		able = err == nil
	})
	return able && err == nil
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
			taken += s.writeEach(data, b.sizes[i:i+n], to)
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
	_, _, err := s.UDPConn.WriteMsgUDPAddrPort(data, b.segmentSize(size), to)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP) {
		s.segments.Store(false) // no device for it (udp_send_skb in Linux), so not worth trying each time
	}
	return err
}

// writeEach sends packets by one system call each. One that can't be sent does not keep the others.
func (s *UDPSocket) writeEach(data []byte, sizes []int, to netip.AddrPort) int {
	taken := 0
	for _, size := range sizes {
		_, err := s.UDPConn.WriteToUDPAddrPort(data[:size], to)
		if err == nil {
			taken++
		} else if errors.Is(err, syscall.EBADF) || errors.Is(err, net.ErrClosed) {
			return taken
		}
		data = data[size:]
	}
	return taken
}
