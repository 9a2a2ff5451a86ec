// Package ring is the single authority on which recent RTP packets of a layer can still be sent again. There is one ring per
// incoming layer, whatever the number of its receivers, and it owns its buffers.
package ring

import "mediarooms.dev/mediarooms/mediapod/rtp/seqnum"

// Packet is what is kept of an RTP packet.
type Packet struct {
	Timestamp uint32
	Sequence  uint16
	Marker    bool
	Payload   []byte
}

// Ring keeps the newest packets by sequence number. A slot's buffer is made when first used and then kept, so that a
// ring takes what its stream needs and no more. It is not safe for concurrent use.
type Ring struct {
	slots   []slot
	mask    uint16
	newest  uint16
	started bool
}

type slot struct {
	packet Packet
	used   bool
}

// New makes a ring of size packets, which is a power of two between 2 and 32768.
func New(size int) *Ring {
	if size < 2 || size > 1<<15 || size&(size-1) != 0 {
		panic("ring: size is not a power of two between 2 and 32768")
	}
	return &Ring{slots: make([]slot, size), mask: uint16(size - 1)}
}

// Put copies a packet into the ring. It returns false, and changes nothing, when the ring holds the packet already or
// the packet is older than all that the ring has room for.
func (r *Ring) Put(p Packet) bool {
	switch {
	case !r.started:
		r.started = true
		r.newest = p.Sequence
	case seqnum.Newer(p.Sequence, r.newest):
		r.forget(r.newest, p.Sequence)
		r.newest = p.Sequence
	case -seqnum.Diff(p.Sequence, r.newest) >= len(r.slots):
		return false
	}
	s := &r.slots[p.Sequence&r.mask]
	if s.used && s.packet.Sequence == p.Sequence {
		return false
	}
	buffer := append(s.packet.Payload[:0], p.Payload...)
	s.packet = p
	s.packet.Payload = buffer
	s.used = true
	return true
}

// forget drops what lay in the slots of the numbers between the newest packet and its successor: they are older than
// the ring is long, and 65536 numbers later one of them would be taken for a duplicate.
func (r *Ring) forget(newest, successor uint16) {
	gap := seqnum.Diff(successor, newest) - 1
	for i := range min(gap, len(r.slots)) {
		r.slots[(successor-1-uint16(i))&r.mask].used = false
	}
}

// Get appends the payload of the packet with the given number to buffer and returns the packet with the result as its
// payload. It returns false when the packet is not there.
func (r *Ring) Get(sequence uint16, buffer []byte) (Packet, bool) {
	if !r.started || seqnum.Newer(sequence, r.newest) {
		return Packet{}, false
	}
	s := &r.slots[sequence&r.mask]
	if !s.used || s.packet.Sequence != sequence {
		return Packet{}, false
	}
	p := s.packet
	p.Payload = append(buffer, s.packet.Payload...)
	return p, true
}
