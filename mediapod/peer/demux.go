package peer

import (
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// maxStreams is how many streams of a peer are kept apart; what comes in others is ignored.
const maxStreams = 32

// encoding is what an incoming RTP stream carries.
type encoding struct {
	line *mediaLine
	rid  string // of the simulcast layer, "" without simulcast
	// repairs tells that it has the retransmissions (RFC 4588) of the layer.
	repairs bool
}

// demultiplexer takes apart what a publisher sends: by SSRC, and for one that is new by what the
// offer and the packet's header extensions say of it (MID: RFC 8843, section 9.2; RID: RFC 8852).
//
//	transport.Conn -> receive: one copy -> frameAssembler -> run: one goroutine at a time -> sfu.Layer
//
// The goroutine that reads the socket forwards what is done as soon as another one would be awake,
// and never waits. What goes to many receivers is forwarded by a goroutine that is there for as
// long as there is something to forward.
type demultiplexer struct {
	lines    []mediaLine
	feedback *feedback
	// open returns who takes a stream. It is called once for each.
	open func(e encoding, ssrc uint32) receiver

	running sync.WaitGroup // those that forward
	alone   func()         // forwardAlone; made once, so that starting it takes no memory

	mu           sync.Mutex        // guards the fields below
	ready        []*frameAssembler // those with packets that are due, each once
	forwarding   bool              // somebody forwards
	streams      map[uint32]*frameAssembler
	unidentified int        // packets that wait in streams that are not known yet
	header       rtp.Header // of the packet at hand; kept for its memory
	closed       bool
}

// newDemultiplexer makes one for the streams that an offer tells of. Close must be called.
func newDemultiplexer(lines []mediaLine, open func(e encoding, ssrc uint32) receiver) *demultiplexer {
	d := &demultiplexer{
		lines: lines, open: open,
		ready: make([]*frameAssembler, 0, maxStreams), streams: map[uint32]*frameAssembler{},
	}
	d.alone = d.forwardAlone
	var number uint8
	for _, line := range lines { // the same on all m-lines of a bundle (RFC 9143, section 9.1)
		number = max(number, line.transportCC)
	}
	d.feedback = newFeedback(number)
	return d
}

// identified returns what is known of the streams, by SSRC.
func (d *demultiplexer) identified() map[uint32]encoding {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := map[uint32]encoding{}
	for ssrc, a := range d.streams {
		if a.identified {
			known[ssrc] = a.encoding
		}
	}
	return known
}

// know notes what streams carry whose packets may not tell it any more.
func (d *demultiplexer) know(streams map[uint32]encoding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ssrc, e := range streams {
		if a := d.stream(ssrc); a != nil {
			a.encoding, a.identified, a.eager = e, true, e.repairs || e.line.kind == sfu.Audio
		}
	}
}

// receive takes an RTP packet. It does not keep it.
func (d *demultiplexer) receive(packet []byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if _, err := d.header.Unmarshal(packet); err != nil {
		return
	}
	d.feedback.record(&d.header, now)
	a := d.stream(d.header.SSRC)
	if a == nil {
		return
	}
	a.add(packet, d.header.Marker, now)
	if !a.identified {
		if e, ok := d.identify(&d.header); ok {
			a.identify(e, e.repairs || e.line.kind == sfu.Audio, now)
		}
	}
	d.start()
}

// stream returns that of an SSRC; nil when it is ignored.
func (d *demultiplexer) stream(ssrc uint32) *frameAssembler {
	a := d.streams[ssrc]
	if a != nil || ssrc == 0 || len(d.streams) == maxStreams { // libwebrtc probes the bandwidth by SSRC 0
		return a
	}
	a = newFrameAssembler(d, ssrc)
	d.streams[ssrc] = a
	return a
}

// identify returns what a packet's stream carries; false when the packet does not tell.
func (d *demultiplexer) identify(h *rtp.Header) (encoding, bool) {
	e := encoding{line: d.lineOf(h)}
	if e.line == nil {
		return e, false
	}
	rid := e.line.rid
	switch c := e.line.codecs[0]; h.PayloadType {
	case c.payload:
		if declared := e.line.ssrc; declared != 0 && declared != h.SSRC {
			return e, false
		}
	case c.rtx:
		e.repairs, rid = true, e.line.repairedRID
	default:
		return e, false
	}
	if e.line.layers == nil {
		return e, true
	}
	if rid == 0 {
		return e, false
	}
	e.rid = string(h.GetExtension(rid))
	return e, slices.Contains(e.line.layers, e.rid)
}

// lineOf returns the m-line that a packet belongs to: by its MID or else by its payload type, which
// the m-lines of a bundle do not share (RFC 8843, section 9.2).
func (d *demultiplexer) lineOf(h *rtp.Header) *mediaLine {
	for i := range d.lines {
		line := &d.lines[i]
		if line.midExtension == 0 {
			continue
		}
		if mid := h.GetExtension(line.midExtension); len(mid) > 0 && string(mid) == line.mid {
			return line
		}
	}
	for i := range d.lines {
		line := &d.lines[i]
		if c := line.codecs[0]; h.PayloadType == c.payload || c.rtx != 0 && h.PayloadType == c.rtx {
			return line
		}
	}
	return nil
}

// schedule has a stream's packets forwarded by the next run.
func (d *demultiplexer) schedule(a *frameAssembler) {
	if !a.scheduled && !d.closed {
		a.scheduled = true
		d.ready = append(d.ready, a)
	}
}

// start has what is ready forwarded, at once when nobody is held by that. The caller holds d.mu,
// which is free for some time.
func (d *demultiplexer) start() {
	if d.forwarding || d.closed || len(d.ready) == 0 {
		return
	}
	d.forwarding = true
	d.running.Add(1)
	if !d.ready[0].brief() {
		go d.alone()
		return
	}
	defer d.running.Done()
	d.run(false)
	d.start()
}

// forwardAlone is the goroutine that may wait.
func (d *demultiplexer) forwardAlone() {
	defer d.running.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run(true)
}

// run forwards what is ready, without waiting only what is brief. The caller holds d.mu.
func (d *demultiplexer) run(mayWait bool) {
	for len(d.ready) > 0 && !d.closed && (mayWait || d.ready[0].brief()) {
		a := d.ready[0]
		d.ready = slices.Delete(d.ready, 0, 1)
		d.forward(a, mayWait)
	}
	d.forwarding = false
}

// forward hands on what is due of a stream, and what becomes due meanwhile. No lock is held while
// the receiver is at work. The caller holds d.mu.
func (d *demultiplexer) forward(a *frameAssembler, mayWait bool) {
	a.scheduled = false
	if a.receiver.take == nil {
		d.mu.Unlock()
		a.receiver = d.open(a.encoding, a.ssrc)
		d.mu.Lock()
		if a.receiver.take == nil {
			a.receiver.take, a.discards = discard, true
		}
	}
	take := a.receiver.take
	if !mayWait {
		take = a.receiver.takeNow
	}
	for a.due > 0 && !d.closed {
		burst, at := a.next(), a.dueAt
		d.mu.Unlock()
		take(burst, at)
		d.mu.Lock()
		a.recycle(burst)
	}
}

// close ends all streams, and waits until nothing is being forwarded. It must not be called by a
// receiver.
func (d *demultiplexer) close() {
	d.mu.Lock()
	d.closed = true
	for _, a := range d.streams {
		a.clear()
	}
	d.mu.Unlock()
	d.running.Wait()
}
