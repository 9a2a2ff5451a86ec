package sfu

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/keyframe"
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

func TestEverySubscriberGetsEverythingFromTheKeyframeOn(t *testing.T) {
	for _, start := range []uint16{0, 32767, 65530} {
		r := newRoom(t, 0)
		r.write(raw(t, start-1, 0, delta(0)...), epoch)
		var wires []*wire
		for range 3 {
			_, w := r.subscribe(epoch)
			wires = append(wires, w)
		}
		r.write(raw(t, start, 0, delta(1)...), epoch)
		for i := range uint16(20) {
			body := delta(byte(i))
			if i == 0 {
				body = key(0)
			}
			r.write(raw(t, start+1+i, uint32(i)*3000, body...), epoch.Add(time.Duration(i)*33*time.Millisecond))
		}
		for n, w := range wires {
			got, _ := w.take()
			if len(got) != 20 {
				t.Fatalf("start %d: subscriber %d got %d packets, want 20", start, n, len(got))
			}
			for i, p := range got {
				if p.SequenceNumber != got[0].SequenceNumber+uint16(i) || p.Timestamp != got[0].Timestamp+uint32(i)*3000 ||
					p.SSRC != mediaSSRC || p.PayloadType != mediaPT || p.Payload[2] != byte(i) {
					t.Fatalf("start %d: subscriber %d: packet %d is %v", start, n, i, p.Header)
				}
			}
		}
		if got := r.counters.ForwardedPackets.Load(); got != 60 {
			t.Errorf("%d packets counted", got)
		}
	}
}

func TestKeyframeRequestsOfManySubscribersAreOneUpstream(t *testing.T) {
	r := newRoom(t, 0)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	now := epoch.Add(time.Second)
	var last *Subscriber
	for range 100 {
		last, _ = r.subscribe(now)
		now = now.Add(time.Millisecond)
	}
	last.HandleRTCP([]rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: mediaSSRC},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: mediaSSRC}}},
	}, now)
	_, control := r.upstream.take()
	if n, pli := count[*rtcp.PictureLossIndication](control); n != 1 || pli.MediaSSRC != 7 {
		t.Fatalf("%d requests went upstream: %v", n, control)
	}
	now = epoch.Add(time.Second + keyframe.Interval)
	r.publisher.Tick(now)
	_, control = r.upstream.take()
	if n, _ := count[*rtcp.PictureLossIndication](control); n != 1 {
		t.Fatalf("a request that was not answered was repeated %d times", n)
	}
	r.write(raw(t, 1, 3000, key(1)...), now)
	r.publisher.Tick(now.Add(keyframe.Interval))
	_, control = r.upstream.take()
	if n, _ := count[*rtcp.PictureLossIndication](control); n != 0 {
		t.Fatal("asked again after the keyframe")
	}
	if wanted, sent := r.counters.KeyframesWanted.Load(), r.counters.KeyframeRequests.Load(); wanted != 102 || sent != 2 {
		t.Errorf("%d wanted, %d sent", wanted, sent)
	}
}

func TestANewEncoderIsNotAskedForTheKeyframeThatItSendsAnyway(t *testing.T) {
	r := newRoom(t, 0)
	r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	if _, control := r.upstream.take(); len(control) != 0 {
		t.Errorf("asked: %v", control)
	}
}

func nackOf(sequences ...uint16) []rtcp.Packet {
	return []rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: mediaSSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(sequences)}}
}

func TestLossTowardsASubscriberIsRepaired(t *testing.T) {
	for name, rtx := range map[string]bool{"by RTX": true, "without RTX": false} {
		r := newRoom(t, 0)
		s, w := r.subscribe(epoch, func(c *ForwarderConfig) {
			if !rtx {
				c.RTXSSRC = 0
			}
		})
		for i := range uint16(10) {
			body := delta(byte(i))
			if i == 0 {
				body = key(0)
			}
			r.write(raw(t, 65530+i, uint32(i)*3000, body...), epoch)
		}
		sent, _ := w.take()
		lost := sent[7]
		s.HandleRTCP(nackOf(lost.SequenceNumber, sent[9].SequenceNumber+1), epoch)
		again, _ := w.take()
		if len(again) != 1 {
			t.Fatalf("%s: %d packets sent again", name, len(again))
		}
		got := again[0]
		if rtx {
			if got.SSRC != rtxSSRC || got.PayloadType != rtxPT {
				t.Errorf("%s: retransmission is %v", name, got.Header)
			}
			if osn := uint16(got.Payload[0])<<8 | uint16(got.Payload[1]); osn != lost.SequenceNumber {
				t.Errorf("%s: original number is %d, want %d", name, osn, lost.SequenceNumber)
			}
			got.Payload = got.Payload[2:]
		} else if got.SequenceNumber != lost.SequenceNumber || got.SSRC != mediaSSRC || got.PayloadType != mediaPT {
			t.Errorf("%s: retransmission is %v", name, got.Header)
		}
		if got.Timestamp != lost.Timestamp || !slices.Equal(got.Payload, lost.Payload) {
			t.Errorf("%s: %v %x, want %v %x", name, got.Header, got.Payload, lost.Header, lost.Payload)
		}
	}
}

func TestRetransmissionsAreLimited(t *testing.T) {
	r := newRoom(t, 0)
	s, w := r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	for i := uint16(1); i < 300; i++ {
		r.write(raw(t, i, 0, delta(0)...), epoch)
	}
	sent, _ := w.take()
	first := sent[299].SequenceNumber
	s.HandleRTCP(nackOf(first), epoch)
	s.HandleRTCP(nackOf(first), epoch.Add(resendInterval-1))
	if again, _ := w.take(); len(again) != 1 {
		t.Errorf("one packet was sent %d times at once", len(again))
	}
	s.HandleRTCP(nackOf(first), epoch.Add(resendInterval))
	if again, _ := w.take(); len(again) != 1 {
		t.Errorf("a packet that was lost twice was sent %d times", len(again))
	}
	var all []uint16
	for _, p := range sent {
		all = append(all, p.SequenceNumber)
	}
	s.HandleRTCP(nackOf(all...), epoch.Add(time.Second))
	if again, _ := w.take(); len(again) != resendBurst {
		t.Errorf("a storm had %d packets sent", len(again))
	}
}

func TestLossFromThePublisherIsRepairedOnce(t *testing.T) {
	r := newRoom(t, 0)
	_, w := r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	r.write(raw(t, 3, 9000, delta(3)...), epoch)
	r.publisher.Tick(epoch.Add(TickInterval))
	_, control := r.upstream.take()
	n, request := count[*rtcp.TransportLayerNack](control)
	if n != 1 || request.MediaSSRC != 7 || !slices.Equal(request.Nacks[0].PacketList(), []uint16{1, 2}) {
		t.Fatalf("asked for %v", control)
	}
	for range 2 { // the second copy must not be forwarded
		r.write(raw(t, 1, 3000, delta(1)...), epoch)
		if err := r.layer.WriteRepair(raw(t, 777, 6000, append([]byte{0, 2}, delta(2)...)...), epoch); err != nil {
			t.Fatal(err)
		}
		if err := r.layer.WriteRepair(raw(t, 778, 6000), epoch); err != nil { // a probe
			t.Fatal(err)
		}
	}
	got, _ := w.take()
	if len(got) != 4 || got[2].SequenceNumber != got[0].SequenceNumber+1 || got[3].SequenceNumber != got[0].SequenceNumber+2 {
		t.Errorf("got %v", got)
	}
}

func TestALargeGapAsksForAKeyframe(t *testing.T) {
	r := newRoom(t, 0)
	r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	r.write(raw(t, 5000, 0, delta(0)...), epoch.Add(time.Second))
	if n, _ := count[*rtcp.PictureLossIndication](r.upstream.control); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestAPublisherThatReconnectsIsSpliced(t *testing.T) {
	r := newRoom(t, 0)
	s, w := r.subscribe(epoch)
	r.write(raw(t, 100, 5000, key(0)...), epoch)
	r.write(raw(t, 101, 8000, delta(1)...), epoch.Add(33*time.Millisecond))
	old := r.layer
	now := epoch.Add(time.Second)
	r.publish(vp8, now)
	r.write(raw(t, 60000, 77, delta(9)...), now)
	if err := old.Write(raw(t, 102, 11000, delta(2)...), now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(33 * time.Millisecond)
	r.write(raw(t, 60001, 3077, key(3)...), now)
	if err := old.Write(raw(t, 103, 14000, delta(9)...), now); err != nil {
		t.Fatal(err)
	}
	r.write(raw(t, 60002, 6077, delta(4)...), now)
	got, _ := w.take()
	if len(got) != 5 {
		t.Fatalf("got %d packets: %v", len(got), got)
	}
	for i, p := range got {
		if p.SequenceNumber != got[0].SequenceNumber+uint16(i) || p.Payload[2] != byte(i) {
			t.Errorf("packet %d is %d %x", i, p.SequenceNumber-got[0].SequenceNumber, p.Payload)
		}
		if i > 0 && int32(p.Timestamp-got[i-1].Timestamp) <= 0 {
			t.Errorf("timestamp of packet %d goes back", i)
		}
	}
	// What was lost around the splice is found in the layer that it came from.
	s.HandleRTCP(nackOf(got[1].SequenceNumber, got[3].SequenceNumber), now)
	again, _ := w.take()
	if len(again) != 2 || again[0].Payload[4] != 1 || again[1].Payload[4] != 3 ||
		again[0].Timestamp != got[1].Timestamp || again[1].Timestamp != got[3].Timestamp {
		t.Errorf("sent again: %v", again)
	}
}

func TestASubscriberMayComeBeforeThePublisher(t *testing.T) {
	r := &room{t: t}
	r.publisher = NewPublisher(&r.counters, 0)
	_, w := r.subscribe(epoch)
	r.publish(vp8, epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	if got, _ := w.take(); len(got) != 1 {
		t.Errorf("got %d packets", len(got))
	}
}

func TestNothingIsForwardedInACodecThatTheSubscriberRejected(t *testing.T) {
	r := newRoom(t, 0)
	_, w := r.subscribe(epoch, func(c *ForwarderConfig) { c.Codecs = map[string]PayloadTypes{"H264": {}} })
	r.write(raw(t, 0, 0, key(0)...), epoch)
	if got, _ := w.take(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestSenderReportsKeepAudioAndVideoInStep(t *testing.T) {
	r := newRoom(t, 0)
	video := r.layer
	r.publish(opus, epoch)
	audio := r.layer
	s, w := r.subscribe(epoch)
	if err := s.Forward(Audio, ForwarderConfig{
		SSRC: 0x3333, ClockRate: 48_000, Writer: w, Codecs: map[string]PayloadTypes{"opus": {Media: 111}},
	}, epoch); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Layer{video, audio} {
		if err := l.Write(raw(t, 0, 1000, key(0)...), epoch); err != nil {
			t.Fatal(err)
		}
	}
	r.publisher.Tick(epoch)
	sent, control := w.take()
	if n, _ := count[*rtcp.SenderReport](control); n != 0 {
		t.Fatalf("reported without knowing the sender's clock: %v", control)
	}
	// The publisher says that its packets of timestamp 1000 were both captured at second 50 of its clock.
	for _, l := range []*Layer{video, audio} {
		l.SenderReport(&rtcp.SenderReport{NTPTime: 50 << 32, RTPTime: 1000}, epoch)
	}
	r.publisher.Tick(epoch.Add(500 * time.Millisecond))
	_, control = w.take()
	seen := map[uint32]bool{}
	for _, p := range control {
		sr := p.(*rtcp.SenderReport)
		clock, base := uint32(90_000), sent[0].Timestamp
		if sr.SSRC == 0x3333 {
			clock, base = 48_000, sent[1].Timestamp
		}
		seen[sr.SSRC] = true
		if sr.NTPTime != 50<<32+1<<31 || sr.RTPTime != base+clock/2 || sr.PacketCount != 1 || sr.OctetCount != 3 {
			t.Errorf("report %+v, want half a second after timestamp %d", sr, base)
		}
	}
	if len(seen) != 2 {
		t.Errorf("reports of %d streams", len(seen))
	}
	r.publisher.Tick(epoch.Add(600 * time.Millisecond))
	if _, control = w.take(); len(control) != 0 {
		t.Errorf("reported again too soon: %v", control)
	}
	r.publisher.Tick(epoch.Add(1500 * time.Millisecond))
	if _, control = w.take(); len(control) != 2 {
		t.Errorf("%d reports after a second", len(control))
	}
}

func TestThePublisherIsToldWhatArrivedAndHowMuchToSend(t *testing.T) {
	r := newRoom(t, 500)
	capped := func(kbps int) func(*ForwarderConfig) { return func(c *ForwarderConfig) { c.MaxKbps = kbps } }
	now := epoch
	expect := func(what string, want float32) {
		t.Helper()
		now = now.Add(reportInterval)
		r.write(raw(t, uint16(now.Unix()), 0, delta(0)...), now)
		r.publisher.Tick(now)
		_, control := r.upstream.take()
		if n, _ := count[*rtcp.ReceiverReport](control); n != 1 {
			t.Errorf("%s: %d receiver reports", what, n)
		}
		if n, remb := count[*rtcp.ReceiverEstimatedMaximumBitrate](control); n != 1 || remb.Bitrate != (want+audioKbps)*1000 {
			t.Errorf("%s: limit %v, want %v", what, remb, want)
		}
	}
	expect("nobody receives", 500)
	small, _ := r.subscribe(now, capped(200))
	expect("one small receiver", 200)
	r.subscribe(now, capped(300))
	expect("another receiver", 300)
	free, _ := r.subscribe(now)
	expect("a receiver without limit", 500)
	small.Close()
	free.Close()
	expect("after two have left", 300)
}

func TestALimitIsLifted(t *testing.T) {
	r := newRoom(t, 0)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	r.publisher.Tick(epoch)
	if n, _ := count[*rtcp.ReceiverEstimatedMaximumBitrate](r.upstream.control); n != 0 {
		_, control := r.upstream.take()
		t.Errorf("a sender without limit is told %v", control)
	}
	s, _ := r.subscribe(epoch, func(c *ForwarderConfig) { c.MaxKbps = 100 })
	r.publisher.Tick(epoch.Add(reportInterval))
	s.Close()
	r.publisher.Tick(epoch.Add(2 * reportInterval))
	_, control := r.upstream.take()
	if n, remb := count[*rtcp.ReceiverEstimatedMaximumBitrate](control); n != 2 || remb.Bitrate < 1e8 {
		t.Errorf("told %v", control)
	}
}

func TestCloseStopsForwarding(t *testing.T) {
	r := newRoom(t, 0)
	s, w := r.subscribe(epoch)
	_, other := r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	s.Close()
	s.Close()
	r.write(raw(t, 1, 0, delta(1)...), epoch)
	if got, _ := w.take(); len(got) != 1 {
		t.Errorf("closed subscriber got %d packets", len(got))
	}
	r.publisher.Close()
	r.publisher.Close()
	r.write(raw(t, 2, 0, delta(2)...), epoch)
	if got, _ := other.take(); len(got) != 2 {
		t.Errorf("subscriber of a closed publisher got %d packets", len(got))
	}
	if _, err := r.publisher.Subscribe(w); !errors.Is(err, ErrClosed) {
		t.Errorf("subscribing to a closed publisher: %v", err)
	}
	if _, err := r.publisher.Track(Video).NewFeed().Publish(LayerConfig{Codec: vp8}, epoch); !errors.Is(err, ErrClosed) {
		t.Errorf("publishing to a closed publisher: %v", err)
	}
	if err := s.Forward(Audio, ForwarderConfig{ClockRate: 48_000}, epoch); !errors.Is(err, ErrClosed) {
		t.Errorf("forwarding to a closed subscriber: %v", err)
	}
}

func TestASubscriberWhoseConnectionFailsHarmsNobody(t *testing.T) {
	r := newRoom(t, 0)
	_, broken := r.subscribe(epoch)
	broken.err = errors.New("broken")
	_, w := r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	if got, _ := w.take(); len(got) != 1 || r.counters.WriteErrors.Load() != 1 || r.counters.ForwardedPackets.Load() != 1 {
		t.Errorf("got %d packets, %d errors", len(got), r.counters.WriteErrors.Load())
	}
}

func TestJoiningAndLeavingDuringMedia(t *testing.T) {
	r := newRoom(t, 0)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for worker := range 2 { // a stream and its retransmissions
		running.Go(func() {
			for i := uint16(worker); ; i += 2 {
				select {
				case <-stop:
					return
				default:
				}
				_ = r.layer.Write(raw(t, i, uint32(i), key(byte(i))...), epoch)
			}
		})
	}
	running.Go(func() {
		for now := epoch; ; now = now.Add(TickInterval) {
			select {
			case <-stop:
				return
			default:
			}
			r.publisher.Tick(now)
		}
	})
	var joiners sync.WaitGroup
	for range 4 {
		joiners.Go(func() {
			for range 50 {
				s, w := r.subscribe(epoch)
				s.HandleRTCP(nackOf(1, 2, 3), epoch)
				s.HandleRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: mediaSSRC}}, epoch)
				s.Close()
				w.take()
			}
		})
	}
	joiners.Wait()
	close(stop)
	running.Wait()
	if n := len(r.publisher.Track(Video).forwarders) + len(r.layer.receivers.load()); n != 0 {
		t.Errorf("%d forwarders left behind", n)
	}
	if n := len(r.publisher.subscribers.load()); n != 0 {
		t.Errorf("%d subscribers left behind", n)
	}
}

func FuzzWrite(f *testing.F) {
	f.Add(raw(f, 1, 2, key(3)...))
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRoom(t, 0)
		r.subscribe(epoch)
		_ = r.layer.Write(b, epoch)
		_ = r.layer.WriteRepair(b, epoch)
	})
}

// null is a connection that takes everything and keeps nothing.
type null struct{}

func (null) WriteRTP(packets []Outgoing) int { return len(packets) }
func (null) WriteRTCP([]rtcp.Packet) error   { return nil }

// BenchmarkForward measures one packet of 1200 bytes forwarded to 100 subscribers, without encryption and sockets.
func BenchmarkForward(b *testing.B) {
	const subscribers = 100
	r := newRoom(b, 0)
	for range subscribers {
		r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
	}
	packet := raw(b, 0, 0, append(key(0), make([]byte, 1197)...)...)
	r.write(packet, epoch)
	sequence := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		sequence++
		packet[2], packet[3] = byte(sequence>>8), byte(sequence)
		r.write(packet, epoch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers), "ns/forward")
	if got := r.counters.ForwardedPackets.Load(); got != uint64(b.N+1)*subscribers {
		b.Fatalf("%d packets forwarded", got)
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	r := newRoom(t, 0)
	for range 10 {
		r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
	}
	packet := raw(t, 0, 0, append(key(0), make([]byte, 1197)...)...)
	sequence := uint16(0)
	step := func() {
		sequence++
		packet[2], packet[3] = byte(sequence>>8), byte(sequence)
		_ = r.layer.Write(packet, epoch)
	}
	for range 2 * videoRing {
		step()
	}
	// sync.Pool may be emptied by the collector at any time.
	if allocations := testing.AllocsPerRun(5000, step); allocations > 0.01 {
		t.Errorf("%v allocations per packet", allocations)
	}
}
