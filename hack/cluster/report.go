package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// report tells a person how far a command is.
type report struct {
	out   io.Writer
	start time.Time
}

func newReport(out io.Writer) *report { return &report{out: out, start: time.Now()} }

func (r *report) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%6.1fs  %s\n", time.Since(r.start).Seconds(), fmt.Sprintf(format, args...))
}

const (
	pollEvery = 100 * time.Millisecond
	// sayEvery is how often a long wait says what it waits for.
	sayEvery = 5 * time.Second
)

// await waits until check returns nil. It gives up when alive returns an error,
// which says that what it waits for can't happen any more, or after the timeout.
func (r *report) await(ctx context.Context, what string, timeout time.Duration, alive, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	said := time.Now()
	for {
		err := check()
		if err == nil {
			r.say("%s", what)
			return nil
		}
		if err := alive(); err != nil {
			return err
		}
		if time.Since(said) > sayEvery {
			r.say("waiting: %s (%v)", what, err)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, err)
		case <-time.After(pollEvery):
		}
	}
}
