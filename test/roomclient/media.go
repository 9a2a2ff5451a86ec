package roomclient

import (
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
}

// NewMedia returns peer connections with host candidates over UDP of IPv4 addresses. keep, unless nil, restricts the network interfaces;
// the loopback interface is used only when keep says so.
func NewMedia(keep func(networkInterface string) bool) (*Media, error) {
	engine := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	codecs := []struct {
		kind  webrtc.RTPCodecType
		codec webrtc.RTPCodecParameters
	}{
		{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback,
		}}},
		{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		}}},
	}
	for _, c := range codecs {
		if err := engine.RegisterCodec(c.codec, c.kind); err != nil {
			return nil, fmt.Errorf("registering codecs: %w", err)
		}
	}
	settings := webrtc.SettingEngine{}
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if keep != nil {
		settings.SetInterfaceFilter(keep)
		settings.SetIncludeLoopbackCandidate(keep("lo"))
	}
	return &Media{api: webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))}, nil
}

// peer is a peer connection and the goroutines that read from it.
type peer struct {
	pc        *webrtc.PeerConnection
	connected chan struct{} // closed when ICE and DTLS are up
	ended     chan struct{} // closed when the connection has failed or was closed
	readers   sync.WaitGroup
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

func (p *peer) waitConnected(ctx context.Context) error {
	select {
	case <-p.connected:
		return nil
	case <-p.ended:
		return errors.New("connecting: ICE or DTLS failed")
	case <-ctx.Done():
		return fmt.Errorf("connecting: %w", ctx.Err())
	}
}

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
}

// Publisher is a published stream that a goroutine feeds until it is closed.
type Publisher struct {
	*peer
	// StreamID is what the server named it.
	StreamID string

	keyframe atomic.Bool // the next frame is a key frame
	requests atomic.Int64
	packets  atomic.Int64
	stop     chan struct{}
	stopOnce sync.Once
	sources  sync.WaitGroup
}

// Publish calls publishVideo, waits for the media path and starts to send.
func (c *Client) Publish(ctx context.Context, media *Media, stream Stream) (*Publisher, error) {
	base, err := media.newPeer()
	if err != nil {
		return nil, err
	}
	p := &Publisher{peer: base, stop: make(chan struct{})}
	if err := p.start(ctx, c, stream); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Publisher) start(ctx context.Context, c *Client, stream Stream) error {
	var video, audio *webrtc.TrackLocalStaticRTP
	var err error
	if stream.AudioPacketBytes > 0 {
		if audio, err = p.addTrack(webrtc.MimeTypeOpus, "audio"); err != nil {
			return err
		}
	}
	if stream.VideoFrameRate > 0 {
		if video, err = p.addTrack(webrtc.MimeTypeVP8, "video"); err != nil {
			return err
		}
	}
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("making an offer: %w", err)
	}
	sdp, err := p.local(ctx, offer)
	if err != nil {
		return err
	}
	params := map[string]any{
		"sdpOffer": sdp, "doLoopback": false, "hasAudio": audio != nil, "hasVideo": video != nil, "frameRate": -1,
	}
	if audio != nil {
		params["audioActive"] = true
	}
	if video != nil {
		params["videoActive"], params["typeOfVideo"] = true, "CAMERA"
		params["videoDimensions"] = `{"width":640,"height":480}`
	}
	var result struct {
		SDPAnswer string `json:"sdpAnswer"`
		ID        string `json:"id"`
	}
	if err := c.Call(ctx, "publishVideo", params, &result); err != nil {
		return err
	}
	p.StreamID = result.ID
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: result.SDPAnswer}
	if err := p.pc.SetRemoteDescription(answer); err != nil {
		return fmt.Errorf("taking the answer: %w", err)
	}
	if err := p.waitConnected(ctx); err != nil {
		return err
	}
	if video != nil {
		p.sources.Go(func() { p.sendVideo(video, stream) })
	}
	if audio != nil {
		p.sources.Go(func() { p.sendAudio(audio, stream) })
	}
	return nil
}

func (p *Publisher) addTrack(mime, id string) (*webrtc.TrackLocalStaticRTP, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, id, "stream")
	if err != nil {
		return nil, fmt.Errorf("making a track: %w", err)
	}
	transceiver, err := p.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	})
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
				switch packet.(type) {
				case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
					p.requests.Add(1)
					p.keyframe.Store(true)
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

	video, audio, bytes atomic.Int64
}

// Subscribe calls prepareReceiveVideoFrom and receiveVideoFrom and waits for the media path.
func (c *Client) Subscribe(ctx context.Context, media *Media, streamID string) (*Subscriber, error) {
	base, err := media.newPeer()
	if err != nil {
		return nil, err
	}
	s := &Subscriber{peer: base}
	if err := s.start(ctx, c, streamID); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Subscriber) start(ctx context.Context, c *Client, streamID string) error {
	s.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		s.readers.Go(func() { s.count(track) })
	})
	var prepared struct {
		SDPOffer string `json:"sdpOffer"`
	}
	err := c.Call(ctx, "prepareReceiveVideoFrom", map[string]any{"sender": streamID, "reconnect": false}, &prepared)
	if err != nil {
		return err
	}
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: prepared.SDPOffer}
	if err := s.pc.SetRemoteDescription(offer); err != nil {
		return fmt.Errorf("taking the offer: %w", err)
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("making an answer: %w", err)
	}
	sdp, err := s.local(ctx, answer)
	if err != nil {
		return err
	}
	if err := c.Call(ctx, "receiveVideoFrom", map[string]any{"sender": streamID, "sdpAnswer": sdp}, nil); err != nil {
		return err
	}
	return s.waitConnected(ctx)
}

func (s *Subscriber) count(track *webrtc.TrackRemote) {
	counter := &s.audio
	if track.Kind() == webrtc.RTPCodecTypeVideo {
		counter = &s.video
	}
	buffer := make([]byte, 1600)
	for {
		n, _, err := track.Read(buffer)
		if err != nil {
			return // the peer connection was closed
		}
		counter.Add(1)
		s.bytes.Add(int64(n))
	}
}

// VideoPackets is how many video packets came.
func (s *Subscriber) VideoPackets() int64 { return s.video.Load() }

// AudioPackets is how many audio packets came.
func (s *Subscriber) AudioPackets() int64 { return s.audio.Load() }

// Bytes is how many bytes of RTP came.
func (s *Subscriber) Bytes() int64 { return s.bytes.Load() }
