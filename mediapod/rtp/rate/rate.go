// Package rate is the single authority on how bitrates are measured: over the last second. Times
// are arguments: it has no clock.
package rate

import "time"

const (
	// Window is how far back a meter looks.
	Window  = time.Second
	buckets = 10
	bucket  = Window / buckets
)

// Meter measures one stream of bytes. Its zero value is ready. It is not safe for concurrent use.
type Meter struct {
	bytes   [buckets]int
	newest  int64     // the number of the bucket that is being filled
	started time.Time // of the flow: of the first bytes after a window without any
}

func number(at time.Time) int64 { return at.UnixNano() / int64(bucket) }

// advance forgets what is older than the window.
func (m *Meter) advance(now time.Time) {
	n := number(now)
	for i := range min(max(n-m.newest, 0), buckets) {
		m.bytes[(n-i)%buckets] = 0
	}
	m.newest = max(m.newest, n)
}

// Add counts bytes that passed at a time. Times may go back a little.
func (m *Meter) Add(bytes int, at time.Time) {
	m.advance(at)
	if m.sum() == 0 {
		m.started = at
	}
	n := number(at)
	if m.newest-n >= buckets {
		return
	}
	m.bytes[n%buckets] += bytes
}

func (m *Meter) sum() int {
	sum := 0
	for _, b := range m.bytes {
		sum += b
	}
	return sum
}

// Kbps returns the bitrate in kbps; 0 while the stream has not flowed for half a window yet, or
// flows no more.
func (m *Meter) Kbps(now time.Time) int { return m.in(time.Millisecond, 8, now) }

// PerSecond returns how much passed in a second, of whatever was counted; 0 as Kbps.
func (m *Meter) PerSecond(now time.Time) int { return m.in(time.Second, 1, now) }

// in returns how much passed in a time, each that was counted being so many.
func (m *Meter) in(duration time.Duration, each int64, now time.Time) int {
	m.advance(now)
	passed := min(now.Sub(m.started), Window)
	if passed < Window/2 {
		return 0
	}
	// The bucket that is being filled is not full.
	covered := min(passed, Window-bucket+time.Duration(now.UnixNano()%int64(bucket)))
	return int(int64(m.sum()) * each * int64(duration) / max(int64(covered), 1))
}
