// Package wait is the authority on how tests wait until something is as it should be: they look
// again and again, and say what was missing when it does not come true in time.
package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// A condition is looked at again after firstPause, which doubles up to lastPause: that bounds the
// error of the times that For returns.
const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
)

// For waits until the condition gives no error, and returns how long that took. When it doesn't
// come true in time, the test ends with what was waited for ("the pod to be ready") and the
// condition's last error.
func For(t testing.TB, within time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	start := time.Now()
	if err := Poll(context.Background(), within, condition); err != nil {
		t.Fatalf("waiting for %s: not within %v: %v", what, within, err)
	}
	return time.Since(start)
}

// Poll looks at the condition until it gives no error, or the time is over, or the context ends;
// then it returns the last error.
func Poll(ctx context.Context, within time.Duration, condition func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// True makes a condition of one that tells no more than whether it holds.
func True(holds func() bool) func() error {
	return func() error {
		if !holds() {
			return errors.New("it is not so")
		}
		return nil
	}
}
