package bandwidth

import "time"

const (
	// burst is the time within which packets are sent as one: of these only the first shows how
	// long the queue is, the others wait for each other.
	burst = 10 * time.Millisecond
	// risen is by how much the delay grows, over at least sustained of sending, before it is clear
	// that the path carries less than it is given. A third of it comes in the second half: a way
	// that has become longer adds its delay at once. And packets come out of a queue one by one: a
	// longest gap between two of more than a third of the delay is that of a computer that does not
	// get to them.
	risen     = 100 * time.Millisecond
	sustained = 50 * time.Millisecond
)

// rise follows a delay that grows from burst to burst, which is the first that can be seen of a
// queue: long before what waits in it arrives. Its zero value is ready.
type rise struct {
	started             bool
	sent                time.Duration // where it began
	delay, middle, last time.Duration // of the first packets of bursts
	head                time.Duration // when the newest burst was sent
	bytes               int           // since the first burst that waited
	arrival             time.Duration // of its first packet; 0 before
	newest, gap         time.Duration // arrival of the newest packet, and the longest time without any since the first burst that waited
}

// received takes a packet that has arrived. It returns what the path carries, in kbps, when it is
// clear that this is too little.
func (r *rise) received(sent, arrival time.Duration, bytes int) (kbps int, full bool) {
	r.bytes += bytes
	if r.arrival != 0 {
		r.gap = max(r.gap, arrival-r.newest)
	}
	r.newest = arrival
	if r.started && sent-r.head < burst {
		return 0, false
	}
	delay := arrival - sent
	if !r.started || delay <= r.delay+steady || delay < r.last-steady {
		*r = rise{started: true, sent: sent, delay: delay, middle: delay, last: delay, head: sent, newest: arrival}
		return 0, false
	}
	r.head, r.last = sent, delay
	if r.arrival == 0 { // from here on the path is never idle
		r.arrival, r.bytes = arrival, 0
	}
	if sent-r.sent <= sustained/2 {
		r.middle = delay
	}
	grown := delay - r.delay
	if grown < risen || sent-r.sent < sustained || delay-r.middle < risen/3 || r.gap > grown/3 {
		return 0, false
	}
	return int(int64(r.bytes) * 8 * int64(time.Millisecond) / max(int64(arrival-r.arrival), 1)), true
}
