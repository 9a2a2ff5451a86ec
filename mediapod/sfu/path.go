package sfu

import (
	"sync"
	"sync/atomic"
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/bandwidth"
	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/rtp/rate"
)

const (
	// maxToldKbps bounds what a receiver can say that its path carries.
	maxToldKbps = 1_000_000
	// maxProbeTime bounds for how much time a tick that is late makes up.
	maxProbeTime = 3 * TickInterval
	// restInterval is how often a path is looked at that needs no probes: most are at rest most of
	// the time.
	restInterval = 100 * time.Millisecond
	// maxOwed is more than a packet, in bytes.
	maxOwed = 3000
)

// What is sent beside the kinds.
const (
	probes = kinds + iota
	repairs
)

const (
	// repairShare is the share of what a path carries that may be used to send lost packets again,
	// in percent: more would only prolong what lost them. It can be saved up for repairTime.
	repairShare = 30
	repairTime  = 500 * time.Millisecond
	// From these shares of lost packets on, a repair is sent twice or thrice: it gets lost as
	// easily, and only after two round trips more would the receiver have the next one.
	lossForTwo   = 0.01
	lossForThree = 0.03
)

// path is the way to one subscriber: what is sent on it, and what it carries. Audio comes first:
// video gets what audio leaves.
type path struct {
	busy atomic.Bool // it may need probes

	mu        sync.Mutex           // guards the fields below, and those of the subscriber's forwarders; never held across a write
	estimator *bandwidth.Estimator // nil until something is said about the path
	first     uint16               // transport-wide number of the first packet
	numbered  bool                 // packets have transport-wide numbers: what is said by REMB does not count
	bytes     [kinds + 2]int       // sent since the last tick, by kind, and as copies
	credit    int                  // bytes that may be sent again, while the path has a known limit
	sent      rate.Meter           // all but probes, up to the last tick
	audio     rate.Meter
	wanted    int // kbps that the path would have to carry for a better layer, 0 for none
	owed      int // bytes of probes that are still to be sent; less than 0 when too many were, since packets are only sent whole
	tickedAt  time.Time
}

// number gives a packet its transport-wide sequence number when the extension with the given
// number, not 0, is negotiated, and counts it. The kind may also be probes or repairs. The caller
// holds p.mu.
func (p *path) number(packet *Outgoing, extension uint8, kind Kind, at time.Time) {
	bytes := len(packet.Payload) + rtpOverhead
	p.bytes[kind] += bytes
	if kind == repairs {
		p.credit -= bytes
	}
	if extension == 0 {
		return
	}
	if !p.numbered {
		p.numbered = true
		p.estimator = bandwidth.Resume(p.first)
	}
	packet.TransportCC = extension
	packet.Transport = p.estimator.Sent(bytes, at)
}

// feedback takes a transport-wide report of the receiver, as it came. It reports whether that has
// shown congestion.
func (p *path) feedback(raw []byte, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.numbered {
		return false
	}
	before := p.estimator.Kbps()
	p.estimator.Feedback(raw, now)
	return p.estimator.Congested() && p.estimator.Kbps() != before
}

// told takes what the receiver says that the path carries.
func (p *path) told(kbps int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.numbered {
		return
	}
	if p.estimator == nil {
		p.estimator = new(bandwidth.Estimator)
	}
	p.estimator.Told(kbps, p.sent.Kbps(now), now)
}

// repair returns how often a packet that was lost is to be sent now, 0 when there is no room for
// it, and whether the path has a known limit and, when it has, for how much longer than else a
// packet is not sent once more. The caller holds p.mu.
func (p *path) repair() (copies int, limited bool, again time.Duration) {
	if p.estimator == nil {
		return 1, false, 0
	}
	copies = 1
	if !p.estimator.Congested() {
		switch loss := p.estimator.Loss(); {
		case loss >= lossForThree:
			copies = 3
		case loss >= lossForTwo:
			copies = 2
		}
	}
	if p.estimator.Kbps() == 0 {
		return copies, false, 0
	}
	if p.credit <= 0 {
		copies = 0
	}
	return copies, true, p.estimator.Queue()
}

// loss returns the share of packets that is lost of late.
func (p *path) loss() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.estimator == nil {
		return 0
	}
	return p.estimator.Loss()
}

// video returns what the path carries of video.
func (p *path) video(now time.Time) layers.Path {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.estimator == nil || p.estimator.Kbps() == 0 {
		return layers.Path{}
	}
	return layers.Path{
		Kbps:      max(p.estimator.Kbps()-p.audio.Kbps(now), 1),
		Congested: p.estimator.Congested(),
		Clogged:   p.estimator.Clogged(),
	}
}

// want notes which bitrate of video a better layer would take; 0 when there is none.
func (p *path) want(kbps int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kbps > 0 {
		kbps += p.audio.Kbps(now)
	}
	p.wanted = kbps
	p.busy.Store(kbps > 0)
}

// tick measures what is sent, and returns how many bytes are to be sent now beside all else, to
// find out whether the path carries what is wanted.
func (p *path) tick(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.audio.Add(p.bytes[Audio], now)
	p.sent.Add(p.bytes[Audio]+p.bytes[Video]+p.bytes[repairs], now)
	p.bytes = [kinds + 2]int{}
	passed := now.Sub(p.tickedAt)
	p.tickedAt = now
	if p.estimator == nil {
		return 0
	}
	share := p.estimator.Kbps() * repairShare / 100 / 8 // bytes per millisecond
	most := share * int(repairTime/time.Millisecond)
	p.credit = min(max(p.credit, -most)+share*int(min(passed, repairTime)/time.Millisecond), most)
	sending := p.sent.Kbps(now)
	target := p.estimator.Probe(p.wanted, sending, now)
	if target <= sending {
		p.owed = 0
		return 0
	}
	p.owed += (target - sending) * int(min(passed, maxProbeTime)/time.Millisecond) / 8
	return p.owed
}

// probed notes how much was sent of what tick has returned.
func (p *path) probed(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed = max(p.owed-bytes, -maxOwed)
}
