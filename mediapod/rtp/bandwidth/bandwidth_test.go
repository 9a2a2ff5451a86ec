package bandwidth

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
)

var epoch = time.Unix(1_000_000, 0)

// link is a simulated path: a bottleneck with a queue, a delay, jitter and random loss, and a
// receiver that reports every 100 ms.
type link struct {
	kbps    int           // 0: no bottleneck
	buffer  time.Duration // what the queue holds; more is dropped
	delay   time.Duration
	jitter  time.Duration
	lossy   float64
	random  *rand.Rand
	freeAt  time.Duration // when the bottleneck is free again
	arrived []arrival
	next    uint16 // first number of the next report
	queue   time.Duration
	lost    int
}

type arrival struct {
	sequence uint16
	at       time.Duration // since epoch
}

func newLink(kbps int) *link {
	return &link{kbps: kbps, buffer: 500 * time.Millisecond, delay: 25 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2))}
}

func (l *link) send(sequence uint16, bytes int, at time.Duration) {
	if l.random.Float64() < l.lossy {
		l.lost++
		return
	}
	l.queue = max(l.freeAt-at, 0)
	if l.kbps > 0 {
		if l.queue > l.buffer {
			l.lost++
			return
		}
		l.freeAt = at + l.queue + time.Duration(bytes*8)*time.Millisecond/time.Duration(l.kbps)
		at = l.freeAt
	}
	at += l.delay
	if l.jitter > 0 {
		at += time.Duration(l.random.Int64N(int64(l.jitter)))
	}
	l.arrived = append(l.arrived, arrival{sequence, at})
}

// report makes the feedback for what has arrived by a time of the receiver, whose clock is far from
// ours.
func (l *link) report(by time.Duration) *rtcp.TransportLayerCC {
	const clock = 12345 * time.Hour
	got := map[uint16]time.Duration{}
	last, some := l.next-1, false
	for _, a := range l.arrived { // what comes late is reported, too
		if a.at <= by && int16(a.sequence-l.next) < 0 {
			l.next = a.sequence
		}
	}
	rest := l.arrived[:0]
	for _, a := range l.arrived {
		if a.at > by {
			rest = append(rest, a)
			continue
		}
		got[a.sequence] = a.at
		some = true
		if int16(a.sequence-last) > 0 {
			last = a.sequence
		}
	}
	l.arrived = rest
	if !some {
		return nil
	}
	f := &rtcp.TransportLayerCC{BaseSequenceNumber: l.next, PacketStatusCount: last - l.next + 1}
	reference, at := int64(-1), int64(0) // in units of 64 ms and microseconds
	for sequence := l.next; sequence != last+1; sequence++ {
		symbol := rtcp.TypeTCCPacketNotReceived
		if a, ok := got[sequence]; ok {
			symbol = rtcp.TypeTCCPacketReceivedLargeDelta
			if reference < 0 {
				reference = int64((a + clock) / referenceUnit)
				at = reference * referenceUnit.Microseconds()
			}
			delta := ((a + clock).Microseconds() - at) / 250 * 250
			at += delta
			f.RecvDeltas = append(f.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: delta})
		}
		if n := len(f.PacketChunks); n > 0 && f.PacketChunks[n-1].(*rtcp.RunLengthChunk).PacketStatusSymbol == symbol {
			f.PacketChunks[n-1].(*rtcp.RunLengthChunk).RunLength++
		} else {
			f.PacketChunks = append(f.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: symbol, RunLength: 1})
		}
	}
	f.ReferenceTime = uint32(reference) & (1<<referenceBits - 1)
	l.next = last + 1
	return f
}

// call sends simulcast video and audio over a link, as a forwarder would.
type call struct {
	*link
	estimator Estimator
	layers    []layers.Layer
	current   int
	changeAt  time.Duration // when the change to another layer happens
	change    int
	now       time.Duration
	probed    int // bytes
	worst     time.Duration
}

const audioKbps = 40

func newCall(l *link) *call {
	return &call{link: l, layers: []layers.Layer{{Kbps: 150, Alive: true}, {Kbps: 500, Alive: true}, {Kbps: 1700, Alive: true}}, current: 2}
}

// play lets time pass in steps of 20 ms: video has 25 frames a second, every 75th of them thrice as
// large.
func (c *call) play(duration time.Duration) {
	const step = 20 * time.Millisecond
	for end := c.now + duration; c.now < end; c.now += step {
		at := epoch.Add(c.now)
		send := func(bytes int) {
			c.send(c.estimator.Sent(bytes, at), bytes, c.now)
			c.worst = max(c.worst, c.queue)
		}
		send(audioKbps * 20 / 8)
		sending := c.layers[c.current].Kbps + audioKbps
		if n := int(c.now / step); n%2 == 0 {
			bytes := c.layers[c.current].Kbps * 40 / 8
			if n%150 == 0 {
				bytes *= 3
			}
			for ; bytes > 0; bytes -= 1200 {
				send(min(bytes, 1200))
			}
		}
		kbps := c.estimator.Kbps()
		if kbps > 0 {
			kbps = max(kbps-audioKbps, 1)
		}
		choice, wanted := layers.Choose(c.layers, c.change, layers.Path{Kbps: kbps, Congested: c.estimator.Congested()}, 0)
		if choice != c.change {
			c.change, c.changeAt = choice, c.now+150*time.Millisecond // till the keyframe comes
		}
		if c.now >= c.changeAt {
			c.current = c.change
		}
		if wanted > 0 {
			wanted += audioKbps
		}
		if target := c.estimator.Probe(wanted, sending, at); target > sending {
			for bytes := (target - sending) * 20 / 8; bytes > 0; bytes -= 600 {
				send(min(bytes, 600))
				c.probed += min(bytes, 600)
			}
		}
		if int(c.now/step)%5 == 0 {
			if f := c.report(c.now - c.delay); f != nil {
				c.estimator.Feedback(written(f), at)
			}
		}
	}
}

func TestAPathThatCarriesEverythingIsLeftAlone(t *testing.T) {
	for name, l := range map[string]*link{
		"no bottleneck":         {random: rand.New(rand.NewPCG(1, 1))},
		"a fast one":            newLink(5000),
		"jitter":                {jitter: 40 * time.Millisecond, random: rand.New(rand.NewPCG(1, 3))},
		"a few losses":          {lossy: 0.05, random: rand.New(rand.NewPCG(1, 4))},
		"a few losses, delayed": {lossy: 0.04, delay: 150 * time.Millisecond, jitter: 20 * time.Millisecond, random: rand.New(rand.NewPCG(1, 5))},
	} {
		c := newCall(l)
		c.change = 2
		c.play(2 * time.Minute)
		if c.current != 2 || c.estimator.Kbps() != 0 || c.probed != 0 {
			t.Errorf("%s: layer %d, %d kbps, %d bytes of probes", name, c.current, c.estimator.Kbps(), c.probed)
		}
	}
}

func TestASpellOfDelayIsNoCongestion(t *testing.T) {
	c := newCall(newLink(0))
	c.change = 2
	for range 20 { // the receiver's computer is busy for a while
		c.play(2 * time.Second)
		c.freeAt = c.now + 250*time.Millisecond
		c.kbps = 1_000_000
		c.play(300 * time.Millisecond)
		c.kbps = 0
	}
	if c.current != 2 || c.estimator.Kbps() != 0 {
		t.Errorf("layer %d, %d kbps", c.current, c.estimator.Kbps())
	}
}

func TestALowerCapacityIsFoundAndTheHigherOneToo(t *testing.T) {
	for name, c := range map[string]struct {
		low    int // kbps
		buffer time.Duration
		layer  int
	}{
		"to a third, much buffer":   {1000, time.Second, 1},
		"to a third, little buffer": {1000, 60 * time.Millisecond, 1},
		"to a sixth":                {500, 500 * time.Millisecond, 0},
		"to a sixth, little buffer": {500, 40 * time.Millisecond, 0},
		"just below what is needed": {1600, 500 * time.Millisecond, 1},
		"to less than audio":        {20, 300 * time.Millisecond, 0},
	} {
		call := newCall(newLink(3000))
		call.change = 2
		call.play(10 * time.Second)
		call.kbps, call.buffer = c.low, c.buffer
		took := time.Duration(0)
		for call.current != c.layer && took < 10*time.Second {
			call.play(100 * time.Millisecond)
			took += 100 * time.Millisecond
		}
		if took > 2*time.Second {
			t.Errorf("%s: layer %d after %v", name, call.current, took)
		}
		call.play(3 * time.Second)
		call.worst = 0
		lost := call.lost
		call.play(50 * time.Second)
		if call.current != c.layer {
			t.Errorf("%s: layer %d in the end", name, call.current)
		}
		if call.worst > 300*time.Millisecond && c.low > 100 {
			t.Errorf("%s: probes made a queue of %v", name, call.worst)
		}
		t.Logf("%s: found in %v, then %d kbps, worst queue %v, %d lost, %d bytes of probes in 50 s",
			name, took, call.estimator.Kbps(), call.worst, call.lost-lost, call.probed)
		call.kbps, call.buffer = 3000, 500*time.Millisecond
		took = 0
		for call.current != 2 && took < 30*time.Second {
			call.play(100 * time.Millisecond)
			took += 100 * time.Millisecond
		}
		if took > 10*time.Second {
			t.Errorf("%s: the best layer is back after %v", name, took)
		}
		call.play(time.Minute)
		if call.current != 2 || call.estimator.Congested() {
			t.Errorf("%s: layer %d a minute later", name, call.current)
		}
		t.Logf("%s: back in %v", name, took)
	}
}

func TestACongestionEndsWhenNothingIsSent(t *testing.T) {
	c := newCall(newLink(3000))
	c.change = 2
	c.play(5 * time.Second)
	c.kbps = 20
	for !c.estimator.Congested() {
		c.play(20 * time.Millisecond)
	}
	const wanted = 500
	end := epoch.Add(c.now)
	for passed := time.Duration(0); passed < 900*time.Millisecond; passed += 20 * time.Millisecond {
		if target := c.estimator.Probe(wanted, 0, end.Add(passed)); target != 0 || !c.estimator.Congested() {
			t.Fatalf("%v after the last packet: %d kbps of probes, congested: %v", passed, target, c.estimator.Congested())
		}
	}
	probed := time.Duration(0)
	for ; c.estimator.Probe(wanted, 0, end.Add(probed)) == 0; probed += 20 * time.Millisecond {
		if probed > 5*time.Second {
			t.Fatal("there are no probes")
		}
	}
	if probed < idle || c.estimator.Congested() {
		t.Errorf("probes %v after the last packet, congested: %v", probed, c.estimator.Congested())
	}
}

func TestHeavyLossIsCongestion(t *testing.T) {
	c := newCall(newLink(0))
	c.change = 2
	c.play(5 * time.Second)
	c.lossy = 0.3
	c.play(3 * time.Second)
	if c.current == 2 {
		t.Errorf("layer %d, %d kbps", c.current, c.estimator.Kbps())
	}
	c.lossy = 0
	c.play(12 * time.Second)
	if c.current != 2 {
		t.Errorf("without loss again: layer %d, %d kbps", c.current, c.estimator.Kbps())
	}
}

func TestALongerPathIsNoCongestionForLong(t *testing.T) {
	c := newCall(newLink(0))
	c.change = 2
	c.play(10 * time.Second)
	c.delay += 120 * time.Millisecond
	c.play(30 * time.Second)
	if c.current != 2 {
		t.Errorf("layer %d, %d kbps", c.current, c.estimator.Kbps())
	}
}

func TestWhatTheReceiverSaysIsBelieved(t *testing.T) {
	var e Estimator
	now := epoch
	e.Told(600, 1700, now)
	if e.Kbps() != 600 || !e.Congested() {
		t.Fatalf("%d kbps, congested %v", e.Kbps(), e.Congested())
	}
	e.Told(600, 500, now)
	if e.Congested() {
		t.Fatal("still congested")
	}
	shown := 0
	for range 1000 { // a receiver that says what it gets and half as much again
		now = now.Add(20 * time.Millisecond)
		sending := max(e.Probe(1955, 500, now), 500)
		shown = max(shown, sending)
		e.Told(sending*3/2, sending, now)
	}
	if e.Kbps() < 750 || shown < 1300 {
		t.Errorf("%d kbps, at most %d kbps sent", e.Kbps(), shown)
	}
}

// A receiver may say the same only once in a while.
func TestWhatTheReceiverSaysHoldsWhileSomethingIsSent(t *testing.T) {
	var e Estimator
	e.Told(600, 1700, epoch)
	now := epoch
	for ; now.Sub(epoch) < 5*time.Second; now = now.Add(20 * time.Millisecond) {
		if target := e.Probe(1955, 1700, now); target != 0 || !e.Congested() {
			t.Fatalf("%v later: %d kbps of probes, congested: %v", now.Sub(epoch), target, e.Congested())
		}
	}
	if e.Probe(1955, 0, now); e.Congested() {
		t.Error("congested while nothing is sent")
	}
}

func TestReportsOfWhatWasNotSentAreIgnored(t *testing.T) {
	var e Estimator
	for i := range 70_000 {
		e.Sent(1000, epoch.Add(time.Duration(i)*time.Millisecond))
	}
	before := e
	before.packets = slices.Clone(e.packets)
	for _, base := range []uint16{e.sequence, e.sequence + 1, e.sequence + 1000, e.sequence - history - 1000} {
		e.Feedback(written(&rtcp.TransportLayerCC{
			BaseSequenceNumber: base, PacketStatusCount: 500,
			PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{RunLength: 500}},
		}), epoch)
	}
	before.reference = e.reference
	if !reflect.DeepEqual(e, before) {
		t.Error("they were believed")
	}
}

func TestFeedbackPacketsTakeNoMemory(t *testing.T) {
	l := newLink(1000)
	var e Estimator
	for i := range uint16(50) {
		l.send(i, 1000, time.Duration(i)*time.Millisecond)
		e.Sent(1000, epoch.Add(time.Duration(i)*time.Millisecond))
	}
	raw := written(l.report(time.Second))
	if n := testing.AllocsPerRun(100, func() { e.Feedback(raw, epoch.Add(time.Second)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for n := range raw {
		e.Feedback(raw[:n], epoch)
	}
}

// FuzzFeedback compares what is read of a report with what pion reads of it, packet by packet.
func FuzzFeedback(f *testing.F) {
	l := newLink(1000)
	for i := range uint16(50) {
		l.send(i, 1000, time.Duration(i)*time.Millisecond)
	}
	f.Add(written(l.report(time.Second)))
	f.Add(lostRuns(8))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var report rtcp.TransportLayerCC
		known := report.Unmarshal(raw) == nil
		var e, other Estimator
		now := epoch
		for range 3 {
			for range 200 {
				e.Sent(1000, now)
				other.Sent(1000, now)
				now = now.Add(time.Millisecond)
			}
			e.Feedback(raw, now)
			if known {
				plainly(&other, &report, now)
				if !reflect.DeepEqual(e, other) {
					t.Fatal("the packet and what it says are read in different ways")
				}
				report.BaseSequenceNumber += 200
				binary.BigEndian.PutUint16(raw[baseAt:], report.BaseSequenceNumber)
			}
			e.Probe(1000, 100, now)
			other.Probe(1000, 100, now)
		}
		if kbps := e.Kbps(); kbps < 0 || kbps > 100_000 {
			t.Errorf("%d kbps", kbps)
		}
	})
}

// What is known of a path is the same as if there were room for the whole history from the start,
// whatever comes late, twice, or never.
func TestTheHistoryGrowsWithWhatWaits(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		first := uint16(random.Uint32())
		grown, whole := Resume(first), Resume(first)
		whole.packets = make([]packet, history)
		l := newLink(1000 + random.IntN(5000))
		l.next, l.lossy, l.jitter = first, 0.02, 30*time.Millisecond // by which some are late
		now := epoch
		for range 2000 {
			for range random.IntN(10) {
				sequence := grown.Sent(1000, now)
				if other := whole.Sent(1000, now); other != sequence {
					t.Fatalf("seed %d: packet %d is number %d", seed, sequence, other)
				}
				l.send(sequence, 1000, now.Sub(epoch))
				now = now.Add(time.Duration(random.IntN(3)) * time.Millisecond)
			}
			if random.IntN(5) > 0 {
				continue
			}
			if report := l.report(now.Sub(epoch)); report != nil {
				raw := written(report)
				for range 1 + random.IntN(2) {
					grown.Feedback(raw, now)
					whole.Feedback(raw, now)
				}
			}
		}
		a, b := *grown, *whole
		a.packets, b.packets = nil, nil
		if !reflect.DeepEqual(a, b) {
			t.Errorf("seed %d: with a history of %d packets something else is known", seed, len(grown.packets))
		}
	}
}

func TestAPathThatReportsHasASmallHistory(t *testing.T) {
	l, e := newLink(0), &Estimator{}
	follow(l, e, repeated(2000, 300), 0)
	if n := len(e.packets); n != firstHistory {
		t.Errorf("room for %d packets", n)
	}
	for range 5 * history {
		e.Sent(1000, epoch)
	}
	if n := len(e.packets); n != history {
		t.Errorf("room for %d packets when nothing is reported any more", n)
	}
}

func TestTheHistoryIsSmallAndItsClockWraps(t *testing.T) {
	if size := unsafe.Sizeof(packet{}); size > 8 {
		t.Errorf("%d bytes for each packet", size)
	}
	var e Estimator
	e.Sent(1000, epoch)
	for _, after := range []time.Duration{tick, time.Second, 38 * time.Hour, 39 * time.Hour, 1000 * time.Hour} {
		at := epoch.Add(after)
		sequence := e.Sent(40_000, at)
		p := e.packet(sequence)
		for _, later := range []time.Duration{-time.Hour, 0, time.Millisecond, time.Minute, 18 * time.Hour} {
			if got := e.sent(p, at.Add(later)); got > after || got <= after-tick {
				t.Errorf("sent %v after %v, as of %v later", got, after, later)
			}
		}
		if p.bytes&missing != 0 {
			t.Error("a large packet is missing")
		}
	}
}
