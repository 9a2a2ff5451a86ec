package peer

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// numbered is a packet with a transport-wide number in header extension 3.
func numbered(t *testing.T, ssrc uint32, number uint16) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: ssrc}}
	if err := p.SetExtension(3, binary.BigEndian.AppendUint16(nil, number)); err != nil {
		t.Fatal(err)
	}
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// told reads what a publisher is told: its numbers, and after how many milliseconds they came, -1
// for those that did not.
func told(t *testing.T, packets []rtcp.Packet) map[uint16]int64 {
	t.Helper()
	all := map[uint16]int64{}
	for _, p := range packets {
		raw, err := p.(*rtcp.TransportLayerCC).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var f rtcp.TransportLayerCC
		if err := f.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		var symbols []uint16
		for _, c := range f.PacketChunks {
			switch c := c.(type) {
			case *rtcp.RunLengthChunk:
				for range c.RunLength {
					symbols = append(symbols, c.PacketStatusSymbol)
				}
			case *rtcp.StatusVectorChunk:
				symbols = append(symbols, c.SymbolList...)
			}
		}
		at, deltas := int64(f.ReferenceTime)*64_000, f.RecvDeltas
		for i := range f.PacketStatusCount {
			number := f.BaseSequenceNumber + i
			if all[number] = -1; symbols[i] != rtcp.TypeTCCPacketNotReceived {
				at += deltas[0].Delta
				deltas = deltas[1:]
				all[number] = at / 1000
			}
		}
	}
	return all
}

func TestAPublisherIsToldOfAllItsStreams(t *testing.T) {
	f := newFeedback(3)
	for i, p := range []struct {
		ssrc   uint32
		number uint16
	}{{1, 65_534}, {2, 65_535}, {1, 1}, {0, 2}} {
		recordRaw(f, numbered(t, p.ssrc, p.number), f.began.Add(time.Duration(100+i)*time.Millisecond))
	}
	recordRaw(f, []byte{0x90, 96}, f.began)                              // malformed
	recordRaw(f, append([]byte{0x80, 96}, make([]byte, 20)...), f.began) // without a number
	at := f.began.Add(time.Second)
	got := told(t, f.due(at))
	want := map[uint16]int64{65_534: 100, 65_535: 101, 0: -1, 1: 102, 2: 103}
	for number, when := range want {
		if got[number] != when {
			t.Errorf("packet %d came at %d, want %d", number, got[number], when)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	recordRaw(f, numbered(t, 1, 3), at)
	if early := f.due(at.Add(feedbackInterval / 2)); early != nil {
		t.Errorf("told too early: %v", early)
	}
	if got := told(t, f.due(at.Add(feedbackInterval))); len(got) != 1 || got[3] != 1000 {
		t.Errorf("%v", got)
	}
	if none := f.due(at.Add(2 * feedbackInterval)); len(none) != 0 {
		t.Errorf("told of nothing: %v", none)
	}
}

func TestNumbersThatJumpFarBeginAnew(t *testing.T) {
	f := newFeedback(3)
	at := f.began
	report := func(numbers ...uint16) map[uint16]int64 {
		for _, number := range numbers {
			at = at.Add(time.Millisecond)
			recordRaw(f, numbered(t, 1, number), at)
		}
		at = at.Add(feedbackInterval)
		return told(t, f.due(at))
	}
	for _, test := range []struct {
		numbers []uint16
		want    int // packets that are told of, the missing ones between them included
	}{
		{[]uint16{10, 11}, 2},
		{[]uint16{12 + maxMissing - 1}, maxMissing},      // an outage
		{[]uint16{30_000, 30_001}, 2},                    // a long one
		{[]uint16{29_999, 30_002}, 4},                    // late
		{[]uint16{31_000, 32_000, 33_000, 30_003}, 1998}, // there is no room for the third
		{[]uint16{60_000, 20_000, 60_001}, 2},            // one beginning at a time
		{[]uint16{60_002}, 1},
	} {
		if got := report(test.numbers...); len(got) != test.want {
			t.Errorf("after %d the publisher is told of %d packets, want %d", test.numbers, len(got), test.want)
		}
	}
}

func TestAPublisherThatDoesNotNumberItsPacketsIsToldNothing(t *testing.T) {
	f := newFeedback(0)
	recordRaw(f, numbered(t, 1, 1), f.began)
	if packets := f.due(f.began.Add(time.Second)); len(packets) != 0 {
		t.Errorf("%v", packets)
	}
}

func TestFeedbackReachesAPublisher(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	s.publish(p)
	var extension uint8
	for _, h := range s.senders[0].GetParameters().HeaderExtensions {
		if h.URI == sdp.TransportCCURI {
			extension = uint8(h.ID)
		}
	}
	if extension == 0 {
		t.Fatal("the answer has no transport-wide numbers")
	}
	came := func() map[uint16]int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		var packets []rtcp.Packet
		for _, p := range s.control {
			if p, ok := p.(*rtcp.TransportLayerCC); ok {
				packets = append(packets, p)
			}
		}
		return told(t, packets)
	}
	const each = 200
	for i := range uint16(2 * each) {
		kind := video
		if i%2 == 0 {
			kind = audio
		}
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: i, Timestamp: uint32(i) * 90, Marker: true},
			Payload: []byte{0x10, 0, 0, 0},
		}
		s.must(packet.SetExtension(extension, binary.BigEndian.AppendUint16(nil, i)))
		s.must(s.tracks[kind].WriteRTP(packet))
		time.Sleep(time.Millisecond)
	}
	eventually(t, "the publisher knows of its packets", func() bool {
		got := came()
		for i := range uint16(each) {
			if when, ok := got[each+i]; !ok || when < 0 {
				return false
			}
		}
		return true
	})
}

// recordRaw notes a packet as the demultiplexer does.
func recordRaw(f *feedback, raw []byte, at time.Time) {
	var header rtp.Header
	if _, err := header.Unmarshal(raw); err == nil {
		f.record(&header, at)
	}
}
