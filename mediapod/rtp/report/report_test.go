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
