package peer

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// egress is the sending side of a publisher's connection, which gets its own media back: it joins pion's senders to the forwarders of one
// subscriber. A forwarder starts when both its sender is bound and the connection is up, so that no keyframe is asked for in vain.
type egress struct {
	conn       *conn
	subscriber *sfu.Subscriber

	mu    sync.Mutex // guards the fields below
	bound map[sfu.Kind]sfu.ForwarderConfig
	up    bool
}

// newEgress subscribes a connection to a publisher.
func newEgress(c *conn, stream *sfu.Publisher) (*egress, error) {
	subscriber, err := stream.Subscribe(c.pc)
	if err != nil {
		return nil, err
	}
	return &egress{conn: c, subscriber: subscriber, bound: map[sfu.Kind]sfu.ForwarderConfig{}}, nil
}

// start is to be called when the connection is up.
func (e *egress) start() {
	e.mu.Lock()
	e.up = true
	bound := e.bound
	e.bound = map[sfu.Kind]sfu.ForwarderConfig{}
	e.mu.Unlock()
	for kind, config := range bound {
		e.forward(kind, config)
	}
}

// bind is called by pion when a sender is negotiated.
func (e *egress) bind(kind sfu.Kind, config sfu.ForwarderConfig) {
	e.mu.Lock()
	up := e.up
	if !up {
		e.bound[kind] = config
	}
	e.mu.Unlock()
	if up {
		e.forward(kind, config)
	}
}

func (e *egress) forward(kind sfu.Kind, config sfu.ForwarderConfig) {
	if err := e.subscriber.Forward(kind, config, time.Now()); err != nil {
		e.conn.life.logger.V(1).Info("Nothing to forward", "reason", err.Error())
	}
}

// outgoing is the local track of pion's that stands for the forwarder of a kind.
type outgoing struct {
	egress *egress
	kind   sfu.Kind
}

var _ webrtc.TrackLocal = (*outgoing)(nil)

// Bind learns what was negotiated.
func (o *outgoing) Bind(t webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	config := sfu.ForwarderConfig{
		SSRC:      uint32(t.SSRC()),
		RTXSSRC:   uint32(t.SSRCRetransmission()),
		ClockRate: 90_000,
		Codecs:    map[string]sfu.PayloadTypes{},
		Writer:    streamWriter{t.WriteStream()},
	}
	for _, extension := range t.HeaderExtensions() {
		if extension.URI == sdp.TransportCCURI && extension.ID > 0 && extension.ID < 15 {
			config.TransportCC = uint8(extension.ID)
		}
	}
	negotiated := t.CodecParameters()
	first := -1
	for i, c := range negotiated {
		_, name, _ := strings.Cut(c.MimeType, "/")
		if name == "rtx" {
			continue
		}
		if _, ok := config.Codecs[name]; ok {
			continue // another profile of the same
		}
		if first < 0 {
			first = i
		}
		types := sfu.PayloadTypes{Media: uint8(c.PayloadType)}
		for _, other := range negotiated {
			if other.MimeType == webrtc.MimeTypeRTX && other.SDPFmtpLine == "apt="+strconv.Itoa(int(c.PayloadType)) {
				types.RTX = uint8(other.PayloadType)
			}
		}
		if types.RTX == 0 {
			config.RTXSSRC = 0
		}
		config.Codecs[name] = types
	}
	if first < 0 {
		return webrtc.RTPCodecParameters{}, fmt.Errorf("binding track: %w", webrtc.ErrUnsupportedCodec)
	}
	if o.kind == sfu.Audio {
		config.ClockRate, config.RTXSSRC = 48_000, 0
	}
	o.egress.bind(o.kind, config)
	return negotiated[first], nil
}

// Unbind does nothing: the subscriber is closed by its owner.
func (o *outgoing) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID names the track in SDP.
func (o *outgoing) ID() string { return o.Kind().String() }

// RID is empty: what is sent has one layer.
func (o *outgoing) RID() string { return "" }

// StreamID is the same for audio and video, by which browsers know that they belong together.
func (o *outgoing) StreamID() string { return "stream" }

// Kind is audio or video.
func (o *outgoing) Kind() webrtc.RTPCodecType {
	if o.kind == sfu.Audio {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

// streamWriter writes to a stream of pion's.
type streamWriter struct {
	stream webrtc.TrackLocalWriter
}

var outgoingHeaders = sync.Pool{New: func() any { return new(rtp.Header) }}

// WriteRTP implements sfu.PacketWriter.
func (w streamWriter) WriteRTP(packets []sfu.Outgoing) int {
	header := outgoingHeaders.Get().(*rtp.Header)
	defer outgoingHeaders.Put(header)
	var raw [sfu.HeaderBytes]byte
	for i := range packets {
		if _, err := header.Unmarshal(packets[i].AppendHeader(raw[:0])); err != nil {
			return i
		}
		if _, err := w.stream.WriteRTP(header, packets[i].Payload); err != nil {
			return i
		}
	}
	return len(packets)
}
