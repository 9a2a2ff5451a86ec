package bandwidth

import (
	"time"

	"github.com/pion/rtcp"
)

// referenceUnit and referenceBits are those of the reference time of transport-wide feedback (section 3.1 of the draft).
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

// Feedback takes a report of the receiver. What is malformed in it is ignored.
func (e *Estimator) Feedback(f *rtcp.TransportLayerCC, now time.Time) {
	e.feedback(f, now)
	if !e.congested && e.current.collapsed() {
		e.close(now) // without waiting for the rest of the interval
	}
}

func (e *Estimator) feedback(f *rtcp.TransportLayerCC, now time.Time) {
	arrival := e.reference.at(f.ReferenceTime)
	sequence, left, deltas := f.BaseSequenceNumber, int(f.PacketStatusCount), f.RecvDeltas
	each := func(symbol uint16) bool {
		if left == 0 {
			return false
		}
		left--
		received := symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta
		if received {
			if len(deltas) == 0 {
				return false
			}
			arrival += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		e.report(sequence, received, arrival, now)
		sequence++
		return true
	}
	for _, chunk := range f.PacketChunks {
		switch chunk := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range chunk.RunLength {
				if !each(chunk.PacketStatusSymbol) {
					return
				}
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range chunk.SymbolList {
				if !each(symbol) {
					return
				}
			}
		}
	}
}
