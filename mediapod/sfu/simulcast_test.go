package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
)

// simulcast is a publisher whose connection sends layers of the given bitrates, low to high, at 25
// frames a second.
type simulcast struct {
	*room
	feed   *Feed
	layers []*Layer
	kbps   []int // 0: paused
	widths []int // of square pictures; of layers without one the size is not told
	sent   []uint16
	now    time.Time
}

func newSimulcast(t testing.TB, kbps ...int) *simulcast {
	s := &simulcast{room: &room{t: t, upstream: &wire{}}, kbps: kbps, now: epoch}
	s.publisher = NewPublisher(&s.counters, 0)
	s.connect()
	return s
}

// connect is what a (new) publishing connection does.
func (s *simulcast) connect() {
	s.t.Helper()
	s.feed = s.publisher.Track(Video).NewFeed()
	s.layers, s.sent = nil, make([]uint16, len(s.kbps))
	for i := range s.kbps {
		layer, err := s.feed.Publish(LayerConfig{
			SSRC: uint32(i + 1), Rank: i, PayloadType: publisherPT, Codec: vp8, Feedback: s.upstream,
		}, s.now)
		if err != nil {
			s.t.Fatal(err)
		}
		s.layers = append(s.layers, layer)
	}
}

// play sends frames and ticks. A layer starts with a keyframe and answers requests for one.
func (s *simulcast) play(duration time.Duration) {
	s.t.Helper()
	const frame = 40 * time.Millisecond
	for end := s.now.Add(duration); s.now.Before(end); s.now = s.now.Add(frame) {
		_, control := s.upstream.take()
		for i, layer := range s.layers {
			if s.kbps[i] == 0 {
				continue
			}
			body := delta(byte(i))
			if s.sent[i] == 0 {
				body = s.key(i)
			}
			for _, p := range control {
				if pli, ok := p.(*rtcp.PictureLossIndication); ok && pli.MediaSSRC == uint32(i+1) {
					body = s.key(i)
				}
			}
			body = append(body, make([]byte, s.kbps[i]*5-rtpOverhead-len(body))...)
			if err := layer.Write(raw(s.t, s.sent[i], uint32(s.now.UnixMilli()*90), body...), s.now); err != nil {
				s.t.Fatal(err)
			}
			s.sent[i]++
		}
		s.publisher.Tick(s.now)
		s.publisher.Tick(s.now.Add(frame / 2))
	}
}

// key begins a keyframe of a layer.
func (s *simulcast) key(i int) []byte {
	body := key(byte(i))
	if i >= len(s.widths) {
		return body
	}
	low, high := byte(s.widths[i]), byte(s.widths[i]>>8)
	return append(body, 0, 0x9d, 0x01, 0x2a, low, high, low, high)
}

// expect checks that a receiver has got one continuous stream that ends with the given layer, and
// returns how many packets it got.
func (s *simulcast) expect(what string, w *wire, layer int) int {
	s.t.Helper()
	got, _ := w.take()
	if len(got) == 0 {
		s.t.Fatalf("%s: nothing came", what)
	}
	for i := 1; i < len(got); i++ {
		if got[i].SequenceNumber != got[i-1].SequenceNumber+1 || int32(got[i].Timestamp-got[i-1].Timestamp) <= 0 {
			s.t.Errorf("%s: packet %d is %v after %v", what, i, got[i].Header, got[i-1].Header)
		}
		if got[i].Payload[2] != got[i-1].Payload[2] && got[i].Payload[1] != 0 {
			s.t.Errorf("%s: the change at packet %d is not at a keyframe", what, i)
		}
	}
	if last := int(got[len(got)-1].Payload[2]); last != layer {
		s.t.Errorf("%s: layer %d, want %d", what, last, layer)
	}
	return len(got)
}

func TestEachReceiverGetsTheLayerThatSuitsIt(t *testing.T) {
	r := newSimulcast(t, 150, 500, 1700)
	r.play(2 * time.Second)
	limit := func(kbps int) func(*ForwarderConfig) { return func(c *ForwarderConfig) { c.MaxKbps = kbps } }
	_, best := r.subscribe(r.now)
	_, middle := r.subscribe(r.now, limit(600))
	_, low := r.subscribe(r.now, limit(100))
	r.play(3 * time.Second)
	r.expect("without limit", best, 2)
	r.expect("with a limit", middle, 1)
	r.expect("with a limit below all", low, 0)
	r.kbps[1] = 800 // the picture moves
	r.play(3 * time.Second)
	r.expect("a layer that has come to exceed the limit", middle, 0)
}

func TestALayerThatThePublisherStopsIsReplacedWithinASecond(t *testing.T) {
	r := newSimulcast(t, 150, 500, 1700)
	_, w := r.subscribe(epoch)
	r.play(3 * time.Second)
	r.expect("at first", w, 2)
	r.kbps[2] = 0
	r.play(time.Second)
	r.expect("after the best one has stopped", w, 1)
	r.kbps[1] = 0
	r.play(time.Second)
	r.expect("after the middle one has stopped too", w, 0)
	r.kbps[2] = 1700
	r.play(time.Second)
	r.expect("after the best one has resumed", w, 2)
}

func TestSimulcastIsSplicedWhenThePublisherReconnects(t *testing.T) {
	r := newSimulcast(t, 150, 500)
	_, w := r.subscribe(epoch)
	r.play(time.Second)
	old := r.layers[1]
	r.connect()
	if err := old.Write(raw(t, 25, uint32(r.now.UnixMilli()*90), delta(1)...), r.now); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(40 * time.Millisecond)
	r.play(time.Second)
	if n := r.expect("the new connection", w, 1); n < 49 {
		t.Errorf("%d packets", n)
	}
	if n := len(old.receivers.load()); n != 0 {
		t.Errorf("the old layer has %d receivers", n)
	}
	// A layer of the old connection that comes late must not take over.
	late, err := (&Feed{track: r.publisher.Track(Video), number: 1}).Publish(LayerConfig{Rank: 3, Codec: vp8, PayloadType: publisherPT}, r.now)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(late.receivers.load()); n != 0 {
		t.Errorf("a late layer has %d receivers", n)
	}
}

func TestNothingIsAskedOfALayerThatNobodyReceives(t *testing.T) {
	r := newSimulcast(t, 150, 500)
	_, w := r.subscribe(epoch)
	r.play(time.Second)
	lose := func() {
		for i := range r.sent {
			r.sent[i] += 5
		}
		for range 10 { // requests go upstream between frames
			r.now = r.now.Add(TickInterval)
			r.publisher.Tick(r.now)
		}
	}
	lose()
	if err := r.layers[0].Write(raw(t, r.sent[0], 1, delta(0)...), r.now); err != nil {
		t.Fatal(err)
	}
	if err := r.layers[1].Write(raw(t, r.sent[1], 1, delta(1)...), r.now); err != nil {
		t.Fatal(err)
	}
	r.upstream.take()
	r.now = r.now.Add(TickInterval)
	r.publisher.Tick(r.now)
	_, control := r.upstream.take()
	if n, request := count[*rtcp.TransportLayerNack](control); n != 1 || request.MediaSSRC != 2 {
		t.Errorf("asked for %v", control)
	}
	// What is too much to be asked for packet by packet takes a keyframe, but only of the layer
	// that is received.
	r.now = r.now.Add(time.Second)
	for i := range r.sent {
		if err := r.layers[i].Write(raw(t, r.sent[i]+5000, 2, delta(byte(i))...), r.now); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		r.now = r.now.Add(TickInterval)
		r.publisher.Tick(r.now)
	}
	_, control = r.upstream.take()
	asked := 0
	for _, p := range control {
		if p, ok := p.(*rtcp.PictureLossIndication); ok {
			asked++
			if p.MediaSSRC != 2 {
				t.Errorf("a keyframe of layer %d is asked for", p.MediaSSRC)
			}
		}
	}
	if asked == 0 {
		t.Error("no keyframe is asked for")
	}
	got, _ := w.take()
	for _, p := range got {
		if p.Payload[2] != 1 {
			t.Errorf("layer %d is forwarded", p.Payload[2])
		}
	}
}

func TestSmallReceiversDoNotLimitASimulcastPublisher(t *testing.T) {
	r := newSimulcast(t, 150, 500)
	r.subscribe(epoch, func(c *ForwarderConfig) { c.MaxKbps = 200 })
	r.play(1500 * time.Millisecond)
	r.upstream.take()
	r.publisher.Tick(r.now.Add(reportInterval))
	_, control := r.upstream.take()
	if n, _ := count[*rtcp.ReceiverEstimatedMaximumBitrate](control); n != 0 {
		t.Errorf("told %v", control)
	}
	if n, rr := count[*rtcp.ReceiverReport](control); n != 1 || len(rr.Reports) != 2 {
		t.Errorf("reported %v", control)
	}
}

func TestOnlySoManyLayers(t *testing.T) {
	r := newSimulcast(t, 10, 20, 30, 40)
	if _, err := r.feed.Publish(LayerConfig{Rank: 4, Codec: vp8}, epoch); err == nil {
		t.Error("a fifth layer was taken")
	}
	if _, err := r.feed.Publish(LayerConfig{Rank: 2, Codec: vp8}, epoch); err != nil {
		t.Errorf("replacing a layer: %v", err)
	}
}

func TestAReceiverWithALimitFarBelowAStreamOfOneLayerIsPaused(t *testing.T) {
	r := newSimulcast(t, 500)
	r.play(time.Second)
	_, other := r.subscribe(r.now)
	w := &wire{}
	s, err := r.publisher.Subscribe(w)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	s.NotifyPause(func() { changes++ })
	config := ForwarderConfig{
		SSRC: mediaSSRC, RTXSSRC: rtxSSRC, ClockRate: 90_000, Writer: w, MaxKbps: 200,
		Codecs: map[string]PayloadTypes{"VP8": {Media: mediaPT, RTX: rtxPT}},
	}
	if err := s.Forward(Video, config, r.now); err != nil {
		t.Fatal(err)
	}
	r.play(2 * time.Second)
	r.expect("for a moment", w, 0)
	if s.VideoPause() != layers.NoPause || changes != 0 {
		t.Errorf("paused by %d after two seconds", s.VideoPause())
	}
	r.play(3 * time.Second)
	w.take()
	other.take()
	r.play(10 * time.Second)
	if got, _ := w.take(); len(got) != 0 || s.VideoPause() != layers.LimitPause || changes != 1 {
		t.Errorf("%d packets come, paused by %d, told %d times", len(got), s.VideoPause(), changes)
	}
	if n := r.expect("without a limit", other, 0); n < 240 {
		t.Errorf("%d packets", n)
	}
	if n := r.publisher.Paused(); n != 0 {
		t.Errorf("%d paths carry next to nothing", n)
	}

	// Whoever does not want the video does not miss it.
	s.Withhold(Video, true, r.now)
	if s.VideoPause() != layers.NoPause || changes != 2 {
		t.Errorf("paused by %d, told %d times", s.VideoPause(), changes)
	}
	s.Withhold(Video, false, r.now)
	if s.VideoPause() != layers.LimitPause || changes != 3 {
		t.Errorf("paused by %d, told %d times", s.VideoPause(), changes)
	}

	r.kbps[0] = 150 // the picture stands still
	r.play(3 * time.Second)
	if n := r.expect("what fits", w, 0); n < 20 || s.VideoPause() != layers.NoPause || changes != 4 {
		t.Errorf("%d packets come, paused by %d, told %d times", n, s.VideoPause(), changes)
	}
}
