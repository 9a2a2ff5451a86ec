// Package bandwidth is the single authority on how much a path to a receiver carries, by what the
// receiver reports of each packet (transport-wide feedback,
// draft-holmer-rmcat-transport-wide-cc-extensions). Times are arguments: it has no clock.
//
// A path is congested when packets queue in it, or when it loses many. A queue is a delay above the
// least one of the last half minute that even the fastest packet of an interval has, and that does
// not get less; one that grows from burst to burst is seen sooner, by its growth. Then the estimate
// becomes a little less than what came through. Until the first congestion nothing is known, and
// nothing is to be held back. What came through without congestion raises the estimate; when that
// is not enough, probes show what more would.
package bandwidth

import (
	"math/bits"
	"time"
)

const (
	// interval is the time over which packets are looked at together.
	interval = 100 * time.Millisecond
	// queued is the delay from which on there is a queue, drained that up to which there is none.
	queued  = 50 * time.Millisecond
	drained = 30 * time.Millisecond
	// steady is by how much the delay of a queue that does not change may change, from one look to
	// the next.
	steady = 5 * time.Millisecond
	// patience is for how many intervals in a row that must be so: a busy computer lets packets
	// wait, too, but not ever longer.
	patience = 3
	// growing is by how much a queue grows from one interval to the next that shows by itself that
	// packets do not merely wait: those that wait for a busy computer wait the less the later they
	// come. It counts as two intervals.
	growing = 40 * time.Millisecond
	// share of what came through under congestion that becomes the estimate, in percent: the queue
	// must drain.
	share = 85
	// clogged is the queue from which on it is the path's, and not that of a receiver whose
	// computer is busy: that gets to the newest packets, too, whenever it gets to any.
	clogged = 200 * time.Millisecond
	// hold is how long a lower estimate is given to show, before the next one.
	hold = 600 * time.Millisecond
	// effect is how long after a lower estimate still as much is sent as before: what is lost of
	// that has shown itself.
	effect = 100 * time.Millisecond
	// standing is after which time a queue that does not drain is taken for the path's own delay.
	standing = 4 * time.Second
	// lossy is the share of lost packets that is congestion, in percent, over at least enoughLost
	// packets.
	lossy      = 15
	enoughLost = 5
	// collapsed is the share of lost packets that is congestion in a single interval.
	collapsed = 50
	// idle is after which time in which nothing is sent a queue has drained: no report will say so.
	idle = time.Second
	// remembered is how long the least delay counts; half of it at least.
	remembered = 30 * time.Second
	// minKbps is what an estimate never goes below.
	minKbps = 30
)

const (
	history = 1024 // packets whose report is awaited, a power of two
	// firstHistory is for how many packets there is room at first. Reports come within a fraction
	// of a second, and most paths carry few packets in that time.
	firstHistory = 64
	recent       = 10 // intervals that are kept
	rated        = 3  // intervals over which what comes through is measured
	// lossMemory is over about how many packets losses are averaged.
	lossMemory = 500
)

// Estimator estimates one path. Its zero value knows nothing yet. It is not safe for concurrent
// use.
type Estimator struct {
	epoch    time.Time // what our clock counts from
	packets  []packet  // by sequence number; a power of two of them, none before the first
	awaited  awaited
	sequence uint16    // of the next packet
	usedAt   time.Time // when the newest packet was sent, or the receiver has told something

	reference referenceClock
	rise      rise
	current   span
	spans     [recent]span // the newest last; not all are filled at first
	filled    int

	least     [2]time.Duration // delays of this and the previous half of remembered
	leastFrom time.Time

	estimate  int     // kbps; 0 is unknown
	lost      float64 // the share of packets, of late
	congested bool
	losing    bool // the congestion shows by more than a queue
	queuing   int  // intervals in a row with a queue that does not get less
	changedAt time.Time
	probe     probe
}

// packet is what is kept of a packet. Each path has up to a whole history of them.
type packet struct {
	at       uint32 // ticks of our clock, which wrap
	sequence uint16
	bytes    uint16 // and missing
}

const (
	// tick is how exact our clock is for single packets.
	tick = 32 * time.Microsecond
	// missing is set in the bytes of a packet that was reported as not received.
	missing = 1 << 15
)

// packet returns where what is kept of a packet is, or would be: that of another one may be there.
func (e *Estimator) packet(sequence uint16) *packet {
	return &e.packets[int(sequence)&(len(e.packets)-1)]
}

// waits tells that a report may still change what is kept of a packet.
func (e *Estimator) waits(p *packet) bool {
	return p.bytes&missing != 0 || p.bytes != 0 && e.awaited.has(p.sequence)
}

// makeRoom has room for the next packet, which forgets none that waits while the history is not
// full.
func (e *Estimator) makeRoom() {
	if len(e.packets) == 0 {
		e.packets = make([]packet, firstHistory)
	}
	for len(e.packets) < history && e.waits(e.packet(e.sequence)) {
		before := e.packets
		e.packets = make([]packet, 2*len(before))
		for i := range before {
			if e.waits(&before[i]) {
				*e.packet(before[i].sequence) = before[i]
			}
		}
	}
}

// ticks is a moment on our clock.
func (e *Estimator) ticks(at time.Time) int64 { return int64(at.Sub(e.epoch) / tick) }

// sent is when a packet was sent, on our clock: less than 19 hours before or after a moment.
func (e *Estimator) sent(p *packet, now time.Time) time.Duration {
	at := e.ticks(now)
	return time.Duration(at+int64(int32(p.at-uint32(at)))) * tick
}

// awaited are the packets whose report is awaited, a bit for each.
type awaited [history / 64]uint64

func (a *awaited) add(sequence uint16) { a[sequence%history/64] |= 1 << (sequence % 64) }

func (a *awaited) has(sequence uint16) bool {
	return a[sequence%history/64]&(1<<(sequence%64)) != 0
}

// remove returns false when the packet was not there.
func (a *awaited) remove(sequence uint16) bool {
	word, bit := &a[sequence%history/64], uint64(1)<<(sequence%64)
	there := *word&bit != 0
	*word &^= bit
	return there
}

// next returns how many of the n packets from the given one on, of those that are remembered, come
// before the first that is awaited; n when none is.
func (a *awaited) next(sequence uint16, n int) int {
	for passed := 0; passed < n; {
		word := a[sequence%history/64] >> (sequence % 64)
		if word != 0 {
			return min(passed+bits.TrailingZeros64(word), n)
		}
		rest := 64 - int(sequence%64)
		passed += rest
		sequence += uint16(rest)
	}
	return n
}

// span is what is known of the packets that were sent within one interval.
type span struct {
	from, to       time.Duration // of sending, on our clock
	first, last    time.Duration // of arrival, on the receiver's clock
	least          time.Duration // delay, between the two clocks
	bytes          int
	packets        int
	received, lost int // lost may be negative, by late packets of the intervals before
}

// Resume makes an estimator of a path whose next packet has the given transport-wide sequence
// number. It knows nothing else of it.
func Resume(next uint16) *Estimator { return &Estimator{sequence: next} }

// Next is the transport-wide sequence number of the next packet.
func (e *Estimator) Next() uint16 { return e.sequence }

// Sent notes that a packet of so many bytes is being sent and returns its transport-wide sequence
// number.
func (e *Estimator) Sent(bytes int, at time.Time) uint16 {
	if e.epoch.IsZero() {
		e.epoch = at
	}
	e.makeRoom()
	sequence := e.sequence
	e.sequence++
	e.usedAt = at
	*e.packet(sequence) = packet{at: uint32(e.ticks(at)), bytes: uint16(min(bytes, missing-1)), sequence: sequence}
	e.awaited.add(sequence)
	return sequence
}

// Kbps returns the estimate in kbps; 0 while the path has carried all that it was given.
func (e *Estimator) Kbps() int {
	return e.estimate
}

// Congested tells that the path does not carry what it is given.
func (e *Estimator) Congested() bool {
	return e.congested
}

// Clogged tells that the path does not carry what it is given by far: packets get lost, or wait for
// longer than they do for a receiver whose computer is busy.
func (e *Estimator) Clogged() bool {
	return e.congested && (e.losing || e.Queue() >= clogged)
}

// Loss returns the share of packets that is lost without congestion, of late, from 0 to 1.
func (e *Estimator) Loss() float64 {
	return e.lost
}

// Queue returns how long packets queued in the path of late.
func (e *Estimator) Queue() time.Duration {
	return e.queue(recent - 1)
}

// report takes that the packet with the given number has arrived at a time of the receiver's clock
// or, when received is false, that it has not so far. Packets are to be reported in order.
func (e *Estimator) report(sequence uint16, received bool, arrival time.Duration, now time.Time) {
	if len(e.packets) == 0 {
		return
	}
	p := e.packet(sequence)
	if p.sequence == sequence && p.bytes&missing != 0 && received { // late
		p.bytes &^= missing
		e.current.lost--
		return
	}
	if p.sequence != sequence || !e.awaited.remove(sequence) {
		return
	}
	sent := e.sent(p, now)
	c := &e.current
	if c.packets > 0 && sent-c.from >= interval {
		e.close(now)
	}
	if c.packets == 0 {
		c.from, c.to = sent, sent
	}
	c.packets++
	c.to = max(c.to, sent)
	if !received {
		if !e.congested || !e.epoch.Add(sent).Before(e.changedAt.Add(effect)) {
			p.bytes |= missing
			c.lost++
		}
		return
	}
	if c.received == 0 {
		c.first, c.last, c.least = arrival, arrival, arrival-sent
	}
	c.first, c.last, c.least = min(c.first, arrival), max(c.last, arrival), min(c.least, arrival-sent)
	c.bytes += int(p.bytes)
	c.received++
	if kbps, full := e.rise.received(sent, arrival, int(p.bytes)); full {
		e.rise = rise{}
		if !e.congested && now.Sub(e.changedAt) >= hold {
			e.decrease(kbps, false, now)
		}
	}
}

// close ends the current interval and draws the conclusions.
func (e *Estimator) close(now time.Time) {
	copy(e.spans[:], e.spans[1:])
	e.spans[recent-1] = e.current
	e.filled = min(e.filled+1, recent)
	newest := &e.spans[recent-1]
	e.current = span{}
	if newest.received == 0 {
		newest.least = e.spans[recent-2].least // nothing is known of its delay
		newest.first, newest.last = e.spans[recent-2].last, e.spans[recent-2].last
	} else {
		e.learn(newest.least, now)
	}
	queue, before := e.queue(recent-1), e.queue(recent-2)
	switch {
	case e.filled > 1 && queue >= queued && queue >= before+growing:
		e.queuing += 2
	case e.filled > 1 && queue >= queued && queue >= before-steady:
		e.queuing++
	case queue < queued:
		e.queuing = 0
	default: // it gets less
		e.queuing = max(e.queuing-1, 0)
	}
	through := e.through()
	loss := e.loss()
	if n := newest.received + newest.lost; n > 0 && !loss {
		weight := min(float64(n)/lossMemory, 1)
		e.lost += weight * (float64(max(newest.lost, 0))/float64(n) - e.lost)
	}
	switch {
	case (e.queuing >= patience || loss) && now.Sub(e.changedAt) >= hold:
		e.decrease(e.capacity(), loss, now)
	case queue < drained && !loss && (!e.congested || now.Sub(e.changedAt) >= hold):
		e.congested = false
		if e.estimate > 0 {
			e.estimate = max(e.estimate, through)
		}
	case e.congested && now.Sub(e.changedAt) >= standing && e.queuing == 0:
		e.rebase(newest.least, now)
	}
	e.judge(queue, before, loss, now)
}

// decrease makes an estimate of what came through under congestion; losing tells that this shows by
// losses.
func (e *Estimator) decrease(through int, losing bool, now time.Time) {
	kbps := max(through*share/100, minKbps)
	if e.congested && e.estimate > 0 && e.unmoved() {
		// Less is sent, and the queue is as long as before: it is not ours.
		e.rebase(e.spans[recent-1].least, now)
		return
	}
	if e.estimate == 0 || kbps < e.estimate {
		e.estimate = kbps
	}
	e.congested, e.losing = true, losing
	e.changedAt = now
	e.queuing = 0
	for i := range e.spans { // what was lost has been counted
		e.spans[i].lost = 0
	}
	e.probe.congested(now)
}

// unmoved reports whether the queue has neither grown nor shrunk over all intervals that are kept.
func (e *Estimator) unmoved() bool {
	if e.filled < recent {
		return false
	}
	lowest, highest := e.queue(0), e.queue(0)
	for i := range e.spans {
		lowest, highest = min(lowest, e.queue(i)), max(highest, e.queue(i))
	}
	return highest-lowest <= 2*steady
}

// queue is by how much the fastest packet of an interval was slower than the fastest of all.
func (e *Estimator) queue(i int) time.Duration {
	if i < recent-e.filled {
		return 0
	}
	return max(e.spans[i].least-e.base(), 0)
}

func (e *Estimator) base() time.Duration {
	return min(e.least[0], e.least[1])
}

// learn enters a delay into the least ones.
func (e *Estimator) learn(delay time.Duration, now time.Time) {
	switch {
	case e.leastFrom.IsZero():
		e.rebase(delay, now)
	case now.Sub(e.leastFrom) >= remembered/2:
		e.least[1], e.least[0] = e.least[0], delay
		e.leastFrom = now
	default:
		e.least[0] = min(e.least[0], delay)
	}
}

// rebase makes a delay that of a path without a queue.
func (e *Estimator) rebase(delay time.Duration, now time.Time) {
	e.least[0], e.least[1] = delay, delay
	e.leastFrom = now
	e.congested = false
	e.queuing = 0
}

// rest ends a congestion and a queue that no report can end, since nothing is sent: all that had to
// wait has arrived, or is lost.
func (e *Estimator) rest(sending int, now time.Time) {
	if sending == 0 && now.Sub(e.usedAt) >= idle && (e.congested || e.filled > 0) {
		e.congested = false
		e.queuing, e.filled, e.spans = 0, 0, [recent]span{}
		e.current, e.rise = span{}, rise{}
	}
}

// Told takes what the receiver itself says that the path carries (draft-alvestrand-rmcat-remb),
// when it does not report on packets. sending is what is being sent. Both are in kbps.
func (e *Estimator) Told(kbps, sending int, now time.Time) {
	e.usedAt = now
	congested := kbps < sending*95/100
	if congested && !e.congested {
		e.probe.congested(now)
	}
	e.congested, e.losing = congested, congested
	e.estimate = max(kbps, minKbps)
	e.judge(0, 0, false, now)
}

// through returns what came through in the newest intervals, in kbps.
func (e *Estimator) through() int {
	return e.rate(min(rated, e.filled))
}

// capacity is through, without the intervals before the path was full.
func (e *Estimator) capacity() int {
	n := 1
	for n < min(rated, e.filled) && (e.queue(recent-1-n) >= queued || e.spans[recent-1-n].collapsed()) {
		n++
	}
	return e.rate(n)
}

// rate returns what came through in the n newest intervals, in kbps.
func (e *Estimator) rate(n int) int {
	bytes := 0
	for _, s := range e.spans[recent-n:] {
		bytes += s.bytes
	}
	newest, oldest := &e.spans[recent-1], &e.spans[recent-n]
	took := newest.last - oldest.first
	if e.filled > n && e.spans[recent-n-1].received > 0 {
		took = newest.last - e.spans[recent-n-1].last // with the gap before the first packet
	}
	took = max(took, newest.to-oldest.from, time.Duration(n)*interval/2)
	return int(int64(bytes) * 8 * int64(time.Millisecond) / int64(took))
}

// loss reports whether so many packets were lost in the intervals that are kept, or in the newest
// one, that it is congestion.
func (e *Estimator) loss() bool {
	if e.spans[recent-1].collapsed() {
		return true
	}
	received, lost := 0, 0
	for _, s := range e.spans[recent-e.filled:] {
		received += s.received
		lost += s.lost
	}
	return lost >= enoughLost && lost*100 > (received+lost)*lossy
}

// collapsed reports whether so much was lost in the interval alone.
func (s *span) collapsed() bool {
	return s.lost >= enoughLost && s.lost*100 >= (s.received+s.lost)*collapsed
}
