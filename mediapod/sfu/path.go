package sfu

import (
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/bandwidth"
	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/rtp/rate"
)

const (
	// maxToldKbps bounds what a receiver can say that its path carries.
	maxToldKbps = 1_000_000
	// maxProbeTime bounds for how much time a tick that is late makes up.
	maxProbeTime = 3 * TickInterval
)

// What is sent beside the kinds.
const (
	probes = kinds + iota
	repairs
)

const (
	// repairShare is the share of what a path carries that may be used to send lost packets again, in percent: more would
	// only prolong what lost them. It can be saved up for repairTime.
	repairShare = 30
	repairTime  = 500 * time.Millisecond
)

// path is the way to one subscriber: what is sent on it, and what it carries. Audio comes first: video gets what audio leaves.
type path struct {
	mu        sync.Mutex           // guards the fields below, and those of the subscriber's forwarders; never held across a write
	estimator *bandwidth.Estimator // nil until something is said about the path
	numbered  bool                 // packets have transport-wide numbers: what is said by REMB does not count
	bytes     [kinds + 2]int       // sent since the last tick, by kind, and as copies
	credit    int                  // bytes that may be sent again, while the path has a known limit
	sent      rate.Meter           // all but probes, up to the last tick
	audio     rate.Meter
	wanted    int // kbps that the path would have to carry for a better layer, 0 for none
	tickedAt  time.Time
}

// number gives a packet its transport-wide sequence number when the extension with the given number, not 0, is negotiated, and counts it.
// The kind may also be probes or repairs. The caller holds p.mu.
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
		p.estimator = new(bandwidth.Estimator)
	}
	packet.TransportCC = extension
	packet.Transport = p.estimator.Sent(bytes, at)
}

// feedback takes a transport-wide report of the receiver.
func (p *path) feedback(report *rtcp.TransportLayerCC, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.numbered {
		p.estimator.Feedback(report, now)
	}
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

// repair reports whether the path has a known limit and, when it has, for how much longer than else a packet is not sent once more, and whether
// there is room to send one again. The caller holds p.mu.
func (p *path) repair() (limited bool, again time.Duration, ok bool) {
	if p.estimator == nil || p.estimator.Kbps() == 0 {
		return false, 0, true
	}
	return true, p.estimator.Queue(), p.credit > 0
}

// video returns what the path carries of video.
func (p *path) video(now time.Time) layers.Path {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.estimator == nil || p.estimator.Kbps() == 0 {
		return layers.Path{}
	}
	return layers.Path{Kbps: max(p.estimator.Kbps()-p.audio.Kbps(now), 1), Congested: p.estimator.Congested()}
}

// want notes which bitrate of video a better layer would take; 0 when there is none.
func (p *path) want(kbps int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kbps > 0 {
		kbps += p.audio.Kbps(now)
	}
	p.wanted = kbps
}

// tick measures what is sent, and returns how many bytes are to be sent now beside all else, to find out whether the path carries what is wanted.
func (p *path) tick(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.audio.Add(p.bytes[Audio], now)
	p.sent.Add(p.bytes[Audio]+p.bytes[Video]+p.bytes[repairs], now)
	p.bytes = [kinds + 2]int{}
	passed := min(now.Sub(p.tickedAt), maxProbeTime)
	p.tickedAt = now
	if p.estimator == nil {
		return 0
	}
	share := p.estimator.Kbps() * repairShare / 100 / 8 // bytes per millisecond
	most := share * int(repairTime/time.Millisecond)
	p.credit = min(max(p.credit, -most)+share*int(passed/time.Millisecond), most)
	sending := p.sent.Kbps(now)
	target := p.estimator.Probe(p.wanted, sending, now)
	if target <= sending {
		return 0
	}
	return (target - sending) * int(passed/time.Millisecond) / 8
}
