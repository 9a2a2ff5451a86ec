package sfu

import (
	"testing"
	"time"
)

// layered is a packet of one picture of a stream with two temporal layers, each of a size.
func layered(t testing.TB, n uint16, size int) []byte {
	t.Helper()
	layer, delta := byte(n%2), byte(1)
	if n == 0 {
		delta = 0
	}
	payload := []byte{0x90, 0xe0, 0x80 | byte(n>>8), byte(n), byte(n / 2), layer<<6 | layer<<5, delta}
	return raw(t, n, uint32(n)*3000, append(payload, make([]byte, size)...)...)
}

func TestWhatIsLeftOutForOneReceiverReachesTheOthersUnchanged(t *testing.T) {
	r := newRoom(t, 0)
	small, w := r.subscribe(epoch)
	f := small.forwarders[Video]
	_, other := r.subscribe(epoch)
	f.selector.Limit(0)
	var want [][]byte
	burst := make([][]byte, 0, 8)
	for n := range uint16(8) {
		burst = append(burst, layered(t, n, 10))
		want = append(want, burst[n][12:])
	}
	late := burst[5]
	burst = append(burst[:5], burst[6:]...) // picture 5 comes late
	r.layer.WriteBurst(burst, epoch)
	r.write(late, epoch.Add(time.Millisecond))
	got, _ := w.take()
	if len(got) != 5 { // pictures 0, 2, 4 and 6, and the number of picture 5
		t.Fatalf("%d packets", len(got))
	}
	numbers := []uint16{0, 1, 2, 4, 3}
	for i, p := range got {
		if p.SequenceNumber-got[0].SequenceNumber != numbers[i] {
			t.Errorf("packet %d has number %d", i, p.SequenceNumber-got[0].SequenceNumber)
		}
		if i == 4 {
			if len(p.Payload) != 0 {
				t.Errorf("what was left out comes late: %x", p.Payload)
			}
			continue
		}
		// A picture that is missing keeps its number.
		if number := uint16(p.Payload[2]&0x7f)<<8 | uint16(p.Payload[3]); number != numbers[i] || p.Payload[4] != byte(i) {
			t.Errorf("packet %d has picture %d, base %d", i, number, p.Payload[4])
		}
	}
	small.HandleRTCP(nackOf(got[2].SequenceNumber), epoch)
	again, _ := w.take()
	if len(again) != 1 || string(again[0].Payload[2:]) != string(got[2].Payload) {
		t.Errorf("sent again: %v, want %x", again, got[2].Payload)
	}
	got, _ = other.take()
	if len(got) != 8 {
		t.Fatalf("another receiver got %d packets", len(got))
	}
	for i, n := range []int{0, 1, 2, 3, 4, 6, 7, 5} {
		if string(got[i].Payload) != string(want[n]) || got[i].SequenceNumber-got[0].SequenceNumber != uint16(n) {
			t.Errorf("another receiver got %x as %d, want %x", got[i].Payload, got[i].SequenceNumber-got[0].SequenceNumber, want[n])
		}
	}
}

func TestLeavingOutDoesNotAllocate(t *testing.T) {
	r := newRoom(t, 0)
	for range 10 {
		s, _ := r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
		s.forwarders[Video].selector.Limit(0)
	}
	packet := layered(t, 0, 1000)
	n := uint16(0)
	step := func() {
		copy(packet[2:], []byte{byte(n >> 8), byte(n)})
		copy(packet[14:], []byte{0x80 | byte(n>>8), byte(n), byte(n / 2), byte(n%2) << 6})
		packet[4], packet[5], packet[6], packet[7] = byte(n>>8), byte(n), 0, 0
		_ = r.layer.Write(packet, epoch)
		packet[18] = 1
		n++
	}
	for range 2 * videoRing {
		step()
	}
	before := r.counters.ForwardedPackets.Load()
	if allocations := testing.AllocsPerRun(5000, step); allocations > 0.01 {
		t.Errorf("%v allocations per packet", allocations)
	}
	if sent := r.counters.ForwardedPackets.Load() - before; sent < 20_000 || sent > 30_000 {
		t.Errorf("%d of 50000 packets were forwarded: the test tests nothing", sent)
	}
}
