package fleet

import (
	"context"
	"sync/atomic"
	"time"
)

// StallMeter measures for how long this process did not run when it should have: its node had no
// processor time for it, or stood still. A pod can't be blamed for silence that nobody listened to.
// Safe for concurrent use.
type StallMeter struct {
	total atomic.Int64 // nanoseconds
}

// Stalled returns the time in which the process did not run, since Start.
func (m *StallMeter) Stalled() time.Duration { return time.Duration(m.total.Load()) }

// Start measures until the context ends. It takes the system's clock, which alone can tell.
func (m *StallMeter) Start(ctx context.Context) error {
	ticker := time.NewTicker(tick / 2)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := time.Now()
		if late := now.Sub(last) - tick/2; late > tick/2 {
			m.total.Add(int64(late))
		}
		last = now
	}
}
