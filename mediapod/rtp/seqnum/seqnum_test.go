package seqnum

import "testing"

// boundaries are the numbers around which 16-bit arithmetic goes wrong.
var boundaries = []uint16{0, 1, 127, 128, 511, 512, 32766, 32767, 32768, 32769, 65534, 65535}

func TestNewerAroundEveryBoundary(t *testing.T) {
	for _, b := range boundaries {
		for _, step := range []uint16{1, 2, 100, 32767} {
			if !Newer(b+step, b) {
				t.Errorf("Newer(%d, %d) is false", b+step, b)
			}
			if Newer(b, b+step) {
				t.Errorf("Newer(%d, %d) is true", b, b+step)
			}
		}
		if Newer(b, b) {
			t.Errorf("Newer(%d, %d) is true", b, b)
		}
	}
}

func TestUnwrapFollowsAWrappingCounter(t *testing.T) {
	for _, start := range boundaries {
		var u Unwrapper
		first := u.Unwrap(start)
		for i := int64(1); i < 200_000; i++ {
			if got := u.Unwrap(start + uint16(i)); got != first+i {
				t.Fatalf("start %d: packet %d unwraps to %d, want %d", start, i, got, first+i)
			}
		}
	}
}

func TestUnwrapOfALatePacketIsLowerAndDoesNotMoveTheHighest(t *testing.T) {
	for _, start := range boundaries {
		var u Unwrapper
		first := u.Unwrap(start)
		if got := u.Unwrap(start - 5); got != first-5 {
			t.Errorf("start %d: late packet unwraps to %d, want %d", start, got, first-5)
		}
		if u.Highest() != first {
			t.Errorf("start %d: highest is %d, want %d", start, u.Highest(), first)
		}
	}
}
