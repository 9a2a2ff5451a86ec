package sfu

import (
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/rtp/report"
)

// roundTripMemory is how long a measured round trip counts.
const roundTripMemory = 10 * time.Second

// Reception is how well the media of a publisher arrives.
type Reception struct {
	// Lost is the share of packets that did not arrive, repaired ones not counted, from 0 to 1: of
	// audio, and of the video layers that somebody receives; when nobody receives any, nothing is
	// repaired, and all of them count.
	Lost float64
	// Jitter is the greatest of the audio and of these layers.
	Jitter time.Duration
	// RoundTrip is 0 when it is not known.
	RoundTrip time.Duration
	// VideoKbps is that of all Layers of the video.
	VideoKbps, Layers int
}

// observation is what one layer adds to a reception.
type observation struct {
	used           bool
	expected, lost int64
	jitter         time.Duration
	kbps           int
}

// observe returns what has come since it was last called.
func (l *Layer) observe(now time.Time) observation {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := observation{used: l.used, jitter: l.receiver.Jitter(), kbps: l.meters.observe(now)}
	o.expected, o.lost = l.receiver.Loss()
	return o
}

// Reception returns what was observed since it was last called; false when nothing came.
func (p *Publisher) Reception(now time.Time) (Reception, bool) {
	var r Reception
	var expected, lost int64
	came := false
	for kind := range kinds {
		observations := p.tracks[kind].observe(now)
		anyUsed := false
		for _, o := range observations {
			anyUsed = anyUsed || o.used
		}
		for _, o := range observations {
			if kind == Video {
				r.VideoKbps += o.kbps
				r.Layers++
			}
			if o.expected == 0 {
				continue
			}
			came = true
			if o.used || !anyUsed {
				expected += o.expected
				lost += o.lost
				r.Jitter = max(r.Jitter, o.jitter)
			}
		}
	}
	if expected > 0 {
		r.Lost = float64(lost) / float64(expected)
	}
	r.RoundTrip = p.trip.get(now)
	return r, came
}

// Paused returns how many subscribers get no video now, since their paths carry next to none.
func (p *Publisher) Paused() (n int) {
	t := p.Track(Video)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.forwarders {
		if f.paused == layers.PathPause {
			n++
		}
	}
	return n
}

// Speaking reports whether somebody is heard in the stream, as far as the sender tells.
func (p *Publisher) Speaking(now time.Time) bool {
	t := &p.tracks[Audio]
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.feed != nil && slices.ContainsFunc(t.feed.layers, func(l *Layer) bool { return l.speaking(now) })
}

func (l *Layer) speaking(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sound.Speaking(now)
}

func (t *Track) observe(now time.Time) []observation {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.feed == nil {
		return nil
	}
	var all []observation
	for _, l := range t.feed.layers {
		all = append(all, l.observe(now))
	}
	return all
}

// HandleRTCP takes the RTCP of a publishing connection that is about the connection as a whole.
func (p *Publisher) HandleRTCP(packets []rtcp.Packet, now time.Time) {
	for _, packet := range packets {
		xr, ok := packet.(*rtcp.ExtendedReport)
		if !ok {
			continue
		}
		for _, block := range xr.Reports {
			dlrr, ok := block.(*rtcp.DLRRReportBlock)
			if !ok {
				continue
			}
			for _, answer := range dlrr.Reports {
				if answer.SSRC == p.ssrc {
					p.trip.answered(answer, now)
				}
			}
		}
	}
}

// referenceTime asks a publishing connection to tell how long ago it got this (RFC 3611, section
// 4.4): a receiver learns the round trip in no other way.
func referenceTime(sender uint32, now time.Time) rtcp.Packet {
	return &rtcp.ExtendedReport{
		SenderSSRC: sender,
		Reports:    []rtcp.ReportBlock{&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: report.NTP(now)}},
	}
}

// trip is the last round trip that was measured.
type trip struct {
	mu   sync.Mutex // guards the fields below
	took time.Duration
	at   time.Time
}

func (t *trip) answered(answer rtcp.DLRRReport, now time.Time) {
	if took, ok := report.RoundTrip(answer.LastRR, answer.DLRR, now); ok {
		t.mu.Lock()
		t.took, t.at = max(took, time.Microsecond), now
		t.mu.Unlock()
	}
}

// get returns the last round trip; 0 when that was too long ago.
func (t *trip) get(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.at) > roundTripMemory {
		return 0
	}
	return t.took
}
