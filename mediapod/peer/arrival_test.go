package peer

import (
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

func rtpOf(number byte, marker bool) []byte {
	packet := make([]byte, 12, 20)
	packet[0], packet[1], packet[3], packet[11] = 0x80, 96, number, 7
	if marker {
		packet[1] |= 0x80
	}
	return packet
}

// basket is a taker that keeps the numbers of what it gets, by bursts.
type basket struct {
	t    *testing.T
	slow chan struct{} // received from in each call; nil is not slow

	mu     sync.Mutex // guards the fields below
	bursts []string
	busy   bool
}

func newBasket(t *testing.T) *basket { return &basket{t: t} }

func (b *basket) take(packets [][]byte, _ time.Time) {
	numbers := make([]byte, 0, len(packets))
	for _, p := range packets {
		numbers = append(numbers, p[3])
	}
	b.mu.Lock()
	if b.busy {
		b.t.Error("two bursts at once")
	}
	b.busy = true
	b.bursts = append(b.bursts, string(numbers))
	b.mu.Unlock()
	if b.slow != nil {
		<-b.slow
	}
	b.mu.Lock()
	b.busy = false
	b.mu.Unlock()
}

// got returns the bursts since it was last called.
func (b *basket) got() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	bursts := b.bursts
	b.bursts = nil
	return bursts
}

func (b *basket) check(when string, want ...string) {
	b.t.Helper()
	if got := b.got(); !slices.Equal(got, want) {
		b.t.Errorf("%s: %q is forwarded, want %q", when, got, want)
	}
}

// known is an arrival without any header extension.
func known() *arrival { return newArrival(newIncoming(&description{}, nil)) }

func write(t *testing.T, a *arrival, number byte, marker bool) {
	t.Helper()
	if n, err := a.Write(rtpOf(number, marker)); n != 12 || err != nil {
		t.Errorf("writing: %d, %v", n, err)
	}
}

func TestPacketsOfAFrameAreForwardedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		a.attach(b.take, false)
		for n := range byte(3) {
			write(t, a, n, false)
		}
		b.check("an incomplete frame")
		write(t, a, 3, true)
		b.check("a complete frame", "\x00\x01\x02\x03")
		write(t, a, 4, true)
		b.check("a frame of one packet", "\x04")
		write(t, a, 5, false)
		write(t, a, 6, false)
		time.Sleep(gatherTime - 1)
		synctest.Wait()
		b.check("not long enough")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		b.check("after a while", "\x05\x06")
		write(t, a, 7, true)
		time.Sleep(time.Second)
		synctest.Wait()
		b.check("the rest of it", "\x07")
	})
}

func TestSoundIsForwardedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		a.attach(b.take, true)
		for n := range byte(3) {
			write(t, a, n, false)
		}
		b.check("at once", "\x00", "\x01", "\x02")
	})
}

func TestALargeFrameIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		a.attach(b.take, false)
		for n := range byte(sfu.MaxBurst) {
			write(t, a, n, false)
		}
		if got := b.got(); len(got) != 1 || len(got[0]) != sfu.MaxBurst {
			t.Errorf("%q", got)
		}
	})
}

func TestWhatCameBeforeTheTakerIsForwardedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		for n := range byte(sfu.MaxBurst + 2) {
			write(t, a, n, n == 1)
		}
		var raw [packetBytes]byte
		for n := range byte(2) { // pion looks for what it is
			if read, err := a.Read(raw[:]); read != 12 || err != nil || raw[3] != n {
				t.Errorf("reading: %d bytes of packet %d, %v", read, raw[3], err)
			}
		}
		b.slow = make(chan struct{})
		go a.attach(b.take, false)
		synctest.Wait()
		write(t, a, 100, true) // while the first ones are being forwarded
		close(b.slow)
		synctest.Wait()
		got := b.got()
		var all []byte
		for _, burst := range got {
			all = append(all, burst...)
		}
		if len(all) != sfu.MaxBurst+3 || !slices.IsSorted(all) || all[0] != 0 {
			t.Errorf("%q", got)
		}
		ended := make(chan error)
		go func() {
			_, err := a.Read(raw[:])
			ended <- err
		}()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("reading goes on: %v", err)
		default:
		}
		_ = a.Close()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("reading what was closed: %v", err)
		}
	})
}

func TestWhoWritesDoesNotWaitForTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		b.slow = make(chan struct{})
		a.attach(b.take, false)
		write(t, a, 0, false)
		time.Sleep(gatherTime)
		synctest.Wait()
		b.check("by the timer", "\x00")
		for n := range byte(2) {
			write(t, a, 1+n, n == 1)
		}
		write(t, a, 3, false)
		b.check("while the timer forwards")
		close(b.slow)
		synctest.Wait()
		b.check("what was complete, by the timer", "\x01\x02")
		time.Sleep(gatherTime)
		synctest.Wait()
		b.check("and the rest", "\x03")
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		for range 2 * arrivalPackets {
			write(t, a, 1, true)
		}
		a.attach(b.take, false)
		total := 0
		for _, burst := range b.got() {
			total += len(burst)
		}
		if total != arrivalPackets {
			t.Errorf("%d packets were kept", total)
		}
		if len(a.spare) > sfu.MaxBurst {
			t.Errorf("%d buffers are kept", len(a.spare))
		}
		for _, size := range []int{0, 1, packetBytes + 1} {
			if n, err := a.Write(make([]byte, size)); n != size || err != nil {
				t.Errorf("a packet of %d bytes: %d, %v", size, n, err)
			}
		}
		b.check("packets too small or too large")

		b.slow = make(chan struct{})
		write(t, a, 2, false)
		time.Sleep(gatherTime)
		synctest.Wait()
		for range 2 * arrivalPackets {
			write(t, a, 3, true)
		}
		close(b.slow)
		synctest.Wait()
		total = 0
		for _, burst := range b.got() {
			total += len(burst)
		}
		if total != 1+arrivalPackets {
			t.Errorf("%d packets were kept while one was forwarded", total)
		}
		_ = a.Close()
	})
}

func TestClosingWaitsForWhatIsBeingForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := known(), newBasket(t)
		b.slow = make(chan struct{})
		a.attach(b.take, false)
		write(t, a, 0, false)
		time.Sleep(gatherTime)
		synctest.Wait()
		write(t, a, 1, true)
		closed := make(chan struct{})
		go func() {
			_ = a.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closing does not wait")
		default:
		}
		close(b.slow)
		<-closed
		b.check("what was under way", "\x00")
		if _, err := a.Write(rtpOf(2, true)); err == nil {
			t.Error("a closed arrival takes packets")
		}
		a.attach(b.take, false)
		time.Sleep(gatherTime)
		synctest.Wait()
		b.check("after closing")
		if err := a.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

func TestAClosedArrivalEndsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := known()
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
	})
}

func TestARetransmissionStreamSaysWhatItRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBasket(t)
		var layer string
		in := newIncoming(&description{media: []mediaLine{{kind: sfu.Video, layers: []string{"low", "high"}, repairedRID: 4}}}, func(rid string) taker {
			layer += rid
			return b.take
		})
		a := newArrival(in)
		write(t, a, 1, false)
		named := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 2, SSRC: 7}}
		if err := named.SetExtension(4, []byte("high")); err != nil {
			t.Fatal(err)
		}
		raw, err := named.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write(raw); err != nil {
			t.Fatal(err)
		}
		var buffer [packetBytes]byte
		for n := range byte(2) { // pion looks for it too
			b.check("before pion has seen it")
			if _, err := a.Read(buffer[:]); err != nil || buffer[3] != n+1 {
				t.Errorf("reading packet %d: %v", buffer[3], err)
			}
		}
		b.check("when it is known", "\x01\x02")
		write(t, a, 3, false)
		b.check("later", "\x03")
		if layer != "high" {
			t.Errorf("it repairs %q", layer)
		}
	})
}

func TestStreamsThatNobodyWantsTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIncoming(&description{}, nil)
		excess := 0
		in.excess = func() { excess++ }
		var streams []io.ReadWriteCloser
		for ssrc := range uint32(transport.MaxSSRCs) {
			streams = append(streams, in.buffer(packetio.RTPBufferPacket, ssrc), in.buffer(packetio.RTCPBufferPacket, ssrc))
		}
		if excess != 0 {
			t.Errorf("%d SSRCs are too many", transport.MaxSSRCs)
		}
		for ssrc := range uint32(20_000) {
			streams = append(streams, in.buffer(packetio.RTPBufferPacket, 1000+ssrc), in.buffer(packetio.RTCPBufferPacket, 30_000+ssrc))
		}
		if excess != 1 {
			t.Errorf("the peer was over its limit %d times", excess)
		}
		if len(in.arrivals) != maxStreams || len(in.ssrcs) != transport.MaxSSRCs {
			t.Errorf("%d streams and %d SSRCs are kept", len(in.arrivals), len(in.ssrcs))
		}
		in.attach(2*maxStreams, ignore, true) // unknown, which harms nobody
		for _, stream := range streams {
			for range unclaimedPackets / 8 {
				if n, err := stream.Write(rtpOf(1, true)); n != 12 || err != nil {
					t.Fatalf("writing: %d, %v", n, err)
				}
			}
		}
		waiting := func() (n int) {
			for _, a := range in.arrivals {
				n += len(a.waiting)
			}
			return n
		}
		if n := waiting(); n != unclaimedPackets {
			t.Errorf("%d packets wait", n)
		}
		in.attach(1, ignore, true)
		for _, stream := range streams {
			_ = stream.Close()
			_ = stream.Close()
			if _, err := stream.Read(make([]byte, packetBytes)); !errors.Is(err, io.EOF) {
				t.Errorf("reading: %v", err)
			}
		}
		if n := in.unclaimed.Load(); n != 0 || waiting() != 0 {
			t.Errorf("%d packets wait in the end, %d are counted", waiting(), n)
		}
	})
}

type noControl struct{}

func (noControl) WriteRTCP([]rtcp.Packet) error { return nil }

func TestForwardingAllocatesNothing(t *testing.T) {
	in := newIncoming(&description{media: []mediaLine{{kind: sfu.Video, transportCC: 3}}}, nil)
	a := newArrival(in)
	stream := sfu.NewPublisher(&sfu.Counters{}, 0)
	layer, err := stream.Track(sfu.Video).NewFeed().Publish(sfu.LayerConfig{
		PayloadType: 96, Codec: sfu.Codec{Name: "VP8", ClockRate: 90_000}, Feedback: noControl{},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a.attach(layer.WriteBurst, false)
	raw := make([]byte, 1000)
	copy(raw, []byte{0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 3<<4 | 1, 0, 0, 0, 0x10, 1})
	n := 0
	frame := func() {
		for i := range 2 {
			n++
			raw[1], raw[2], raw[3], raw[6] = 96, byte(n>>8), byte(n), byte(n/2)
			raw[17], raw[18] = raw[2], raw[3]
			if i == 1 {
				raw[1] |= 0x80
			}
			if _, err := a.Write(raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 1000 {
		frame()
	}
	if allocations := testing.AllocsPerRun(1000, frame); allocations > 0 {
		t.Errorf("%v allocations per frame", allocations)
	}
}
