package roomclient

import "time"

// reports makes receiver reports (RFC 3550, section 6.4.1 and appendix A.8). It is not safe for
// concurrent use.
type reports struct {
	clockRate int64
	jitter    float64 // in nanoseconds
	transit   time.Duration
	// What the last report was made of.
	expected, came int64
}

// report is what a receiver report says.
type report struct {
	highest  uint32
	fraction uint8
	lost     uint32
	jitter   uint32
}

// observe measures the jitter.
func (r *reports) observe(timestamp uint32, at time.Time) {
	transit := time.Duration(at.UnixNano()) - time.Duration(int64(timestamp)*int64(time.Second)/r.clockRate)
	if r.transit != 0 {
		// A timestamp that wraps, or a new source, is not jitter.
		if d := max(transit-r.transit, r.transit-transit); d < time.Second {
			r.jitter += (float64(d) - r.jitter) / 16
		}
	}
	r.transit = transit
}

// next returns the next report, when packets up to the highest were expected, so many, and so many
// of them came without a repair.
func (r *reports) next(highest, expected, came int64) report {
	interval := expected - r.expected
	lost := interval - (came - r.came)
	r.expected, r.came = expected, came
	next := report{
		highest: uint32(highest - 1<<16), lost: uint32(max(expected-came, 0)) & 0xff_ffff,
		jitter: uint32(r.jitter * float64(r.clockRate) / float64(time.Second)),
	}
	if interval > 0 && lost > 0 {
		next.fraction = uint8(min(lost*256/interval, 255))
	}
	return next
}
