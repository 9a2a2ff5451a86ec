package compound

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/test/cost"
)

func marshal(t testing.TB, packets ...rtcp.Packet) []byte {
	t.Helper()
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func kinds(packet []byte) (all []Kind) {
	for kind := range Parts(packet) {
		all = append(all, kind)
	}
	return all
}

func TestPartsAreToldByTheirKind(t *testing.T) {
	feedback := &rtcp.RawPacket{0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2}
	raw := marshal(t, &rtcp.SenderReport{SSRC: 1}, &rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{}}}, feedback, feedback,
		&rtcp.PictureLossIndication{}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{}}}, &rtcp.ReceiverEstimatedMaximumBitrate{},
		&rtcp.ExtendedReport{}, &rtcp.Goodbye{})
	want := []Kind{SenderReport, NACK, TransportFeedback, PictureLoss, FullIntraRequest, BitrateLimit, ExtendedReport, {Type: 203}}
	if got := kinds(raw); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := kinds(raw[:len(raw)-1]); len(got) != len(want)-1 {
		t.Errorf("%d parts although the last is cut off", len(got))
	}
}

func TestPartsAreBounded(t *testing.T) {
	least := []byte{0x81, 205, 0, 0}
	if got := kinds(slices.Repeat(least, 500)); len(got) != MaxParts {
		t.Errorf("%d parts of one packet are read", len(got))
	}
}

func TestWorkIsBoundedBySize(t *testing.T) {
	raw := slices.Repeat([]byte{0x81, 205, 0, 0}, 512)
	if ratio := cost.Ratio(len(raw), func() {
		for range Parts(raw) {
			continue
		}
	}); ratio > cost.Most {
		t.Errorf("a packet of %d bytes costs %.0f times a copy", len(raw), ratio)
	}
}

func TestABudget(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBudget(20)
	verdicts := map[Verdict]int{}
	for range 20*Saved + 10 {
		verdicts[b.Take(100, now)]++
	}
	if verdicts[Taken] != 20*Saved || verdicts[Dropped] != 10 {
		t.Errorf("%v of %d at once", verdicts, 20*Saved+10)
	}
	clear(verdicts)
	for range 2000 { // at the allowed rate for good
		now = now.Add(time.Second / 20)
		verdicts[b.Take(100, now)]++
	}
	if verdicts[Taken] != 2000 {
		t.Errorf("%v of 2000 in time", verdicts)
	}
	now = now.Add(time.Minute)
	clear(verdicts)
	for range 300 {
		verdicts[b.Take(1400, now)]++
	}
	if n := verdicts[Taken]; n > 20*Saved {
		t.Errorf("%d of large ones", n)
	}
	clear(verdicts)
	large := NewBudget(1000)
	for range 300 {
		verdicts[large.Take(1400, now)]++
	}
	if n := verdicts[Taken]; n != Saved*BytesPerSecond/1400 {
		t.Errorf("%d bytes at once", n*1400)
	}
	for range MaxDropped {
		large.Take(1400, now)
	}
	if v := large.Take(1, now.Add(time.Millisecond)); v != Taken {
		t.Errorf("a small one that there is room for: %v", v)
	}
	if v := large.Take(1400, now.Add(time.Millisecond)); v != Refused {
		t.Errorf("after very many: %v", v)
	}
	now = now.Add(time.Minute)
	if v := large.Take(1400, now); v != Taken || large.dropped != 0 {
		t.Errorf("after a pause: %v", v)
	}
}

func FuzzParts(f *testing.F) {
	f.Add(marshal(f, &rtcp.SenderReport{SSRC: 1}, &rtcp.PictureLossIndication{}))
	f.Add([]byte{0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 200, 255, 255})
	f.Fuzz(func(t *testing.T, packet []byte) {
		n, bytes := 0, 0
		for _, part := range Parts(packet) {
			n++
			bytes += len(part)
			if len(part)%4 != 0 || len(part) == 0 {
				t.Errorf("a part of %d bytes", len(part))
			}
		}
		if n > MaxParts || bytes > len(packet) {
			t.Errorf("%d parts of %d bytes in %d", n, bytes, len(packet))
		}
	})
}
