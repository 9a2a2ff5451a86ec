package peer

import (
	"io"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"
)

// maxStreams is how many streams of a peer are kept apart; what comes in others is ignored.
const maxStreams = 32

// incoming is where pion puts what a peer sends, by stream.
//
// It takes all RTCP, whichever stream it is about. Pion by itself delivers a packet to the stream that it names as its media source, and
// drops it when nobody reads that one: a browser names a retransmission stream in transport-wide feedback, and us in its
// answer to our reference time.
type incoming struct {
	handle func(packets []rtcp.Packet)
	// repairs returns who takes the retransmissions (RFC 4588) of the layer with the given rid.
	repairs func(rid string) taker
	// repairedRID is the number of the header extension for the rid of the repaired layer (RFC 8852), 0 for none.
	repairedRID uint8
	feedback    *feedback

	mu       sync.Mutex // guards arrivals
	arrivals map[uint32]*arrival
}

// newIncoming makes what takes the streams that a description tells of.
func newIncoming(d *description, events connEvents) *incoming {
	in := &incoming{handle: events.control, repairs: events.repairs, arrivals: map[uint32]*arrival{}}
	var transport uint8
	for _, line := range d.media { // the numbers are the same on all m-lines of a bundle (RFC 9143, section 9.1)
		transport = max(transport, line.transportCC)
		if line.layers != nil {
			in.repairedRID = line.repairedRID
		}
	}
	in.feedback = newFeedback(transport)
	return in
}

// buffer is what pion calls for each incoming stream (webrtc.SettingEngine).
func (in *incoming) buffer(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	if kind == packetio.RTCPBufferPacket {
		return &controlStream{incoming: in, closed: make(chan struct{})}
	}
	a := newArrival(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	if ssrc == 0 || len(in.arrivals) >= maxStreams { // libwebrtc probes the bandwidth by SSRC 0
		a.attach(ignore, true)
	}
	in.arrivals[ssrc] = a
	return a
}

// attach forwards what arrives of a stream that pion has made known; see arrival.attach.
func (in *incoming) attach(ssrc webrtc.SSRC, take taker, eager bool) {
	in.mu.Lock()
	a := in.arrivals[uint32(ssrc)]
	in.mu.Unlock()
	if a != nil {
		a.attach(take, eager)
	}
}

// repaired returns the rid of the layer that a packet says it repairs, "" when it says nothing.
func (in *incoming) repaired(packet []byte) string {
	if in.repairedRID == 0 {
		return ""
	}
	var header rtp.Header
	if _, err := header.Unmarshal(packet); err != nil {
		return ""
	}
	return string(header.GetExtension(in.repairedRID))
}

// controlStream is the RTCP about one stream.
type controlStream struct {
	incoming *incoming
	once     sync.Once
	closed   chan struct{}
}

// Write takes a packet, on pion's goroutine.
func (s *controlStream) Write(raw []byte) (int, error) {
	if packets, err := rtcp.Unmarshal(raw); err == nil { // else the peer's fault, and its loss
		s.incoming.handle(packets)
	}
	return len(raw), nil
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
