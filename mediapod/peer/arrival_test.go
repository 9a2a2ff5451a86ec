package peer

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

func rtpOf(number byte, marker bool) []byte {
	if marker {
		return []byte{0x80, 0x80 | 96, 0, number}
	}
	return []byte{0x80, 96, 0, number}
}

// drain reads all that is ready and returns the numbers of the packets.
func drain(t *testing.T, a *arrival) []byte {
	t.Helper()
	var numbers []byte
	for a.ready() {
		b := make([]byte, packetBytes)
		n, err := a.Read(b)
		if err != nil || n != 4 {
			t.Fatalf("read %d bytes: %v", n, err)
		}
		numbers = append(numbers, b[3])
	}
	return numbers
}

func TestPacketsOfAFrameAreReadTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrival()
		for n := range byte(3) {
			_, _ = a.Write(rtpOf(n, false))
		}
		if got := drain(t, a); len(got) != 0 {
			t.Errorf("packets %v of an incomplete frame are read", got)
		}
		_, _ = a.Write(rtpOf(3, true))
		_, _ = a.Write(rtpOf(4, false))
		if got := drain(t, a); string(got) != "\x00\x01\x02\x03" {
			t.Errorf("packets %v are read", got)
		}
		time.Sleep(gatherTime)
		synctest.Wait()
		if got := drain(t, a); string(got) != "\x04" {
			t.Errorf("packets %v are read after a while", got)
		}
		a.hurry()
		_, _ = a.Write(rtpOf(5, false))
		if got := drain(t, a); string(got) != "\x05" {
			t.Errorf("packets %v are read at once", got)
		}
	})
}

func TestALargeFrameIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrival()
		for n := range byte(sfu.MaxBurst) {
			_, _ = a.Write(rtpOf(n, false))
		}
		if got := drain(t, a); len(got) != sfu.MaxBurst {
			t.Errorf("%d packets are read", len(got))
		}
	})
}

func TestWhatArrivesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrival()
		for range 2 * arrivalPackets {
			if _, err := a.Write(rtpOf(1, true)); err != nil {
				t.Fatal(err)
			}
		}
		if got := drain(t, a); len(got) != arrivalPackets {
			t.Errorf("%d packets were kept", len(got))
		}
		if n, err := a.Write(make([]byte, packetBytes+1)); n != packetBytes+1 || err != nil || a.ready() {
			t.Errorf("a packet that is too large: %d, %v", n, err)
		}
	})
}

func TestAClosedArrivalEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrival()
		read := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, packetBytes))
			read <- err
		}()
		synctest.Wait()
		_ = a.Close()
		if err := <-read; !errors.Is(err, io.EOF) {
			t.Errorf("reading what was closed: %v", err)
		}
		if _, err := a.Write(rtpOf(0, true)); err == nil {
			t.Error("a closed arrival takes packets")
		}
	})
}
