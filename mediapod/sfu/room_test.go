package sfu

import (
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

var (
	epoch = time.Unix(1_000_000, 0)
	vp8   = Codec{Name: "VP8", ClockRate: 90_000}
	opus  = Codec{Name: "opus", ClockRate: 48_000}
)

const (
	publisherPT = 96
	mediaPT     = 101
	rtxPT       = 102
	mediaSSRC   = 0x1111
	rtxSSRC     = 0x2222
)

// wire is a connection that keeps what is written to it.
type wire struct {
	mu      sync.Mutex
	packets []rtp.Packet
	control []rtcp.Packet
	err     error
}

func (w *wire) WriteRTP(packets []Outgoing) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0
	}
	for i := range packets {
		var p rtp.Packet
		if err := p.Unmarshal(append(packets[i].AppendHeader(nil), packets[i].Payload...)); err != nil {
			panic(err) // the header is ours
		}
		w.packets = append(w.packets, p)
	}
	return len(packets)
}

func (w *wire) WriteRTCP(packets []rtcp.Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.control = append(w.control, packets...)
	return nil
}

// take returns and forgets what was written.
func (w *wire) take() ([]rtp.Packet, []rtcp.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	packets, control := w.packets, w.control
	w.packets, w.control = nil, nil
	return packets, control
}

func count[T rtcp.Packet](packets []rtcp.Packet) (n int, last T) {
	for _, p := range packets {
		if p, ok := p.(T); ok {
			n++
			last = p
		}
	}
	return n, last
}

func raw(t testing.TB, sequence uint16, timestamp uint32, payload ...byte) []byte {
	t.Helper()
	b, err := (&rtp.Packet{
		Header: rtp.Header{
			Version: 2, PayloadType: publisherPT, SequenceNumber: sequence, Timestamp: timestamp, SSRC: 7,
		},
		Payload: payload,
	}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// key and delta are the payloads of VP8 frames of one packet each; n tells them apart.
func key(n byte) []byte   { return []byte{0x10, 0x00, n} }
func delta(n byte) []byte { return []byte{0x10, 0x01, n} }

// room is a publisher with one video layer.
type room struct {
	t         testing.TB
	counters  Counters
	publisher *Publisher
	upstream  *wire
	layer     *Layer
}

func newRoom(t testing.TB, maxVideoKbps int) *room {
	r := &room{t: t}
	r.publisher = NewPublisher(&r.counters, maxVideoKbps)
	r.publish(vp8, epoch)
	return r
}

func (r *room) publish(codec Codec, now time.Time) {
	r.t.Helper()
	r.upstream = &wire{}
	kind := Video
	if codec == opus {
		kind = Audio
	}
	layer, err := r.publisher.Track(kind).NewFeed().Publish(LayerConfig{
		SSRC: 7, PayloadType: publisherPT, Codec: codec, Feedback: r.upstream,
	}, now)
	if err != nil {
		r.t.Fatal(err)
	}
	r.layer = layer
}

func (r *room) subscribe(now time.Time, change ...func(*ForwarderConfig)) (*Subscriber, *wire) {
	r.t.Helper()
	w := &wire{}
	s, err := r.publisher.Subscribe(w)
	if err != nil {
		r.t.Fatal(err)
	}
	config := ForwarderConfig{
		SSRC: mediaSSRC, RTXSSRC: rtxSSRC, ClockRate: 90_000, Writer: w,
		Codecs: map[string]PayloadTypes{"VP8": {Media: mediaPT, RTX: rtxPT}},
	}
	for _, c := range change {
		c(&config)
	}
	if err := s.Forward(Video, config, now); err != nil {
		r.t.Fatal(err)
	}
	return s, w
}

func (r *room) write(packet []byte, at time.Time) {
	r.t.Helper()
	if err := r.layer.Write(packet, at); err != nil {
		r.t.Fatal(err)
	}
}
