package sfu

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

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
