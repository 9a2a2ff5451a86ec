package sfu

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/keyframe"
)

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

// What was sent before a subscriber's packets went another way is lost, and no receiver has said so
// yet.
func TestAnotherPathBeginsWithAKeyframe(t *testing.T) {
	r := newRoom(t, 0)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	s, _ := r.subscribe(epoch)
	r.write(raw(t, 1, 3000, key(1)...), epoch) // which answers the subscriber's first request
	r.upstream.take()
	s.Rerouted(epoch.Add(time.Second))
	_, control := r.upstream.take()
	if n, pli := count[*rtcp.PictureLossIndication](control); n != 1 || pli.MediaSSRC != 7 {
		t.Errorf("%d requests went upstream: %v", n, control)
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
	// The publisher says that its packets of timestamp 1000 were both captured at second 50 of its
	// clock.
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
