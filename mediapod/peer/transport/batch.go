package transport

import (
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchPackets is how many packets one system call receives at most.
	batchPackets = 32
	// maxReceived is the most bytes of a packet from a peer; what is longer is dropped.
	maxReceived = 2048
)

// batch is one recvmmsg(2), with the memory that it needs. Like call it does not tell the scheduler
// of the system call, which never waits.
type batch struct {
	run      func(fd uintptr) // receive; made once
	received int              // packets
	err      error            // EAGAIN when there was none

	messages  [batchPackets]message
	vectors   [batchPackets]unix.Iovec
	addresses [batchPackets]unix.RawSockaddrInet6 // those of IPv4 are smaller
	buffers   [batchPackets][maxReceived]byte
}

// message is struct mmsghdr (recvmmsg(2)).
type message struct {
	header unix.Msghdr
	bytes  uint32
}

func newBatch() *batch {
	b := new(batch)
	b.run = b.receive
	for i := range b.messages {
		b.vectors[i].Base = &b.buffers[i][0]
		b.vectors[i].SetLen(maxReceived)
		h := &b.messages[i].header
		h.Iov, h.Iovlen = &b.vectors[i], 1
		h.Name = (*byte)(unsafe.Pointer(&b.addresses[i]))
	}
	return b
}

// receive takes as many packets as there are, and as fit.
func (b *batch) receive(fd uintptr) {
	for i := range b.messages {
		b.messages[i].header.Namelen = unix.SizeofSockaddrInet6
	}
	for {
		n, _, code := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.messages)), batchPackets, unix.MSG_DONTWAIT, 0, 0)
		switch code {
		case 0:
			b.received, b.err = int(n), nil
		case unix.EINTR:
			continue
		default:
			b.received, b.err = 0, code
		}
		return
	}
}

// packet returns the i-th packet that was received, until the next are, and where it came from;
// false for one that is too long.
func (b *batch) packet(i int) ([]byte, netip.AddrPort, bool) {
	m := &b.messages[i]
	if m.header.Flags&unix.MSG_TRUNC != 0 {
		return nil, netip.AddrPort{}, false
	}
	return b.buffers[i][:m.bytes], addressOf(&b.addresses[i]), true
}

// addressOf reads a socket address of either family. IPv4 addresses that an IPv6 socket maps become
// those of IPv4.
func addressOf(raw *unix.RawSockaddrInet6) netip.AddrPort {
	if raw.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), getPort(&v4.Port))
	}
	ip := netip.AddrFrom16(raw.Addr).Unmap()
	if raw.Scope_id != 0 {
		ip = ip.WithZone(strconv.Itoa(int(raw.Scope_id)))
	}
	return netip.AddrPortFrom(ip, getPort(&raw.Port))
}
