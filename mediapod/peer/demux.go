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
//	transport.Conn -> receive: one copy -> frameAssembler -> run: one goroutine -> sfu.Layer
//
// The goroutine that reads the socket is not held: one goroutine of the demultiplexer forwards.
type demultiplexer struct {
	lines    []mediaLine
	feedback *feedback
	// open returns who takes a stream. It is called once for each.
	open func(e encoding, ssrc uint32) receiver

	ready   chan *frameAssembler // those with packets that are due, each once
	done    chan struct{}        // closed by close
	running sync.WaitGroup

	mu           sync.Mutex // guards the fields below
	streams      map[uint32]*frameAssembler
	unidentified int        // packets that wait in streams that are not known yet
	header       rtp.Header // of the packet at hand; kept for its memory
	closed       bool
}

// newDemultiplexer makes one for the streams that an offer tells of. Close must be called.
func newDemultiplexer(lines []mediaLine, open func(e encoding, ssrc uint32) receiver) *demultiplexer {
	d := &demultiplexer{
		lines: lines, open: open,
		ready: make(chan *frameAssembler, maxStreams), done: make(chan struct{}),
		streams: map[uint32]*frameAssembler{},
	}
	var number uint8
	for _, line := range lines { // the same on all m-lines of a bundle (RFC 9143, section 9.1)
		number = max(number, line.transportCC)
	}
	d.feedback = newFeedback(number)
	d.running.Go(d.run)
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

// schedule has a stream's packets forwarded.
func (d *demultiplexer) schedule(a *frameAssembler) {
	if !a.scheduled && !d.closed {
		a.scheduled = true
		d.ready <- a // there is room for all streams
	}
}

// run forwards what is due, until close.
func (d *demultiplexer) run() {
	for {
		select {
		case <-d.done:
			return
		case a := <-d.ready:
			d.forward(a)
		}
	}
}

// forward hands on what is due of a stream, and what becomes due meanwhile. No lock is held while
// the receiver is at work.
func (d *demultiplexer) forward(a *frameAssembler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a.scheduled = false
	if a.receive == nil && !d.closed {
		d.mu.Unlock()
		a.receive = d.open(a.encoding, a.ssrc)
		d.mu.Lock()
		if a.receive == nil {
			a.receive, a.discards = discard, true
		}
	}
	for a.due > 0 && !d.closed {
		burst, at := a.next(), a.dueAt
		d.mu.Unlock()
		a.receive(burst, at)
		d.mu.Lock()
		a.recycle(burst)
	}
}

// close ends all streams, and waits until nothing is being forwarded. It must not be called by a
// receiver.
func (d *demultiplexer) close() {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	for _, a := range d.streams {
		a.clear()
	}
	d.mu.Unlock()
	if first {
		close(d.done)
	}
	d.running.Wait()
}
