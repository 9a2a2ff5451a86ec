package peer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// Publication implements media.Publication: the stream, the publisher's current connection, and the subscriptions.
type Publication struct {
	engine  *Engine
	options media.PublicationOptions
	logger  logr.Logger
	stream  *sfu.Publisher

	negotiating sync.Mutex // one answer at a time

	mu            sync.Mutex // guards the fields below
	ingest        *ingest    // nil until the first answer
	video         *codec     // what the publisher was answered; nil until then, and without video
	subscriptions map[*Subscription]struct{}
	closed        bool
}

var _ media.Publication = (*Publication)(nil)

// Answer implements media.Publication.
func (p *Publication) Answer(ctx context.Context, offer string) (string, error) {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	preferred := ""
	p.mu.Lock()
	if p.video != nil {
		preferred = p.video.name
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return "", fmt.Errorf("answering publisher: %w", media.ErrPublicationClosed)
	}
	d, err := readOffer(offer, p.options.ForcedVideoCodec, preferred)
	if err != nil {
		return "", fmt.Errorf("answering publisher: %w", err)
	}
	in, answer, err := p.accept(ctx, d)
	if err != nil {
		return "", fmt.Errorf("answering publisher: %w", err)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		in.conn.close()
		return "", fmt.Errorf("answering publisher: %w", media.ErrPublicationClosed)
	}
	old := p.ingest
	p.ingest = in
	if line := d.line(sfu.Video); line != nil {
		video := line.codecs[0]
		p.video = &video
	}
	p.mu.Unlock()
	in.conn.negotiated()
	if old != nil {
		old.conn.close()
	}
	return answer, nil
}

// accept makes the connection for an offer.
func (p *Publication) accept(ctx context.Context, d *description) (*ingest, string, error) {
	in := &ingest{publication: p}
	var codecs []codec
	for _, line := range d.media {
		codecs = append(codecs, line.codecs...)
	}
	var err error
	in.conn, err = p.engine.newConn(receiving, codecs, p.logger.WithValues("direction", "publish"), connEvents{
		connected: in.connected, ended: in.ended, repair: in.repair,
	})
	if err != nil {
		return nil, "", err
	}
	answer, err := in.answer(ctx, d)
	if err != nil {
		in.conn.close()
		return nil, "", err
	}
	return in, answer, nil
}

// AddICECandidate implements media.Publication.
func (p *Publication) AddICECandidate(candidate media.ICECandidate) error {
	return checkCandidate(candidate)
}

// Reception implements media.Publication.
func (p *Publication) Reception() (media.Reception, bool) {
	return media.Reception{}, false
}

// Close implements media.Publication.
func (p *Publication) Close() error {
	p.mu.Lock()
	p.closed = true
	in := p.ingest
	subscriptions := make([]*Subscription, 0, len(p.subscriptions))
	for s := range p.subscriptions {
		subscriptions = append(subscriptions, s)
	}
	p.mu.Unlock()
	p.stream.Close()
	var closing sync.WaitGroup
	for _, s := range subscriptions {
		closing.Go(func() { _ = s.Close() })
	}
	if in != nil {
		closing.Go(in.conn.close)
	}
	closing.Wait()
	p.engine.remove(p)
	return nil
}

// kinds are those that subscribers are offered, audio first (openvidu-rpc 4.7).
func (p *Publication) kinds() []sfu.Kind {
	var kinds []sfu.Kind
	if p.options.HasAudio {
		kinds = append(kinds, sfu.Audio)
	}
	if p.options.HasVideo {
		kinds = append(kinds, sfu.Video)
	}
	return kinds
}

// offered are the codecs that a subscriber is offered: for video the one that the publisher was answered, or else all
// that it may come to send.
func (p *Publication) offered() []codec {
	p.mu.Lock()
	video := p.video
	p.mu.Unlock()
	codecs := []codec{opus}
	if video != nil {
		return append(codecs, video.offered())
	}
	for _, c := range videoCodecs {
		if forced := p.options.ForcedVideoCodec; forced == "" || forced == c.name {
			codecs = append(codecs, c)
		}
	}
	return codecs
}

// decodable reports whether a subscriber that answered so can decode what the publisher sends, as far as that is known.
func (p *Publication) decodable(d *description) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := d.line(sfu.Video)
	return p.video == nil || line == nil ||
		slices.ContainsFunc(line.codecs, func(c codec) bool { return c.name == p.video.name })
}

// ingest is one connection of a publisher.
type ingest struct {
	publication *Publication
	conn        *conn
	video       atomic.Pointer[sfu.Layer] // nil until its first packet
	loopback    *egress                   // nil without; set before the connection starts
}

func (in *ingest) answer(ctx context.Context, d *description) (string, error) {
	pc := in.conn.pc
	pc.OnTrack(in.onTrack)
	if err := in.conn.setRemote(webrtc.SDPTypeOffer, d); err != nil {
		return "", err
	}
	if in.publication.options.Loopback {
		if err := in.loop(d); err != nil {
			return "", err
		}
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", media.ErrSDP, err)
	}
	return in.conn.setLocal(ctx, answer, publisherBitrates(in.publication.options.MaxVideoKbps))
}

// loop sends the publisher its own media back, on the m-lines on which it wants to receive.
func (in *ingest) loop(d *description) error {
	var err error
	in.loopback, err = newEgress(in.conn, in.publication.stream, 0)
	if err != nil {
		return err
	}
	for _, line := range d.media {
		if !line.receives {
			continue
		}
		sender, err := in.conn.pc.AddTrack(&outgoing{egress: in.loopback, kind: line.kind})
		if err != nil {
			return fmt.Errorf("adding loopback: %w", err)
		}
		in.loopback.readRTCP(sender)
	}
	return nil
}

func (in *ingest) connected() {
	if in.loopback != nil {
		in.loopback.start()
	}
}

// onTrack feeds a layer with what comes in, until the connection closes.
func (in *ingest) onTrack(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	parameters := remote.Codec()
	c := codec{name: supportedVideo(webrtcName(parameters), parameters.SDPFmtpLine)}
	if remote.Kind() == webrtc.RTPCodecTypeAudio {
		c = opus
	}
	if c.name == "" {
		return // a retransmission stream that nothing declared
	}
	layer, err := in.publication.stream.Track(c.kind()).Publish(sfu.LayerConfig{
		SSRC:        uint32(remote.SSRC()),
		PayloadType: uint8(parameters.PayloadType),
		Codec:       sfu.Codec{Name: c.name, ClockRate: c.clockRate()},
		Feedback:    in.conn.pc,
	}, time.Now())
	if err != nil {
		return // the publication has ended
	}
	if c.kind() == sfu.Video {
		in.video.Store(layer)
	}
	in.conn.logger.V(1).Info("Track arrives", "kind", remote.Kind().String(), "codec", c.name)
	in.conn.run(func() { readPackets(remote, layer) })
	in.conn.run(func() { readReports(remote, receiver, layer) })
}

func readPackets(remote *webrtc.TrackRemote, layer *sfu.Layer) {
	buffer := make([]byte, 1500)
	for {
		n, _, err := remote.Read(buffer)
		if err != nil {
			return
		}
		_ = layer.Write(buffer[:n], time.Now()) // what is malformed is the publisher's loss
	}
}

func readReports(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver, layer *sfu.Layer) {
	buffer := make([]byte, 1500)
	for {
		n, _, err := receiver.ReadSimulcast(buffer, remote.RID())
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buffer[:n])
		if err != nil {
			continue
		}
		for _, packet := range packets {
			if sr, ok := packet.(*rtcp.SenderReport); ok && sr.SSRC == uint32(remote.SSRC()) {
				layer.SenderReport(sr, time.Now())
			}
		}
	}
}

// repair takes a packet of the retransmission stream.
func (in *ingest) repair(packet []byte) {
	if layer := in.video.Load(); layer != nil {
		_ = layer.WriteRepair(packet, time.Now()) // what is malformed is the publisher's loss
	}
}

func (in *ingest) ended() {
	if in.loopback != nil {
		in.loopback.subscriber.Close()
	}
}
