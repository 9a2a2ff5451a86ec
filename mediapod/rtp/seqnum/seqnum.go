// Package seqnum is the single authority on the order of 16-bit RTP sequence numbers, which wrap
// (RFC 3550, section 5.1).
package seqnum

// Diff returns the signed distance from b to a, between -32768 and 32767: positive when a is newer
// than b.
func Diff(a, b uint16) int {
	return int(int16(a - b))
}

// Newer reports whether a comes after b.
func Newer(a, b uint16) bool {
	return Diff(a, b) > 0
}

// Unwrapper turns sequence numbers into numbers that do not wrap, so that they can be compared with
// < and subtracted. Its zero value is ready. It is not safe for concurrent use.
type Unwrapper struct {
	highest int64
	started bool
}

// Unwrap returns the number of seq that is nearest to the highest one so far. The first call
// returns seq plus 65536, so that what came just before it is not negative.
func (u *Unwrapper) Unwrap(seq uint16) int64 {
	if !u.started {
		u.started = true
		u.highest = int64(seq) + 1<<16
		return u.highest
	}
	n := u.highest + int64(Diff(seq, uint16(u.highest)))
	if n > u.highest {
		u.highest = n
	}
	return n
}

// Highest returns the highest number so far, 0 before the first.
func (u *Unwrapper) Highest() int64 {
	return u.highest
}
