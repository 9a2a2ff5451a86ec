package loadtest

import (
	"fmt"
	"time"
)

// Limits are what a run must keep to. Those that are negative are not checked.
type Limits struct {
	// MinJoinSuccess is the least share of joins that succeed, MaxLoss the greatest of packets that
	// never come; both from 0 to 1.
	MinJoinSuccess, MaxLoss float64
	// MaxJoinP50 and MaxJoinP99 bound the time of joins.
	MaxJoinP50, MaxJoinP99 time.Duration
	// MaxDelayP50, MaxDelayP99 and MaxDelayP999 bound the one-way delay of video, or of audio when
	// there is no video.
	MaxDelayP50, MaxDelayP99, MaxDelayP999 time.Duration
	// MaxGap bounds the longest gap between two frames that can be decoded.
	MaxGap time.Duration
	// MaxFreezes bounds how many freezes there are.
	MaxFreezes float64
	// MinMbps is the least bitrate of all that is received together.
	MinMbps float64
}

// NoLimits checks nothing.
func NoLimits() Limits {
	return Limits{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
}

// Check tells which limits a report does not keep to. Impaired subscribers are not looked at.
func (l Limits) Check(r *Report) []string {
	var missed []string
	atMost := func(what string, got, limit float64, unit string) {
		if limit >= 0 && got > limit {
			missed = append(missed, fmt.Sprintf("%s is %.4g%s, at most %.4g%s is wanted", what, got, unit, limit, unit))
		}
	}
	atLeast := func(what string, got, limit float64, unit string) {
		if limit >= 0 && got < limit {
			missed = append(missed, fmt.Sprintf("%s is %.4g%s, at least %.4g%s is wanted", what, got, unit, limit, unit))
		}
	}
	media := r.Video
	if media == nil {
		media = r.Audio
	}
	if media == nil {
		media = &StreamsReport{}
	}
	both := media.Mbps
	if r.Video != nil && r.Audio != nil {
		both += r.Audio.Mbps
	}
	atLeast("join success", r.Joins.Success, l.MinJoinSuccess, "")
	atMost("join p50", r.Joins.Milliseconds.P50, limitMS(l.MaxJoinP50), " ms")
	atMost("join p99", r.Joins.Milliseconds.P99, limitMS(l.MaxJoinP99), " ms")
	atMost("loss", media.Lost, l.MaxLoss, "")
	if (l.MaxDelayP50 >= 0 || l.MaxDelayP99 >= 0 || l.MaxDelayP999 >= 0) && media.Packets == 0 {
		missed = append(missed, "nothing was received, so that there is no delay")
	}
	atMost("delay p50", media.DelayMilliseconds.P50, limitMS(l.MaxDelayP50), " ms")
	atMost("delay p99", media.DelayMilliseconds.P99, limitMS(l.MaxDelayP99), " ms")
	atMost("delay p99.9", media.DelayMilliseconds.P999, limitMS(l.MaxDelayP999), " ms")
	atMost("the longest gap between frames", media.LongestGapMillis, limitMS(l.MaxGap), " ms")
	atMost("the number of freezes", float64(media.Freezes), l.MaxFreezes, "")
	atLeast("the bitrate", both, l.MinMbps, " Mbps")
	return missed
}

// limitMS is a limit in milliseconds, negative for none.
func limitMS(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return milliseconds(d)
}
