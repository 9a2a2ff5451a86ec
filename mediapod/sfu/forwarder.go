package sfu

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/rtp/rewrite"
	"mediarooms.dev/mediarooms/mediapod/rtp/ring"
	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// Limits on what a subscriber can have sent again, so that a broken or hostile one can't multiply
// the traffic.
const (
	resendMemory   = 256                    // packets, a power of two
	resendInterval = 20 * time.Millisecond  // least time between two copies of a packet
	resendWindow   = 100 * time.Millisecond // in which at most resendBurst packets are sent again
	resendBurst    = 128
)

// A probe sends each of the newest probePackets packets at most probeRounds times at once.
const (
	probePackets = 16
	probeRounds  = 4
)

// ForwarderConfig describes an outgoing RTP stream.
type ForwarderConfig struct {
	SSRC uint32
	// RTXSSRC is the SSRC for retransmissions (RFC 4588), 0 when the subscriber can't do RTX: then
	// nothing is sent again. A copy would have the number of its original, by which its encryption
	// is the same, but not its very bytes, and two packets under one nonce of AES-GCM give away the
	// key that authenticates all (RFC 7714, section 8.1).
	RTXSSRC uint32
	// Codecs are what the subscriber can decode, by name. Nothing is forwarded while the publisher
	// sends another one.
	Codecs map[string]PayloadTypes
	// ClockRate is in Hz.
	ClockRate uint32
	// TransportCC is the number of the header extension for transport-wide sequence numbers, from 1
	// to 14; 0 without.
	TransportCC uint8
	// MaxKbps is the most that the subscriber should be sent, 0 for no limit.
	MaxKbps int
	Writer  PacketWriter `json:"-"`
}

// PayloadTypes are the numbers that a subscriber gave to a codec.
type PayloadTypes struct {
	Media uint8
	// RTX is used when ForwarderConfig.RTXSSRC is not 0.
	RTX uint8
}

// Forwarder is one outgoing RTP stream to one subscriber. It forwards one layer of its track; when
// it is aimed at another one it goes on with the old one until it can start on the new one, with
// continuous sequence numbers and timestamps.
type Forwarder struct {
	track  *Track
	path   *path
	config ForwarderConfig

	// Guarded by track.mu.
	selection layers.Selection
	paused    layers.Pause // why nothing is sent of what the subscriber wants
	notify    func()       // told when that has changed; nil for nobody
	withheld  bool         // the subscriber does not want it
	bound     layers.Bound // the most that it wants
	aimed     *Layer       // the target; nil while nobody publishes, and while the forwarder is paused
	connected [2]*Layer    // the layers that know the forwarder as a receiver: source and target

	mu          *sync.Mutex // the path's, guards the fields below; never held across a write
	rewriter    *rewrite.Rewriter[*Layer]
	selector    temporal.Selector
	target      *Layer // what to change over to, or the source; nil like aimed
	payload     PayloadTypes
	packets     uint32
	octets      uint32
	rtxSequence uint16
	resent      []resend // made at the first loss, resendMemory long
	windowStart time.Time
	windowCount int
	keepsake    *ring.Packet // while paused: the newest packet that was sent, to probe with
	showing     showing
}

type resend struct {
	at       time.Time
	sequence uint16
}

func newForwarder(t *Track, p *path, config ForwarderConfig) *Forwarder {
	return &Forwarder{
		track:       t,
		path:        p,
		mu:          &p.mu,
		config:      config,
		rewriter:    rewrite.New[*Layer](config.ClockRate, firstSequence(), rand.Uint32()),
		rtxSequence: firstSequence(),
	}
}

// firstSequence returns a random number to begin with, of the lower half: a receiver that misses
// what comes before the numbers begin anew can't know that they did, and decrypts nothing (RFC
// 3711, section 3.3.1).
func firstSequence() uint16 { return uint16(rand.Uint32N(1 << 15)) }

// limits are the most that the subscriber is to get. The caller holds track.mu.
func (f *Forwarder) limits() layers.Limits {
	return layers.Limits{Kbps: f.config.MaxKbps, Bound: f.bound}
}

// aim sets the layer to change over to, and the highest temporal layer. With stop nothing is
// forwarded until then. The caller holds track.mu.
func (f *Forwarder) aim(layer *Layer, highest int, stop bool) {
	f.aimed = layer
	f.mu.Lock()
	f.target = layer
	f.keepsake = nil
	f.selector.Limit(uint8(highest))
	if stop {
		f.rewriter.Stop()
	}
	f.mu.Unlock()
}

// pause ends the forwarding until the forwarder is aimed again. The caller holds track.mu.
func (f *Forwarder) pause() {
	f.aim(nil, 0, true)
	newest, original, layer, ok := f.newest()
	if !ok {
		return
	}
	f.mu.Lock()
	f.renumber(newest, layer, original.Payload)
	f.keepsake = &original
	f.mu.Unlock()
}

// note keeps why nothing is sent of what the subscriber wants, and tells of a change. The caller
// holds track.mu.
func (f *Forwarder) note(paused layers.Pause) {
	if f.paused == paused {
		return
	}
	f.paused = paused
	if f.notify != nil {
		f.notify()
	}
}

// newest returns the number of the newest packet that was sent, and a copy of what it was; false
// when it is not there any more.
func (f *Forwarder) newest() (sequence uint16, original ring.Packet, layer *Layer, ok bool) {
	f.mu.Lock()
	sequence, _ = f.rewriter.Newest()
	layer, in, _, ok := f.rewriter.Origin(sequence)
	f.mu.Unlock()
	if !ok {
		return 0, ring.Packet{}, nil, false
	}
	original, ok = layer.cached(in, nil)
	return sequence, original, layer, ok
}

// probeable tells that there is something to probe the path with, also when nothing else is sent.
// The caller holds track.mu.
func (f *Forwarder) probeable() bool {
	if f.config.RTXSSRC == 0 {
		return false
	}
	_, _, _, ok := f.newest()
	return ok
}

// changing tells that the forwarder may be connected to a layer that it needs no more. The caller
// holds track.mu.
func (f *Forwarder) changing() bool {
	return f.connected != [2]*Layer{f.aimed}
}

// connect makes the forwarder a receiver of its source and its target, and of no other layer. The
// caller holds track.mu.
func (f *Forwarder) connect() {
	f.mu.Lock()
	source, _ := f.rewriter.Source()
	f.mu.Unlock()
	if source == f.aimed {
		source = nil
	}
	f.receive([2]*Layer{f.aimed, source})
}

// disconnect ends the forwarding. The caller holds track.mu.
func (f *Forwarder) disconnect() {
	f.receive([2]*Layer{})
}

func (f *Forwarder) receive(from [2]*Layer) {
	if from == f.connected {
		return
	}
	before := f.connected
	f.connected = from
	for _, layer := range from {
		if layer != nil && !slices.Contains(before[:], layer) {
			layer.receivers.add(f)
		}
	}
	for _, layer := range before {
		if layer != nil && !slices.Contains(from[:], layer) {
			layer.receivers.remove(f)
		}
	}
}

// rewrite returns those packets of a burst that go on: they belong to the layer that the forwarder
// forwards, or start with it. The result lies in the burst, until the next forwarder's.
func (f *Forwarder) rewrite(b *burst) []Outgoing {
	n := 0
	b.own = b.own[:0]
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range b.n {
		p := &b.packets[i]
		if !f.starts(b.layer, p, b.at) {
			continue
		}
		keep := !p.picture.Layered || f.selector.Keep(p.picture, p.Timestamp)
		if !keep && f.rewriter.Skip(p.SequenceNumber, numbersOf(p.picture)) {
			continue
		}
		sequence, timestamp, ok := f.rewriter.Map(b.layer, p.SequenceNumber, p.Timestamp, b.at)
		if !ok {
			continue
		}
		var payload []byte // of what is left out too late nothing: only its number would be asked for
		if keep {
			payload = f.renumbered(b, p)
		}
		f.packets++
		f.octets += uint32(len(payload))
		b.out[n] = Outgoing{
			Marker:      p.Marker,
			PayloadType: f.payload.Media,
			Sequence:    sequence,
			Timestamp:   timestamp,
			SSRC:        f.config.SSRC,
			NoWait:      b.noWait,
			Payload:     payload,
		}
		f.path.number(&b.out[n], f.config.TransportCC, f.track.kind, b.at)
		n++
	}
	return b.out[:n]
}

// starts reports whether a packet's layer is the one that is forwarded, when need be from this
// packet on. The caller holds f.mu.
func (f *Forwarder) starts(layer *Layer, p *packet, at time.Time) bool {
	if source, ok := f.rewriter.Source(); ok && source == layer {
		return true
	}
	if layer != f.target || !p.keyframe {
		return false
	}
	payload, ok := f.config.Codecs[layer.config.Codec.Name]
	if !ok {
		return false
	}
	f.payload = payload
	f.rewriter.Splice(layer, p.SequenceNumber, p.Timestamp, numbersOf(p.picture), at)
	f.selector.Start()
	return true
}

// renumbered returns a packet's payload as the subscriber gets it: its pictures are numbered
// without gaps. The caller holds f.mu.
func (f *Forwarder) renumbered(b *burst, p *packet) []byte {
	if !p.picture.Numbered {
		return p.Payload
	}
	in := numbersOf(p.picture)
	out := f.rewriter.Picture(in)
	if out == in {
		return p.Payload
	}
	start := len(b.own)
	b.own = append(b.own, p.Payload...)
	payload := b.own[start:]
	p.picture.Renumber(payload, out.Number, out.Base)
	return payload
}

// numbersOf are the numbers of a picture that have to go on without gaps.
func numbersOf(p temporal.Picture) rewrite.Picture {
	if !p.Numbered {
		return rewrite.Picture{}
	}
	return rewrite.Picture{Number: p.Number, Bits: p.Bits, Base: p.Base}
}

// renumber gives a payload of a layer, which is the caller's own, the numbers with which it was
// sent. The caller holds f.mu.
func (f *Forwarder) renumber(sequence uint16, layer *Layer, payload []byte) {
	if layer.picture == nil {
		return
	}
	if picture := layer.picture(payload); picture.Numbered {
		out := f.rewriter.PictureOf(sequence, numbersOf(picture))
		picture.Renumber(payload, out.Number, out.Base)
	}
}

// copyOfPacket is a packet on its way to being sent again.
type copyOfPacket struct {
	packet [1]Outgoing
	buffer []byte
}

var copies = sync.Pool{New: func() any { return &copyOfPacket{buffer: make([]byte, 0, 1500)} }}

// resend sends an outgoing packet again when it is still there and was not sent again just now. It
// returns how many copies it has sent.
func (f *Forwarder) resend(sequence uint16, now time.Time) int {
	times := f.mayResend(sequence, now)
	for i := range times {
		if f.copy(sequence, now, repairs) == 0 {
			return i
		}
	}
	return times
}

// copy sends an outgoing packet again, on the stream for retransmissions. It returns how many bytes
// that took; 0 when the packet is not there any more, or could not be sent. What it is counted as
// is probes or repairs.
func (f *Forwarder) copy(sequence uint16, now time.Time, as Kind) int {
	c := copies.Get().(*copyOfPacket)
	defer copies.Put(c)
	out := &c.packet[0]
	layer, in, ok := f.prepareCopy(out, sequence)
	if !ok {
		return 0
	}
	c.buffer = append(c.buffer[:0], byte(sequence>>8), byte(sequence)) // the original sequence number, RFC 4588, section 4
	start := len(c.buffer)
	original, cached := layer.cached(in, c.buffer)
	f.mu.Lock()
	if shown, ok := f.showing.packet(sequence, in); ok {
		original = shown
		c.buffer = append(c.buffer, shown.Payload...)
		f.renumber(sequence, layer, c.buffer[start:])
	} else if cached {
		c.buffer = original.Payload
		f.renumber(sequence, layer, c.buffer[start:])
	} else if newest, _ := f.rewriter.Newest(); as == probes && f.keepsake != nil && sequence == newest {
		original = *f.keepsake
		c.buffer = append(c.buffer, original.Payload...)
	} else {
		f.mu.Unlock()
		return 0
	}
	out.Payload = c.buffer
	out.Marker = original.Marker
	out.Timestamp += original.Timestamp
	out.Sequence = f.rtxSequence
	f.rtxSequence++
	f.path.number(out, f.config.TransportCC, as, now)
	f.mu.Unlock()
	if f.config.Writer.WriteRTP(c.packet[:]) == 0 {
		return 0
	}
	return len(c.buffer) + rtpOverhead
}

// probe sends copies of the newest packets, of at least so many bytes when there are any. It
// returns how many it has sent. Receivers drop what they have; only by RTX they are sure to.
func (f *Forwarder) probe(bytes int, now time.Time) (all int) {
	if f.config.RTXSSRC == 0 {
		return 0
	}
	f.mu.Lock()
	newest, ok := f.rewriter.Newest()
	f.mu.Unlock()
	if !ok {
		return 0
	}
	for round := 0; round < probeRounds && bytes > all; round++ {
		sent := 0
		for i := uint16(0); i < probePackets && bytes > all+sent; i++ {
			sent += f.copy(newest-i, now, probes)
		}
		if sent == 0 {
			break
		}
		all += sent
	}
	return all
}

// mayResend applies the limits. It returns how many copies to send.
func (f *Forwarder) mayResend(sequence uint16, now time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.config.RTXSSRC == 0 {
		return 0
	}
	times, limited, again := f.path.repair()
	if limited {
		layer, _, _, known := f.rewriter.Origin(sequence)
		if source, _ := f.rewriter.Source(); !known || layer != source { // what came before another layer's keyframe is of no use now
			return 0
		}
	}
	if times == 0 {
		return 0
	}
	if f.resent == nil {
		f.resent = make([]resend, resendMemory)
	}
	last := &f.resent[sequence%resendMemory]
	if last.sequence == sequence && !last.at.IsZero() && now.Sub(last.at) < resendInterval+again {
		return 0
	}
	if now.Sub(f.windowStart) >= resendWindow {
		f.windowStart, f.windowCount = now, 0
	}
	if f.windowCount >= resendBurst {
		return 0
	}
	f.windowCount++
	*last = resend{at: now, sequence: sequence}
	return times
}

// prepareCopy finds where an outgoing packet came from, and starts its copy: it has no number yet,
// and the timestamp is still what is to be added to the original one.
func (f *Forwarder) prepareCopy(out *Outgoing, sequence uint16) (*Layer, uint16, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	layer, in, timestampDelta, ok := f.rewriter.Origin(sequence)
	if !ok {
		return nil, 0, false
	}
	*out = Outgoing{PayloadType: f.payload.RTX, Timestamp: timestampDelta, SSRC: f.config.RTXSSRC, NoWait: true}
	return layer, in, true
}

// requestKeyframe asks for a keyframe of what the forwarder forwards and, when it is to change
// over, of what it waits for.
func (f *Forwarder) requestKeyframe(now time.Time) {
	f.mu.Lock()
	target := f.target
	source, _ := f.rewriter.Source()
	f.showing.askedAt = now
	f.mu.Unlock()
	if target != nil {
		target.RequestKeyframe(now)
	}
	if source != nil && source != target {
		source.RequestKeyframe(now)
	}
}

// senderReport returns nil while there is nothing to report: before the first packet, and before
// the publisher's own first report, which alone relates its streams to each other.
func (f *Forwarder) senderReport(now time.Time) *rtcp.SenderReport {
	f.mu.Lock()
	source, ok := f.rewriter.Source()
	packets, octets := f.packets, f.octets
	f.mu.Unlock()
	if !ok {
		return nil
	}
	ntp, timestamp, ok := source.clockAt(now)
	if !ok {
		return nil
	}
	f.mu.Lock()
	timestamp, ok = f.rewriter.Timestamp(source, timestamp)
	f.mu.Unlock()
	if !ok {
		return nil
	}
	return &rtcp.SenderReport{
		SSRC: f.config.SSRC, NTPTime: ntp, RTPTime: timestamp, PacketCount: packets, OctetCount: octets,
	}
}
