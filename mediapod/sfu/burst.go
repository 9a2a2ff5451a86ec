package sfu

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// MaxBurst is how many packets are forwarded together at most.
const MaxBurst = 32

// HeaderBytes is the most that the header of an outgoing packet takes.
const HeaderBytes = 12 + transportExtensionBytes

// transportExtensionBytes is what the header extension with a transport-wide sequence number takes: the extension's header, one
// element of two bytes, and one byte of padding (RFC 8285, section 4.2).
const transportExtensionBytes = 4 + 1 + 2 + 1

// Outgoing is an RTP packet on its way to one receiver.
type Outgoing struct {
	SSRC        uint32
	Timestamp   uint32
	Sequence    uint16
	PayloadType uint8
	Marker      bool
	// Again tells that the packet was sent before: when there is no room for it now it is lost, since who resends is who reads what receivers say.
	Again bool
	// TransportCC is the number of the header extension for the transport-wide sequence number, from 1 to 14; 0 without.
	TransportCC uint8
	// Transport is the transport-wide sequence number.
	Transport uint16
	// Payload is shared by all receivers: it must not be changed. It is empty for a packet that only takes the place of one that is left out.
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
	b.layer, b.n = nil, 0
	bursts.Put(b)
}

// Write takes an RTP packet of the layer that arrived at the given time, and forwards it when it is new. It does not keep raw.
// A malformed packet is an error and changes nothing.
func (l *Layer) Write(raw []byte, at time.Time) error {
	b := bursts.Get().(*burst)
	defer b.release()
	p := &b.packets[0]
	if err := p.Unmarshal(raw); err != nil {
		return fmt.Errorf("reading RTP packet: %w", err)
	}
	if p.PayloadType == l.config.PayloadType { // else it was not negotiated
		b.n = 1
		l.distribute(b, at)
	}
	return nil
}

// WriteBurst takes packets of the layer, in the order in which they came, that have all arrived by the given time, as Write does; what goes
// to one receiver is written together. Packets that are malformed are skipped, and what is beyond MaxBurst is left out.
func (l *Layer) WriteBurst(raw [][]byte, at time.Time) {
	b := bursts.Get().(*burst)
	defer b.release()
	for _, r := range raw[:min(len(raw), MaxBurst)] {
		p := &b.packets[b.n]
		if p.Unmarshal(r) == nil && p.PayloadType == l.config.PayloadType {
			b.n++
		}
	}
	if b.n > 0 {
		l.distribute(b, at)
	}
}

// WriteRepair takes a packet of the layer's retransmission stream (RFC 4588, section 4), as Write does.
func (l *Layer) WriteRepair(raw []byte, at time.Time) error {
	b := bursts.Get().(*burst)
	defer b.release()
	p := &b.packets[0]
	if err := p.Unmarshal(raw); err != nil {
		return fmt.Errorf("reading RTX packet: %w", err)
	}
	if len(p.Payload) < 2 {
		return nil // padding, by which a sender probes the bandwidth
	}
	p.SequenceNumber = binary.BigEndian.Uint16(p.Payload)
	p.Payload = p.Payload[2:]
	b.n = 1
	l.distribute(b, at)
	return nil
}

// distribute forwards those packets of a burst that are new.
func (l *Layer) distribute(b *burst, at time.Time) {
	b.layer, b.at = l, at
	if l.note(b) {
		l.sendKeyframeRequest()
	}
	if b.n == 0 {
		return
	}
	var packets, bytes, failed uint64
	for _, f := range l.receivers.load() {
		out := f.rewrite(b)
		if len(out) == 0 {
			continue
		}
		sent := f.config.Writer.WriteRTP(out)
		packets += uint64(sent)
		failed += uint64(len(out) - sent)
		for i := range out[:sent] {
			bytes += uint64(len(out[i].Payload))
		}
	}
	counters := l.track.publisher.counters
	counters.ReceivedPackets.Add(uint64(b.n))
	if packets > 0 {
		counters.ForwardedPackets.Add(packets)
		counters.ForwardedBytes.Add(bytes)
	}
	if failed > 0 {
		counters.WriteErrors.Add(failed)
	}
}
