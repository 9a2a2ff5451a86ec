package transport

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

const (
	// maxPayload is the most that the payload of an RTP packet may have.
	maxPayload = 1500
	// sealBytes is the most that SRTP adds to a packet.
	sealBytes = 16
	// maxPacket is the most that a sealed packet may have.
	maxPacket = sfu.HeaderBytes + maxPayload + sealBytes
	// maxRun is the most bytes that one system call may carry (udp_sendmsg in Linux bounds a burst
	// like a packet).
	maxRun = 65000
)

// burst is packets on their way to one peer, one after another in one buffer.
type burst struct {
	data  []byte
	sizes []int // of the packets
	waits bool  // for room

	control []byte // a control message for one segment size
	call    *call
}

var bursts = sync.Pool{New: func() any { return newBurst() }}

func newBurst() *burst {
	b := &burst{
		data:    make([]byte, 0, sfu.MaxBurst*maxPacket),
		sizes:   make([]int, 0, sfu.MaxBurst),
		control: make([]byte, unix.CmsgSpace(2)),
		call:    newCall(),
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&b.control[0]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	return b
}

func (b *burst) release() {
	b.data, b.sizes = b.data[:0], b.sizes[:0]
	bursts.Put(b)
}

// segmentSize returns the control message that has the kernel cut what is sent into packets of a
// size.
func (b *burst) segmentSize(size int) []byte {
	binary.NativeEndian.PutUint16(b.control[unix.CmsgLen(0):], uint16(size))
	return b.control
}

// run returns how many packets from the i-th on can be sent as segments of one size, and how many
// bytes they have: all of them have the size of the first one, but for the last, which may be
// smaller.
func (b *burst) run(i int) (packets, bytes int) {
	size := b.sizes[i]
	for _, next := range b.sizes[i:] {
		if packets > 0 && (next > size || bytes+next > maxRun) {
			break
		}
		packets++
		bytes += next
		if next < size {
			break
		}
	}
	return packets, bytes
}
