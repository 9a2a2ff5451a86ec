package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// pollInterval is how often a condition is looked at. It bounds the error of the times that Eventually returns.
const pollInterval = 20 * time.Millisecond

// Eventually waits until the condition gives no error, and returns how long that took. When it doesn't come true in time,
// the test ends with what was waited for and the condition's last error.
func Eventually(t testing.TB, within time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	start := time.Now()
	var err error
	if waitErr := Poll(context.Background(), within, func() error { err = condition(); return err }); waitErr != nil {
		t.Fatalf("waiting for %s: not within %v: %v", what, within, err)
	}
	return time.Since(start)
}

// Poll looks at the condition until it gives no error, or the time is over, or the context ends; then it returns the last
// error.
func Poll(ctx context.Context, within time.Duration, condition func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
