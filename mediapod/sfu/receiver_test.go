package sfu

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/keyframe"
	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// receiver is a subscriber that behaves like a browser, behind a link.
type receiver struct {
	world      *world
	subscriber *Subscriber
	link
	counts

	nap       time.Duration // for at most how long its computer does something else, again and again
	napsUntil time.Time
	transport transport
	sent      map[uint16]bool // the numbers of the newest packets
	missing   map[uint16]*request
	newest    uint16 // sequence number
	started   bool
	processAt time.Time
	askedAt   time.Time // for a keyframe
	frames    []*frame  // that were not shown, in order
	done      uint16    // the sequence number of the last packet that was shown
	shown     time.Time // the last frame
	picture   uint16    // its number
	layer     int       // its layer
	layerAt   time.Time
}

// link is the way to a receiver. Nothing is lost on the way back.
type link struct {
	kbps   int           // 0: any
	buffer time.Duration // of what waits in the link; more is lost
	delay  time.Duration // each way
	loss   float64
	freeAt time.Time
	wire   []flying // on the link, in order
	back   []answer
}

// transport is what a receiver reports of all packets.
type transport struct {
	arrivals []arrivalAt // not reported yet
	next     uint16      // transport-wide number of the next report's first packet
	reportAt time.Time
}

// counts are what a receiver has seen since a time.
type counts struct {
	since    time.Time
	worst    time.Duration // freeze
	worstAt  time.Time
	count    int // frames shown
	freezes  int // of more than 200 ms
	requests int
	copies   int
	lost     int
	plis     int
	audio    int // packets
	bytes    int // sent to it
	pictures int // gaps in the numbers of pictures that were shown, since the beginning
}

type flying struct {
	packet rtp.Packet
	at     time.Time
}

type answer struct {
	packet rtcp.Packet
	at     time.Time
}

type arrivalAt struct {
	sequence uint16
	at       time.Time
}

type request struct {
	at    time.Time
	times int
}

// frame is a frame that is being put together.
type frame struct {
	timestamp   uint32
	packets     map[uint16]bool
	first, last uint16
	begun, over bool
	key         bool
	layer       int
	number      uint16
	numbered    bool
}

const (
	audioSSRC = 0x3333
	// What browsers do (libwebrtc, modules/video_coding/nack_requester.cc): ask at once, and again
	// after a round trip, which who only receives takes to be 100 ms, looked at every 20 ms, ten
	// times.
	nackAgain   = 100 * time.Millisecond
	nackProcess = 20 * time.Millisecond
	nackTimes   = 10
	// reportEvery is how often they report on the transport, patienceForFrame how long they wait
	// for a frame before they ask for a keyframe.
	reportEvery      = 50 * time.Millisecond
	patienceForFrame = 3 * time.Second
)

func (w *world) receiver(change func(*receiver)) *receiver {
	w.t.Helper()
	r := &receiver{world: w, link: link{buffer: 300 * time.Millisecond, delay: 25 * time.Millisecond}, missing: map[uint16]*request{}, sent: map[uint16]bool{}, layer: -1}
	if change != nil {
		change(r)
	}
	s, err := w.publisher.Subscribe(&wire{})
	if err != nil {
		w.t.Fatal(err)
	}
	r.subscriber = s
	if err := s.Forward(Video, ForwarderConfig{
		SSRC: mediaSSRC, RTXSSRC: rtxSSRC, ClockRate: 90_000, Writer: r, TransportCC: 3,
		Codecs: map[string]PayloadTypes{"VP8": {Media: mediaPT, RTX: rtxPT}},
	}, w.now); err != nil {
		w.t.Fatal(err)
	}
	if err := s.Forward(Audio, ForwarderConfig{
		SSRC: audioSSRC, ClockRate: 48_000, Writer: r, TransportCC: 3, Codecs: map[string]PayloadTypes{"opus": {Media: 111}},
	}, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.receivers = append(w.receivers, r)
	return r
}

// WriteRTP puts packets on the link.
func (r *receiver) WriteRTP(packets []Outgoing) int {
	for i := range packets {
		r.send(&packets[i])
	}
	return len(packets)
}

func (r *receiver) send(o *Outgoing) {
	now := r.world.now
	bytes := len(o.Payload) + rtpOverhead
	r.bytes += bytes
	switch o.SSRC {
	case rtxSSRC:
		r.copies++
	case mediaSSRC: // a number is the nonce of what is encrypted
		if r.sent[o.Sequence] {
			r.world.t.Fatalf("number %d is sent twice", o.Sequence)
		}
		r.sent[o.Sequence] = true
		delete(r.sent, o.Sequence-1<<15)
	}
	at := now
	if r.kbps > 0 {
		if r.freeAt.Before(now) {
			r.freeAt = now
		}
		if r.freeAt.Sub(now) > r.buffer {
			r.lost++
			return
		}
		r.freeAt = r.freeAt.Add(time.Duration(bytes*8) * time.Millisecond / time.Duration(r.kbps))
		at = r.freeAt
	}
	if r.world.random.Float64() < r.loss {
		r.lost++
		return
	}
	at = at.Add(r.delay)
	if n := len(r.wire); n > 0 && at.Before(r.wire[n-1].at) {
		at = r.wire[n-1].at
	}
	var p rtp.Packet
	if err := p.Unmarshal(append(o.AppendHeader(nil), o.Payload...)); err != nil {
		r.world.t.Fatal(err)
	}
	r.wire = append(r.wire, flying{p, at})
}

func (r *receiver) answer(p rtcp.Packet) {
	r.back = append(r.back, answer{p, r.world.now.Add(r.delay)})
}

// live does what time brings.
func (r *receiver) live() {
	now := r.world.now
	for len(r.back) > 0 && !r.back[0].at.After(now) {
		if f, ok := r.back[0].packet.(*rtcp.TransportLayerCC); ok {
			r.subscriber.HandleFeedback(written(f), now)
		} else {
			r.subscriber.HandleRTCP([]rtcp.Packet{r.back[0].packet}, now)
		}
		r.back = r.back[1:]
	}
	if now.Before(r.napsUntil) {
		return
	}
	if r.nap > 0 {
		r.napsUntil = now.Add(time.Duration(r.world.random.Int64N(int64(r.nap))))
	}
	for len(r.wire) > 0 && !r.wire[0].at.After(now) {
		r.take(r.wire[0].packet)
		r.wire = r.wire[1:]
	}
	if now.Sub(r.processAt) >= nackProcess {
		r.processAt = now
		r.ask(func(q *request) bool { return now.Sub(q.at) >= nackAgain })
	}
	if now.Sub(r.transport.reportAt) >= reportEvery {
		r.transport.reportAt = now
		r.report()
	}
	if now.Sub(r.shown) >= patienceForFrame && now.Sub(r.askedAt) >= patienceForFrame {
		r.askedAt = now
		r.plis++
		r.answer(&rtcp.PictureLossIndication{MediaSSRC: mediaSSRC})
	}
}

// ask asks for missing packets.
func (r *receiver) ask(due func(*request) bool) {
	var sequences []uint16
	for sequence, q := range r.missing {
		if !due(q) {
			continue
		}
		if q.times == nackTimes {
			delete(r.missing, sequence)
			continue
		}
		q.at, q.times = r.world.now, q.times+1
		sequences = append(sequences, sequence)
	}
	if len(sequences) == 0 {
		return
	}
	slices.SortFunc(sequences, func(a, b uint16) int { return int(int16(a - b)) })
	r.requests += len(sequences)
	r.answer(&rtcp.TransportLayerNack{MediaSSRC: mediaSSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(sequences)})
}

func (r *receiver) report() {
	if len(r.transport.arrivals) == 0 {
		return
	}
	slices.SortStableFunc(r.transport.arrivals, func(a, b arrivalAt) int { return int(int16(a.sequence - b.sequence)) })
	if first := r.transport.arrivals[0].sequence; int16(first-r.transport.next) < 0 {
		r.transport.next = first
	}
	f := &rtcp.TransportLayerCC{BaseSequenceNumber: r.transport.next}
	at := int64(0)
	sequence := r.transport.next
	for _, a := range r.transport.arrivals {
		for ; sequence != a.sequence; sequence++ {
			f.PacketChunks = append(f.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketNotReceived, RunLength: 1})
		}
		f.PacketChunks = append(f.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: 1})
		us := a.at.Sub(epoch).Microseconds()
		f.RecvDeltas = append(f.RecvDeltas, &rtcp.RecvDelta{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: us - at})
		at = us
		sequence++
	}
	f.PacketStatusCount = sequence - r.transport.next
	r.transport.next = sequence
	r.transport.arrivals = r.transport.arrivals[:0]
	r.answer(f)
}

// take receives a packet.
func (r *receiver) take(p rtp.Packet) {
	now := r.world.now
	if number := p.GetExtension(3); len(number) == 2 {
		r.transport.arrivals = append(r.transport.arrivals, arrivalAt{binary.BigEndian.Uint16(number), now})
	}
	if p.SSRC == audioSSRC {
		r.audio++
		return
	}
	if p.SSRC == rtxSSRC {
		p.SequenceNumber = binary.BigEndian.Uint16(p.Payload)
		p.Payload = p.Payload[2:]
		if r.missing[p.SequenceNumber] == nil {
			return // a probe, or a second copy
		}
	}
	delete(r.missing, p.SequenceNumber)
	if !r.started {
		r.started, r.newest, r.done = true, p.SequenceNumber, p.SequenceNumber-1
	}
	for int16(p.SequenceNumber-r.newest) > 0 {
		r.newest++
		if r.newest != p.SequenceNumber {
			r.missing[r.newest] = &request{}
		}
	}
	r.ask(func(q *request) bool { return q.times == 0 })
	if int16(p.SequenceNumber-r.done) <= 0 {
		return
	}
	r.assemble(&p)
	for r.show() {
	}
}

func (r *receiver) assemble(p *rtp.Packet) {
	at, found := slices.BinarySearchFunc(r.frames, p.Timestamp, func(f *frame, timestamp uint32) int { return int(int32(f.timestamp - timestamp)) })
	if !found {
		r.frames = slices.Insert(r.frames, at, &frame{timestamp: p.Timestamp, packets: map[uint16]bool{}})
	}
	f := r.frames[at]
	f.packets[p.SequenceNumber] = true
	if len(p.Payload) == 0 { // stands for what was left out too late
		f.begun, f.over, f.first, f.last = true, true, p.SequenceNumber, p.SequenceNumber
		f.layer = -1
		return
	}
	if p.Payload[0]&0x10 != 0 {
		f.begun, f.first = true, p.SequenceNumber
		f.key = keyframe.VP8(p.Payload)
		picture := temporal.VP8(p.Payload)
		f.number, f.numbered = picture.Number, picture.Numbered
		f.layer = int(p.Payload[5])
		if picture.Layered {
			f.layer = int(p.Payload[7])
		}
	}
	if p.Marker {
		f.over, f.last = true, p.SequenceNumber
	}
}

func (f *frame) whole() bool {
	return f.begun && f.over && len(f.packets) == int(f.last-f.first)+1
}

// show shows the next frame when it is whole and follows what was shown, or else the first whole
// keyframe.
func (r *receiver) show() bool {
	at := slices.IndexFunc(r.frames, func(f *frame) bool { return f.whole() && f.first == r.done+1 && (f.key || !r.shown.IsZero()) })
	if at < 0 {
		at = slices.IndexFunc(r.frames, func(f *frame) bool { return f.whole() && f.key })
	}
	if at < 0 {
		return false
	}
	f, now := r.frames[at], r.world.now
	r.frames = r.frames[at+1:]
	follows := f.first == r.done+1
	r.done = f.last
	for sequence := range r.missing { // what came before is of no use now
		if int16(sequence-r.done) <= 0 {
			delete(r.missing, sequence)
		}
	}
	if f.layer < 0 {
		return true
	}
	if !r.shown.IsZero() {
		from := r.shown
		if from.Before(r.since) {
			from = r.since
		}
		gap := now.Sub(from)
		if gap > r.worst {
			r.worst, r.worstAt = gap, now
		}
		if gap > 200*time.Millisecond {
			r.freezes++
		}
	}
	if f.numbered {
		if r.count > 0 && follows && f.number != (r.picture+1)&0x7fff {
			r.pictures++
		}
		r.picture = f.number
	}
	if f.layer != r.layer {
		r.layer, r.layerAt = f.layer, now
	}
	r.shown = now
	r.count++
	return true
}

// from starts the counts anew.
func (r *receiver) from() {
	r.counts = counts{since: r.world.now, pictures: r.pictures}
}
