package transport

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one sendmsg(2), with the memory that it needs. It does not go through the runtime's network poller, for two reasons. That lets one
// goroutine write to a socket at a time, so that senders wait for each other. And it tells the scheduler of each system call: one
// that takes longer than 20 us, as that of a burst does, has its processor taken away, although it is busy and not waiting.
type call struct {
	run     func(fd uintptr) // send; made once, so that a call takes no memory
	message unix.Msghdr
	vector  unix.Iovec
	v4      unix.RawSockaddrInet4
	v6      unix.RawSockaddrInet6
	err     error
}

// prepare describes what is to be sent, and to where: a port of IPv6 or, for a socket of IPv4, of that.
func (c *call) prepare(data, control []byte, to netip.AddrPort, ipv6 bool) {
	c.vector.Base = &data[0]
	c.vector.SetLen(len(data))
	c.message = unix.Msghdr{Iov: &c.vector, Iovlen: 1}
	if len(control) > 0 {
		c.message.Control = &control[0]
		c.message.SetControllen(len(control))
	}
	if ipv6 {
		c.v6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&c.v6.Port))[:], to.Port())
		c.message.Name, c.message.Namelen = (*byte)(unsafe.Pointer(&c.v6)), unix.SizeofSockaddrInet6
		return
	}
	c.v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&c.v4.Port))[:], to.Port())
	c.message.Name, c.message.Namelen = (*byte)(unsafe.Pointer(&c.v4)), unix.SizeofSockaddrInet4
}

// send makes the call. It never waits: a socket that has no room is an error, EAGAIN.
func (c *call) send(fd uintptr) {
	for {
		_, _, code := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&c.message)), unix.MSG_DONTWAIT)
		switch code {
		case 0:
			c.err = nil
		case unix.EINTR:
			continue
		default:
			c.err = code
		}
		return
	}
}
