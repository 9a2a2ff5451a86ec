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
	r := newRoom(t, 0)
	s, w := r.subscribe(epoch)
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
		t.Fatalf("%d packets sent again", len(again))
	}
	got := again[0]
	if got.SSRC != rtxSSRC || got.PayloadType != rtxPT {
		t.Errorf("retransmission is %v", got.Header)
	}
	if osn := uint16(got.Payload[0])<<8 | uint16(got.Payload[1]); osn != lost.SequenceNumber {
		t.Errorf("original number is %d, want %d", osn, lost.SequenceNumber)
	}
	if got.Timestamp != lost.Timestamp || !slices.Equal(got.Payload[2:], lost.Payload) {
		t.Errorf("%v %x, want %v %x", got.Header, got.Payload, lost.Header, lost.Payload)
	}
}

// Every packet of a stream has a number of its own, by which it is encrypted: two under one would
// give the key away.
func TestNoNumberIsUsedTwice(t *testing.T) {
	for name, change := range map[string]func(*ForwarderConfig){
		"by RTX":                        func(*ForwarderConfig) {},
		"without RTX":                   func(c *ForwarderConfig) { c.RTXSSRC = 0 },
		"without RTX, and with numbers": func(c *ForwarderConfig) { c.RTXSSRC, c.TransportCC = 0, 1 },
	} {
		r := newRoom(t, 0)
		s, w := r.subscribe(epoch, change)
		used := map[[2]uint32]bool{}
		count := func() {
			packets, _ := w.take()
			for _, p := range packets {
				nonce := [2]uint32{p.SSRC, uint32(p.SequenceNumber)}
				if used[nonce] {
					t.Errorf("%s: number %d of stream %x is used twice", name, p.SequenceNumber, p.SSRC)
				}
				used[nonce] = true
			}
		}
		now := epoch
		for i := range uint16(50) {
			body := delta(byte(i))
			if i == 0 {
				body = key(0)
			}
			r.write(raw(t, 100+i, uint32(i)*3000, body...), now)
			count()
			now = now.Add(time.Second)
			for nonce := range used {
				s.HandleRTCP(nackOf(uint16(nonce[1])), now)
			}
			count()
		}
	}
}

func TestFirstNumbersAreFarFromTheirEnd(t *testing.T) {
	r := newRoom(t, 0)
	for i := range uint16(200) {
		s, w := r.subscribe(epoch)
		r.write(raw(t, i, 0, key(0)...), epoch)
		sent, _ := w.take()
		s.HandleRTCP(nackOf(sent[0].SequenceNumber), epoch)
		again, _ := w.take()
		for _, p := range append(sent, again...) {
			if p.SequenceNumber >= 1<<15 {
				t.Fatalf("a stream begins with %d", p.SequenceNumber)
			}
		}
		s.Close()
	}
}

func TestOneMessageAsksForABoundedNumberOfPackets(t *testing.T) {
	r := newRoom(t, 0)
	s, _ := r.subscribe(epoch)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	all := &rtcp.TransportLayerNack{MediaSSRC: mediaSSRC}
	for i := range uint16(300) {
		all.Nacks = append(all.Nacks, rtcp.NackPair{PacketID: 17 * i, LostPackets: 0xffff})
	}
	s.HandleRTCP([]rtcp.Packet{all, all}, epoch)
	if n := r.publisher.counters.NACKsReceived.Load(); n != maxAsked {
		t.Errorf("%d packets were looked for", n)
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
