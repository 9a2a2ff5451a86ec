package peer

import (
	"slices"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

const (
	// gatherTime is how long the first packets of a video frame wait for the rest of it at most:
	// what goes to one receiver together costs a fraction of what it costs packet by packet.
	gatherTime = 500 * time.Microsecond
	// streamPackets is how many packets of a stream wait at most, unidentifiedPackets how many of
	// all streams of a peer that are not known yet; what is beyond is lost.
	streamPackets       = 512
	unidentifiedPackets = 1024
	// packetBytes is the most that an incoming packet has.
	packetBytes = 1500
	// maxSpare is how many buffers a stream keeps for packets to come: most frames have no more.
	maxSpare = 4
)

// buffers have room for packets that wait, beyond the few that a stream keeps: now and then many
// packets of one stream wait, as those of a key frame.
var buffers = sync.Pool{New: func() any { return new([packetBytes]byte) }}

// receiver takes packets of a stream, in the order in which they came, that have all arrived by the
// given time. It does not keep them. The zero value is nobody.
type receiver struct {
	take func(packets [][]byte, at time.Time)
	// takeNow does not wait: what there is no room for is lost. brief tells that it takes no longer
	// than to wake a goroutine, and loses nothing as far as is known. Both may be nil.
	takeNow func(packets [][]byte, at time.Time)
	brief   func() bool
}

// discard takes what nobody wants.
func discard([][]byte, time.Time) {}

// frameAssembler gathers the packets of one incoming RTP stream, so that those of a video frame are
// forwarded together: when the frame is complete, by its marker (RFC 7741, section 4.1; RFC 9628,
// section 4.1; RFC 6184, section 5.1), or after gatherTime. Its timer runs once per frame of more
// than one packet, not once per packet.
//
//	newFrameAssembler -- packets wait --> identified -- frames become due --> discards, or closed
//
// All fields but those that say otherwise are guarded by demultiplexer.mu.
type frameAssembler struct {
	demux *demultiplexer
	ssrc  uint32
	timer *time.Timer

	waiting    [][]byte             // oldest first
	due        int                  // how many of those that wait are to be forwarded
	dueAt      time.Time            // when they were
	spare      []*[packetBytes]byte // buffers for packets to come, at most maxSpare
	encoding   encoding
	identified bool // encoding is known
	eager      bool // nothing waits for what comes after it
	discards   bool // nobody wants it
	scheduled  bool // it is in demultiplexer.ready

	// Owned by the goroutine that forwards.
	receiver receiver // nobody before the first packets
	burst    [sfu.MaxBurst][]byte
}

func newFrameAssembler(d *demultiplexer, ssrc uint32) *frameAssembler {
	a := &frameAssembler{demux: d, ssrc: ssrc}
	a.timer = time.AfterFunc(time.Hour, a.release)
	a.timer.Stop()
	return a
}

// identify notes what the stream is. With eager nothing is held back for what comes after it: audio
// has one packet per frame.
func (a *frameAssembler) identify(e encoding, eager bool, now time.Time) {
	a.demux.unidentified -= len(a.waiting)
	a.encoding, a.identified, a.eager = e, true, eager
	a.forward(now)
}

// add takes a packet. It does not keep raw.
func (a *frameAssembler) add(raw []byte, marker bool, now time.Time) {
	if a.discards || len(raw) > packetBytes || len(a.waiting) == streamPackets {
		return // lost
	}
	if !a.identified {
		if a.demux.unidentified == unidentifiedPackets {
			return
		}
		a.demux.unidentified++
	}
	a.waiting = append(a.waiting, append(a.buffer()[:0], raw...))
	if !a.identified {
		return
	}
	switch held := len(a.waiting) - a.due; {
	case a.eager || marker || held == sfu.MaxBurst:
		if held > 1 {
			a.timer.Stop()
		}
		a.forward(now)
	case held == 1:
		a.timer.Reset(gatherTime)
	}
}

// release forwards what has waited for gatherTime.
func (a *frameAssembler) release() {
	a.demux.mu.Lock()
	defer a.demux.mu.Unlock()
	a.forward(time.Now())
	a.demux.start()
}

// brief tells that the packets that are due can be forwarded by who must not be held. It is to be
// called while nobody forwards.
func (a *frameAssembler) brief() bool { return a.receiver.brief != nil && a.receiver.brief() }

// forward lets all that waits be forwarded.
func (a *frameAssembler) forward(now time.Time) {
	a.due, a.dueAt = len(a.waiting), now
	a.demux.schedule(a)
}

// next moves packets that are due into a.burst and returns them; none when nothing is due.
func (a *frameAssembler) next() [][]byte {
	burst := a.burst[:min(a.due, sfu.MaxBurst)]
	copy(burst, a.waiting)
	a.waiting = slices.Delete(a.waiting, 0, len(burst))
	a.due -= len(burst)
	return burst
}

// buffer returns one for a packet.
func (a *frameAssembler) buffer() *[packetBytes]byte {
	n := len(a.spare)
	if n == 0 {
		return buffers.Get().(*[packetBytes]byte)
	}
	buffer := a.spare[n-1]
	a.spare = a.spare[:n-1]
	return buffer
}

// recycle takes the buffers of packets back that were forwarded.
func (a *frameAssembler) recycle(burst [][]byte) {
	for _, packet := range burst {
		buffer := (*[packetBytes]byte)(packet[:packetBytes])
		if len(a.spare) < maxSpare {
			a.spare = append(a.spare, buffer)
		} else {
			buffers.Put(buffer)
		}
	}
	clear(burst)
}

// clear forgets what waits.
func (a *frameAssembler) clear() {
	a.timer.Stop()
	a.waiting, a.spare, a.due = nil, nil, 0
}
