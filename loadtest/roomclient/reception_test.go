package roomclient

import (
	"slices"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// sent is a video as it is sent: frames of three packets, 30 a second, with a key frame first and
// wherever one is wanted.
type sent struct {
	*reception
	first uint16
	keys  []int
	layer func(frame int) int
}

const packetsPerFrame = 3

func newSent(first uint16) *sent {
	return &sent{reception: newReception(true, 90_000), first: first, keys: []int{0}, layer: func(int) int { return 0 }}
}

func frameTime(frame int) time.Time { return epoch.Add(time.Duration(frame) * time.Second / 30) }

// deliver lets a packet arrive after a delay.
func (s *sent) deliver(packet int, delay time.Duration, repaired bool) {
	frame, index := packet/packetsPerFrame, packet%packetsPerFrame
	sequence := s.first + uint16(packet)
	s.arrived(sequence, uint32(frame*3000), index == packetsPerFrame-1, 1000, repaired, frameTime(frame).Add(delay))
	s.read(sequence, stamp{
		sent: frameTime(frame), frame: uint32(frame), layer: uint8(s.layer(frame)), key: slices.Contains(s.keys, frame), first: index == 0,
	})
}

func (s *sent) frames(from, to int, lost ...int) {
	for packet := from * packetsPerFrame; packet < to*packetsPerFrame; packet++ {
		if !slices.Contains(lost, packet) {
			s.deliver(packet, time.Millisecond, false)
		}
	}
}

// starts are sequence numbers around which something may wrap.
var starts = []uint16{0, 1, 127, 255, 256, 1 << 14, 1<<15 - 2, 1 << 15, 1<<16 - 300, 1<<16 - 2, 1<<16 - 1}

func TestAVideoWithoutLossHasNoFreeze(t *testing.T) {
	for _, first := range starts {
		s := newSent(first)
		s.frames(0, 300)
		got := s.snapshot(frameTime(300))
		if got.Frames != 300 || got.Packets != 900 || got.Expected != 900 || got.Missed != 0 || got.Freezes != 0 {
			t.Fatalf("from %d: %+v", first, got)
		}
		if got.Longest > 34*time.Millisecond {
			t.Errorf("from %d: the longest gap is %v", first, got.Longest)
		}
		if got.Delay.Quantile(0.5) > 1070*time.Microsecond || got.Delay.Count() != 900 {
			t.Errorf("from %d: the delay is %v", first, got.Delay.Quantile(0.5))
		}
	}
}

func TestALostPacketIsAskedForAndItsRepairEndsTheGap(t *testing.T) {
	for _, first := range starts {
		s := newSent(first)
		s.frames(0, 40, 100)
		asked, keyframe := s.due(frameTime(39), nil)
		if !slices.Equal(asked, []uint16{first + 100}) || keyframe {
			t.Fatalf("from %d: asks for %d, key frame %v", first, asked, keyframe)
		}
		if again, _ := s.due(frameTime(39), nil); len(again) > 0 {
			t.Errorf("from %d: asks for %d again at once", first, again)
		}
		if got := s.snapshot(epoch); got.Frames != 33 || got.Missed != 1 {
			t.Fatalf("from %d: before the repair: %+v", first, got)
		}
		// Frame 33 is complete at the time of frame 40, and with it those that wait for it.
		s.deliver(100, frameTime(40).Sub(frameTime(33)), true)
		got := s.snapshot(epoch)
		if got.Frames != 40 || got.Missed != 1 || got.Repaired != 1 || got.Lost() != 0 || got.NACKs != 1 {
			t.Fatalf("from %d: after the repair: %+v", first, got)
		}
		if want := frameTime(40).Sub(frameTime(32)); got.Longest < want-2*time.Millisecond || got.Longest > want {
			t.Errorf("from %d: the longest gap is %v, want %v", first, got.Longest, want)
		}
		if got.Freezes != 1 {
			t.Errorf("from %d: %d freezes", first, got.Freezes)
		}
	}
}

func TestWhatIsNeverRepairedTakesAKeyframe(t *testing.T) {
	s := newSent(65_000)
	s.keys = append(s.keys, 200)
	s.frames(0, 100, 100)
	wantedAt := 0
	for frame := 100; frame < 300; frame++ {
		s.frames(frame, frame+1)
		if _, keyframe := s.due(frameTime(frame), nil); keyframe && wantedAt == 0 {
			wantedAt = frame
		}
	}
	if wantedAt == 0 || wantedAt > 140 {
		t.Errorf("a key frame is asked for at frame %d", wantedAt)
	}
	got := s.snapshot(epoch)
	if got.Frames != 33+100 || got.Lost() == 0 || got.KeyframeRequests == 0 {
		t.Errorf("%+v", got)
	}
	if want := frameTime(200).Sub(frameTime(32)); got.Longest < want-2*time.Millisecond {
		t.Errorf("the longest gap is %v, want %v", got.Longest, want)
	}
}

func TestAKeyframeEndsTheWaitForWhatIsMissing(t *testing.T) {
	s := newSent(10)
	s.keys = append(s.keys, 36)
	s.frames(0, 40, 100)
	if got := s.snapshot(frameTime(40)); got.Frames != 33+4 {
		t.Errorf("%d frames", got.Frames)
	}
	if asked, _ := s.due(frameTime(40), nil); len(asked) > 0 {
		t.Errorf("still asks for %d", asked)
	}
}

func TestPacketsInAnotherOrderAreNeitherLostNorAskedFor(t *testing.T) {
	s := newSent(65_530)
	s.frames(0, 10)
	for packet := 30; packet < 300; packet += 2 {
		s.deliver(packet+1, time.Millisecond, false)
		s.deliver(packet, time.Millisecond, false)
		s.deliver(packet, 2*time.Millisecond, true) // a probe
	}
	got := s.snapshot(epoch)
	if asked, _ := s.due(frameTime(100), nil); len(asked) > 0 || got.Missed != 0 || got.Frames != 100 || got.Packets != 300 {
		t.Errorf("asks for %d; %+v", asked, got)
	}
}

func TestLayersAreFollowed(t *testing.T) {
	s := newSent(0)
	s.layer = func(frame int) int {
		if frame >= 50 && frame < 100 {
			return 0
		}
		return 2
	}
	s.frames(0, 150)
	got := s.snapshot(epoch)
	var layers []int
	for _, change := range got.Changes {
		layers = append(layers, change.Layer)
	}
	if !slices.Equal(layers, []int{2, 0, 2}) || got.Layer != 2 {
		t.Fatalf("layers %v, now %d", layers, got.Layer)
	}
	if at := got.Changes[1].At; !at.Equal(frameTime(50).Add(time.Millisecond)) {
		t.Errorf("the first change is at %v", at.Sub(epoch))
	}
}

func TestReceiverReportsTellTheLossSinceTheLastOne(t *testing.T) {
	s := newSent(65_500)
	if _, ok := s.reported(); ok {
		t.Error("a report before anything came")
	}
	s.frames(0, 10)
	if r, _ := s.reported(); r.fraction != 0 || r.lost != 0 || uint16(r.highest) != s.first+29 {
		t.Errorf("without loss: %+v", r)
	}
	s.frames(10, 20, 31, 32, 33)
	if r, _ := s.reported(); r.fraction != 256/10 || r.lost != 3 {
		t.Errorf("with 3 of 30 lost: %+v", r)
	}
	s.frames(20, 30)
	if r, _ := s.reported(); r.fraction != 0 || r.lost != 3 {
		t.Errorf("after that: %+v", r)
	}
}
