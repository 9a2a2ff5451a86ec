package roomclient

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// incoming follows the streams of a peer connection that receives. What the headers of packets
// tell, which are not encrypted, is noted when they come to the socket; their payload is read when
// they are decrypted.
type incoming struct {
	video, audio *reception
	// table says what comes, as soon as that was negotiated.
	table  atomic.Pointer[table]
	sample uint16 // as in MediaOptions
	// videoSSRC and audioSSRC are 0 until the first packet.
	videoSSRC, audioSSRC atomic.Uint32
	ssrc                 uint32 // of the feedback

	start    time.Time  // what the recorder's times count from
	mu       sync.Mutex // guards recorder
	recorder *twcc.Recorder
}

func newIncoming(sample int) *incoming {
	ssrc := rand.Uint32()
	return &incoming{
		video: newReception(true, 90_000), audio: newReception(false, 48_000), ssrc: ssrc,
		sample: uint16(max(sample, 1)), start: time.Now().Round(0), recorder: twcc.NewRecorder(ssrc),
	}
}

// What packets with a payload type are.
const (
	ofNothing = iota
	ofAudio
	ofVideo
	ofRepair
)

// table is what an offer says of the packets that will come.
type table struct {
	payloads [128]uint8
	// transportCC is the number of the header extension with transport-wide sequence numbers, 0
	// without.
	transportCC uint8
}

// readTable finds what matters in an SDP.
func readTable(description string) *table {
	t := &table{}
	for line := range strings.Lines(description) {
		line = strings.TrimSpace(line)
		if mapping, found := strings.CutPrefix(line, "a=rtpmap:"); found {
			payload, encoding, _ := strings.Cut(mapping, " ")
			name, _, _ := strings.Cut(strings.ToLower(encoding), "/")
			if n, err := strconv.Atoi(payload); err == nil && n >= 0 && n < len(t.payloads) {
				t.payloads[n] = map[string]uint8{"opus": ofAudio, "vp8": ofVideo, "vp9": ofVideo, "h264": ofVideo, "rtx": ofRepair}[name]
			}
		}
		if extension, found := strings.CutPrefix(line, "a=extmap:"); found {
			number, uri, _ := strings.Cut(extension, " ")
			if n, err := strconv.ParseUint(number, 10, 8); err == nil && uri == sdp.TransportCCURI {
				t.transportCC = uint8(n)
			}
		}
	}
	return t
}

// rtpHeader is what is read of a packet's header (RFC 3550, section 5.1).
type rtpHeader struct {
	payloadType uint8
	marker      bool
	sequence    uint16
	timestamp   uint32
	ssrc        uint32
	extensions  []byte // of one-byte form (RFC 8285, section 4.2)
	length      int
}

// readHeader reads an RTP header; false when the packet is something else (RFC 7983, RFC 5761,
// section 4) or broken. It allocates nothing.
func readHeader(packet []byte) (rtpHeader, bool) {
	if len(packet) < 12 || packet[0]>>6 != 2 || packet[1] >= 192 && packet[1] < 224 {
		return rtpHeader{}, false
	}
	h := rtpHeader{
		payloadType: packet[1] & 0x7f, marker: packet[1]&0x80 != 0,
		sequence: binary.BigEndian.Uint16(packet[2:]), timestamp: binary.BigEndian.Uint32(packet[4:]),
		ssrc: binary.BigEndian.Uint32(packet[8:]), length: 12 + 4*int(packet[0]&0xf),
	}
	if packet[0]&0x10 == 0 {
		return h, len(packet) >= h.length
	}
	start := h.length + 4
	if len(packet) < start {
		return h, false
	}
	h.length = start + 4*int(binary.BigEndian.Uint16(packet[start-2:]))
	if len(packet) < h.length {
		return h, false
	}
	if binary.BigEndian.Uint16(packet[start-4:]) == 0xbede {
		h.extensions = packet[start:h.length]
	}
	return h, true
}

// extension returns a header extension by its number; nil when there is none.
func (h rtpHeader) extension(number uint8) []byte {
	for b := h.extensions; len(b) > 0; {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		id, length := b[0]>>4, int(b[0]&0xf)+1
		if len(b) < 1+length {
			return nil
		}
		if id == number {
			return b[1 : 1+length]
		}
		b = b[1+length:]
	}
	return nil
}

// arrived notes a packet, still encrypted, and tells whether its payload is to be read.
func (i *incoming) arrived(packet []byte, at time.Time) bool {
	t := i.table.Load()
	if t == nil {
		return true
	}
	h, ok := readHeader(packet)
	if !ok {
		return true
	}
	if t.transportCC != 0 {
		if number := h.extension(t.transportCC); len(number) == 2 {
			i.mu.Lock()
			i.recorder.Record(h.ssrc, binary.BigEndian.Uint16(number), at.Sub(i.start).Microseconds())
			i.mu.Unlock()
		}
	}
	var whole bool
	switch t.payloads[h.payloadType] {
	case ofVideo:
		i.videoSSRC.Store(h.ssrc)
		whole = i.video.arrived(h.sequence, h.timestamp, h.marker, len(packet), false, at)
	case ofAudio:
		i.audioSSRC.Store(h.ssrc)
		whole = i.audio.arrived(h.sequence, h.timestamp, h.marker, len(packet), false, at)
	}
	return !whole || h.sequence%i.sample == 0
}

// read takes a decrypted packet. A retransmission comes as the packet that it repairs (RFC 4588),
// with attributes that tell so.
func (i *incoming) read(video bool, packet []byte, attributes interceptor.Attributes) {
	h, ok := readHeader(packet)
	if !ok {
		return
	}
	reception := i.audio
	if video {
		reception = i.video
		if attributes != nil && attributes.Get(webrtc.AttributeRtxSsrc) != nil {
			reception.arrived(h.sequence, h.timestamp, h.marker, len(packet), true, time.Now())
		}
	}
	if what, ok := readStamp(packet[h.length:]); ok {
		reception.read(h.sequence, what)
	}
}

// transportFeedback returns what came since the last time.
func (i *incoming) transportFeedback() []rtcp.Packet {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.recorder.BuildFeedbackPacket()
}

// repairs returns what is to be asked for now.
func (i *incoming) repairs(now time.Time, sequences []uint16) []rtcp.Packet {
	asked, keyframe := i.video.due(now, sequences[:0])
	var packets []rtcp.Packet
	if len(asked) > 0 {
		packets = append(packets, &rtcp.TransportLayerNack{
			SenderSSRC: i.ssrc, MediaSSRC: i.videoSSRC.Load(), Nacks: rtcp.NackPairsFromSequenceNumbers(asked),
		})
	}
	if keyframe {
		packets = append(packets, &rtcp.PictureLossIndication{SenderSSRC: i.ssrc, MediaSSRC: i.videoSSRC.Load()})
	}
	return packets
}

// receiverReport returns nil while nothing came.
func (i *incoming) receiverReport() []rtcp.Packet {
	rr := &rtcp.ReceiverReport{SSRC: i.ssrc}
	for _, stream := range []struct {
		reception *reception
		ssrc      uint32
	}{{i.video, i.videoSSRC.Load()}, {i.audio, i.audioSSRC.Load()}} {
		if r, ok := stream.reception.reported(); ok {
			rr.Reports = append(rr.Reports, rtcp.ReceptionReport{
				SSRC: stream.ssrc, FractionLost: r.fraction, TotalLost: r.lost, LastSequenceNumber: r.highest, Jitter: r.jitter,
			})
		}
	}
	if rr.Reports == nil {
		return nil
	}
	return []rtcp.Packet{rr}
}
