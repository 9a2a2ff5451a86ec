package peer

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// TapSink takes what a publication brings, on this machine. It is called concurrently, by the
// goroutines that read what peers send, so it must not block. It must not keep packets.
type TapSink interface {
	// WriteRTP takes packets of one kind, in the order in which they came. The codec is that of all
	// of them, by its SDP encoding name.
	WriteRTP(kind sfu.Kind, codec string, packets []sfu.Outgoing)
	// SenderReport takes a pair of the sender's clock, as NTP time, and of a kind's timestamps.
	SenderReport(kind sfu.Kind, ntp uint64, timestamp uint32)
}

// Tap is a receiver of a publication that is no peer: a subscriber without a connection. It gets
// the best layer of the video. Its methods are safe for concurrent use.
type Tap struct {
	subscriber *sfu.Subscriber
	ssrcs      map[sfu.Kind]uint32
}

// Tap begins to give a sink what the publication brings, of each kind that subscribers are offered.
// It begins with a key frame, which is asked for. It fails when the publication has ended.
func (p *Publication) Tap(sink TapSink) (*Tap, error) {
	t := &Tap{ssrcs: map[sfu.Kind]uint32{}}
	for _, kind := range p.kinds() {
		t.ssrcs[kind] = rand.Uint32()&^1 | uint32(kind) // so that they differ
	}
	var err error
	if t.subscriber, err = p.stream.Subscribe(tapControl{t, sink}); err != nil {
		return nil, fmt.Errorf("tapping a publication: %w", err)
	}
	for kind, ssrc := range t.ssrcs {
		config := sfu.ForwarderConfig{
			SSRC: ssrc, ClockRate: opus.clockRate(), Writer: tapWriter{kind, sink}, Codecs: tapCodecs,
		}
		if kind == sfu.Video {
			config.ClockRate = videoCodecs[0].clockRate()
		}
		if err := t.subscriber.Forward(kind, config, time.Now()); err != nil {
			t.Close()
			return nil, fmt.Errorf("tapping a publication: %w", err)
		}
	}
	return t, nil
}

// RequestKeyframe asks the publisher for a key frame, unless it was asked a short while ago.
func (t *Tap) RequestKeyframe() {
	pli := &rtcp.PictureLossIndication{MediaSSRC: t.ssrcs[sfu.Video]}
	t.subscriber.HandleRTCP([]rtcp.Packet{pli}, time.Now())
}

// Close ends the tap. It is idempotent. The sink may be called for a moment after it has returned.
func (t *Tap) Close() { t.subscriber.Close() }

// tapCodecs number all codecs that publishers send.
var tapCodecs = func() map[string]sfu.PayloadTypes {
	types := map[string]sfu.PayloadTypes{opus.name: {Media: opus.payload}}
	for _, c := range videoCodecs {
		if _, known := types[c.name]; !known {
			types[c.name] = sfu.PayloadTypes{Media: c.payload}
		}
	}
	return types
}()

// tapName returns the codec that a number of tapCodecs is of.
func tapName(payload uint8) string {
	for name, types := range tapCodecs {
		if types.Media == payload {
			return name
		}
	}
	return ""
}

// tapWriter is the way to a sink for one kind.
type tapWriter struct {
	kind sfu.Kind
	sink TapSink
}

// WriteRTP implements sfu.PacketWriter. The packets of one call are of one layer.
func (w tapWriter) WriteRTP(packets []sfu.Outgoing) int {
	w.sink.WriteRTP(w.kind, tapName(packets[0].PayloadType), packets)
	return len(packets)
}

// tapControl is the way to a sink for sender reports.
type tapControl struct {
	tap  *Tap
	sink TapSink
}

// WriteRTCP implements sfu.ControlWriter.
func (c tapControl) WriteRTCP(packets []rtcp.Packet) error {
	for _, packet := range packets {
		report, ok := packet.(*rtcp.SenderReport)
		if !ok {
			continue
		}
		for kind, ssrc := range c.tap.ssrcs {
			if report.SSRC == ssrc {
				c.sink.SenderReport(kind, report.NTPTime, report.RTPTime)
			}
		}
	}
	return nil
}
