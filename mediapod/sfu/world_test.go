package sfu

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// world is a room in simulated time: a camera whose layers come at given bitrates, and receivers
// behind links of given qualities.
type world struct {
	t          testing.TB
	random     *rand.Rand
	counters   Counters
	publisher  *Publisher
	microphone *Layer
	frameRate  int  // of the camera, framesPerSecond to begin with
	muted      bool // nothing comes from the microphone
	still      bool // the picture may stand still
	spoken     uint16
	cameras    []*camera
	receivers  []*receiver
	upstream   *wire
	now        time.Time
	ticked     time.Time
	// encoding is how long a keyframe that is asked for takes from the request to the first packet
	// at the media pod.
	encoding time.Duration
}

// camera is one layer of what is published.
type camera struct {
	layer     *Layer
	ssrc      uint32
	kbps      int // 0: stopped
	pattern   []uint8
	frames    int
	picture   uint16
	base      uint8
	sequence  uint16
	keyframe  time.Time // when the one that is being made is to be sent
	wants     bool
	keyframes int
	asked     int // how often for a packet or a keyframe
}

const (
	framesPerSecond = 30
	packetSize      = 1150
)

func newWorld(t testing.TB, seed uint64, pattern []uint8, kbps ...int) *world {
	t.Helper()
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 5)), upstream: &wire{}, now: epoch, frameRate: framesPerSecond, encoding: 80 * time.Millisecond}
	w.publisher = NewPublisher(&w.counters, 0)
	w.connect(pattern, kbps...)
	var err error
	w.microphone, err = w.publisher.Track(Audio).NewFeed().Publish(LayerConfig{
		SSRC: audioSSRC, PayloadType: publisherPT, Codec: opus, Feedback: w.upstream,
	}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// speak makes 20 ms of sound.
func (w *world) speak() {
	w.t.Helper()
	w.spoken++
	if err := w.microphone.Write(raw(w.t, w.spoken, uint32(w.spoken)*960, make([]byte, 80)...), w.now); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connect(pattern []uint8, kbps ...int) {
	w.t.Helper()
	feed := w.publisher.Track(Video).NewFeed()
	w.cameras = nil
	for i, k := range kbps {
		c := &camera{
			ssrc: uint32(i + 1), kbps: k, pattern: pattern,
			sequence: uint16(w.random.Uint32()), picture: uint16(w.random.Uint32()) & 0x7fff, wants: true, keyframe: w.now,
		}
		layer, err := feed.Publish(LayerConfig{SSRC: c.ssrc, Rank: i, PayloadType: publisherPT, Codec: vp8, Feedback: w.upstream, Still: w.still}, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		c.layer = layer
		w.cameras = append(w.cameras, c)
	}
}

// shoot makes one frame. Keyframes are five times as large as others; those of upper temporal
// layers are smaller.
func (w *world) shoot(c *camera) {
	w.t.Helper()
	n := c.frames
	c.frames++
	if c.kbps == 0 {
		return
	}
	key := c.wants && !w.now.Before(c.keyframe)
	layer := uint8(0)
	if key {
		c.wants = false
		c.keyframes++
		c.frames = 1
	} else if len(c.pattern) > 0 {
		layer = c.pattern[n%len(c.pattern)]
	}
	size := c.kbps * 1000 / 8 / w.frameRate * (80 + w.random.IntN(40)) / 100
	if key {
		size = max(5*size, 3000)
	}
	c.picture = (c.picture + 1) & 0x7fff
	if layer == 0 {
		c.base++
	}
	count := (size + packetSize - 1) / packetSize
	for i := range count {
		start, sync := byte(0x80), byte(0)
		if i == 0 {
			start |= 0x10
		}
		if n%len(append(c.pattern, 0)) < 3 && layer > 0 {
			sync = 0x20 // the first of each upper layer
		}
		delta := byte(1)
		if key {
			delta = 0
		}
		payload := []byte{start, 0xe0, 0x80 | byte(c.picture>>8), byte(c.picture), c.base, layer<<6 | sync, delta, byte(c.ssrc)}
		if len(c.pattern) == 0 {
			payload = []byte{start, 0x80, 0x80 | byte(c.picture>>8), byte(c.picture), delta, byte(c.ssrc)}
		}
		body := binary.BigEndian.AppendUint32(payload, uint32(c.sequence))
		body = append(body, make([]byte, max(size/count-len(body), 0))...)
		raw, err := (&rtp.Packet{
			Header: rtp.Header{
				Version: 2, PayloadType: publisherPT, SequenceNumber: c.sequence,
				Timestamp: uint32(w.now.Sub(epoch).Microseconds() * 9 / 100), SSRC: c.ssrc, Marker: i == count-1,
			},
			Payload: body,
		}).Marshal()
		if err != nil {
			w.t.Fatal(err)
		}
		c.sequence++
		if err := c.layer.Write(raw, w.now); err != nil {
			w.t.Fatal(err)
		}
	}
}

// play lets time pass.
func (w *world) play(duration time.Duration) {
	w.t.Helper()
	for end := w.now.Add(duration); w.now.Before(end); w.now = w.now.Add(time.Millisecond) {
		since := int(w.now.Sub(epoch) / time.Millisecond)
		if since*w.frameRate/1000 != (since-1)*w.frameRate/1000 {
			for _, c := range w.cameras {
				w.shoot(c)
			}
		}
		if since%20 == 7 && !w.muted {
			w.speak()
		}
		if w.now.Sub(w.ticked) >= TickInterval {
			w.ticked = w.now
			w.publisher.Tick(w.now)
		}
		_, control := w.upstream.take()
		for _, p := range control {
			switch p := p.(type) {
			case *rtcp.PictureLossIndication:
				c := w.cameras[p.MediaSSRC-1]
				c.asked++
				if !c.wants {
					c.wants, c.keyframe = true, w.now.Add(w.encoding)
				}
			case *rtcp.TransportLayerNack:
				w.cameras[p.MediaSSRC-1].asked++
			}
		}
		for _, r := range w.receivers {
			r.live()
		}
	}
}

// Write takes one RTP packet as WriteBurst does. A malformed packet is an error.
func (l *Layer) Write(raw []byte, at time.Time) error {
	var header rtp.Header
	if _, err := header.Unmarshal(raw); err != nil {
		return err
	}
	l.WriteBurst([][]byte{raw}, at)
	return nil
}
