package peer

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// maxStreams is how many streams of a peer are kept apart; what comes in others is ignored.
const maxStreams = 32

// incoming is where pion puts the media that a peer sends, by stream. It gets no RTCP (transport.Guest).
type incoming struct {
	// repairs returns who takes the retransmissions (RFC 4588) of the layer with the given rid.
	repairs func(rid string) taker
	// repairedRID is the number of the header extension for the rid of the repaired layer (RFC 8852), 0 for none.
	repairedRID uint8
	recorded    *feedback
	// excess is called once, when the peer uses too many SSRCs. It must not block.
	excess    func()
	unclaimed atomic.Int64 // packets that wait in streams without a taker

	mu       sync.Mutex // guards the fields below
	arrivals map[uint32]*arrival
	ssrcs    map[uint32]struct{} // at most transport.MaxSSRCs
	over     bool                // there were more
}

// newIncoming makes what takes the streams that a description tells of.
func newIncoming(d *description, repairs func(rid string) taker) *incoming {
	in := &incoming{repairs: repairs, arrivals: map[uint32]*arrival{}, ssrcs: map[uint32]struct{}{}}
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
	if kind == packetio.RTCPBufferPacket {
		return ignored{}
	}
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
