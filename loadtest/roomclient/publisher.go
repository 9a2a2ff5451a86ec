package roomclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Layer is a video stream of a publisher: one of several of the same picture with simulcast, else
// the only one.
type Layer struct {
	// RID names the layer when there are several.
	RID string
	// Width and Height of the picture, which key frames of VP8 tell; 640 x 480 when 0.
	Width, Height int
	// Packets of PacketBytes of payload make each frame, unless Kbps is set. PacketBytes is at
	// least 42.
	Packets, PacketBytes int
	// Kbps is the bitrate of frames of sizes as an encoder makes them: they vary, and key frames
	// are several times larger. Each is cut into packets of nearly equal size.
	Kbps int
}

// Fixed is the one layer of video whose frames all have the same number of packets of the same
// size.
func Fixed(packets, packetBytes int) []Layer {
	return []Layer{{Packets: packets, PacketBytes: packetBytes}}
}

// Stream says what a publisher sends. Zero values send no such media.
type Stream struct {
	// VideoFrameRate in frames per second; the packets of a frame are sent at once.
	VideoFrameRate int
	// Video are the layers, from low to high; none is no video.
	Video []Layer
	// TemporalLayers of VP8, from 1 to 3; 0 is 1.
	TemporalLayers int
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

// Publisher is a published stream that goroutines feed until it is closed.
type Publisher struct {
	*peer
	// StreamID is what the server named it.
	StreamID string
	// Offer is its SDP, with all candidates inside.
	Offer string

	stream Stream
	codec  webrtc.RTPCodecCapability
	video  []*encoding
	audio  *encoding // nil without

	transport atomic.Uint32 // the next transport-wide sequence number
	requests  atomic.Int64
	estimate  atomic.Int64
	stop      chan struct{}
	stopOnce  sync.Once
	sources   sync.WaitGroup
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

// Republish gives a published stream another peer connection by reconnectStream, as a browser does
// whose media path was lost. What the stream had before is the caller's to close.
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

// NewPublisher makes a peer connection for a stream, and its offer. The server knows nothing of it
// yet.
func (m *Media) NewPublisher(ctx context.Context, stream Stream) (*Publisher, error) {
	base, err := m.newPeer(nil)
	if err != nil {
		return nil, err
	}
	p := &Publisher{peer: base, stream: stream, codec: m.options.Video[0].RTPCodecCapability, stop: make(chan struct{})}
	if err := p.makeOffer(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Publisher) makeOffer(ctx context.Context) error {
	audio := func() error {
		if p.stream.AudioPacketBytes == 0 {
			return nil
		}
		p.audio = newEncoding(p, webrtc.RTPCodecTypeAudio, 0, Layer{})
		return p.addTracks(p.audio)
	}
	video := func() error {
		for rank, layer := range p.stream.Video {
			p.video = append(p.video, newEncoding(p, webrtc.RTPCodecTypeVideo, rank, layer))
		}
		return p.addTracks(p.video...)
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

// addTracks adds the encodings of one m-line.
func (p *Publisher) addTracks(encodings ...*encoding) error {
	if len(encodings) == 0 {
		return nil
	}
	direction := webrtc.RTPTransceiverDirectionSendonly
	if p.stream.Loopback {
		direction = webrtc.RTPTransceiverDirectionSendrecv
	}
	transceiver, err := p.pc.AddTransceiverFromTrack(encodings[0], webrtc.RTPTransceiverInit{Direction: direction})
	if err != nil {
		return fmt.Errorf("adding a track: %w", err)
	}
	for _, other := range encodings[1:] {
		if err := transceiver.Sender().AddEncoding(other); err != nil {
			return fmt.Errorf("adding a layer: %w", err)
		}
	}
	for _, e := range encodings {
		e.transceiver = transceiver
		p.readers.Go(func() {
			for {
				packets, err := e.readRTCP(transceiver.Sender())
				if err != nil {
					return // the peer connection was closed
				}
				p.control(e, packets)
			}
		})
	}
	return nil
}

// control takes what the server says of an encoding.
func (p *Publisher) control(e *encoding, packets []rtcp.Packet) {
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.PictureLossIndication:
			if e.is(packet.MediaSSRC) {
				p.requests.Add(1)
				e.keyframe.Store(true)
			}
		case *rtcp.FullIntraRequest:
			p.requests.Add(1)
			e.keyframe.Store(true)
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			p.estimate.Store(int64(packet.Bitrate))
		case *rtcp.TransportLayerNack:
			if !e.is(packet.MediaSSRC) {
				continue
			}
			for i := range packet.Nacks {
				packet.Nacks[i].Range(func(sequence uint16) bool { e.resend(sequence); return true })
			}
		}
	}
}

// Parameters are those that openvidu-browser gives publishVideo for the stream.
func (p *Publisher) Parameters() map[string]any {
	params := map[string]any{
		"sdpOffer": p.Offer, "doLoopback": p.stream.Loopback, "hasAudio": p.audio != nil, "hasVideo": p.video != nil, "frameRate": -1,
	}
	if p.audio != nil {
		params["audioActive"] = !p.stream.AudioMuted
	}
	if p.video != nil {
		params["videoActive"], params["typeOfVideo"] = !p.stream.VideoMuted, cmp.Or(p.stream.TypeOfVideo, "CAMERA")
		best := p.video[len(p.video)-1]
		params["videoDimensions"] = fmt.Sprintf(`{"width":%d,"height":%d}`, best.width(), best.height())
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
	if len(p.video) > 0 {
		p.sources.Go(p.sendVideo)
	}
	if p.audio != nil {
		p.sources.Go(p.sendAudio)
	}
	return nil
}

// Packets is how many were sent.
func (p *Publisher) Packets() int64 {
	var sum int64
	for _, s := range p.Sent() {
		sum += s.Packets
	}
	return sum
}

// Sent is what was sent of one encoding so far.
type Sent struct {
	// RID is that of the layer, "" when there is only one, and "audio" for audio.
	RID string
	// Packets and Bytes of payload, without what was sent again; Keyframes among the frames.
	Packets, Bytes, Keyframes int64
	// NACKs counts packets that the server asked for, Repaired those that were sent again.
	NACKs, Repaired int64
}

// Sent is what was sent so far, of each layer from low to high and then of the audio.
func (p *Publisher) Sent() []Sent {
	var all []Sent
	for _, e := range p.video {
		all = append(all, e.sent())
	}
	if p.audio != nil {
		s := p.audio.sent()
		s.RID = "audio"
		all = append(all, s)
	}
	return all
}

// KeyframeRequests is how often the server asked for a key frame.
func (p *Publisher) KeyframeRequests() int64 { return p.requests.Load() }

// Bitrate is the most that the server last said it would take (REMB), in bits per second; 0 when it
// said nothing.
func (p *Publisher) Bitrate() int64 { return p.estimate.Load() }

// Close stops sending and ends the peer connection. It is idempotent. The server is told nothing.
func (p *Publisher) Close() error {
	p.stopOnce.Do(func() { close(p.stop) })
	err := p.peer.Close()
	p.sources.Wait()
	return err
}
