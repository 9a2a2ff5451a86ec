package sfu

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// MaxBurst is how many packets are forwarded together at most.
const MaxBurst = 32

// HeaderBytes is the most that the header of an outgoing packet takes.
const HeaderBytes = 12 + transportExtensionBytes

// transportExtensionBytes is what the header extension with a transport-wide sequence number takes:
// the extension's header, one element of two bytes, and one byte of padding (RFC 8285, section
// 4.2).
const transportExtensionBytes = 4 + 1 + 2 + 1

// Outgoing is an RTP packet on its way to one receiver.
type Outgoing struct {
	SSRC        uint32
	Timestamp   uint32
	Sequence    uint16
	PayloadType uint8
	Marker      bool
	// NoWait tells that who sends must not be held, since it is who reads what peers send: when
	// there is no room for the packet now it is lost.
	NoWait bool
	// TransportCC is the number of the header extension for the transport-wide sequence number,
	// from 1 to 14; 0 without.
	TransportCC uint8
	// Transport is the transport-wide sequence number.
	Transport uint16
	// Payload is shared by all receivers: it must not be changed. It is empty for a packet that
	// only takes the place of one that is left out.
	Payload []byte
}

// AppendHeader appends the packet's RTP header, of at most HeaderBytes.
func (o *Outgoing) AppendHeader(b []byte) []byte {
	first, second := byte(2<<6), o.PayloadType
	if o.TransportCC != 0 {
		first |= 1 << 4
	}
	if o.Marker {
		second |= 1 << 7
	}
	b = append(b, first, second)
	b = binary.BigEndian.AppendUint16(b, o.Sequence)
	b = binary.BigEndian.AppendUint32(b, o.Timestamp)
	b = binary.BigEndian.AppendUint32(b, o.SSRC)
	if o.TransportCC != 0 {
		b = append(b, 0xbe, 0xde, 0, 1, o.TransportCC<<4|1, byte(o.Transport>>8), byte(o.Transport), 0)
	}
	return b
}

// packet is an incoming packet on its way through the forwarders.
type packet struct {
	rtp.Packet
	keyframe bool // a receiver can start here
	picture  temporal.Picture
}

// burst is packets of a layer that are forwarded together, with room for what goes to one receiver.
type burst struct {
	layer   *Layer
	at      time.Time
	noWait  bool // who forwards must not be held
	packets [MaxBurst]packet
	n       int // how many there are
	out     [MaxBurst]Outgoing
	own     []byte // payloads that are changed for one receiver
}

var bursts = sync.Pool{New: func() any { return new(burst) }}

// release gives up what the burst refers to.
func (b *burst) release() {
	for i := range b.n {
		b.packets[i].Payload = nil
	}
	clear(b.out[:b.n])
	b.layer, b.n, b.noWait = nil, 0, false
	bursts.Put(b)
}
