package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UDPSocket is the media socket. All that is sent over UDP passes through it.
//
// The runtime's network poller does not know the socket, since it would ask the kernel for all
// events of it, and each packet that is sent is an event: there is room for another one. That wakes
// a thread, for nothing, as often as packets are sent. Instead the poller watches an epoll(7)
// instance that asks for arrivals only.
type UDPSocket struct {
	port     uint16
	ipv6     bool // addresses are those of IPv6, also of peers with IPv4
	socket   *os.File
	raw      syscall.RawConn // of socket
	arrivals *os.File        // the epoll instance; it can be read when packets have arrived
	// segments tells that the kernel cuts bursts into packets (UDP_SEGMENT, udp(7), since Linux
	// 4.18).
	segments atomic.Bool
	// receiveBuffer is what the kernel grants, in bytes.
	receiveBuffer int
	// fullAt is when there was no room to send last, in Unix nanoseconds. behind tells that more
	// packets may have arrived than are being handled.
	fullAt atomic.Int64
	behind atomic.Bool
}

// fullTime is for how long a socket that had no room is not believed to have some again.
const fullTime = 20 * time.Millisecond

// Idle tells that who reads the socket has time to forward what it brings: it keeps up with what
// arrives, and there was room of late for all that was sent.
func (s *Sockets) Idle() bool {
	return !s.UDP.behind.Load() && time.Now().UnixNano()-s.UDP.fullAt.Load() > int64(fullTime)
}

// listenUDP opens a socket. Closing it ends what serve does.
func listenUDP(host string, port int) (*UDPSocket, error) {
	listening, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening for media: %w", err)
	}
	conn := listening.(*net.UDPConn)
	defer func() { _ = conn.Close() }() // what is kept is a duplicate
	// Smaller buffers lose packets in bursts, no more.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	s := &UDPSocket{port: uint16(conn.LocalAddr().(*net.UDPAddr).Port)}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("preparing media socket: %w", err)
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = s.adopt(int(fd)) })
	if err = errors.Join(err, failure); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing media socket: %w", err), s.close())
	}
	return s, nil
}

// adopt takes a duplicate of a socket, and watches it.
func (s *UDPSocket) adopt(original int) error {
	fd, err := unix.FcntlInt(uintptr(original), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicating socket: %w", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil { // files that may block are not given to the poller; our calls say that they don't wait
		return errors.Join(fmt.Errorf("taking socket from the poller: %w", err), unix.Close(fd))
	}
	s.socket = os.NewFile(uintptr(fd), "media")
	if s.raw, err = s.socket.SyscallConn(); err != nil {
		return err
	}
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("asking for the socket's family: %w", err)
	}
	s.ipv6 = family == unix.AF_INET6
	granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return fmt.Errorf("asking for the socket's buffer: %w", err)
	}
	s.receiveBuffer = granted / 2 // the kernel says twice what it was asked for, socket(7)
	// The kernel is asked, since one that does not know of segments would send a burst as one
	// packet.
	_, unable := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.segments.Store(unable == nil)

	watch, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("watching socket: %w", err)
	}
	err = errors.Join(
		unix.SetNonblock(watch, true), // so that the poller takes it
		unix.EpollCtl(watch, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}))
	s.arrivals = os.NewFile(uintptr(watch), "media arrivals")
	if err != nil {
		return fmt.Errorf("watching socket: %w", err)
	}
	return nil
}

// ReceiveBuffer is how much of what was not read yet the kernel keeps, in bytes. It may be less
// than was asked for (net.core.rmem_max).
func (s *UDPSocket) ReceiveBuffer() int { return s.receiveBuffer }

// Port is the UDP port.
func (s *UDPSocket) Port() uint16 { return s.port }

// close closes the socket. It is idempotent.
func (s *UDPSocket) close() error {
	var all error
	for _, file := range []*os.File{s.arrivals, s.socket} {
		if file == nil {
			continue
		}
		if err := file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			all = errors.Join(all, fmt.Errorf("closing media socket: %w", err))
		}
	}
	return all
}

// WriteToAddrPort sends one packet. It never waits, since the goroutine that reads answers by it,
// too: when there is no room the packet is lost, as on its way.
func (s *UDPSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c := calls.Get().(*call)
	defer calls.Put(c)
	if err := s.send(c, b, nil, to, false); err != nil {
		return 0, err
	}
	return len(b), nil
}

// writeBurst sends the packets of a burst, in order, with as few system calls as possible. It waits
// for room, which holds up who sends, when the burst says so. It returns how many packets the
// kernel took.
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

// writeSegments sends a run of packets by one system call. An error means that none was sent: the
// route's packets are smaller, its device has no checksums, or the like.
func (s *UDPSocket) writeSegments(b *burst, data []byte, size int, to netip.AddrPort) error {
	if !s.segments.Load() {
		return unix.ENOTSUP
	}
	err := s.send(b.call, data, b.segmentSize(size), to, b.waits)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP) {
		s.segments.Store(false) // no device for it (udp_send_skb in Linux), so not worth trying each time
	}
	return err
}

// writeEach sends packets by one system call each. One that can't be sent does not keep the others.
func (s *UDPSocket) writeEach(b *burst, data []byte, sizes []int, to netip.AddrPort) int {
	taken := 0
	for _, size := range sizes {
		err := s.send(b.call, data[:size], nil, to, b.waits)
		if err == nil {
			taken++
		} else if errors.Is(err, net.ErrClosed) {
			return taken
		}
		data = data[size:]
	}
	return taken
}

// send makes one system call. When the socket has no room that is an error, or it waits until the
// device has taken some.
func (s *UDPSocket) send(c *call, data, control []byte, to netip.AddrPort, wait bool) error {
	if err := c.prepare(data, control, to, s.ipv6); err != nil {
		return err
	}
	err := s.raw.Control(c.run)
	if err == nil && errors.Is(c.err, unix.EAGAIN) {
		s.fullAt.Store(time.Now().UnixNano())
		if wait {
			err = s.raw.Control(c.runWaiting)
		}
	}
	c.vector.Base, c.message.Control = nil, nil // they are the caller's
	if err != nil {
		return net.ErrClosed
	}
	return c.err
}
