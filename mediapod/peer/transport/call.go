package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one sendmsg(2), with the memory that it needs. It does not go through the runtime's
// network poller, for two reasons. That lets one goroutine write to a socket at a time, so that
// senders wait for each other. And it tells the scheduler of each system call: the first after a
// pause wakes the runtime's monitor thread, which then looks on every 20 us; and one that takes
// longer than that, as that of a burst does, has its processor taken away, although it is busy and
// not waiting.
type call struct {
	run, runWaiting func(fd uintptr) // send and sendWaiting; made once, so that a call takes no memory

	message unix.Msghdr
	vector  unix.Iovec
	v4      unix.RawSockaddrInet4
	v6      unix.RawSockaddrInet6
	err     error
}

var calls = sync.Pool{New: func() any { return newCall() }}

func newCall() *call {
	c := new(call)
	c.run, c.runWaiting = c.send, c.sendWaiting
	return c
}

// prepare describes what is to be sent, and to where: a port of IPv6 or, for a socket of IPv4, of
// that.
func (c *call) prepare(data, control []byte, to netip.AddrPort, ipv6 bool) error {
	ip := to.Addr()
	if !ipv6 && !ip.Is4() {
		return fmt.Errorf("sending to %v: %w", to, unix.EAFNOSUPPORT)
	}
	c.vector.Base = &data[0]
	c.vector.SetLen(len(data))
	c.message = unix.Msghdr{Iov: &c.vector, Iovlen: 1}
	if len(control) > 0 {
		c.message.Control = &control[0]
		c.message.SetControllen(len(control))
	}
	if !ipv6 {
		c.v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
		setPort(&c.v4.Port, to.Port())
		c.message.Name, c.message.Namelen = (*byte)(unsafe.Pointer(&c.v4)), unix.SizeofSockaddrInet4
		return nil
	}
	c.v6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16()}
	setPort(&c.v6.Port, to.Port())
	c.message.Name, c.message.Namelen = (*byte)(unsafe.Pointer(&c.v6)), unix.SizeofSockaddrInet6
	if zone := ip.Zone(); zone != "" {
		scope, err := strconv.ParseUint(zone, 10, 32)
		if err != nil {
			return fmt.Errorf("sending to %v: %w", to, net.InvalidAddrError("the zone is not a number"))
		}
		c.v6.Scope_id = uint32(scope)
	}
	return nil
}

// send makes the call. It never waits: a socket that has no room is an error, EAGAIN.
func (c *call) send(fd uintptr) {
	for {
		_, _, code := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&c.message)), unix.MSG_DONTWAIT)
		if c.done(code) {
			return
		}
	}
}

// sendWaiting makes the call, and waits for room.
func (c *call) sendWaiting(fd uintptr) {
	for {
		_, _, code := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&c.message)), 0)
		if c.done(code) {
			return
		}
	}
}

// done notes how the call has ended; false when it was only interrupted.
func (c *call) done(code syscall.Errno) bool {
	switch code {
	case 0:
		c.err = nil
	case unix.EINTR:
		return false
	default:
		c.err = code
	}
	return true
}

// A port in a socket address is in network order.

func setPort(raw *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(raw))[:], port)
}

func getPort(raw *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(raw))[:])
}
