package nack

import (
	"slices"
	"testing"
	"time"
)

var (
	starts = []uint16{0, 1, 127, 128, 511, 512, 32766, 32767, 32768, 65400, 65534, 65535}
	epoch  = time.Unix(1_000_000, 0)
)

func TestAMissingPacketIsAskedForUntilItComes(t *testing.T) {
	for _, start := range starts {
		var tr Tracker
		tr.Received(start, epoch)
		tr.Received(start+3, epoch)
		if got := tr.Due(epoch, nil); len(got) != 0 {
			t.Fatalf("start %d: asked at once for %v", start, got)
		}
		now := epoch.Add(firstDelay)
		if got, want := tr.Due(now, nil), []uint16{start + 1, start + 2}; !slices.Equal(got, want) {
			t.Fatalf("start %d: asked for %v, want %v", start, got, want)
		}
		if got := tr.Due(now.Add(time.Millisecond), nil); len(got) != 0 {
			t.Fatalf("start %d: asked again too soon for %v", start, got)
		}
		tr.Received(start+1, now)
		if got, want := tr.Due(now.Add(firstRetry), nil), []uint16{start + 2}; !slices.Equal(got, want) {
			t.Fatalf("start %d: asked for %v, want %v", start, got, want)
		}
		tr.Received(start+2, now)
		if tr.Missing() != 0 {
			t.Fatalf("start %d: %d still missing", start, tr.Missing())
		}
	}
}

func TestAPacketThatNeverComesIsGivenUp(t *testing.T) {
	for _, start := range starts {
		var tr Tracker
		tr.Received(start, epoch)
		tr.Received(start+2, epoch)
		asked := 0
		for now := epoch; now.Before(epoch.Add(time.Minute)); now = now.Add(10 * time.Millisecond) {
			asked += len(tr.Due(now, nil))
		}
		if asked != MaxRequests || tr.Missing() != 0 {
			t.Errorf("start %d: asked %d times, %d still missing", start, asked, tr.Missing())
		}
	}
}

func TestALargeGapIsNotRepaired(t *testing.T) {
	for _, start := range starts {
		var tr Tracker
		tr.Received(start, epoch)
		if !tr.Received(start+MaxMissing+1, epoch) {
			t.Errorf("start %d: a gap of %d is too large", start, MaxMissing)
		}
		if tr.Received(start+MaxMissing+3, epoch) {
			t.Errorf("start %d: a list of %d is not too large", start, MaxMissing+1)
		}
		if tr.Missing() != 0 {
			t.Errorf("start %d: %d still missing", start, tr.Missing())
		}
	}
}

func TestNoLossNoRequest(t *testing.T) {
	var tr Tracker
	for i := range 200_000 {
		tr.Received(uint16(i), epoch)
	}
	if tr.Missing() != 0 {
		t.Errorf("%d missing", tr.Missing())
	}
}
