// Package compound is the single authority on what is read of the RTCP packets of a peer (RFC 3550,
// section 6.1; RFC 5506), and on how much of it. It looks at nothing but sizes and kinds: what a
// part says is for others to read. Times are arguments: it has no clock.
package compound

import (
	"encoding/binary"
	"iter"
	"time"
)

// Kind is what a part of a packet is: its packet type and, for feedback messages, their format (RFC
// 4585, section 6.1).
type Kind struct {
	Type, Format uint8
}

// The kinds that are read. What other kinds say is of no use to a media pod.
var (
	SenderReport     = Kind{Type: senderReport}
	ExtendedReport   = Kind{Type: extendedReport}
	NACK             = Kind{transportFeedback, 1}
	PictureLoss      = Kind{payloadFeedback, 1}
	FullIntraRequest = Kind{payloadFeedback, 4}
	BitrateLimit     = Kind{payloadFeedback, 15}
	// TransportFeedback is transport-wide feedback
	// (draft-holmer-rmcat-transport-wide-cc-extensions, section 3.1).
	TransportFeedback = Kind{transportFeedback, 15}
)

const (
	senderReport      = 200
	transportFeedback = 205
	payloadFeedback   = 206
	extendedReport    = 207
)

// MaxParts is how many parts of a packet are read. Browsers send up to ten together.
const MaxParts = 32

// Parts lists the parts of a packet, of transport-wide feedback the first only: nobody has two
// reports to tell at once. What is malformed, and what comes after it, is left out.
func Parts(packet []byte) iter.Seq2[Kind, []byte] {
	return func(yield func(Kind, []byte) bool) {
		reported := false
		for range MaxParts {
			if len(packet) < 4 {
				return
			}
			size := 4 * (1 + int(binary.BigEndian.Uint16(packet[2:])))
			if size > len(packet) {
				return
			}
			part := packet[:size]
			packet = packet[size:]
			kind := Kind{Type: part[1]}
			if kind.Type == transportFeedback || kind.Type == payloadFeedback {
				kind.Format = part[0] & 0x1f
			}
			if kind == TransportFeedback {
				if reported {
					continue
				}
				reported = true
			}
			if !yield(kind, part) {
				return
			}
		}
	}
}

// Limits on the RTCP of one connection, all packets together. A browser that receives sends 20
// packets of feedback a second and, when much is lost, 50 more that ask for what is missing; one
// that only publishes sends a report of each stream about once a second.
const (
	ReceiverPacketsPerSecond = 200
	SenderPacketsPerSecond   = 20
	BytesPerSecond           = 64 << 10
	// Saved is for how many seconds' worth of packets, and bytes, there is room at once.
	Saved = 4
	// MaxDropped is how many packets over the limits are dropped before who sends them is taken for
	// hostile.
	MaxDropped = 2000
)

// Verdict is what is to be done with a packet.
type Verdict int

// A packet is taken or dropped. It is Refused when too many were dropped without a pause.
const (
	Taken Verdict = iota
	Dropped
	Refused
)

// Budget is what one connection may still send. It is not safe for concurrent use.
type Budget struct {
	packetsPerSecond float64
	packets, bytes   float64 // that there is room for
	at               time.Time
	dropped          int // since there was room for all
}

// NewBudget returns a full one.
func NewBudget(packetsPerSecond int) *Budget {
	return &Budget{packetsPerSecond: float64(packetsPerSecond), packets: float64(Saved * packetsPerSecond), bytes: Saved * BytesPerSecond}
}

// Take counts a packet. Calls are to be in the order of time.
func (b *Budget) Take(bytes int, now time.Time) Verdict {
	if !b.at.IsZero() {
		passed := max(now.Sub(b.at).Seconds(), 0)
		b.packets = min(b.packets+passed*b.packetsPerSecond, Saved*b.packetsPerSecond)
		b.bytes = min(b.bytes+passed*BytesPerSecond, Saved*BytesPerSecond)
	}
	b.at = now
	if b.packets == Saved*b.packetsPerSecond && b.bytes == Saved*BytesPerSecond {
		b.dropped = 0
	}
	if b.packets < 1 || b.bytes < float64(bytes) {
		b.dropped++
		if b.dropped > MaxDropped {
			return Refused
		}
		return Dropped
	}
	b.packets--
	b.bytes -= float64(bytes)
	return Taken
}
