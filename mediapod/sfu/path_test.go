package sfu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func TestPacketsHaveTransportWideNumbers(t *testing.T) {
	r := newRoom(t, 0)
	s, w := r.subscribe(epoch, func(c *ForwarderConfig) { c.TransportCC = 3 })
	r.write(raw(t, 0, 0, key(0)...), epoch)
	r.write(raw(t, 1, 3000, delta(1)...), epoch)
	first, _ := w.take()
	s.HandleRTCP(nackOf(first[1].SequenceNumber), epoch)
	r.write(raw(t, 2, 6000, delta(2)...), epoch)
	again, _ := w.take()
	for i, p := range append(first, again...) {
		if got := p.GetExtension(3); len(got) != 2 || got[0] != 0 || int(got[1]) != i {
			t.Errorf("number of packet %d is %x", i, got)
		}
	}
	_, plain := r.subscribe(epoch)
	r.write(raw(t, 3, 9000, key(3)...), epoch)
	if got, _ := plain.take(); len(got) != 1 || got[0].Extension {
		t.Errorf("without the extension: %v", got)
	}
}

// arrived says that packets of a subscriber arrived, or did not, at times since epoch.
func arrived(first uint16, arrivals ...time.Duration) *rtcp.TransportLayerCC {
	f := &rtcp.TransportLayerCC{BaseSequenceNumber: first, PacketStatusCount: uint16(len(arrivals))}
	at := int64(0)
	for _, a := range arrivals {
		f.PacketChunks = append(f.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: 1})
		f.RecvDeltas = append(f.RecvDeltas, &rtcp.RecvDelta{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: a.Microseconds() - at})
		at = a.Microseconds()
	}
	return f
}

// written is a report, whose first delta counts from epoch, as it goes over the network: from a
// reference time on, in steps of 250 us.
func written(f *rtcp.TransportLayerCC) []byte {
	const step, reference = 250, 64_000
	raw := make([]byte, 20)
	raw[0], raw[1] = 0x80|rtcp.FormatTCC, byte(rtcp.TypeTransportSpecificFeedback)
	binary.BigEndian.PutUint16(raw[12:], f.BaseSequenceNumber)
	binary.BigEndian.PutUint16(raw[14:], f.PacketStatusCount)
	for _, chunk := range f.PacketChunks {
		run := chunk.(*rtcp.RunLengthChunk)
		raw = binary.BigEndian.AppendUint16(raw, run.PacketStatusSymbol<<13|run.RunLength)
	}
	at, told := int64(0), int64(0)
	for i, delta := range f.RecvDeltas {
		at += delta.Delta
		if i == 0 {
			told = at / reference * reference
			binary.BigEndian.PutUint32(raw[16:], uint32(at/reference)<<8)
		}
		steps := (at - told) / step
		told += steps * step
		raw = binary.BigEndian.AppendUint16(raw, uint16(int16(steps)))
	}
	return raw
}

// receive has a subscriber report on what it gets, over a path of a capacity in kbps (0 is any),
// and plays on meanwhile. It returns how many copies came.
func (s *simulcast) receive(subscriber *Subscriber, w *wire, kbps int, duration time.Duration, last *int) (copies int) {
	s.t.Helper()
	free := s.now
	for end := s.now.Add(duration); s.now.Before(end); {
		s.play(40 * time.Millisecond)
		packets, _ := w.take()
		var arrivals []time.Duration
		for _, p := range packets {
			sent := s.now.Add(-40 * time.Millisecond)
			if free.Before(sent) {
				free = sent
			}
			if kbps > 0 {
				free = free.Add(time.Duration((len(p.Payload)+rtpOverhead)*8) * time.Millisecond / time.Duration(kbps))
			}
			arrivals = append(arrivals, free.Sub(epoch))
			if p.SSRC == rtxSSRC {
				copies++
			} else {
				*last = int(p.Payload[2])
			}
		}
		if len(packets) > 0 {
			number := packets[0].GetExtension(3)
			f := arrived(uint16(number[0])<<8|uint16(number[1]), arrivals...)
			subscriber.HandleFeedback(written(f), s.now)
		}
	}
	return copies
}

func TestAReceiverGetsWhatItsPathCarries(t *testing.T) {
	r := newSimulcast(t, 150, 500, 1700)
	numbered := func(c *ForwarderConfig) { c.TransportCC = 3 }
	slow, w := r.subscribe(r.now, numbered)
	_, other := r.subscribe(r.now, numbered)
	layer := -1
	if copies := r.receive(slow, w, 3000, 5*time.Second, &layer); layer != 2 || copies != 0 {
		t.Fatalf("at first: layer %d, %d copies", layer, copies)
	}
	r.receive(slow, w, 800, 3*time.Second, &layer)
	if layer != 1 {
		t.Fatalf("on a slow path: layer %d", layer)
	}
	if copies := r.receive(slow, w, 800, 10*time.Second, &layer); layer != 1 || copies == 0 {
		t.Fatalf("still on a slow path: layer %d, %d copies", layer, copies)
	}
	r.receive(slow, w, 3000, 10*time.Second, &layer)
	if layer != 2 {
		t.Fatalf("on a fast path again: layer %d", layer)
	}
	r.expect("another receiver", other, 2)
}

func TestWhatAReceiverSaysOfItsPathCountsWhenItDoesNotReportOnPackets(t *testing.T) {
	for _, numbers := range []uint8{0, 3} {
		r := newSimulcast(t, 150, 500)
		s, w := r.subscribe(r.now, func(c *ForwarderConfig) { c.TransportCC = numbers })
		r.play(3 * time.Second)
		s.HandleRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 300_000}}, r.now)
		r.play(time.Second)
		layer := 0
		if numbers != 0 {
			layer = 1
		}
		r.expect("after REMB", w, layer)
	}
}

func TestRepairsDoNotFillASlowPath(t *testing.T) {
	r := newSimulcast(t, 150)
	s, w := r.subscribe(r.now)
	r.play(3 * time.Second)
	again := func(duration time.Duration) (kbps int) {
		bytes := 0
		for end := r.now.Add(duration); r.now.Before(end); {
			r.play(40 * time.Millisecond)
			packets, _ := w.take()
			var sequences []uint16
			for _, p := range packets {
				for i := range uint16(100) { // a receiver that asks for everything
					sequences = append(sequences, p.SequenceNumber-i)
				}
			}
			s.HandleRTCP(nackOf(sequences...), r.now)
			copies, _ := w.take()
			for _, c := range copies {
				bytes += len(c.Payload) + rtpOverhead
			}
		}
		return bytes * 8 / int(duration/time.Millisecond)
	}
	if kbps := again(2 * time.Second); kbps < 1000 {
		t.Errorf("%d kbps while nothing is known of the path: the test tests nothing", kbps)
	}
	s.HandleRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 400_000}}, r.now)
	again(time.Second)
	if kbps := again(4 * time.Second); kbps < 60 || kbps > 400*repairShare/100*5/4 {
		t.Errorf("%d kbps on a path of 400 kbps", kbps)
	}
}
