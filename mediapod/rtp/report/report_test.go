package report

import (
	"testing"
	"time"
)

var (
	starts = []uint16{0, 1, 127, 128, 32767, 32768, 65530, 65534, 65535}
	epoch  = time.Unix(1_000_000, 0)
)

func TestLossIsCountedPerIntervalAndInTotal(t *testing.T) {
	for _, start := range starts {
		r := NewReceiver(90_000)
		if _, ok := r.Report(1, epoch); ok {
			t.Fatal("a report before the first packet")
		}
		for i := range uint16(100) {
			if i%10 != 5 {
				r.Received(start+i, uint32(i)*900, epoch.Add(time.Duration(i)*10*time.Millisecond))
			}
		}
		got, ok := r.Report(7, epoch)
		if !ok || got.SSRC != 7 || got.TotalLost != 10 || got.FractionLost != 25 {
			t.Fatalf("start %d: %+v", start, got)
		}
		if want := uint32(start) + 99; got.LastSequenceNumber != want {
			t.Fatalf("start %d: highest number is %#x, want %#x", start, got.LastSequenceNumber, want)
		}
		for i := uint16(100); i < 200; i++ {
			r.Received(start+i, uint32(i)*900, epoch.Add(time.Duration(i)*10*time.Millisecond))
		}
		if got, _ := r.Report(7, epoch); got.TotalLost != 10 || got.FractionLost != 0 {
			t.Fatalf("start %d: second interval: %+v", start, got)
		}
	}
}

func TestRepairedPacketsAreNotLost(t *testing.T) {
	r := NewReceiver(90_000)
	for _, n := range []uint16{10, 12, 13, 11, 9} {
		r.Received(n, 0, epoch)
	}
	if got, _ := r.Report(1, epoch); got.TotalLost != 0 || got.FractionLost != 0 {
		t.Errorf("%+v", got)
	}
}

func TestJitter(t *testing.T) {
	steady, shaky := NewReceiver(90_000), NewReceiver(90_000)
	for i := range uint16(1000) {
		at := epoch.Add(time.Duration(i) * 10 * time.Millisecond)
		steady.Received(i, uint32(i)*900+0xffff_f000, at)
		if i%2 == 1 {
			at = at.Add(5 * time.Millisecond)
		}
		shaky.Received(i, uint32(i)*900, at)
	}
	if got, _ := steady.Report(1, epoch); got.Jitter > 1 {
		t.Errorf("steady stream has jitter %d", got.Jitter)
	}
	if got, _ := shaky.Report(1, epoch); got.Jitter < 440 || got.Jitter > 460 {
		t.Errorf("5 ms of jitter are %d units, want 450", got.Jitter)
	}
}

func TestDelaySinceLastSenderReport(t *testing.T) {
	r := NewReceiver(48_000)
	r.Received(1, 0, epoch)
	r.SenderReport(0x0123_4567_89ab_cdef, epoch)
	got, _ := r.Report(1, epoch.Add(1500*time.Millisecond))
	if got.LastSenderReport != 0x4567_89ab || got.Delay != 65536*3/2 {
		t.Errorf("%+v", got)
	}
}

func TestClockGoesOn(t *testing.T) {
	var c Clock
	if _, _, ok := c.At(epoch, 90_000); ok {
		t.Error("the clock knows the time before the first report")
	}
	c.SenderReport(5<<32, 0xffff_ffff, epoch)
	ntp, ts, ok := c.At(epoch.Add(2500*time.Millisecond), 90_000)
	if !ok || ntp != 7<<32+1<<31 || ts != 225_000-1 {
		t.Errorf("%#x %d %v", ntp, ts, ok)
	}
}

func TestLossSinceItWasLastAskedFor(t *testing.T) {
	r := NewReceiver(90_000)
	if expected, lost := r.Loss(); expected != 0 || lost != 0 {
		t.Errorf("before the first packet: %d of %d", lost, expected)
	}
	for round := range 3 {
		for i := range 100 {
			if i%10 != 5 {
				r.Received(uint16(65_500+100*round+i), 0, epoch)
			}
		}
		r.Report(1, epoch) // has an interval of its own
		if expected, lost := r.Loss(); expected != 100 || lost != 10 {
			t.Errorf("round %d: %d of %d", round, lost, expected)
		}
	}
	late := 65_500 + 205
	r.Received(uint16(late), 0, epoch) // a repair that comes after it was counted as lost
	if expected, lost := r.Loss(); expected != 0 || lost != 0 {
		t.Errorf("after a late repair: %d of %d", lost, expected)
	}
}

func TestJitterIsThatOfFrames(t *testing.T) {
	r := NewReceiver(90_000)
	n := uint16(0)
	for frame := range 200 {
		for part := range 10 { // paced over 20 ms
			r.Received(n, uint32(frame)*3000, epoch.Add(time.Duration(frame)*time.Second/30+time.Duration(part)*2*time.Millisecond))
			n++
		}
	}
	if got := r.Jitter(); got > time.Millisecond {
		t.Errorf("%v", got)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, start := range []time.Time{epoch, time.Unix(1_000_000, 999_999_999), time.Unix(1<<16*40-1, 0)} {
		sent := uint32(NTP(start) >> 16)
		got, ok := RoundTrip(sent, 65536/4, start.Add(350*time.Millisecond))
		if !ok || got < 99*time.Millisecond || got > 101*time.Millisecond {
			t.Errorf("%v %v, want 100 ms", got, ok)
		}
		if got, ok := RoundTrip(sent, 65536, start.Add(900*time.Millisecond)); !ok || got != 0 {
			t.Errorf("a delay that is longer than all: %v %v", got, ok)
		}
		if _, ok := RoundTrip(sent, 0, start.Add(5*time.Minute)); ok {
			t.Error("an answer after five minutes is believed")
		}
	}
	if _, ok := RoundTrip(0, 0, epoch); ok {
		t.Error("an answer to no report is believed")
	}
}
