package roomclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
)

// MediaOptions say how peer connections are made.
type MediaOptions struct {
	// Video are the codecs of video by preference, VP8 when there is none.
	Video []webrtc.RTPCodecParameters
	// Interfaces restricts the network interfaces unless it is nil. The loopback interface is used
	// only when it says so.
	Interfaces func(name string) bool
	// Device, unless "", is the one network interface that is used: sockets are bound to it.
	Device string
	// Feedback is how often receivers tell what has come, as browsers do by transport-wide
	// feedback, every 50 to 250 ms. With 0 they tell nothing, and ask for nothing that is lost.
	Feedback time.Duration
	// Path, unless nil, makes the network worse than it is.
	Path *Path
	// Sample of more than 1 reads the payload of every so many'th packet of a stream only, while
	// nothing of the stream is missing: decrypting is most of what a receiver costs. All else is
	// told by the headers; delays and layers are those of the packets that are read, and so is what
	// the subscriber's VideoPackets, AudioPackets and Bytes count. It should have no factor in
	// common with the number of packets of a frame.
	Sample int
}

// Media makes peer connections without any interceptor, so that a process can hold many. It is safe
// for concurrent use.
type Media struct {
	options  MediaOptions
	settings webrtc.SettingEngine
	net      *stdnet.Net
	feeder   feeder
}

// Video codecs that a Media may have.
var (
	VP8  = videoCodec(96, webrtc.MimeTypeVP8, "")
	H264 = videoCodec(102, webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
)

func videoCodec(payload webrtc.PayloadType, mime, parameters string) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: payload, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: mime, ClockRate: 90000, SDPFmtpLine: parameters,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
	}}
}

// NewMedia returns peer connections that give no feedback: see MediaOptions.
func NewMedia(interfaces func(name string) bool, video ...webrtc.RTPCodecParameters) (*Media, error) {
	return NewMediaWith(MediaOptions{Interfaces: interfaces, Video: video})
}

// NewMediaWith returns peer connections with host candidates over UDP of IPv4 addresses.
func NewMediaWith(options MediaOptions) (*Media, error) {
	m := &Media{options: options}
	if len(options.Video) == 0 {
		m.options.Video = []webrtc.RTPCodecParameters{VP8}
	}
	if device := options.Device; device != "" {
		m.options.Interfaces = func(name string) bool { return name == device }
	}
	var err error
	if m.net, err = stdnet.NewNet(); err != nil {
		return nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	s := &m.settings
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.DisableActiveTCP(true)
	s.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	if keep := m.options.Interfaces; keep != nil {
		s.SetInterfaceFilter(keep)
		s.SetIncludeLoopbackCandidate(keep("lo"))
	}
	_, err = m.engine()
	return m, err
}

// engine makes the table of what a peer connection negotiates.
func (m *Media) engine() (*webrtc.MediaEngine, error) {
	engine := &webrtc.MediaEngine{}
	register := func(codec webrtc.RTPCodecParameters, kind webrtc.RTPCodecType) error {
		if m.options.Feedback > 0 {
			feedback := append([]webrtc.RTCPFeedback(nil), codec.RTCPFeedback...)
			codec.RTCPFeedback = append(feedback, webrtc.RTCPFeedback{Type: "transport-cc"})
		}
		if err := engine.RegisterCodec(codec, kind); err != nil {
			return fmt.Errorf("registering codecs: %w", err)
		}
		return nil
	}
	for _, codec := range m.options.Video {
		if err := register(codec, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, err
		}
		if m.options.Feedback == 0 {
			continue
		}
		rtx := webrtc.RTPCodecParameters{PayloadType: codec.PayloadType + 1, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", codec.PayloadType),
		}}
		if err := engine.RegisterCodec(rtx, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, fmt.Errorf("registering codecs: %w", err)
		}
	}
	if err := register(webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	extensions := []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI}
	if m.options.Feedback > 0 {
		extensions = append(extensions, sdp.TransportCCURI)
		err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}, webrtc.RTPCodecTypeAudio)
		if err != nil {
			return nil, fmt.Errorf("registering header extensions: %w", err)
		}
	}
	for _, uri := range extensions {
		if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, fmt.Errorf("registering header extensions: %w", err)
		}
	}
	return engine, nil
}

// peer is a peer connection and the goroutines that read from it. It counts what comes.
type peer struct {
	pc        *webrtc.PeerConnection
	connected chan struct{} // closed when ICE and DTLS are up
	ended     chan struct{} // closed when the connection has failed or was closed
	readers   sync.WaitGroup

	video, audio, bytes atomic.Int64

	// incoming follows what comes, in measure; nil for publishers.
	incoming *incoming
	// answered tells that a check was answered, hurried that pion was told to look at that. A peer
	// may have several sockets.
	answered, hurried atomic.Bool
}

func (m *Media) newPeer(follow *incoming) (*peer, error) {
	p := &peer{connected: make(chan struct{}), ended: make(chan struct{}), incoming: follow}
	engine, err := m.engine()
	if err != nil {
		return nil, err
	}
	settings := m.settings
	settings.SetNet(&network{Net: m.net, options: &m.options, arrived: p.arrived, handled: p.handled})
	settings.DisableMediaEngineCopy(true) // it has its own
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	if p.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, fmt.Errorf("making a peer connection: %w", err)
	}
	var connected, ended sync.Once
	p.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			connected.Do(func() { close(p.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			ended.Do(func() { close(p.ended) })
		}
	})
	p.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		p.readers.Go(func() { p.read(track) })
	})
	return p, nil
}

// arrived sees each packet before pion does, and tells whether pion is to have it.
func (p *peer) arrived(packet []byte, at time.Time) bool {
	if len(packet) < 20 {
		return true
	}
	if packet[0] == 1 && packet[1] == 1 { // the response to a check (RFC 8489, section 5)
		p.answered.Store(true)
	}
	return p.incoming == nil || p.incoming.arrived(packet, at)
}

// hurry is a candidate that makes pion look at its checks at once: it does so whenever a candidate
// comes, and else every 200 ms only, where a browser uses a pair as soon as its check was answered.
// Nothing is sent to it, since there is no TCP.
var hurry = webrtc.ICECandidateInit{Candidate: "candidate:1 1 TCP 1 192.0.2.1 9 typ host tcptype passive"}

// handled is called when pion has taken the last packet.
func (p *peer) handled() {
	if p.answered.Load() && p.hurried.CompareAndSwap(false, true) {
		_ = p.pc.AddICECandidate(hurry) // without it, all goes well 200 ms later
	}
}

// local sets a local description and returns it with all candidates inside.
func (p *peer) local(ctx context.Context, description webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(description); err != nil {
		return "", fmt.Errorf("setting the local description: %w", err)
	}
	select {
	case <-gathered:
		return p.pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", fmt.Errorf("gathering candidates: %w", ctx.Err())
	}
}

// WaitConnected waits until ICE and DTLS are up.
func (p *peer) WaitConnected(ctx context.Context) error {
	select {
	case <-p.connected:
		return nil
	case <-p.ended:
		return errors.New("connecting: ICE or DTLS failed")
	case <-ctx.Done():
		return fmt.Errorf("connecting: %w", ctx.Err())
	}
}

// read counts the packets of a track.
func (p *peer) read(track *webrtc.TrackRemote) {
	video := track.Kind() == webrtc.RTPCodecTypeVideo
	counter := &p.audio
	if video {
		counter = &p.video
	}
	buffer := make([]byte, largestPacket)
	for {
		n, attributes, err := track.Read(buffer)
		if err != nil {
			return // the peer connection was closed
		}
		counter.Add(1)
		p.bytes.Add(int64(n))
		if p.incoming != nil {
			p.incoming.read(video, buffer[:n], attributes)
		}
	}
}

// VideoPackets is how many video packets came.
func (p *peer) VideoPackets() int64 { return p.video.Load() }

// AudioPackets is how many audio packets came.
func (p *peer) AudioPackets() int64 { return p.audio.Load() }

// Bytes is how many bytes of RTP came.
func (p *peer) Bytes() int64 { return p.bytes.Load() }

// Protocol is what packets go over, "udp" or "tcp"; "" before a candidate pair was selected.
func (p *peer) Protocol() string {
	pair, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return ""
	}
	return pair.Local.Protocol.String()
}

// AddCandidate takes what the server has said by iceCandidate.
func (p *peer) AddCandidate(said json.RawMessage) error {
	var candidate webrtc.ICECandidateInit
	if err := json.Unmarshal(said, &candidate); err != nil {
		return fmt.Errorf("reading iceCandidate: %w", err)
	}
	return p.pc.AddICECandidate(candidate)
}

// Reaches says whether a check was answered from a port of the server's.
func (p *peer) Reaches(port int32) bool {
	stats := p.pc.GetStats()
	for _, s := range stats {
		pair, is := s.(webrtc.ICECandidatePairStats)
		if !is || pair.State != webrtc.StatsICECandidatePairStateSucceeded {
			continue
		}
		if remote, is := stats[pair.RemoteCandidateID].(webrtc.ICECandidateStats); is && remote.Port == port {
			return true
		}
	}
	return false
}

// Ended is closed when the peer connection has failed, or was closed by either side.
func (p *peer) Ended() <-chan struct{} { return p.ended }

// closeTime bounds how long closing waits: an ICE agent of pion/ice v4.4.2 that is closed while it
// starts now and then never ends.
const closeTime = 10 * time.Second

// Close ends the peer connection and waits for its readers, at most closeTime. It tells the server
// nothing.
func (p *peer) Close() error {
	closed := make(chan error, 1)
	go func() {
		err := p.pc.Close()
		p.readers.Wait()
		closed <- err
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTime):
		return errors.New("closing the peer connection: it does not end")
	}
}
