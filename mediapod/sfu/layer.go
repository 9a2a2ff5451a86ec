package sfu

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/keyframe"
	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/rtp/level"
	"mediarooms.dev/mediarooms/mediapod/rtp/nack"
	"mediarooms.dev/mediarooms/mediapod/rtp/report"
	"mediarooms.dev/mediarooms/mediapod/rtp/ring"
	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// How many packets a layer keeps: for video some seconds at usual bitrates; audio is not sent
// again, and its ring only tells duplicates.
const (
	videoRing = 512
	audioRing = 64
	// keptFor is how long a packet of video can be sent again. Receivers have given up what they
	// miss for longer: they ask for a key frame.
	keptFor = 1500 * time.Millisecond
)

// rtpOverhead is counted per packet beside its payload: RTP, SRTP, UDP and IP.
const rtpOverhead = 12 + 10 + 8 + 20

// LayerConfig describes an incoming RTP stream.
type LayerConfig struct {
	SSRC uint32
	// Rank orders the layers of a feed: the higher, the better.
	Rank        int
	PayloadType uint8
	Codec       Codec
	// AudioLevel is the number of the header extension for the level of the sound (RFC 6464); 0
	// without.
	AudioLevel uint8
	// Resumed tells that the stream comes from an encoder that has been running for long: the
	// keyframe to start with has to be asked for.
	Resumed bool
	// Still tells that the picture may stand still, as that of a screen or of an application. Then
	// it is kept, in at most still.MaxBytes.
	Still bool
	// Feedback takes the RTCP for the stream's sender.
	Feedback ControlWriter
}

// Layer is one incoming RTP stream of a track. Its methods are safe for concurrent use.
type Layer struct {
	track    *Track
	config   LayerConfig
	keyframe keyframe.Detector // nil when a receiver can start anywhere
	picture  temporal.Parser   // nil when packets do not tell temporal layers
	// receivers are the forwarders that forward the layer or are to change over to it; changed by
	// the owner of track.mu.
	receivers set[*Forwarder]

	mu       sync.Mutex // guards the fields below
	used     bool       // somebody receives the layer: else nothing is asked for
	ring     *ring.Ring
	missing  nack.Tracker
	requests keyframe.Requests
	receiver *report.Receiver
	clock    report.Clock
	meters   meters
	sound    level.Meter
	still    *stillLayer // nil when the picture does not stand still
	heardAt  time.Time   // when a packet came last that was new
	pixels   int         // of the newest keyframe; 0 while that is not known

	due []uint16 // owned by tick
}

func newLayer(t *Track, config LayerConfig, now time.Time) *Layer {
	l := &Layer{
		track:    t,
		config:   config,
		keyframe: keyframe.For(config.Codec.Name),
		picture:  temporal.For(config.Codec.Name),
		receiver: report.NewReceiver(config.Codec.ClockRate),
		meters:   meters{observedAt: now},
	}
	if t.kind == Video {
		l.ring = ring.New(videoRing, uint32(keptFor.Seconds()*float64(config.Codec.ClockRate)))
		if config.Resumed {
			l.requests.Hurry()
		} else {
			l.requests.Expect(now)
		}
	} else {
		l.ring = ring.New(audioRing, 0)
	}
	if config.Still && l.keyframe != nil {
		l.still = &stillLayer{}
	}
	return l
}

// WriteBurst takes packets of the layer, in the order in which they came, that have all arrived by
// the given time, and forwards those that are new; what goes to one receiver is written together.
// It does not keep raw. Packets that are malformed or of another payload type are skipped, and what
// is beyond MaxBurst is left out.
func (l *Layer) WriteBurst(raw [][]byte, at time.Time) { l.write(raw, at, false) }

// WriteBurstNow is WriteBurst by who must not be held: what there is no room for is lost.
func (l *Layer) WriteBurstNow(raw [][]byte, at time.Time) { l.write(raw, at, true) }

// briefReceivers is to how many receivers a burst goes in about the time that it takes to wake
// somebody else for it.
const briefReceivers = 8

// Brief tells that a burst goes to few receivers.
func (l *Layer) Brief() bool { return len(l.receivers.load()) <= briefReceivers }

func (l *Layer) write(raw [][]byte, at time.Time, noWait bool) {
	b := bursts.Get().(*burst)
	defer b.release()
	b.noWait = noWait
	for _, r := range raw[:min(len(raw), MaxBurst)] {
		p := &b.packets[b.n]
		if p.Unmarshal(r) == nil && p.PayloadType == l.config.PayloadType {
			b.n++
		}
	}
	if b.n > 0 {
		l.distribute(b, at)
	}
}

// WriteRepair takes a packet of the layer's retransmission stream (RFC 4588, section 4), and
// forwards it when it is new. A malformed packet is an error and changes nothing.
func (l *Layer) WriteRepair(raw []byte, at time.Time) error {
	b := bursts.Get().(*burst)
	defer b.release()
	p := &b.packets[0]
	if err := p.Unmarshal(raw); err != nil {
		return fmt.Errorf("reading RTX packet: %w", err)
	}
	if len(p.Payload) < 2 {
		return nil // padding, by which a sender probes the bandwidth
	}
	p.SequenceNumber = binary.BigEndian.Uint16(p.Payload)
	p.Payload = p.Payload[2:]
	b.n = 1
	l.distribute(b, at)
	return nil
}

// distribute forwards those packets of a burst that are new.
func (l *Layer) distribute(b *burst, at time.Time) {
	b.layer, b.at = l, at
	if l.note(b) {
		l.sendKeyframeRequest()
	}
	if b.n == 0 {
		return
	}
	var packets, bytes, failed uint64
	for _, f := range l.receivers.load() {
		out := f.rewrite(b)
		if len(out) == 0 {
			continue
		}
		sent := f.config.Writer.WriteRTP(out)
		packets += uint64(sent)
		failed += uint64(len(out) - sent)
		for i := range out[:sent] {
			bytes += uint64(len(out[i].Payload))
		}
	}
	counters := l.track.publisher.counters
	counters.ReceivedPackets.Add(uint64(b.n))
	if packets > 0 {
		counters.ForwardedPackets.Add(packets)
		counters.ForwardedBytes.Add(bytes)
	}
	if failed > 0 {
		counters.WriteErrors.Add(failed)
	}
}

// note enters the packets of a burst in the layer's books and takes those out of the burst that are
// not new. It tells whether to ask for a keyframe.
func (l *Layer) note(b *burst) (ask bool) {
	for i := range b.n {
		p := &b.packets[i]
		p.keyframe = l.keyframe == nil || l.keyframe(p.Payload)
		if p.picture = (temporal.Picture{}); l.picture != nil {
			p.picture = l.picture(p.Payload)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := 0
	for i := range b.n {
		p := &b.packets[i]
		if !l.ring.Put(ring.Packet{
			Sequence: p.SequenceNumber, Timestamp: p.Timestamp, Marker: p.Marker, Payload: p.Payload,
		}) {
			continue
		}
		if kept != i { // swapped, so that each keeps the slices of its header
			b.packets[kept], b.packets[i] = b.packets[i], b.packets[kept]
			p = &b.packets[kept]
		}
		kept++
		ask = l.noteNew(p, b.at) || ask
	}
	for i := kept; i < b.n; i++ {
		b.packets[i].Payload = nil
	}
	b.n = kept
	return ask
}

// noteNew enters a packet that the ring did not have. The caller holds l.mu.
func (l *Layer) noteNew(p *packet, at time.Time) (ask bool) {
	l.receiver.Received(p.SequenceNumber, p.Timestamp, at)
	l.meters.add(len(p.Payload)+rtpOverhead, p.Timestamp, p.picture.Layer, at)
	if l.track.kind != Video {
		if l.config.AudioLevel != 0 {
			l.sound.Add(p.GetExtension(l.config.AudioLevel), at)
		}
		return false
	}
	if p.keyframe {
		l.requests.Arrived()
		width, height := keyframe.Size(l.config.Codec.Name, p.Payload)
		l.pixels = width * height
	}
	if l.heardAt = at; l.still != nil {
		l.still.picture.Put(ring.Packet{
			Sequence: p.SequenceNumber, Timestamp: p.Timestamp, Marker: p.Marker, Payload: p.Payload,
		}, p.keyframe)
	}
	return l.used && !l.missing.Received(p.SequenceNumber, at) && l.requests.Request(at)
}

// SenderReport takes a sender report of the layer's sender.
func (l *Layer) SenderReport(sr *rtcp.SenderReport, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receiver.SenderReport(sr.NTPTime, at)
	l.clock.SenderReport(sr.NTPTime, sr.RTPTime, at)
}

// RequestKeyframe asks the sender for a keyframe, unless it was asked less than keyframe.Interval
// ago: then the request is answered by the keyframe that is on its way, or else repeated when the
// interval is over.
func (l *Layer) RequestKeyframe(now time.Time) {
	if l.keyframe == nil {
		return
	}
	l.track.publisher.counters.KeyframesWanted.Add(1)
	l.mu.Lock()
	ask := l.requests.Request(now)
	l.mu.Unlock()
	if ask {
		l.sendKeyframeRequest()
	}
}

// requestKeyframeFrom is RequestKeyframe at a later time, unless somebody else asks before.
func (l *Layer) requestKeyframeFrom(at time.Time) {
	if l.keyframe == nil {
		return
	}
	l.track.publisher.counters.KeyframesWanted.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests.RequestFrom(at)
}

func (l *Layer) sendKeyframeRequest() {
	l.track.publisher.counters.KeyframeRequests.Add(1)
	l.send(&rtcp.PictureLossIndication{SenderSSRC: l.track.publisher.ssrc, MediaSSRC: l.config.SSRC})
}

// send ignores errors: what it sends is repeated, or moot when the connection has ended.
func (l *Layer) send(packets ...rtcp.Packet) {
	_ = l.config.Feedback.WriteRTCP(packets)
}

func (l *Layer) tick(now time.Time) {
	if l.still != nil {
		l.show(now)
	}
	l.mu.Lock()
	l.due = l.missing.Due(now, l.due[:0])
	ask := l.used && l.requests.Due(now)
	l.mu.Unlock()
	if ask {
		l.sendKeyframeRequest()
	}
	if len(l.due) > 0 {
		l.track.publisher.counters.NACKsSent.Add(uint64(len(l.due)))
		l.send(&rtcp.TransportLayerNack{
			SenderSSRC: l.track.publisher.ssrc,
			MediaSSRC:  l.config.SSRC,
			Nacks:      rtcp.NackPairsFromSequenceNumbers(l.due),
		})
	}
}

// use notes whether somebody receives the layer.
func (l *Layer) use(used bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if used != l.used {
		l.used = used
		l.missing = nack.Tracker{} // what was missed meanwhile is of no use: a receiver starts with a keyframe
	}
}

// wanted tells whether somebody receives the layer.
func (l *Layer) wanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// flow returns how many frames have come so far, and the bitrates.
func (l *Layer) flow(now time.Time) (frames uint64, measured layers.Layer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	measured = l.meters.rates(now)
	measured.Pixels = l.pixels
	return l.meters.frames, measured
}

// reception returns what a receiver report says of the layer; false before its first packet.
func (l *Layer) reception(now time.Time) (rtcp.ReceptionReport, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.receiver.Report(l.config.SSRC, now)
}

// cached appends the payload of a packet to buffer; see ring.Ring.Get.
func (l *Layer) cached(sequence uint16, buffer []byte) (ring.Packet, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ring.Get(sequence, buffer)
}

func (l *Layer) clockAt(now time.Time) (ntp uint64, timestamp uint32, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.At(now, l.config.Codec.ClockRate)
}
