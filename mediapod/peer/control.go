package peer

import (
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
)

// maxStreams is how many streams of a peer are kept apart; what comes in others is ignored.
const maxStreams = 32

// incoming is where pion puts what a peer sends, by stream.
//
// It takes all RTCP, whichever stream it is about. Pion by itself delivers a packet to the stream that it names as its media source, and
// drops it when nobody reads that one: a browser names a retransmission stream in transport-wide feedback, and us in its
// answer to our reference time.
type incoming struct {
	events connEvents
	// repairedRID is the number of the header extension for the rid of the repaired layer (RFC 8852), 0 for none.
	repairedRID uint8
	recorded    *feedback
	// excess is called once, when the peer uses too many SSRCs. It must not block.
	excess    func()
	unclaimed atomic.Int64 // packets that wait in streams without a taker

	mu       sync.Mutex // guards the fields below
	arrivals map[uint32]*arrival
	ssrcs    map[uint32]struct{} // of RTP and RTCP, at most transport.MaxSSRCs
	over     bool                // there were more
}

// newIncoming makes what takes the streams that a description tells of.
func newIncoming(d *description, events connEvents) *incoming {
	in := &incoming{events: events, arrivals: map[uint32]*arrival{}, ssrcs: map[uint32]struct{}{}}
	var number uint8
	for _, line := range d.media { // the numbers are the same on all m-lines of a bundle (RFC 9143, section 9.1)
		number = max(number, line.transportCC)
		if line.layers != nil {
			in.repairedRID = line.repairedRID
		}
	}
	in.recorded = newFeedback(number)
	return in
}

// buffer is what pion calls for each incoming stream (webrtc.SettingEngine).
func (in *incoming) buffer(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, known := in.ssrcs[ssrc]; !known {
		if len(in.ssrcs) == transport.MaxSSRCs {
			if !in.over {
				in.over = true
				in.excess()
			}
			return ignored{}
		}
		in.ssrcs[ssrc] = struct{}{}
	}
	if kind == packetio.RTCPBufferPacket {
		return &controlStream{incoming: in, ssrc: ssrc, closed: make(chan struct{})}
	}
	if ssrc == 0 || len(in.arrivals) >= maxStreams { // libwebrtc probes the bandwidth by SSRC 0
		return ignored{in.recorded}
	}
	a := newArrival(in)
	in.arrivals[ssrc] = a
	return a
}

// ignored are all streams of a peer that nobody takes. None of them is remembered.
type ignored struct {
	recorded *feedback // nil when not even that counts
}

// Write notes that a packet came.
func (i ignored) Write(raw []byte) (int, error) {
	if i.recorded != nil {
		i.recorded.record(raw, time.Now())
	}
	return len(raw), nil
}

// Read returns nothing.
func (ignored) Read([]byte) (int, error) { return 0, io.EOF }

// Close does nothing.
func (ignored) Close() error { return nil }

// attach forwards what arrives of a stream that pion has made known; see arrival.attach.
func (in *incoming) attach(ssrc webrtc.SSRC, take taker, eager bool) {
	in.mu.Lock()
	a := in.arrivals[uint32(ssrc)]
	in.mu.Unlock()
	if a != nil {
		a.attach(take, eager)
	}
}

// repaired returns the rid of the layer that a packet says it repairs, "" when it says nothing. The header is memory for that.
func (in *incoming) repaired(packet []byte, header *rtp.Header) string {
	if in.repairedRID == 0 {
		return ""
	}
	if _, err := header.Unmarshal(packet); err != nil {
		return ""
	}
	return string(header.GetExtension(in.repairedRID))
}

// controlStream is the RTCP about one stream.
type controlStream struct {
	incoming *incoming
	ssrc     uint32
	once     sync.Once
	closed   chan struct{}
}

// Write takes a packet, on pion's goroutine, which has taken it apart: it is one part. Pion writes a part to all streams that it is about; it counts for one.
func (s *controlStream) Write(raw []byte) (int, error) {
	for kind, part := range compound.Parts(raw) {
		if ssrc, ok := subject(kind, part); ok && ssrc == s.ssrc {
			s.incoming.control(kind, part)
		}
	}
	return len(raw), nil
}

// subject returns the one stream that a part counts for, of those that pion takes it to be about; false when it is of no use.
func subject(kind compound.Kind, part []byte) (ssrc uint32, ok bool) {
	at := 0
	switch kind {
	case compound.SenderReport:
		at = 4
	case compound.NACK, compound.PictureLoss, compound.TransportFeedback:
		at = 8
	case compound.FullIntraRequest:
		at = 12
	case compound.BitrateLimit:
		at = 20
	case compound.ExtendedReport:
		at = answerAt(part)
	}
	if at == 0 || len(part) < at+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(part[at:]), true
}

// answerAt returns where an extended report names whose reference time it answers (RFC 3611, section 4.5), 0 when it answers none.
func answerAt(part []byte) int {
	const headerBytes, answers = 8, 5
	for at := headerBytes; at+4 <= len(part); at += 4 * (1 + int(binary.BigEndian.Uint16(part[at+2:]))) {
		if part[at] == answers {
			return at + 4
		}
	}
	return 0
}

// control hands on what is of use to the publication. What is malformed is the peer's fault, and its loss.
func (in *incoming) control(kind compound.Kind, part []byte) {
	if kind == compound.TransportFeedback {
		if in.events.feedback != nil {
			in.events.feedback(part)
		}
		return
	}
	if in.events.feedback == nil && kind != compound.SenderReport && kind != compound.ExtendedReport {
		return
	}
	if packets, err := rtcp.Unmarshal(part); err == nil {
		in.events.control(packets)
	}
}

// Read returns nothing until the stream is closed.
func (s *controlStream) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.EOF
}

// Close ends the stream.
func (s *controlStream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
