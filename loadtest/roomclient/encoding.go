package roomclient

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// cached is how many packets of an encoding can be sent again, a power of two.
const cached = 512

// encoding is one RTP stream of a publisher: the audio, or a layer of the video. It is the local
// track of pion's.
type encoding struct {
	publisher   *Publisher
	kind        webrtc.RTPCodecType
	rank        int
	layer       Layer
	transceiver *webrtc.RTPTransceiver
	keyframe    atomic.Bool // the next frame is a key frame

	packets, bytes, keyframes, nacks, repaired atomic.Int64

	mu          sync.Mutex // guards the fields below
	binding     *binding   // nil until negotiated
	sequence    uint16
	rtxSequence uint16
	cache       []rtp.Packet // by sequence number
}

// binding is what was negotiated.
type binding struct {
	writer              webrtc.TrackLocalWriter
	ssrc, rtxSSRC       uint32
	payload, rtxPayload uint8
	mid, rid, repairRID uint8 // numbers of header extensions, 0 without
	transportCC         uint8
}

var _ webrtc.TrackLocal = (*encoding)(nil)

func newEncoding(p *Publisher, kind webrtc.RTPCodecType, rank int, layer Layer) *encoding {
	e := &encoding{publisher: p, kind: kind, rank: rank, layer: layer, sequence: uint16(rand.Uint32()), rtxSequence: uint16(rand.Uint32())}
	e.keyframe.Store(true)
	return e
}

func (e *encoding) width() int  { return cmp.Or(e.layer.Width, 640) }
func (e *encoding) height() int { return cmp.Or(e.layer.Height, 480) }

func (e *encoding) readRTCP(sender *webrtc.RTPSender) ([]rtcp.Packet, error) {
	if e.layer.RID != "" {
		packets, _, err := sender.ReadSimulcastRTCP(e.layer.RID)
		return packets, err
	}
	packets, _, err := sender.ReadRTCP()
	return packets, err
}

// Bind learns what was negotiated.
func (e *encoding) Bind(t webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	wanted := e.publisher.codec.MimeType
	if e.kind == webrtc.RTPCodecTypeAudio {
		wanted = webrtc.MimeTypeOpus
	}
	negotiated := t.CodecParameters()
	i := slices.IndexFunc(negotiated, func(c webrtc.RTPCodecParameters) bool { return c.MimeType == wanted })
	if i < 0 {
		i = slices.IndexFunc(negotiated, func(c webrtc.RTPCodecParameters) bool { return c.MimeType != webrtc.MimeTypeRTX })
	}
	if i < 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	b := &binding{
		writer: t.WriteStream(), ssrc: uint32(t.SSRC()), payload: uint8(negotiated[i].PayloadType),
	}
	for _, c := range negotiated {
		if c.MimeType == webrtc.MimeTypeRTX && t.SSRCRetransmission() != 0 {
			b.rtxSSRC, b.rtxPayload = uint32(t.SSRCRetransmission()), uint8(c.PayloadType)
		}
	}
	for _, extension := range t.HeaderExtensions() {
		number := uint8(extension.ID)
		switch extension.URI {
		case sdp.SDESMidURI:
			b.mid = number
		case sdp.SDESRTPStreamIDURI:
			b.rid = number
		case sdp.SDESRepairRTPStreamIDURI:
			b.repairRID = number
		case sdp.TransportCCURI:
			b.transportCC = number
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.binding = b
	return negotiated[i], nil
}

// Unbind does nothing: the connection is ending.
func (e *encoding) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID names the track in SDP. All layers have the same.
func (e *encoding) ID() string { return e.kind.String() }

// RID names the layer.
func (e *encoding) RID() string { return e.layer.RID }

// StreamID is the same for audio and video.
func (e *encoding) StreamID() string { return "stream" }

// Kind is audio or video.
func (e *encoding) Kind() webrtc.RTPCodecType { return e.kind }

func (e *encoding) is(ssrc uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.binding != nil && e.binding.ssrc == ssrc
}

func (e *encoding) sent() Sent {
	return Sent{
		RID: e.layer.RID, Packets: e.packets.Load(), Bytes: e.bytes.Load(), Keyframes: e.keyframes.Load(),
		NACKs: e.nacks.Load(), Repaired: e.repaired.Load(),
	}
}

// send sends a packet. The payload is kept.
func (e *encoding) send(timestamp uint32, marker bool, payload []byte) error {
	e.mu.Lock()
	b := e.binding
	if b == nil {
		e.mu.Unlock()
		return nil
	}
	packet := rtp.Packet{
		Header: rtp.Header{
			Version: 2, PayloadType: b.payload, SequenceNumber: e.sequence, Timestamp: timestamp, Marker: marker, SSRC: b.ssrc,
		},
		Payload: payload,
	}
	e.sequence++
	if e.kind == webrtc.RTPCodecTypeVideo {
		if e.cache == nil {
			e.cache = make([]rtp.Packet, cached)
		}
		e.cache[packet.SequenceNumber%cached] = packet
	}
	e.mu.Unlock()
	e.extend(&packet.Header, b, b.rid)
	e.packets.Add(1)
	e.bytes.Add(int64(len(payload)))
	_, err := b.writer.WriteRTP(&packet.Header, payload)
	return err
}

// extend adds the header extensions: of simulcast, what tells the layer, and the transport-wide
// sequence number.
func (e *encoding) extend(header *rtp.Header, b *binding, rid uint8) {
	set := func(number uint8, value []byte) {
		if number != 0 {
			_ = header.SetExtension(number, value) // of one-byte form, always
		}
	}
	if e.layer.RID != "" {
		set(b.mid, []byte(e.transceiver.Mid()))
		set(rid, []byte(e.layer.RID))
	}
	if b.transportCC != 0 {
		number := e.publisher.transport.Add(1) - 1
		set(b.transportCC, []byte{byte(number >> 8), byte(number)})
	}
}

// resend sends a packet again, as a retransmission (RFC 4588) when that was negotiated.
func (e *encoding) resend(sequence uint16) {
	e.nacks.Add(1)
	e.mu.Lock()
	b := e.binding
	if b == nil || e.cache == nil || e.cache[sequence%cached].SequenceNumber != sequence || e.cache[sequence%cached].Payload == nil {
		e.mu.Unlock()
		return
	}
	packet := e.cache[sequence%cached]
	rid := b.rid
	if b.rtxSSRC != 0 {
		packet.SSRC, packet.PayloadType, packet.SequenceNumber = b.rtxSSRC, b.rtxPayload, e.rtxSequence
		packet.Payload = append([]byte{byte(sequence >> 8), byte(sequence)}, packet.Payload...)
		e.rtxSequence++
		rid = b.repairRID
	}
	e.mu.Unlock()
	packet.Extensions = nil
	e.extend(&packet.Header, b, rid)
	e.repaired.Add(1)
	_, _ = b.writer.WriteRTP(&packet.Header, packet.Payload) // it is asked for again
}

// senderReport relates the encoding's clock to that of the machine.
func (e *encoding) senderReport(timestamp uint32, now time.Time) rtcp.Packet {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.binding == nil {
		return nil
	}
	return &rtcp.SenderReport{
		SSRC: e.binding.ssrc, NTPTime: ntp(now), RTPTime: timestamp,
		PacketCount: uint32(e.packets.Load()), OctetCount: uint32(e.bytes.Load()),
	}
}

// ntp is a time as RFC 5905, section 6 has it.
func ntp(t time.Time) uint64 {
	const since1900 = 2_208_988_800
	nanoseconds := uint64(t.Nanosecond())
	return uint64(t.Unix()+since1900)<<32 | nanoseconds<<32/uint64(time.Second)
}
