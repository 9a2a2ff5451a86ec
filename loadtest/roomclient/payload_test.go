package roomclient

import (
	"testing"
	"time"

	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

func TestFramesAreSplitIntoPacketsOfNearlyEqualSize(t *testing.T) {
	for frame := 1; frame < 20_000; frame += 37 {
		packets := split(frame, 40)
		sum := 0
		for i, size := range packets {
			sum += size
			if size > largestPayload || size < 40 {
				t.Fatalf("%d bytes: packet %d of %d has %d bytes", frame, i, len(packets), size)
			}
			if i > 0 && (size > packets[i-1] || packets[0]-size > 1) {
				t.Fatalf("%d bytes: %v", frame, packets)
			}
		}
		if sum != max(frame, 40) {
			t.Fatalf("%d bytes become %d", frame, sum)
		}
	}
}

func TestFrameSizesKeepToTheBitrateAndVary(t *testing.T) {
	s := newSizes(Layer{Kbps: 1500}, 30, 1)
	sum, least, most := 0, 1<<30, 0
	for i := range 900 {
		size := s.next(i%300 == 0)
		sum += size
		least, most = min(least, size), max(most, size)
	}
	if kbps := sum * 8 / 30 / 1000; kbps < 1450 || kbps > 1550 {
		t.Errorf("%d kbps", kbps)
	}
	if most < 4*1500*1000/8/30 || least > 1500*1000/8/30*8/10 {
		t.Errorf("frames of %d to %d bytes", least, most)
	}
}

func TestPayloadsAreWhatTheCodecSays(t *testing.T) {
	now := time.Now().Round(0)
	what := stamp{sent: now, frame: 77, layer: 2, key: true, first: true}
	t.Run("VP8", func(t *testing.T) {
		for index := range 2 {
			payload := make([]byte, 200)
			p := picture{width: 1280, height: 720, id: 0x1234, key: true, temporals: 3, temporal: 1, tl0: 9, synced: true}
			packetizerFor(webrtc.MimeTypeVP8).fill(payload, p, index, 2)
			what.put(payload)
			var vp8 codecs.VP8Packet
			frame, err := vp8.Unmarshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			if vp8.PictureID != 0x1234 || vp8.TID != 1 || vp8.TL0PICIDX != 9 || vp8.Y != 1 || vp8.N != 0 || int(vp8.S) != 1-index {
				t.Errorf("descriptor %+v", vp8)
			}
			if index == 0 && (frame[0]&1 != 0 || int(frame[6])|int(frame[7])<<8 != 1280 || int(frame[8])|int(frame[9])<<8 != 720) {
				t.Errorf("header % x", frame[:10])
			}
			if got, ok := readStamp(payload); !ok || got != what {
				t.Errorf("stamp %+v", got)
			}
		}
	})
	t.Run("H264", func(t *testing.T) {
		h264 := packetizerFor(webrtc.MimeTypeH264)
		var depacketizer codecs.H264Packet
		lead := h264.lead(picture{key: true})
		if len(lead) != 1 || h264.lead(picture{}) != nil {
			t.Fatal("a key frame is led by one packet, others by none")
		}
		what.put(lead[0])
		sets, err := depacketizer.Unmarshal(lead[0])
		if err != nil || len(sets) != 3*4+len(h264SPS)+len(h264PPS)+1+stampBytes {
			t.Errorf("parameter sets: % x, %v", sets, err)
		}
		if got, ok := readStamp(lead[0]); !ok || got != what {
			t.Errorf("stamp %+v", got)
		}
		var frame []byte
		for index := range 3 {
			payload := make([]byte, 100)
			h264.fill(payload, picture{key: true}, index, 3)
			if frame, err = depacketizer.Unmarshal(payload); err != nil {
				t.Fatal(err)
			}
		}
		if len(frame) != 4+1+3*98 || frame[4]&0x1f != nalIDR {
			t.Errorf("%d bytes, type %d", len(frame), frame[4]&0x1f)
		}
	})
	if _, ok := readStamp(make([]byte, 100)); ok {
		t.Error("a stamp where there is none")
	}
}

func TestTheOfferTellsWhatComes(t *testing.T) {
	table := readTable("v=0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=rtpmap:900 VP8/90000\r\n" +
		"a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n")
	if table.payloads[111] != ofAudio || table.payloads[96] != ofVideo || table.payloads[97] != ofRepair || table.transportCC != 3 {
		t.Errorf("%+v", table)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x31, 0, 7, 0})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if h, ok := readHeader(packet); ok {
			if h.length > len(packet) {
				t.Errorf("a header of %d bytes in %d", h.length, len(packet))
			}
			for number := range uint8(16) {
				h.extension(number)
			}
		}
	})
}
