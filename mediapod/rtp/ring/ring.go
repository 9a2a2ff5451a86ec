// Package ring is the single authority on which recent RTP packets of a layer can still be sent
// again. There is one ring per incoming layer, whatever the number of its receivers, and it owns
// its buffers.
package ring

import "mediarooms.dev/mediarooms/mediapod/rtp/seqnum"

// Packet is what is kept of an RTP packet.
type Packet struct {
	Timestamp uint32
	Sequence  uint16
	Marker    bool
	Payload   []byte
}

// Ring keeps the newest packets by sequence number, for so long as their RTP timestamps are not too
// far behind that of the newest. Buffers are made when they are needed and used again, so that a
// ring takes what its stream needs in that time and no more. It is not safe for concurrent use.
type Ring struct {
	slots   []slot
	mask    uint16
	life    uint32
	newest  uint16
	oldest  uint16 // no packet before it is kept
	started bool
	buffers [][]byte // the payloads of packets that are kept, and memory for packets to come
	spare   []uint16 // the indices of buffers without a packet; the last maxSpare may have memory
}

// slot is what is known of a packet: that it came and, while kept, what it was. It has no pointer,
// and is small: most slots of most rings are never used.
type slot struct {
	timestamp          uint32
	sequence           uint16
	buffer             uint16 // the index of the payload, while kept
	marker, used, kept bool
}

// maxSpare is how many buffers wait for packets: those of a frame come at once, when those of an
// old one have just been given back.
const maxSpare = 16

// New makes a ring of size packets, which is a power of two between 2 and 32768. It keeps a packet
// while the newest one is at most life ahead, in units of the RTP clock.
func New(size int, life uint32) *Ring {
	if size < 2 || size > 1<<15 || size&(size-1) != 0 {
		panic("ring: size is not a power of two between 2 and 32768")
	}
	return &Ring{slots: make([]slot, size), mask: uint16(size - 1), life: life}
}

// Put copies a packet into the ring. It returns false, and changes nothing, when the ring holds the
// packet already or the packet is older than all that the ring has room for.
func (r *Ring) Put(p Packet) bool {
	switch {
	case !r.started:
		r.started = true
		r.newest, r.oldest = p.Sequence, p.Sequence
	case seqnum.Newer(p.Sequence, r.newest):
		r.advance(p.Sequence)
		r.expire(p.Timestamp)
	case -seqnum.Diff(p.Sequence, r.newest) >= len(r.slots):
		return false
	}
	s := &r.slots[p.Sequence&r.mask]
	if s.used && s.sequence == p.Sequence {
		return false
	}
	r.release(s)
	*s = slot{timestamp: p.Timestamp, sequence: p.Sequence, marker: p.Marker, used: true}
	if s.kept = !seqnum.Newer(r.oldest, p.Sequence); s.kept {
		s.buffer = r.keep(p.Payload)
	}
	return true
}

// advance makes a packet the newest one. Whatever the jump, the oldest is no further behind than
// the ring is long, which bounds the work of expire.
func (r *Ring) advance(newest uint16) {
	if seqnum.Diff(newest, r.newest)+seqnum.Diff(r.newest, r.oldest) >= len(r.slots) {
		r.oldest = newest - r.mask // the slots of those before it are taken, or forgotten
	}
	r.forget(r.newest, newest)
	r.newest = newest
}

// expire gives back what is too old when the newest packet has a timestamp.
func (r *Ring) expire(newest uint32) {
	for ; r.oldest != r.newest; r.oldest++ {
		s := &r.slots[r.oldest&r.mask]
		if !s.kept || s.sequence != r.oldest {
			continue
		}
		if age := int32(newest - s.timestamp); age >= 0 && uint32(age) <= r.life {
			return
		}
		r.release(s)
	}
}

// release gives the buffer of a slot back.
func (r *Ring) release(s *slot) {
	if !s.kept {
		return
	}
	s.kept = false
	r.spare = append(r.spare, s.buffer)
	if surplus := len(r.spare) - maxSpare; surplus > 0 {
		r.buffers[r.spare[surplus-1]] = nil
	}
}

// keep copies a payload into a buffer, and returns the buffer's index.
func (r *Ring) keep(payload []byte) uint16 {
	if len(r.spare) == 0 {
		r.spare = append(r.spare, uint16(len(r.buffers)))
		r.buffers = append(r.buffers, nil)
	}
	last := len(r.spare) - 1
	buffer := r.spare[last]
	r.spare = r.spare[:last]
	r.buffers[buffer] = append(r.buffers[buffer][:0], payload...)
	return buffer
}

// forget drops what lay in the slots of the numbers between the newest packet and its successor:
// they are older than the ring is long, and 65536 numbers later one of them would be taken for a
// duplicate.
func (r *Ring) forget(newest, successor uint16) {
	gap := seqnum.Diff(successor, newest) - 1
	for i := range min(gap, len(r.slots)) {
		s := &r.slots[(successor-1-uint16(i))&r.mask]
		r.release(s)
		s.used = false
	}
}

// Get appends the payload of the packet with the given number to buffer and returns the packet with
// the result as its payload. It returns false when the packet is not there.
func (r *Ring) Get(sequence uint16, buffer []byte) (Packet, bool) {
	if !r.started || seqnum.Newer(sequence, r.newest) {
		return Packet{}, false
	}
	s := &r.slots[sequence&r.mask]
	if !s.kept || s.sequence != sequence {
		return Packet{}, false
	}
	return Packet{
		Timestamp: s.timestamp, Sequence: s.sequence, Marker: s.marker,
		Payload: append(buffer, r.buffers[s.buffer]...),
	}, true
}
