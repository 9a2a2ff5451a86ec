// Package report is the single authority on the figures in RTCP sender and receiver reports (RFC
// 3550, section 6.4). Times are arguments: it has no clock.
package report

import (
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/seqnum"
)

// Receiver keeps the figures of one incoming stream. It is not safe for concurrent use.
type Receiver struct {
	clockRate uint32
	sequence  seqnum.Unwrapper
	first     int64
	received  int64
	started   bool

	expectedPrior, receivedPrior int64 // of Report
	expectedShown, receivedShown int64 // of Loss

	newest  uint32  // the newest timestamp
	jitter  float64 // in timestamp units
	transit int64   // of the last packet, in timestamp units

	lastSR   uint32 // the middle 32 bits of its NTP time
	lastSRAt time.Time
}

// NewReceiver starts the figures of a stream with the given clock rate in Hz.
func NewReceiver(clockRate uint32) *Receiver {
	return &Receiver{clockRate: clockRate}
}

// Received counts a packet that was not seen before.
func (r *Receiver) Received(sequence uint16, timestamp uint32, at time.Time) {
	highest := r.sequence.Highest()
	n := r.sequence.Unwrap(sequence)
	r.received++
	arrival := at.UnixMicro() * int64(r.clockRate) / 1_000_000
	transit := int64(uint32(arrival) - timestamp)
	if !r.started {
		r.started = true
		r.first = n
		r.newest = timestamp
		r.transit = transit
		return
	}
	r.first = min(r.first, n)
	if n <= highest {
		return // late packets say more about their repair than about the path
	}
	if timestamp == r.newest {
		return // the rest of a frame takes as long as its sender likes to take
	}
	r.newest = timestamp
	d := int64(int32(uint32(transit) - uint32(r.transit)))
	r.transit = transit
	r.jitter += (float64(max(d, -d)) - r.jitter) / 16 // RFC 3550, appendix A.8
}

// SenderReport notes a sender report of the stream.
func (r *Receiver) SenderReport(ntp uint64, at time.Time) {
	r.lastSR = uint32(ntp >> 16)
	r.lastSRAt = at
}

// Report returns the reception report of the stream and starts the next interval; false before the
// first packet.
func (r *Receiver) Report(ssrc uint32, now time.Time) (rtcp.ReceptionReport, bool) {
	if !r.started {
		return rtcp.ReceptionReport{}, false
	}
	expected := r.sequence.Highest() - r.first + 1
	lost := expected - r.received
	expectedInterval := expected - r.expectedPrior
	lostInterval := expectedInterval - (r.received - r.receivedPrior)
	r.expectedPrior, r.receivedPrior = expected, r.received
	report := rtcp.ReceptionReport{
		SSRC: ssrc,
		// The unwrapper starts one cycle up, RFC 3550 at cycle 0.
		LastSequenceNumber: uint32(r.sequence.Highest() - 1<<16),
		TotalLost:          uint32(min(max(lost, 0), 1<<23-1)),
		Jitter:             uint32(r.jitter),
		LastSenderReport:   r.lastSR,
	}
	if expectedInterval > 0 && lostInterval > 0 {
		report.FractionLost = uint8(min(lostInterval*256/expectedInterval, 255))
	}
	if !r.lastSRAt.IsZero() {
		report.Delay = uint32(now.Sub(r.lastSRAt).Seconds() * 65536)
	}
	return report, true
}

// Jitter returns the interarrival jitter of what begins a new timestamp (RFC 3550, section 6.4.1).
func (r *Receiver) Jitter() time.Duration {
	return time.Duration(r.jitter * float64(time.Second) / float64(r.clockRate))
}

// Loss returns how many packets were to arrive since it was last called, and how many of them have
// not. Both are 0 when nothing came.
func (r *Receiver) Loss() (expected, lost int64) {
	if !r.started {
		return 0, 0
	}
	all := r.sequence.Highest() - r.first + 1
	expected = all - r.expectedShown
	lost = expected - (r.received - r.receivedShown)
	r.expectedShown, r.receivedShown = all, r.received
	return max(expected, 0), max(min(lost, expected), 0)
}

// NTP returns a moment as NTP time (RFC 5905, section 6): seconds since 1900, with 32 bits of
// fraction.
func NTP(t time.Time) uint64 {
	const since1900 = 2_208_988_800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// RoundTrip returns how long an answer to a report that was sent took beside the delay of the peer,
// both as they are in DLRR blocks: the middle 32 bits of the NTP time of the report, and 1/65536 s
// (RFC 3611, section 4.5). It returns false for an answer to no report.
func RoundTrip(sent, delay uint32, now time.Time) (time.Duration, bool) {
	if sent == 0 {
		return 0, false
	}
	took := uint32(NTP(now)>>16) - sent - delay
	if int32(took) < 0 { // clocks tick differently
		took = 0
	}
	const longest = 60 << 16
	return time.Duration(took) * time.Second >> 16, took <= longest
}

// Clock maps the time of a sender to the timestamps of one of its streams, as its last sender
// report says. Its zero value knows nothing yet. It is not safe for concurrent use.
type Clock struct {
	ntp       uint64
	timestamp uint32
	at        time.Time
}

// SenderReport notes that the sender paired this NTP time and this timestamp.
func (c *Clock) SenderReport(ntp uint64, timestamp uint32, at time.Time) {
	c.ntp, c.timestamp, c.at = ntp, timestamp, at
}

// At returns the pair for the moment now, in the sender's own NTP time, so that all streams of a
// sender stay in step whatever its clock says; false before the first sender report. clockRate is
// in Hz.
func (c *Clock) At(now time.Time, clockRate uint32) (ntp uint64, timestamp uint32, ok bool) {
	if c.at.IsZero() {
		return 0, 0, false
	}
	passed := max(now.Sub(c.at), 0)
	ntp = c.ntp + uint64(passed/time.Second)<<32 + uint64(passed%time.Second)<<32/uint64(time.Second)
	ticks := uint64(passed/time.Microsecond) * uint64(clockRate) / 1_000_000
	return ntp, c.timestamp + uint32(ticks), true
}
