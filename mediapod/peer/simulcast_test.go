package peer

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// ladder is a publishing client with three simulcast layers, low to high, as openvidu-rpc 4.4 names
// them.
type ladder struct {
	*source
	layers   []*rung
	mid, rid uint8 // header extension numbers
}

type rung struct {
	track  *webrtc.TrackLocalStaticRTP
	size   int // bytes of a frame, one packet
	plis   chan struct{}
	paused bool
	number uint32
}

func newLadder(t testing.TB, start uint16) *ladder {
	l := &ladder{source: &source{client: newClient(t, clientOptions{}), start: start, base: uint32(start) << 16}}
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90_000}
	for i, rid := range []string{"rdiv4", "rdiv2", "rdiv1"} {
		track, err := webrtc.NewTrackLocalStaticRTP(capability, "video", "local", webrtc.WithRTPStreamID(rid))
		l.must(err)
		l.layers = append(l.layers, &rung{track: track, size: []int{40, 120, 400}[i], plis: make(chan struct{}, 1000)})
	}
	transceiver, err := l.pc.AddTransceiverFromTrack(l.layers[0].track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	l.must(err)
	for _, layer := range l.layers[1:] {
		l.must(transceiver.Sender().AddEncoding(layer.track))
	}
	for i, encoding := range transceiver.Sender().GetParameters().Encodings {
		layer := l.layers[i]
		l.running.Go(func() {
			for {
				packets, _, err := transceiver.Sender().ReadSimulcastRTCP(encoding.RID)
				if err != nil {
					return
				}
				if n := plis(packets, uint32(encoding.SSRC)); n > 0 {
					layer.plis <- struct{}{}
				}
			}
		})
	}
	return l
}

func (l *ladder) publish(p media.Publication) {
	l.t.Helper()
	l.source.publish(p)
	for _, extension := range l.pc.GetSenders()[0].GetParameters().HeaderExtensions {
		switch extension.URI {
		case sdp.SDESMidURI:
			l.mid = uint8(extension.ID)
		case sdp.SDESRTPStreamIDURI:
			l.rid = uint8(extension.ID)
		}
	}
}

// send sends one frame of each layer that is not paused. Frames end with their number, of which the
// highest byte tells the layer.
func (l *ladder) send() {
	l.t.Helper()
	l.number++
	mid := l.pc.GetTransceivers()[0].Mid()
	for i, layer := range l.layers {
		if layer.paused {
			continue
		}
		start := deltaStart[webrtc.MimeTypeVP8]
		select {
		case <-layer.plis:
			start = keyframeStart[webrtc.MimeTypeVP8]
		default:
			if layer.number == 0 {
				start = keyframeStart[webrtc.MimeTypeVP8]
			}
		}
		layer.number++
		body := append(append([]byte{}, start...), make([]byte, layer.size)...)
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: l.start + uint16(layer.number), Timestamp: l.base + l.number*90, Marker: true},
			Payload: binary.BigEndian.AppendUint32(body, uint32(i)<<24|l.number),
		}
		l.must(packet.SetExtension(l.mid, []byte(mid)))
		l.must(packet.SetExtension(l.rid, []byte(layer.track.RID())))
		l.must(layer.track.WriteRTP(packet))
	}
	time.Sleep(time.Millisecond)
}

func (l *ladder) sendUntil(what string, condition func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			l.t.Fatalf("never happened: %s", what)
		}
		l.send()
	}
}

// newest returns which layer the frame that a client got last is of.
func newest(c *client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.received[video]
	if len(all) == 0 {
		return -1
	}
	return int(all[len(all)-1].Payload[len(all[len(all)-1].Payload)-4])
}

func TestSimulcast(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	l := newLadder(t, 65_000)
	l.publish(p)
	c, _ := subscribe(t, e, p, clientOptions{})
	l.sendUntil("the best layer is received", func() bool { return newest(c) == 2 })

	l.layers[2].paused = true
	stopped := time.Now()
	l.sendUntil("the next layer is received", func() bool { return newest(c) == 1 })
	if took := time.Since(stopped); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	l.layers[2].paused = false
	l.sendUntil("the best layer is received again", func() bool { return newest(c) == 2 })
	c.continuous(video)
}

func TestASmallReceiverGetsALowLayerAndTheOthersTheBest(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	l := newLadder(t, 0)
	l.publish(p)
	limited := newClient(t, clientOptions{})
	free, _ := subscribe(t, e, p, clientOptions{})
	l.sendUntil("the layers flow", func() bool { return len(free.got(video)) > 1000 })
	p.Reception()
	var all int
	measured := time.Now()
	l.sendUntil("the bitrate is measured", func() bool {
		if time.Since(measured) < time.Second {
			return false
		}
		r, _ := p.Reception()
		all = r.VideoKbps
		return all > 0
	})
	// The best layer is 63 % of all, the next one 24 %.
	s, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{MaxVideoKbps: all * 42 / 100})
	l.must(err)
	l.must(s.Answer(t.Context(), limited.answer(offer)))
	l.sendUntil("the layer within the limit is received", func() bool { return len(limited.got(video)) > 100 && newest(limited) == 1 })
	if got := newest(free); got != 2 {
		t.Errorf("the other receiver has layer %d", got)
	}
	limited.continuous(video)
}

func TestASimulcastPublisherThatReconnectsIsSpliced(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	l := newLadder(t, 65_000)
	l.publish(p)
	c, _ := subscribe(t, e, p, clientOptions{})
	l.sendUntil("the best layer is received", func() bool { return newest(c) == 2 })
	again := newLadder(t, 1000)
	again.number = 1_000_000
	again.publish(p)
	newer := func() (n int) {
		for _, number := range c.numbers(video) {
			if number&0xff_ffff > 1_000_000 {
				n++
			}
		}
		return n
	}
	again.sendUntil("media of the new connection flows", func() bool { return newer() > 100 && newest(c) == 2 })
	c.continuous(video)
}

func TestASubscriberGetsTheLayerThatItsPathCarries(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	l := newLadder(t, 65_000)
	l.publish(p)
	path := newBottleneck(t, e, nil)
	c, _ := subscribe(t, e, p, clientOptions{})
	l.sendUntil("the best layer is received", func() bool { return newest(c) == 2 })
	// The best layer is 63 % of all, the next one 24 %; how much that is depends on how busy the
	// computer is.
	measured := time.Now()
	l.sendUntil("a lower layer is received", func() bool {
		if time.Since(measured) > 500*time.Millisecond {
			measured = time.Now()
			r, _ := p.Reception()
			path.kbps.Store(int64(r.VideoKbps * 45 / 100))
		}
		return newest(c) < 2
	})
	path.kbps.Store(0)
	l.sendUntil("the best layer is received again", func() bool { return newest(c) == 2 })
}
