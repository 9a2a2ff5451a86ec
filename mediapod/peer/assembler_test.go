package peer

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// rtpOf makes a packet of video with a sequence number.
func rtpOf(number byte, marker bool) []byte {
	packet := make([]byte, 12, 20)
	packet[0], packet[1], packet[3], packet[11] = 0x80, 96, number, 7
	if marker {
		packet[1] |= 0x80
	}
	return packet
}

// basket is a receiver that keeps the numbers of what it gets, by bursts.
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

// got returns the bursts since it was last called, when nothing is under way.
func (b *basket) got() []string {
	synctest.Wait()
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

// vp8 is an m-line with one stream.
var vp8 = mediaLine{kind: sfu.Video, mid: "1", codecs: []codec{{name: "VP8", payload: 96, rtx: 97}}}

// simulcastLine is one with two layers.
var simulcastLine = mediaLine{
	kind: sfu.Video, mid: "1", codecs: vp8.codecs, layers: []string{"low", "high"}, midExtension: 1, rid: 2, repairedRID: 4,
}

// opusLine is one with sound.
var opusLine = mediaLine{kind: sfu.Audio, mid: "0", midExtension: 1, codecs: []codec{opus}}

// demultiplexed runs a test with a demultiplexer of which all streams go to one receiver.
func demultiplexed(t *testing.T, line mediaLine, test func(t *testing.T, d *demultiplexer, b *basket)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBasket(t)
		d := newDemultiplexer([]mediaLine{line}, func(encoding, uint32) receiver { return receiver{take: b.take} })
		defer d.close()
		test(t, d, b)
	})
}

func (d *demultiplexer) write(number byte, marker bool) { d.receive(rtpOf(number, marker), time.Now()) }

func TestPacketsOfAFrameAreForwardedTogether(t *testing.T) {
	demultiplexed(t, vp8, func(_ *testing.T, d *demultiplexer, b *basket) {
		d.write(0, true)
		b.check("a frame of one packet", "\x00")
		for n := range byte(3) {
			d.write(1+n, false)
		}
		b.check("an incomplete frame")
		d.write(4, true)
		b.check("a complete frame", "\x01\x02\x03\x04")
		d.write(5, false)
		d.write(6, false)
		time.Sleep(gatherTime - 1)
		b.check("not long enough")
		time.Sleep(time.Nanosecond)
		b.check("after a while", "\x05\x06")
		d.write(7, true)
		time.Sleep(time.Second)
		b.check("the rest of it", "\x07")
	})
}

func TestSoundIsForwardedAtOnce(t *testing.T) {
	demultiplexed(t, opusLine, func(_ *testing.T, d *demultiplexer, b *basket) {
		for n := range byte(3) {
			packet := rtpOf(n, false)
			packet[1] = opus.payload
			d.receive(packet, time.Now())
			b.check("at once", string([]byte{n}))
		}
	})
}

func TestALargeFrameIsNotHeldBack(t *testing.T) {
	demultiplexed(t, vp8, func(t *testing.T, d *demultiplexer, b *basket) {
		d.write(0, true)
		b.check("a first frame", "\x00")
		for n := range byte(sfu.MaxBurst) {
			d.write(n, false)
		}
		if got := b.got(); len(got) != 1 || len(got[0]) != sfu.MaxBurst {
			t.Errorf("%q", got)
		}
	})
}

// named makes a packet that says what stream it belongs to by header extensions.
func named(t *testing.T, number byte, payload uint8, ssrc uint32, extensions map[uint8]string) []byte {
	t.Helper()
	packet := rtp.Packet{
		Header: rtp.Header{Version: 2, SequenceNumber: uint16(number), PayloadType: payload, SSRC: ssrc, Marker: true},
	}
	for id, value := range extensions {
		if err := packet.SetExtension(id, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := packet.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestWhatCameBeforeAStreamIsKnownIsForwardedOnce(t *testing.T) {
	demultiplexed(t, simulcastLine, func(t *testing.T, d *demultiplexer, b *basket) {
		for n := range byte(sfu.MaxBurst + 2) {
			d.write(n, n == 1)
		}
		b.check("a stream that does not tell its layer")
		b.slow = make(chan struct{})
		d.receive(named(t, 99, 96, 7, map[uint8]string{2: "low"}), time.Now())
		synctest.Wait()
		d.write(100, true) // while the first ones are being forwarded
		close(b.slow)
		got := b.got()
		var all []byte
		for _, burst := range got {
			all = append(all, burst...)
		}
		if len(all) != sfu.MaxBurst+4 || !slices.IsSorted(all) || all[0] != 0 {
			t.Errorf("%q", got)
		}
	})
}

func TestWhoReadsTheSocketDoesNotWait(t *testing.T) {
	demultiplexed(t, vp8, func(_ *testing.T, d *demultiplexer, b *basket) {
		b.slow = make(chan struct{})
		d.write(0, false)
		b.check("a first packet", "\x00")
		for n := range byte(2) {
			d.write(1+n, n == 1)
		}
		d.write(3, false)
		b.check("while it is forwarded")
		close(b.slow)
		b.check("what was complete", "\x01\x02")
		time.Sleep(gatherTime)
		b.check("and the rest", "\x03")
	})
}

// What is brief is forwarded by who brings it, without waiting, but never beside or before what a
// goroutine forwards.
func TestWhatIsBriefIsForwardedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits, now := newBasket(t), newBasket(t)
		var brief atomic.Bool
		d := newDemultiplexer([]mediaLine{vp8}, func(encoding, uint32) receiver {
			return receiver{take: waits.take, takeNow: now.take, brief: brief.Load}
		})
		defer d.close()
		waits.slow = make(chan struct{})
		d.write(0, true)
		synctest.Wait()
		brief.Store(true)
		d.write(1, true)
		now.check("while a goroutine forwards")
		close(waits.slow)
		waits.check("then, by it", "\x00", "\x01")
		for n := range byte(3) {
			d.write(2+n, n == 2)
		}
		if len(now.bursts) != 1 { // without another goroutine
			t.Errorf("%q is forwarded at once", now.bursts)
		}
		now.check("a frame", "\x02\x03\x04")
		d.write(5, false)
		time.Sleep(gatherTime)
		now.check("half of a frame", "\x05")
		brief.Store(false)
		d.write(6, true)
		waits.check("what is not brief any more", "\x06")
		now.check("that")
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	demultiplexed(t, vp8, func(t *testing.T, d *demultiplexer, b *basket) {
		b.slow = make(chan struct{})
		d.write(1, true)
		synctest.Wait()
		for range 2 * streamPackets {
			d.write(2, true)
		}
		close(b.slow)
		total := 0
		for _, burst := range b.got() {
			total += len(burst)
		}
		if total != 1+streamPackets {
			t.Errorf("%d packets were kept while one was forwarded", total)
		}
		if n := len(d.streams[7].spare); n > maxSpare {
			t.Errorf("%d buffers are kept", n)
		}
		for _, size := range []int{0, 1, 11, packetBytes + 1} {
			raw := make([]byte, size)
			copy(raw, rtpOf(3, true))
			d.receive(raw, time.Now())
		}
		b.check("packets too small or too large")
	})
}

func TestClosingWaitsForWhatIsBeingForwarded(t *testing.T) {
	demultiplexed(t, vp8, func(t *testing.T, d *demultiplexer, b *basket) {
		b.slow = make(chan struct{})
		d.write(0, true)
		synctest.Wait()
		d.write(1, true)
		closed := make(chan struct{})
		go func() {
			d.close()
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
		d.write(2, true)
		time.Sleep(gatherTime)
		b.check("after closing")
	})
}

func TestStreamsAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type opened struct {
			kind    sfu.Kind
			rid     string
			repairs bool
		}
		for name, c := range map[string]struct {
			video   mediaLine
			payload uint8
			named   map[uint8]string
			want    opened // audio for none
		}{
			"by the payload type":                   {vp8, 96, nil, opened{kind: sfu.Video}},
			"retransmissions, by that":              {vp8, 97, nil, opened{sfu.Video, "", true}},
			"a payload type of nobody":              {vp8, 98, nil, opened{}},
			"by MID and RID":                        {simulcastLine, 96, map[uint8]string{1: "1", 2: "high"}, opened{sfu.Video, "high", false}},
			"by RID":                                {simulcastLine, 96, map[uint8]string{2: "low"}, opened{sfu.Video, "low", false}},
			"retransmissions of a layer":            {simulcastLine, 97, map[uint8]string{4: "high"}, opened{sfu.Video, "high", true}},
			"an unknown layer":                      {simulcastLine, 96, map[uint8]string{2: "other"}, opened{}},
			"retransmissions of an unknown layer":   {simulcastLine, 97, map[uint8]string{4: "other"}, opened{}},
			"the MID of another m-line":             {simulcastLine, 96, map[uint8]string{1: "0", 2: "low"}, opened{}},
			"another SSRC than that of the offer":   {mediaLine{kind: sfu.Video, codecs: vp8.codecs, ssrc: 8}, 96, nil, opened{}},
			"its retransmissions, which have their": {mediaLine{kind: sfu.Video, codecs: vp8.codecs, ssrc: 8}, 97, nil, opened{sfu.Video, "", true}},
		} {
			var got opened
			d := newDemultiplexer([]mediaLine{opusLine, c.video}, func(e encoding, ssrc uint32) receiver {
				if ssrc != 7 {
					t.Errorf("%s: the SSRC is %d", name, ssrc)
				}
				got = opened{e.line.kind, e.rid, e.repairs}
				return receiver{}
			})
			d.receive(named(t, 1, c.payload, 7, c.named), time.Now())
			synctest.Wait()
			d.close()
			if got != c.want {
				t.Errorf("%s: %+v, want %+v", name, got, c.want)
			}
		}
	})
}

func TestStreamsThatNobodyWantsTakeNoMemory(t *testing.T) {
	demultiplexed(t, simulcastLine, func(t *testing.T, d *demultiplexer, b *basket) {
		packet := rtpOf(1, true)
		for range unidentifiedPackets / 8 {
			for ssrc := range byte(200) {
				packet[11] = ssrc
				d.receive(packet, time.Now())
			}
		}
		b.check("streams that do not tell their layer")
		if len(d.streams) != maxStreams {
			t.Errorf("%d streams are kept", len(d.streams))
		}
		waiting := 0
		for _, a := range d.streams {
			waiting += len(a.waiting)
		}
		if waiting != unidentifiedPackets || d.unidentified != waiting {
			t.Errorf("%d packets wait, %d are counted", waiting, d.unidentified)
		}
	})
}

func TestAStreamThatIsRefusedKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDemultiplexer([]mediaLine{vp8}, func(encoding, uint32) receiver { return receiver{} })
		defer d.close()
		for range 2 * streamPackets {
			d.write(1, true)
			synctest.Wait()
		}
		a := d.streams[7]
		if len(a.waiting) != 0 || a.scheduled || !a.discards {
			t.Errorf("%d packets wait", len(a.waiting))
		}
	})
}

type noControl struct{}

func (noControl) WriteRTCP([]rtcp.Packet) error { return nil }

func TestForwardingAllocatesNothing(t *testing.T) {
	stream := sfu.NewPublisher(&sfu.Counters{}, 0)
	layer, err := stream.Track(sfu.Video).NewFeed().Publish(sfu.LayerConfig{
		PayloadType: 96, Codec: sfu.Codec{Name: "VP8", ClockRate: 90_000}, Feedback: noControl{},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	forwarded := make(chan struct{}, 1)
	var brief atomic.Bool
	line := vp8
	line.transportCC = 3
	by := func(write func([][]byte, time.Time)) func([][]byte, time.Time) {
		return func(packets [][]byte, at time.Time) {
			write(packets, at)
			if packets[len(packets)-1][1]&0x80 != 0 {
				forwarded <- struct{}{}
			}
		}
	}
	d := newDemultiplexer([]mediaLine{line}, func(encoding, uint32) receiver {
		return receiver{take: by(layer.WriteBurst), takeNow: by(layer.WriteBurstNow), brief: brief.Load}
	})
	defer d.close()
	raw := make([]byte, 1000)
	copy(raw, []byte{0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 3<<4 | 1, 0, 0, 0, 0x10, 1})
	n := 0
	frame := func() {
		for i := range 2 {
			n++
			raw[1], raw[2], raw[3] = 96, byte(n>>8), byte(n)
			binary.BigEndian.PutUint32(raw[4:], uint32(n/2)*3000)
			raw[17], raw[18] = raw[2], raw[3]
			if i == 1 {
				raw[1] |= 0x80
			}
			d.receive(raw, time.Now())
		}
		<-forwarded
	}
	for _, is := range []bool{false, true} {
		brief.Store(is)
		for range 1000 {
			frame()
		}
		if allocations := testing.AllocsPerRun(1000, frame); allocations > 0 {
			t.Errorf("brief %v: %v allocations per frame", is, allocations)
		}
	}
}
