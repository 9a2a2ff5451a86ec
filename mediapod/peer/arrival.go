package peer

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

const (
	// gatherTime is how long the first packets of a video frame wait for the rest of it at most: what goes to one receiver together costs
	// a fraction of what it costs packet by packet.
	gatherTime = 500 * time.Microsecond
	// arrivalPackets is how many packets of a stream wait at most, unclaimedPackets how many of all of a peer's streams that have no taker yet; what is
	// beyond is lost.
	arrivalPackets   = 512
	unclaimedPackets = 1024
	// packetBytes is the most that an incoming packet has.
	packetBytes = 1500
)

// taker takes packets of a stream, in the order in which they came, that have all arrived by the given time. It does not keep them.
type taker func(packets [][]byte, at time.Time)

// ignore takes what nobody wants.
func ignore([][]byte, time.Time) {}

// arrival is one incoming RTP stream, between pion's session, which writes each packet decrypted, and the taker of the stream.
//
//	newArrival -- packets wait, and pion reads them --> attach -- packets go to the taker --> Close
//
// Until there is a taker, pion reads packets to find out what they are: the codec by the payload type, the layer by its rid. This
// takes none away. A packet that says which layer it repairs brings the taker of that layer's repairs. Then nobody reads any more.
//
// Packets go to the taker in the goroutine that writes them, which is the one that receives all that this peer sends, as soon as a
// video frame is complete, by its marker (RFC 7741, section 4.1; RFC 9628, section 4.1; RFC 6184, section 5.1). What is not complete
// after gatherTime goes in the goroutine of a timer, of which there is one per frame, none per packet; and what has waited for the
// taker in the goroutine that brings it. Only one of these forwards at a time. The others do not wait for it, but leave to it what they have.
type arrival struct {
	incoming *incoming
	timer    *time.Timer // forwards what waits

	mu         sync.Mutex // guards the fields below
	changed    *sync.Cond // of mu; there is more to read or, after Close, nobody forwards any more
	waiting    [][]byte   // oldest first
	read       int        // how many of those that wait pion has read
	due        int        // how many of those that wait are to be forwarded now
	spare      [][]byte   // buffers for packets to come
	take       taker      // nil until it is known
	eager      bool       // nothing waits for what comes after it
	forwarding bool       // somebody is at it
	closed     bool
	header     rtp.Header // of what is read; kept for its memory

	burst [sfu.MaxBurst][]byte // owned by who forwards
}

var _ io.ReadWriteCloser = (*arrival)(nil)

func newArrival(in *incoming) *arrival {
	a := &arrival{incoming: in}
	a.changed = sync.NewCond(&a.mu)
	a.timer = time.AfterFunc(time.Hour, a.release)
	a.timer.Stop()
	return a
}

// Write takes a packet, on pion's goroutine. It does not keep raw.
func (a *arrival) Write(raw []byte) (int, error) {
	now := time.Now()
	a.incoming.recorded.record(raw, now)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return 0, io.ErrClosedPipe
	case len(raw) < 2 || len(raw) > packetBytes || len(a.waiting) == arrivalPackets:
		return len(raw), nil // lost
	}
	if a.take == nil && a.incoming.unclaimed.Add(1) > unclaimedPackets {
		a.incoming.unclaimed.Add(-1)
		return len(raw), nil
	}
	var buffer []byte
	if n := len(a.spare); n > 0 {
		buffer, a.spare = a.spare[n-1], a.spare[:n-1]
	}
	a.waiting = append(a.waiting, append(buffer[:0], raw...))
	if a.take == nil {
		a.changed.Broadcast()
		return len(raw), nil
	}
	switch held := len(a.waiting) - a.due; {
	case a.eager || raw[1]&0x80 != 0 || held == sfu.MaxBurst:
		if held > 1 {
			a.timer.Stop()
		}
		a.due = len(a.waiting)
		a.forward(now)
	case held == 1:
		a.timer.Reset(gatherTime)
	}
	return len(raw), nil
}

// release forwards all that waits.
func (a *arrival) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = len(a.waiting)
	a.forward(time.Now())
}

// attach forwards what has come, and will come, to the taker. With eager nothing is held back for what comes after it: audio has one
// packet per frame. Only the first taker counts.
func (a *arrival) attach(take taker, eager bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bind(take, eager)
}

// bind is attach for who holds a.mu.
func (a *arrival) bind(take taker, eager bool) {
	if a.take != nil {
		return
	}
	a.claim()
	a.take, a.eager = take, eager
	a.due = len(a.waiting)
	a.forward(time.Now())
}

// claim notes that what waits has, or will never have, a taker. The caller holds a.mu.
func (a *arrival) claim() {
	if a.take == nil {
		a.incoming.unclaimed.Add(-int64(len(a.waiting)))
	}
}

// forward hands on what is due, and what becomes due meanwhile, unless somebody does so already. The caller holds a.mu, which is
// not held while the taker is at work.
func (a *arrival) forward(now time.Time) {
	if a.forwarding {
		return
	}
	a.forwarding = true
	for a.due > 0 && !a.closed {
		burst := a.burst[:min(a.due, sfu.MaxBurst)]
		copy(burst, a.waiting)
		a.waiting = slices.Delete(a.waiting, 0, len(burst))
		a.due -= len(burst)
		take := a.take
		a.mu.Unlock()
		take(burst, now)
		a.mu.Lock()
		a.spare = append(a.spare, burst[:min(len(burst), sfu.MaxBurst-len(a.spare))]...)
		clear(burst)
		if a.due > 0 {
			now = time.Now()
		}
	}
	a.forwarding = false
	if a.closed {
		a.changed.Broadcast()
	}
}

// Read returns the oldest packet that was not read yet, to pion, which looks for what the stream is. With a taker there is nothing
// to read any more.
func (a *arrival) Read(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.closed && (a.take != nil || a.read == len(a.waiting)) {
		a.changed.Wait()
	}
	if a.closed {
		return 0, io.EOF
	}
	packet := a.waiting[a.read]
	a.read++
	if len(packet) > len(b) {
		return 0, io.ErrShortBuffer
	}
	n := copy(b, packet)
	if rid := a.incoming.repaired(packet, &a.header); rid != "" {
		a.bind(a.incoming.repairs(rid), true)
	}
	return n, nil
}

// Close ends the stream, and waits until nothing of it is being forwarded. It must not be called by the taker.
func (a *arrival) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.claim()
	}
	a.closed = true
	a.timer.Stop()
	a.changed.Broadcast()
	for a.forwarding {
		a.changed.Wait()
	}
	a.waiting, a.spare, a.header = nil, nil, rtp.Header{}
	return nil
}
