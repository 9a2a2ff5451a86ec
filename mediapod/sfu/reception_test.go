package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/report"
)

func TestReceptionOfWhatSomebodyReceives(t *testing.T) {
	r := newSimulcast(t, 150, 500)
	if _, ok := r.publisher.Reception(r.now); ok {
		t.Error("something came before anything was sent")
	}
	r.play(2 * time.Second)
	r.sent[0] += 10 // lost
	r.play(2 * time.Second)
	got, ok := r.publisher.Reception(r.now)
	if !ok || got.VideoKbps < 600 || got.VideoKbps > 700 || got.Lost < 0.04 || got.Lost > 0.06 {
		t.Errorf("without receivers: %+v %v", got, ok)
	}
	r.subscribe(r.now)
	r.play(time.Second)
	r.sent[0] += 10
	r.play(time.Second)
	if got, ok = r.publisher.Reception(r.now); !ok || got.Lost != 0 {
		t.Errorf("loss in a layer that nobody receives: %+v %v", got, ok)
	}
	r.sent[1] += 10
	r.play(time.Second)
	if got, ok = r.publisher.Reception(r.now); !ok || got.Lost == 0 || got.RoundTrip != 0 {
		t.Errorf("loss in the layer that somebody receives: %+v %v", got, ok)
	}
	if _, ok = r.publisher.Reception(r.now.Add(time.Second)); ok {
		t.Error("something came after all")
	}
}

func TestTheRoundTripIsWhatTheAnswerSays(t *testing.T) {
	r := newRoom(t, 0)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	r.publisher.Tick(epoch)
	_, control := r.upstream.take()
	n, xr := count[*rtcp.ExtendedReport](control)
	if n != 1 {
		t.Fatalf("told %v", control)
	}
	sent := xr.Reports[0].(*rtcp.ReceiverReferenceTimeReportBlock).NTPTimestamp
	if sent != report.NTP(epoch) {
		t.Errorf("reference time %x", sent)
	}
	now := epoch.Add(150 * time.Millisecond)
	answer := func(ssrc uint32) []rtcp.Packet {
		return []rtcp.Packet{&rtcp.ExtendedReport{Reports: []rtcp.ReportBlock{&rtcp.DLRRReportBlock{
			Reports: []rtcp.DLRRReport{{SSRC: ssrc, LastRR: uint32(sent >> 16), DLRR: 65536 / 10}},
		}}}}
	}
	r.publisher.HandleRTCP(answer(xr.SenderSSRC+1), now) // to somebody else
	r.write(raw(t, 1, 3000, delta(1)...), now)
	if got, _ := r.publisher.Reception(now); got.RoundTrip != 0 {
		t.Errorf("an answer to somebody else: %v", got.RoundTrip)
	}
	r.publisher.HandleRTCP(answer(xr.SenderSSRC), now)
	r.write(raw(t, 2, 6000, delta(1)...), now)
	if got, _ := r.publisher.Reception(now); got.RoundTrip < 49*time.Millisecond || got.RoundTrip > 51*time.Millisecond {
		t.Errorf("%v, want 50 ms", got.RoundTrip)
	}
	now = now.Add(roundTripMemory + time.Second)
	r.write(raw(t, 3, 9000, delta(1)...), now)
	if got, _ := r.publisher.Reception(now); got.RoundTrip != 0 {
		t.Errorf("an old answer counts: %v", got.RoundTrip)
	}
}

func TestWhoSpeaksIsReadFromThePackets(t *testing.T) {
	p := NewPublisher(new(Counters), 0)
	const number = 5
	layer, err := p.Track(Audio).NewFeed().Publish(LayerConfig{PayloadType: publisherPT, Codec: opus, AudioLevel: number, Feedback: &wire{}}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	write := func(sequence uint16, level byte, at time.Time) {
		t.Helper()
		packet := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: publisherPT, SequenceNumber: sequence}, Payload: []byte{1}}
		if err := packet.SetExtension(number, []byte{level}); err != nil {
			t.Fatal(err)
		}
		b, err := packet.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := layer.Write(b, at); err != nil {
			t.Fatal(err)
		}
	}
	if p.Speaking(epoch) {
		t.Error("speaking before the first packet")
	}
	write(1, 127, epoch)
	if p.Speaking(epoch) {
		t.Error("speaking in silence")
	}
	write(2, 30, epoch)
	if !p.Speaking(epoch) {
		t.Error("not speaking")
	}
	if p.Speaking(epoch.Add(2 * time.Second)) {
		t.Error("speaking for ever")
	}
}
