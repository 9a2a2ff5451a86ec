// Package wait is the authority on how tests wait until something is as it should be: they look
// again and again, and say what was missing when it does not come true in time.
package wait

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A condition is looked at again after firstPause, which doubles up to lastPause: that bounds the
// error of the times that For returns.
const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
)

// mostGrace is how many times as long For waits at most on a machine that has too much to do.
const mostGrace = 3

// For waits until the condition gives no error, and returns how long that took. When it doesn't
// come true in time, the test ends with what was waited for ("the pod to be ready") and the
// condition's last error.
//
// Time in which anything on the machine waited for a processor does not count: within is for a
// machine that keeps up. It waits 3*within at most.
func For(t testing.TB, within time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	start, stalled := time.Now(), processorStall()
	err := Poll(context.Background(), within, condition)
	if err != nil {
		if grace := min(processorStall()-stalled, (mostGrace-1)*within); grace > 0 {
			err = Poll(context.Background(), grace, condition)
		}
	}
	took := time.Since(start)
	if err != nil {
		t.Fatalf("waiting for %s: not within %v: %v", what, took.Round(time.Millisecond), err)
	}
	return took
}

// processorStall is how long, since this machine started, there was anything that waited for a
// processor; 0 where the kernel does not say (https://docs.kernel.org/accounting/psi.html).
func processorStall() time.Duration {
	report, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	return parseStall(string(report))
}

// parseStall reads total= of the line "some", in microseconds; 0 when there is none.
func parseStall(report string) time.Duration {
	for line := range strings.Lines(report) {
		some, total, found := strings.Cut(strings.TrimSpace(line), " total=")
		if !found || !strings.HasPrefix(some, "some ") {
			continue
		}
		if microseconds, err := strconv.ParseInt(total, 10, 64); err == nil {
			return time.Duration(microseconds) * time.Microsecond
		}
	}
	return 0
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
