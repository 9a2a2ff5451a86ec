package bandwidth

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
)

// referenceUnit and referenceBits are those of the reference time of transport-wide feedback
// (section 3.1 of the draft).
const (
	referenceUnit = 64 * time.Millisecond
	referenceBits = 24
)

// referenceClock unwraps the receiver's reference time.
type referenceClock struct {
	last    uint32
	time    time.Duration
	started bool
}

func (c *referenceClock) at(reference uint32) time.Duration {
	if !c.started {
		c.started = true
		c.last = reference
	}
	const shift = 32 - referenceBits
	passed := int32((reference-c.last)<<shift) >> shift
	c.last = reference
	c.time += time.Duration(passed) * referenceUnit
	return c.time
}

// Where things are in a report, and its units (sections 3.1 and 3.1.5 of the draft).
const (
	baseAt      = 12
	countAt     = 14
	referenceAt = 16
	chunksAt    = 20
	deltaUnit   = 250 * time.Microsecond
)

// Feedback takes a report of the receiver as it came, which costs no memory. What is malformed in
// it is ignored, and so is what it says of packets that are not awaited: the work is bounded by the
// size of the report and by how many packets are.
func (e *Estimator) Feedback(raw []byte, now time.Time) {
	if len(raw) < chunksAt {
		return
	}
	r := reading{
		estimator: e, now: now,
		sequence: binary.BigEndian.Uint16(raw[baseAt:]),
		left:     int(binary.BigEndian.Uint16(raw[countAt:])),
	}
	chunks, deltas := raw[chunksAt:], raw[chunksAt:]
	for described := 0; described < r.left; deltas = deltas[2:] {
		if len(deltas) < 2 {
			return
		}
		n, _, _ := readChunk(binary.BigEndian.Uint16(deltas))
		described += n
	}
	chunks = chunks[:len(chunks)-len(deltas)]
	r.arrival = e.reference.at(binary.BigEndian.Uint32(raw[referenceAt:]) >> 8)
	next := func(symbol uint16) (time.Duration, bool) {
		switch {
		case symbol == rtcp.TypeTCCPacketReceivedSmallDelta && len(deltas) >= 1:
			delta := deltas[0]
			deltas = deltas[1:]
			return time.Duration(delta) * deltaUnit, true
		case symbol == rtcp.TypeTCCPacketReceivedLargeDelta && len(deltas) >= 2:
			delta := int16(binary.BigEndian.Uint16(deltas))
			deltas = deltas[2:]
			return time.Duration(delta) * deltaUnit, true
		}
		return 0, false
	}
	for ; len(chunks) >= 2; chunks = chunks[2:] {
		n, bits, symbols := readChunk(binary.BigEndian.Uint16(chunks))
		if bits == 0 && !received(symbols) {
			r.skip(n)
			continue
		}
		for i := range n {
			symbol := symbols
			if bits > 0 { // a vector, the first symbol in the highest bits
				symbol = symbols >> (vectorBits - bits*(i+1)) & (1<<bits - 1)
			}
			if !r.status(symbol, next) {
				break
			}
		}
	}
	e.reported(now)
}

// vectorBits is how many bits a status vector has.
const vectorBits = 14

// readChunk reads a packet chunk (sections 3.1.3 and 3.1.4 of the draft): of how many packets it
// is, and either that all have one symbol, when bits is 0, or a vector of symbols of so many bits.
func readChunk(chunk uint16) (n, bits int, symbols uint16) {
	switch {
	case chunk&0x8000 == 0:
		return int(chunk & 0x1fff), 0, chunk >> 13 & 3
	case chunk&0x4000 == 0:
		return vectorBits, 1, chunk & (1<<vectorBits - 1)
	default:
		return vectorBits / 2, 2, chunk & (1<<vectorBits - 1)
	}
}

// reading is how far a report has been read.
type reading struct {
	estimator *Estimator
	now       time.Time
	sequence  uint16 // of the next packet
	left      int    // packets
	arrival   time.Duration
}

// status takes the symbol of the next packet, and by next the time since the one before that was
// received. It returns false when that was the last.
func (r *reading) status(symbol uint16, next func(symbol uint16) (time.Duration, bool)) bool {
	if r.left == 0 {
		return false
	}
	r.left--
	arrived := received(symbol)
	if arrived {
		delta, ok := next(symbol)
		if !ok {
			r.left = 0
			return false
		}
		r.arrival += delta
	}
	r.estimator.report(r.sequence, arrived, r.arrival, r.now)
	r.sequence++
	return true
}

// skip takes that the next n packets were not received. It looks at those only that are awaited:
// two bytes can tell of 8191.
func (r *reading) skip(n int) {
	e := r.estimator
	n = min(n, r.left)
	r.left -= n
	after := r.sequence + uint16(n)
	if behind := int(e.sequence - r.sequence); behind > history {
		unknown := min(n, behind-history)
		r.sequence += uint16(unknown)
		n -= unknown
	}
	n = min(n, int(e.sequence-r.sequence)) // what comes after was not sent yet
	for n > 0 {
		passed := e.awaited.next(r.sequence, n)
		r.sequence += uint16(passed)
		if n -= passed; n > 0 {
			e.report(r.sequence, false, r.arrival, r.now)
		}
	}
	r.sequence = after
}

// received tells whether a symbol is that of a packet that was received.
func received(symbol uint16) bool {
	return symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta
}

// reported is the end of a report.
func (e *Estimator) reported(now time.Time) {
	if !e.congested && e.current.collapsed() {
		e.close(now) // without waiting for the rest of the interval
	}
}
