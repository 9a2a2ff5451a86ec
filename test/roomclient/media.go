package roomclient

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Media makes peer connections without any interceptor, so that a process can hold many. It is safe for concurrent
// use.
type Media struct {
	api *webrtc.API
	// video is the codec that publishers prefer.
	video webrtc.RTPCodecCapability
}

// Video codecs that a Media may have. What is sent is VP8 by its form, whatever was negotiated: nobody decodes it.
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

// NewMedia returns peer connections with host candidates over UDP of IPv4 addresses. keep, unless nil, restricts the network interfaces;
// the loopback interface is used only when keep says so. video are the codecs of video by preference, VP8 when there is none.
func NewMedia(keep func(networkInterface string) bool, video ...webrtc.RTPCodecParameters) (*Media, error) {
	engine := &webrtc.MediaEngine{}
	if len(video) == 0 {
		video = []webrtc.RTPCodecParameters{VP8}
	}
	for _, codec := range video {
		if err := engine.RegisterCodec(codec, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, fmt.Errorf("registering codecs: %w", err)
		}
	}
	err := engine.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}, webrtc.RTPCodecTypeAudio)
	if err != nil {
		return nil, fmt.Errorf("registering codecs: %w", err)
	}
	settings := webrtc.SettingEngine{}
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if keep != nil {
		settings.SetInterfaceFilter(keep)
		settings.SetIncludeLoopbackCandidate(keep("lo"))
	}
	return &Media{api: webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})), video: video[0].RTPCodecCapability}, nil
}

// peer is a peer connection and the goroutines that read from it. It counts what comes.
type peer struct {
	pc        *webrtc.PeerConnection
	connected chan struct{} // closed when ICE and DTLS are up
	ended     chan struct{} // closed when the connection has failed or was closed
	readers   sync.WaitGroup

	video, audio, bytes atomic.Int64
}

func (m *Media) newPeer() (*peer, error) {
	pc, err := m.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("making a peer connection: %w", err)
	}
	p := &peer{pc: pc, connected: make(chan struct{}), ended: make(chan struct{})}
	var connected, ended sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			connected.Do(func() { close(p.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			ended.Do(func() { close(p.ended) })
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		p.readers.Go(func() { p.count(track) })
	})
	return p, nil
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

func (p *peer) count(track *webrtc.TrackRemote) {
	counter := &p.audio
	if track.Kind() == webrtc.RTPCodecTypeVideo {
		counter = &p.video
	}
	buffer := make([]byte, 1600)
	for {
		n, _, err := track.Read(buffer)
		if err != nil {
			return // the peer connection was closed
		}
		counter.Add(1)
		p.bytes.Add(int64(n))
	}
}

// VideoPackets is how many video packets came.
func (p *peer) VideoPackets() int64 { return p.video.Load() }

// AudioPackets is how many audio packets came.
func (p *peer) AudioPackets() int64 { return p.audio.Load() }

// Bytes is how many bytes of RTP came.
func (p *peer) Bytes() int64 { return p.bytes.Load() }

// Ended is closed when the peer connection has failed, or was closed by either side.
func (p *peer) Ended() <-chan struct{} { return p.ended }

// Close ends the peer connection and waits for its readers. It tells the server nothing.
func (p *peer) Close() error {
	err := p.pc.Close()
	p.readers.Wait()
	return err
}

// Stream says what a publisher sends. Zero values send no such media.
type Stream struct {
	// VideoFrameRate in frames per second, each of VideoPackets packets of VideoPacketBytes bytes of payload, sent
	// at once.
	VideoFrameRate, VideoPackets, VideoPacketBytes int
	// AudioPacketBytes is the payload of an Opus packet; 50 are sent a second.
	AudioPacketBytes int
	// VideoFirst puts the video's m-line before that of the audio.
	VideoFirst bool
	// Loopback asks the server for the stream itself; what comes is counted.
	Loopback bool
	// AudioMuted and VideoMuted announce the media as not active. They are sent all the same.
	AudioMuted, VideoMuted bool
	// TypeOfVideo is CAMERA when it is "".
	TypeOfVideo string
}

// Publisher is a published stream that a goroutine feeds until it is closed.
type Publisher struct {
	*peer
	// StreamID is what the server named it.
	StreamID string
	// Offer is its SDP, with all candidates inside.
	Offer string

	stream     Stream
	videoTrack *webrtc.TrackLocalStaticRTP
	audioTrack *webrtc.TrackLocalStaticRTP

	keyframe atomic.Bool // the next frame is a key frame
	requests atomic.Int64
	estimate atomic.Int64
	packets  atomic.Int64
	stop     chan struct{}
	stopOnce sync.Once
	sources  sync.WaitGroup
}

// Publish calls publishVideo, waits for the media path and starts to send.
func (c *Client) Publish(ctx context.Context, media *Media, stream Stream) (*Publisher, error) {
	p, err := media.NewPublisher(ctx, stream)
	if err != nil {
		return nil, err
	}
	if err := p.negotiate(ctx, c, "publishVideo", p.Parameters()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Republish gives a published stream another peer connection by reconnectStream, as a browser does whose media path was lost. What the
// stream had before is the caller's to close.
func (c *Client) Republish(ctx context.Context, media *Media, before *Publisher) (*Publisher, error) {
	p, err := media.NewPublisher(ctx, before.stream)
	if err != nil {
		return nil, err
	}
	params := map[string]any{"stream": before.StreamID, "sdpString": p.Offer}
	if err := p.negotiate(ctx, c, "reconnectStream", params); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// NewPublisher makes a peer connection for a stream, and its offer. The server knows nothing of it yet.
func (m *Media) NewPublisher(ctx context.Context, stream Stream) (*Publisher, error) {
	base, err := m.newPeer()
	if err != nil {
		return nil, err
	}
	p := &Publisher{peer: base, stream: stream, stop: make(chan struct{})}
	if err := p.makeOffer(ctx, m); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Publisher) makeOffer(ctx context.Context, m *Media) error {
	audio := func() (err error) {
		if p.stream.AudioPacketBytes > 0 {
			p.audioTrack, err = p.addTrack(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio")
		}
		return err
	}
	video := func() (err error) {
		if p.stream.VideoFrameRate > 0 {
			p.videoTrack, err = p.addTrack(m.video, "video")
		}
		return err
	}
	order := []func() error{audio, video}
	if p.stream.VideoFirst {
		order = []func() error{video, audio}
	}
	for _, add := range order {
		if err := add(); err != nil {
			return err
		}
	}
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("making an offer: %w", err)
	}
	p.Offer, err = p.local(ctx, offer)
	return err
}

// Parameters are those that openvidu-browser gives publishVideo for the stream.
func (p *Publisher) Parameters() map[string]any {
	params := map[string]any{
		"sdpOffer": p.Offer, "doLoopback": p.stream.Loopback, "hasAudio": p.audioTrack != nil, "hasVideo": p.videoTrack != nil, "frameRate": -1,
	}
	if p.audioTrack != nil {
		params["audioActive"] = !p.stream.AudioMuted
	}
	if p.videoTrack != nil {
		params["videoActive"], params["typeOfVideo"] = !p.stream.VideoMuted, cmp.Or(p.stream.TypeOfVideo, "CAMERA")
		params["videoDimensions"] = `{"width":640,"height":480}`
	}
	return params
}

func (p *Publisher) negotiate(ctx context.Context, c *Client, method string, params map[string]any) error {
	var result struct {
		SDPAnswer string `json:"sdpAnswer"`
		ID        string `json:"id"`
	}
	if err := c.Call(ctx, method, params, &result); err != nil {
		return err
	}
	p.StreamID = result.ID
	return p.Start(ctx, result.SDPAnswer)
}

// Start takes the server's answer, waits for the media path and starts to send.
func (p *Publisher) Start(ctx context.Context, answer string) error {
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("taking the answer: %w", err)
	}
	if err := p.WaitConnected(ctx); err != nil {
		return err
	}
	if p.videoTrack != nil {
		p.sources.Go(func() { p.sendVideo(p.videoTrack, p.stream) })
	}
	if p.audioTrack != nil {
		p.sources.Go(func() { p.sendAudio(p.audioTrack, p.stream) })
	}
	return nil
}

func (p *Publisher) addTrack(codec webrtc.RTPCodecCapability, id string) (*webrtc.TrackLocalStaticRTP, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(codec, id, "stream")
	if err != nil {
		return nil, fmt.Errorf("making a track: %w", err)
	}
	direction := webrtc.RTPTransceiverDirectionSendonly
	if p.stream.Loopback {
		direction = webrtc.RTPTransceiverDirectionSendrecv
	}
	transceiver, err := p.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: direction})
	if err != nil {
		return nil, fmt.Errorf("adding a track: %w", err)
	}
	p.readers.Go(func() {
		for {
			packets, _, err := transceiver.Sender().ReadRTCP()
			if err != nil {
				return // the peer connection was closed
			}
			for _, packet := range packets {
				switch packet := packet.(type) {
				case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
					p.requests.Add(1)
					p.keyframe.Store(true)
				case *rtcp.ReceiverEstimatedMaximumBitrate:
					p.estimate.Store(int64(packet.Bitrate))
				}
			}
		}
	})
	return track, nil
}

// vp8 payload: a descriptor with a 15-bit picture id (RFC 7741 4.2), and for the first packet of a key frame its header
// (RFC 6386 9.1). The rest is no picture; nobody decodes it.
func vp8Payload(size int, picture uint16, first, key bool) []byte {
	payload := make([]byte, size)
	payload[0] = 0x80 // X: the extension follows
	if first {
		payload[0] |= 0x10 // S: start of a partition
	}
	payload[1] = 0x80 // I: the picture id follows
	binary.BigEndian.PutUint16(payload[2:], picture|0x8000)
	if first {
		header := payload[4:]
		header[0] = 0x11 // an inter frame that is shown
		if key {
			copy(header, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 640 & 0xff, 640 >> 8, 480 & 0xff, 480 >> 8})
		}
	}
	return payload
}

func (p *Publisher) sendVideo(track *webrtc.TrackLocalStaticRTP, stream Stream) {
	var sequence, picture uint16
	var timestamp uint32
	p.keyframe.Store(true)
	tick := time.NewTicker(time.Second / time.Duration(stream.VideoFrameRate))
	defer tick.Stop()
	for {
		key := p.keyframe.Swap(false)
		for i := range stream.VideoPackets {
			packet := &rtp.Packet{
				Header: rtp.Header{
					Version: 2, SequenceNumber: sequence, Timestamp: timestamp, Marker: i == stream.VideoPackets-1,
				},
				Payload: vp8Payload(stream.VideoPacketBytes, picture&0x7fff, i == 0, key),
			}
			if track.WriteRTP(packet) != nil {
				return // the peer connection was closed
			}
			p.packets.Add(1)
			sequence++
		}
		picture++
		timestamp += uint32(90000 / stream.VideoFrameRate)
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

func (p *Publisher) sendAudio(track *webrtc.TrackLocalStaticRTP, stream Stream) {
	var sequence uint16
	var timestamp uint32
	payload := make([]byte, stream.AudioPacketBytes)
	payload[0] = 0xfc // a CELT frame of 20 ms, stereo (RFC 6716 3.1)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		packet := &rtp.Packet{
			Header: rtp.Header{Version: 2, SequenceNumber: sequence, Timestamp: timestamp}, Payload: payload,
		}
		if track.WriteRTP(packet) != nil {
			return // the peer connection was closed
		}
		p.packets.Add(1)
		sequence++
		timestamp += 960
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

// Packets is how many were sent.
func (p *Publisher) Packets() int64 { return p.packets.Load() }

// KeyframeRequests is how often the server asked for a key frame.
func (p *Publisher) KeyframeRequests() int64 { return p.requests.Load() }

// Bitrate is the most that the server last said it would take (REMB), in bits per second; 0 when it said nothing.
func (p *Publisher) Bitrate() int64 { return p.estimate.Load() }

// Close stops sending and ends the peer connection. It is idempotent. The server is told nothing.
func (p *Publisher) Close() error {
	p.stopOnce.Do(func() { close(p.stop) })
	err := p.peer.Close()
	p.sources.Wait()
	return err
}

// Subscriber receives one stream and counts what comes.
type Subscriber struct {
	*peer
}

// Subscribe calls prepareReceiveVideoFrom and receiveVideoFrom and waits for the media path.
func (c *Client) Subscribe(ctx context.Context, media *Media, streamID string) (*Subscriber, error) {
	return c.subscribe(ctx, media, streamID, false)
}

// Resubscribe receives a stream by another peer connection with reconnectStream, as a browser does whose media path was lost. What it was
// received by before is the caller's to close.
func (c *Client) Resubscribe(ctx context.Context, media *Media, streamID string) (*Subscriber, error) {
	return c.subscribe(ctx, media, streamID, true)
}

func (c *Client) subscribe(ctx context.Context, media *Media, streamID string, again bool) (*Subscriber, error) {
	s, err := media.NewSubscriber()
	if err != nil {
		return nil, err
	}
	if err := s.negotiate(ctx, c, streamID, again); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// NewSubscriber makes a peer connection to receive with. The server knows nothing of it yet.
func (m *Media) NewSubscriber() (*Subscriber, error) {
	base, err := m.newPeer()
	if err != nil {
		return nil, err
	}
	return &Subscriber{peer: base}, nil
}

func (s *Subscriber) negotiate(ctx context.Context, c *Client, streamID string, again bool) error {
	var prepared struct {
		SDPOffer string `json:"sdpOffer"`
	}
	err := c.Call(ctx, "prepareReceiveVideoFrom", map[string]any{"sender": streamID, "reconnect": again}, &prepared)
	if err != nil {
		return err
	}
	sdp, err := s.Answer(ctx, prepared.SDPOffer)
	if err != nil {
		return err
	}
	if again {
		err = c.Call(ctx, "reconnectStream", map[string]any{"stream": streamID, "sdpString": sdp, "forciblyReconnect": false}, nil)
	} else {
		err = c.Call(ctx, "receiveVideoFrom", map[string]any{"sender": streamID, "sdpAnswer": sdp}, nil)
	}
	if err != nil {
		return err
	}
	return s.WaitConnected(ctx)
}

// Answer takes the server's offer and returns the answer to it, with all candidates inside.
func (s *Subscriber) Answer(ctx context.Context, offer string) (string, error) {
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("taking the offer: %w", err)
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("making an answer: %w", err)
	}
	return s.local(ctx, answer)
}
