package roomclient

import (
	"math/bits"
	"time"
)

// Histogram counts durations with a relative precision of a sixteenth, from a microsecond to a
// minute. The zero value is empty. It is for one goroutine.
type Histogram struct {
	counts [buckets]uint32
	total  uint64
	most   time.Duration
}

const (
	subBuckets = 16
	// buckets reach 2^26 us, which is more than a minute.
	buckets = subBuckets * 24
)

// bucket is where a number of microseconds is counted: in one of its own below 32, and above in one
// of 16 for each power of two.
func bucket(microseconds uint64) int {
	if microseconds < 2*subBuckets {
		return int(microseconds)
	}
	power := bits.Len64(microseconds) - 5 // the number of bits below the leading five
	return min(power*subBuckets+int(microseconds>>power), buckets-1)
}

// upper is the least number of microseconds that is in none of the buckets up to i.
func upper(i int) uint64 {
	if i < 2*subBuckets {
		return uint64(i) + 1
	}
	power := i/subBuckets - 1
	return uint64(i%subBuckets+subBuckets+1) << power
}

// Add counts a duration. What is negative counts as zero.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)/time.Microsecond))]++
	h.total++
	h.most = max(h.most, d)
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.most = max(h.most, other.most)
}

// Since returns what was counted since an earlier state of the same histogram.
func (h *Histogram) Since(earlier *Histogram) *Histogram {
	d := *h
	highest := -1
	for i, n := range earlier.counts {
		if d.counts[i] -= n; d.counts[i] > 0 {
			highest = i
		}
	}
	d.total -= earlier.total
	d.most = 0
	if highest >= 0 {
		d.most = min(time.Duration(upper(highest))*time.Microsecond, h.most)
	}
	return &d
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest that was counted.
func (h *Histogram) Max() time.Duration { return h.most }

// Quantile is a duration that the share q, from 0 to 1, of those counted does not exceed; 0 when
// there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return min(time.Duration(upper(i))*time.Microsecond, h.most)
		}
	}
	return h.most
}
