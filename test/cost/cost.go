// Package cost is the authority on how tests tell whether work is bounded by the size of what it is
// for: they compare it with a plain copy of as many bytes, by the processor time of one thread, so
// that a busy machine counts little.
package cost

import (
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Most is the most that reading some bytes may cost, as a multiple of copying them one by one,
// added up. Copying 64 KiB takes some 10 us, so that this allows less than 5 ms for reading them. A
// parser that makes an object of every few bytes takes a quarter of it; what grows faster than the
// bytes do costs thousands.
const Most = 400

const (
	unit  = 64 << 10 // bytes that are compared
	tries = 5        // of which the least counts: whatever disturbs makes them longer only
)

// Ratio returns how many times as long it takes to read 64 KiB as it takes to copy them. One call
// of read reads so many bytes.
func Ratio(bytes int, read func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from, to := make([]byte, unit), make([]byte, unit)
	least := func(n int, work func()) time.Duration {
		best := time.Duration(math.MaxInt64)
		for range tries {
			began := spent()
			for range n {
				work()
			}
			best = min(best, spent()-began)
		}
		return best
	}
	copying := least(16, func() {
		sum := byte(0)
		for i, b := range from {
			sum += b
			to[i] = sum
		}
	}) / 16
	read() // what is made once
	began := spent()
	read()
	once := spent() - began
	n := max(unit/max(bytes, 1), 1)
	if once*time.Duration(n) > 100*Most*copying { // far too slow, and not worth waiting for
		return float64(once) * float64(n) / float64(copying)
	}
	return float64(least(n, read)) / float64(copying) * unit / float64(n*max(bytes, 1))
}

// spent is the processor time of this thread.
func spent() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
