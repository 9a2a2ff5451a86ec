package peer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// ingest is one connection of a publisher.
type ingest struct {
	publication *Publication
	conn        *conn
	loopback    *egress  // nil without; set before the connection starts
	rids        []string // of the simulcast layers of the video, from low to high; nil without simulcast

	mu     sync.Mutex // guards the fields below
	feeds  map[sfu.Kind]*sfu.Feed
	layers map[uint32]*sfu.Layer // by SSRC
	video  map[string]*sfu.Layer // by rid, "" without simulcast
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
	in.loopback, err = newEgress(in.conn, in.publication.stream)
	if err != nil {
		return err
	}
	for _, line := range d.media {
		if !line.receives {
			continue
		}
		if _, err := in.conn.pc.AddTrack(&outgoing{egress: in.loopback, kind: line.kind}); err != nil {
			return fmt.Errorf("adding loopback: %w", err)
		}
	}
	return nil
}

func (in *ingest) connected() {
	if in.loopback != nil {
		in.loopback.start()
	}
}

// onTrack attaches a layer to a stream of which pion has found out what it is.
func (in *ingest) onTrack(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	parameters := remote.Codec()
	c := codec{name: supportedVideo(webrtcName(parameters), parameters.SDPFmtpLine)}
	if remote.Kind() == webrtc.RTPCodecTypeAudio {
		c = opus
	}
	if c.name == "" {
		in.conn.incoming.attach(remote.SSRC(), ignore, true)
		return // a retransmission stream that nothing declared
	}
	layer, err := in.publish(c.kind(), remote.RID(), sfu.LayerConfig{
		SSRC:        uint32(remote.SSRC()),
		PayloadType: uint8(parameters.PayloadType),
		Codec:       sfu.Codec{Name: c.name, ClockRate: c.clockRate()},
		AudioLevel:  audioLevel(receiver.GetParameters()),
		Feedback:    in.conn.pc,
	})
	if err != nil {
		in.conn.incoming.attach(remote.SSRC(), ignore, true)
		return // the publication has ended, or it has layers enough
	}
	in.conn.life.logger.V(1).Info("Track arrives", "kind", remote.Kind().String(), "codec", c.name, "layer", remote.RID())
	in.conn.incoming.attach(remote.SSRC(), layer.WriteBurst, c.kind() == sfu.Audio)
	if rtx := remote.RtxSSRC(); rtx != 0 { // declared; with simulcast its packets tell
		in.conn.incoming.attach(rtx, in.repairs(remote.RID()), true)
	}
}

// audioLevel returns the number of the header extension for the level of the sound (RFC 6464), 0 when it was not negotiated.
func audioLevel(parameters webrtc.RTPParameters) uint8 {
	for _, extension := range parameters.HeaderExtensions {
		if extension.URI == sdp.AudioLevelURI {
			return uint8(extension.ID)
		}
	}
	return 0
}

// publish adds a layer to the feed of its kind.
func (in *ingest) publish(kind sfu.Kind, rid string, config sfu.LayerConfig) (*sfu.Layer, error) {
	config.Rank = max(slices.Index(in.rids, rid), 0)
	in.mu.Lock()
	defer in.mu.Unlock()
	feed := in.feeds[kind]
	if feed == nil {
		feed = in.publication.stream.Track(kind).NewFeed()
		in.feeds[kind] = feed
	}
	layer, err := feed.Publish(config, time.Now())
	if err != nil {
		return nil, err
	}
	in.layers[config.SSRC] = layer
	if kind == sfu.Video {
		in.video[rid] = layer
	}
	return layer, nil
}

// control takes RTCP.
func (in *ingest) control(packets []rtcp.Packet) {
	now := time.Now()
	for _, packet := range packets {
		if sr, ok := packet.(*rtcp.SenderReport); ok {
			in.mu.Lock()
			layer := in.layers[sr.SSRC]
			in.mu.Unlock()
			if layer != nil {
				layer.SenderReport(sr, now)
			}
		}
	}
	in.publication.stream.HandleRTCP(packets, now)
	if in.loopback != nil {
		in.loopback.subscriber.HandleRTCP(packets, now)
	}
}

// feedback takes transport-wide feedback on what is sent back.
func (in *ingest) feedback(raw []byte) {
	if in.loopback != nil {
		in.loopback.subscriber.HandleFeedback(raw, time.Now())
	}
}

// repairs returns who takes the retransmissions (RFC 4588) of the layer with the given rid.
func (in *ingest) repairs(rid string) taker {
	return func(packets [][]byte, at time.Time) {
		in.mu.Lock()
		layer := in.video[rid]
		in.mu.Unlock()
		if layer == nil {
			return
		}
		for _, packet := range packets {
			_ = layer.WriteRepair(packet, at) // what is malformed is the publisher's loss
		}
	}
}

func (in *ingest) ended() {
	if in.loopback != nil {
		in.loopback.subscriber.Close()
	}
}
