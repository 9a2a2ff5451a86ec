package peer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

const patience = 20 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func newEngine(t testing.TB, change ...func(*Config)) *Engine {
	t.Helper()
	config := Config{Logger: testr.NewWithOptions(&testing.T{}, testr.Options{}), ListenIP: netip.MustParseAddr("127.0.0.1")}
	for _, c := range change {
		c(&config)
	}
	e, err := NewEngine(config)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Addresses) == 0 {
		e.SetAdvertisedAddresses([]Address{{IP: netip.MustParseAddr("127.0.0.1"), UDPPort: e.UDPPort()}})
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// lossy drops incoming RTP packets by a rule, before anything else sees them.
type lossy struct {
	interceptor.NoOp
	drop func(info *interceptor.StreamInfo, packet []byte) bool
}

func (l *lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }
func (l *lossy) Close() error                                           { return nil }

func (l *lossy) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			n, attributes, err := reader.Read(b, a)
			if err != nil || !l.drop(info, b[:n]) {
				return n, attributes, err
			}
		}
	})
}

// clientOptions say what kind of browser a client is.
type clientOptions struct {
	video []string // MIME types; nil is all
	tcp   bool
	// settings changes what the client's WebRTC does.
	settings func(*webrtc.SettingEngine)
	dropIn   func(info *interceptor.StreamInfo, packet []byte) bool
	dropOut  func(header *rtp.Header) bool
}

// client is a WebRTC client as a browser would be: a full ICE agent with NACK both ways.
type client struct {
	t  testing.TB
	pc *webrtc.PeerConnection
	// connected is whether it ever was. Pion's ConnectionState may stay at connecting for good when
	// ICE and DTLS are ready at the same moment.
	connected atomic.Bool

	mu       sync.Mutex
	received map[webrtc.RTPCodecType][]rtp.Packet
	control  []rtcp.Packet
	tracks   map[webrtc.RTPCodecType]*webrtc.TrackRemote
	running  sync.WaitGroup
}

func newClient(t testing.TB, o clientOptions) *client {
	t.Helper()
	table := &webrtc.MediaEngine{}
	if o.video == nil {
		if err := table.RegisterDefaultCodecs(); err != nil {
			t.Fatal(err)
		}
	} else {
		for i, mime := range append([]string{webrtc.MimeTypeOpus}, o.video...) {
			kind, capability := webrtc.RTPCodecTypeVideo, webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90_000}
			switch mime {
			case webrtc.MimeTypeOpus:
				kind, capability.ClockRate, capability.Channels = webrtc.RTPCodecTypeAudio, 48_000, 2
			case webrtc.MimeTypeH264:
				capability.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
			}
			for _, entry := range []webrtc.RTPCodecParameters{
				{RTPCodecCapability: capability, PayloadType: webrtc.PayloadType(110 + 2*i)},
				{RTPCodecCapability: webrtc.RTPCodecCapability{
					MimeType: webrtc.MimeTypeRTX, ClockRate: 90_000, SDPFmtpLine: fmt.Sprintf("apt=%d", 110+2*i),
				}, PayloadType: webrtc.PayloadType(111 + 2*i)},
			} {
				if kind == webrtc.RTPCodecTypeAudio && entry.MimeType == webrtc.MimeTypeRTX {
					continue
				}
				if err := table.RegisterCodec(entry, kind); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	registry := &interceptor.Registry{}
	if o.dropIn != nil {
		registry.Add(&lossy{drop: o.dropIn})
	}
	if o.dropOut != nil {
		registry.Add(&leaky{drop: o.dropOut})
	}
	if err := webrtc.RegisterDefaultInterceptors(table, registry); err != nil {
		t.Fatal(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if o.tcp {
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}
	if o.settings != nil {
		o.settings(&settings)
	}
	settings.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(table), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{
		t: t, pc: pc,
		received: map[webrtc.RTPCodecType][]rtp.Packet{},
		tracks:   map[webrtc.RTPCodecType]*webrtc.TrackRemote{},
	}
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			c.connected.Store(true)
		}
	})
	pc.OnTrack(c.onTrack)
	t.Cleanup(c.close)
	return c
}

// leaky drops outgoing RTP packets by a rule; the NACK responder has seen them.
type leaky struct {
	interceptor.NoOp
	drop func(header *rtp.Header) bool
}

func (l *leaky) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }
func (l *leaky) Close() error                                           { return nil }

func (l *leaky) BindLocalStream(_ *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if l.drop(h) {
			return len(payload), nil
		}
		return writer.Write(h, payload, a)
	})
}

func (c *client) close() {
	_ = c.pc.GracefulClose()
	c.running.Wait()
}

func (c *client) onTrack(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	c.mu.Lock()
	c.tracks[track.Kind()] = track
	c.mu.Unlock()
	c.running.Go(func() {
		for {
			packets, _, err := receiver.ReadRTCP()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.control = append(c.control, packets...)
			c.mu.Unlock()
		}
	})
	c.running.Go(func() {
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.received[track.Kind()] = append(c.received[track.Kind()], *packet)
			c.mu.Unlock()
		}
	})
}

// got returns what came in of a kind, in the order of sequence numbers, each once.
func (c *client) got(kind webrtc.RTPCodecType) []rtp.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	packets := slices.Clone(c.received[kind])
	slices.SortStableFunc(packets, func(a, b rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
	return slices.CompactFunc(packets, func(a, b rtp.Packet) bool { return a.SequenceNumber == b.SequenceNumber })
}

// numbers returns the test frame numbers in what came in of a kind, in the order of sequence
// numbers.
func (c *client) numbers(kind webrtc.RTPCodecType) []uint32 {
	var numbers []uint32
	for _, p := range c.got(kind) {
		if len(p.Payload) >= 4 {
			numbers = append(numbers, binary.BigEndian.Uint32(p.Payload[len(p.Payload)-4:]))
		}
	}
	return numbers
}

// codec returns the MIME type of what comes in of a kind.
func (c *client) codec(kind webrtc.RTPCodecType) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if track := c.tracks[kind]; track != nil {
		return track.Codec().MimeType
	}
	return ""
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// source is a publishing client: one packet per frame, with the frame's number in its last four
// bytes.
type source struct {
	*client
	tracks  map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP
	senders []*webrtc.RTPSender
	plis    chan struct{}
	number  uint32
	start   uint16
	base    uint32
}

// newSource makes a publishing client of the given MIME types; the first sequence number and
// timestamp are start.
func newSource(t testing.TB, start uint16, o clientOptions, direction webrtc.RTPTransceiverDirection, mimes ...string) *source {
	s := &source{
		client: newClient(t, o), plis: make(chan struct{}, 1000), start: start, base: uint32(start) << 16,
		tracks: map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP{},
	}
	for _, mime := range mimes {
		capability, kind := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90_000}, webrtc.RTPCodecTypeVideo
		if mime == webrtc.MimeTypeOpus {
			capability, kind = webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 48_000, Channels: 2}, webrtc.RTPCodecTypeAudio
		}
		if mime == webrtc.MimeTypeH264 {
			capability.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
		}
		track, err := webrtc.NewTrackLocalStaticRTP(capability, kind.String(), "local")
		s.must(err)
		transceiver, err := s.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: direction})
		s.must(err)
		s.tracks[kind] = track
		sender := transceiver.Sender()
		s.senders = append(s.senders, sender)
		s.running.Go(func() {
			for {
				packets, _, err := sender.ReadRTCP()
				if err != nil {
					return
				}
				s.mu.Lock()
				s.control = append(s.control, packets...)
				s.mu.Unlock()
				for range plis(packets, 0) {
					select {
					case s.plis <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	return s
}

// plis counts the keyframe requests for an SSRC, 0 for any.
func plis(packets []rtcp.Packet, ssrc uint32) (n int) {
	for _, p := range packets {
		if p, ok := p.(*rtcp.PictureLossIndication); ok && (ssrc == 0 || p.MediaSSRC == ssrc) {
			n++
		}
	}
	return n
}

// keyframe and delta are the starts of frames, by MIME type.
var keyframeStart = map[string][]byte{
	webrtc.MimeTypeVP8:  {0x10, 0x00},
	webrtc.MimeTypeVP9:  {0x88, 0x00},
	webrtc.MimeTypeH264: {0x67, 0x42},
}

var deltaStart = map[string][]byte{
	webrtc.MimeTypeVP8:  {0x10, 0x01},
	webrtc.MimeTypeVP9:  {0xc8, 0x00},
	webrtc.MimeTypeH264: {0x61, 0x00},
}

// publish negotiates with a publication.
func (s *source) publish(p media.Publication) {
	s.t.Helper()
	offer, err := s.pc.CreateOffer(nil)
	s.must(err)
	s.must(s.pc.SetLocalDescription(offer))
	answer, err := p.Answer(s.t.Context(), offer.SDP)
	s.must(err)
	s.must(s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	s.waitConnected()
}

func (c *client) waitConnected() {
	c.t.Helper()
	eventually(c.t, "connection", c.connected.Load)
}

// send sends n frames of each track, at least a millisecond apart. A keyframe is sent when one is
// asked for, and first.
func (s *source) send(n int) {
	s.t.Helper()
	for range n {
		key := s.number == 0
		select {
		case <-s.plis:
			key = true
		default:
		}
		for kind, track := range s.tracks {
			start := []byte{0xfc}
			ticks := uint32(48)
			if kind == webrtc.RTPCodecTypeVideo {
				ticks = 90
				if start = deltaStart[track.Codec().MimeType]; key {
					start = keyframeStart[track.Codec().MimeType]
				}
			}
			body := append(slices.Clone(start), make([]byte, 20)...)
			body = binary.BigEndian.AppendUint32(body, s.number)
			s.must(track.WriteRTP(&rtp.Packet{
				Header: rtp.Header{
					Version: 2, SequenceNumber: s.start + uint16(s.number), Timestamp: s.base + s.number*ticks, Marker: true,
				},
				Payload: body,
			}))
		}
		s.number++
		time.Sleep(time.Millisecond)
	}
}

// sendUntil sends until a condition holds.
func (s *source) sendUntil(what string, condition func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			s.t.Fatalf("never happened: %s", what)
		}
		s.send(1)
	}
}

// subscribe makes a client that receives a publication.
func subscribe(t testing.TB, e *Engine, p media.Publication, o clientOptions) (*client, media.Subscription) {
	t.Helper()
	c := newClient(t, o)
	s, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	c.must(err)
	answer := c.answer(offer)
	c.must(s.Answer(t.Context(), answer))
	c.waitConnected()
	return c, s
}

func (c *client) answer(offer string) string {
	c.t.Helper()
	c.must(c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}))
	answer, err := c.pc.CreateAnswer(nil)
	c.must(err)
	c.must(c.pc.SetLocalDescription(answer))
	return answer.SDP
}

// continuous checks that frames came without gaps in their sequence numbers, and timestamps that
// only grow.
func (c *client) continuous(kind webrtc.RTPCodecType) {
	c.t.Helper()
	packets := c.got(kind)
	for i := 1; i < len(packets); i++ {
		if packets[i].SequenceNumber != packets[i-1].SequenceNumber+1 {
			c.t.Errorf("%v: packet %d follows %d", kind, packets[i].SequenceNumber, packets[i-1].SequenceNumber)
		}
		if int32(packets[i].Timestamp-packets[i-1].Timestamp) <= 0 {
			c.t.Errorf("%v: timestamp %d follows %d", kind, packets[i].Timestamp, packets[i-1].Timestamp)
		}
	}
}
