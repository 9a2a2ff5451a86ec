package rewrite

import "mediarooms.dev/mediarooms/mediapod/rtp/seqnum"

const (
	// maxSkips is how many skipped ranges a line remembers: some seconds of pictures that are left
	// out.
	maxSkips = 48
	// forgetSkips is how many are forgotten at once.
	forgetSkips = 16
)

// line maps the wrapping numbers of one source onto outgoing numbers that do not wrap. Numbers that
// are skipped get none; the ones after them close up.
//
//	in          100 101 102 103 104
//	skipped              x   x
//	outgoing     40  41         42
type line struct {
	shift    uint8 // 16 less the width of the numbers in bits
	in       seqnum.Unwrapper
	firstIn  int64
	firstOut int64
	skips    []skip // ascending; nil until the first
	floor    int64  // up to here it is not known what was skipped; 0 when all is known
}

// skip is a range of numbers without outgoing ones.
type skip struct {
	from, to int64 // both included
	total    int64 // how many were skipped so far, with this range
}

func newLine(bits uint8, in uint16, out int64) line {
	l := line{shift: 16 - bits, firstOut: out}
	l.firstIn = l.unwrap(in)
	return l
}

func (l *line) unwrap(in uint16) int64 {
	return l.in.Unwrap(in<<l.shift) >> l.shift
}

func (l *line) highest() int64 {
	return l.in.Highest() >> l.shift
}

// mapped returns the outgoing number; false for one from before the line's first, for one that was
// skipped, and for one that came too late.
func (l *line) mapped(in uint16) (int64, bool) {
	n := l.unwrap(in)
	if n < l.firstIn {
		return 0, false
	}
	out := l.firstOut + n - l.firstIn
	for i := len(l.skips) - 1; i >= 0; i-- {
		s := &l.skips[i]
		if n > s.to {
			return out - s.total, true
		}
		if n >= s.from {
			return 0, false
		}
	}
	if len(l.skips) == 0 {
		return out, true
	}
	return out - l.before(), n > l.floor
}

// before is how many were skipped before the first range that is remembered.
func (l *line) before() int64 {
	s := &l.skips[0]
	return s.total - (s.to - s.from + 1)
}

// skip leaves a number out. It returns false when it cannot: numbers after it were mapped already.
func (l *line) skip(in uint16) bool {
	highest := l.highest()
	n := l.unwrap(in)
	if n <= highest {
		last := len(l.skips) - 1
		return last >= 0 && n >= l.skips[last].from && n <= l.skips[last].to
	}
	total := int64(1)
	if last := len(l.skips) - 1; last >= 0 {
		if l.skips[last].to == n-1 {
			l.skips[last].to = n
			l.skips[last].total++
			return true
		}
		total += l.skips[last].total
	}
	if l.skips == nil {
		l.skips = make([]skip, 0, maxSkips)
	}
	if len(l.skips) == maxSkips {
		l.floor = l.skips[forgetSkips-1].to
		l.skips = l.skips[:copy(l.skips, l.skips[forgetSkips:])]
	}
	l.skips = append(l.skips, skip{from: n, to: n, total: total})
	return true
}

// origin returns which number was mapped onto an outgoing one; false when that is not known any
// more.
func (l *line) origin(out int64) (uint16, bool) {
	n := l.firstIn + out - l.firstOut
	if n < l.firstIn {
		return 0, false
	}
	for i := len(l.skips) - 1; i >= 0; i-- {
		if at := n + l.skips[i].total; at > l.skips[i].to {
			return uint16(at), true
		}
	}
	if len(l.skips) > 0 {
		n += l.before()
	}
	return uint16(n), n > l.floor || l.floor == 0
}
