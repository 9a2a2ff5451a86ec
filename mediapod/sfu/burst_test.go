package sfu

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

func TestTheHeaderOfAnOutgoingPacket(t *testing.T) {
	for _, o := range []Outgoing{
		{SSRC: 1, Timestamp: 2, Sequence: 3, PayloadType: 96},
		{SSRC: 0xfffffffe, Timestamp: 0xfffffffd, Sequence: 0xfffc, PayloadType: 127, Marker: true, TransportCC: 14, Transport: 0xabcd},
	} {
		want := rtp.Header{
			Version: 2, SSRC: o.SSRC, Timestamp: o.Timestamp, SequenceNumber: o.Sequence, PayloadType: o.PayloadType, Marker: o.Marker,
		}
		if o.TransportCC != 0 {
			if err := want.SetExtension(o.TransportCC, []byte{byte(o.Transport >> 8), byte(o.Transport)}); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got := o.AppendHeader([]byte{7}); !bytes.Equal(got[1:], raw) || got[0] != 7 {
			t.Errorf("%+v is written as %x, want %x", o, got[1:], raw)
		}
		if len(raw) > HeaderBytes {
			t.Errorf("%+v takes %d bytes", o, len(raw))
		}
	}
}

// impatient counts packets by whether who sends them may be held.
type impatient [2]int

func (w *impatient) WriteRTP(packets []Outgoing) int {
	for i := range packets {
		if packets[i].NoWait {
			w[1]++
		} else {
			w[0]++
		}
	}
	return len(packets)
}

func TestWhatIsSentNowWaitsForNothing(t *testing.T) {
	r := newRoom(t, 0)
	var w impatient
	for range briefReceivers {
		if !r.layer.Brief() {
			t.Error("a burst to few receivers is not brief")
		}
		r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer = &w })
	}
	r.layer.WriteBurstNow([][]byte{raw(t, 10, 100, key(0)...), raw(t, 11, 100, delta(1)...)}, epoch)
	if w != (impatient{0, 2 * briefReceivers}) {
		t.Errorf("now: %v packets", w)
	}
	r.layer.WriteBurst([][]byte{raw(t, 12, 200, delta(2)...)}, epoch)
	if w != (impatient{briefReceivers, 2 * briefReceivers}) {
		t.Errorf("then: %v packets", w)
	}
	r.subscribe(epoch)
	if r.layer.Brief() {
		t.Error("a burst to many receivers is brief")
	}
}

func TestABurstIsForwardedInOrderWithoutWhatIsNotNew(t *testing.T) {
	r := newRoom(t, 0)
	_, w := r.subscribe(epoch)
	_, other := r.subscribe(epoch)
	r.write(raw(t, 10, 100, key(0)...), epoch)
	otherPayload := raw(t, 12, 300, delta(2)...)
	otherPayload[1] = publisherPT + 1
	r.layer.WriteBurst([][]byte{
		raw(t, 10, 100, key(0)...), // again
		raw(t, 11, 200, delta(1)...),
		{1, 2, 3},
		otherPayload,
		raw(t, 12, 300, delta(2)...),
		raw(t, 11, 200, delta(1)...), // twice in one burst
		raw(t, 13, 400, delta(3)...),
	}, epoch)
	for _, w := range []*wire{w, other} {
		packets, _ := w.take()
		if len(packets) != 4 {
			t.Fatalf("%d packets were forwarded, want 4", len(packets))
		}
		for i, p := range packets {
			if p.SequenceNumber != packets[0].SequenceNumber+uint16(i) || p.Payload[2] != byte(i) {
				t.Errorf("packet %d has the number %d and the payload %x", i, p.SequenceNumber, p.Payload)
			}
		}
	}
	if got := r.counters.ReceivedPackets.Load(); got != 4 {
		t.Errorf("%d packets are counted as received", got)
	}
	if got := r.counters.ForwardedPackets.Load(); got != 8 {
		t.Errorf("%d packets are counted as forwarded", got)
	}
}

func TestALayerStartsInTheMiddleOfABurst(t *testing.T) {
	r := newRoom(t, 0)
	_, w := r.subscribe(epoch)
	r.layer.WriteBurst([][]byte{
		raw(t, 1, 100, delta(1)...), raw(t, 2, 200, key(2)...), raw(t, 3, 300, delta(3)...),
	}, epoch)
	if packets, _ := w.take(); len(packets) != 2 || packets[0].Payload[2] != 2 {
		t.Errorf("forwarded from the keyframe on: %v", packets)
	}
}

// BenchmarkForwardBurst is BenchmarkForward with bursts of 6 packets.
func BenchmarkForwardBurst(b *testing.B) {
	const subscribers, size = 100, 6
	r := newRoom(b, 0)
	for range subscribers {
		r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
	}
	var burst [][]byte
	for range size {
		burst = append(burst, raw(b, 0, 0, append(key(0), make([]byte, 1197)...)...))
	}
	sequence := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		for _, packet := range burst {
			sequence++
			packet[2], packet[3] = byte(sequence>>8), byte(sequence)
		}
		r.layer.WriteBurst(burst, epoch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers*size), "ns/forward")
}
