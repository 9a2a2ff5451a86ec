// Command roomload plays a load to a Mediarooms installation, as many browsers would, and tells how
// well it was served. It ends with status 0 when all limits were kept, 1 when one was not, and 2
// when the load could not be played.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
)

// Exit statuses.
const (
	statusMissed = 1
	statusFailed = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "roomload: %v\n", err)
		os.Exit(statusFailed)
	case missed:
		os.Exit(statusMissed)
	}
}

// cleanUpTime bounds how long removing what was made may take.
const cleanUpTime = 30 * time.Second

// run plays the load that the arguments describe. It tells whether a limit was missed.
func run(ctx context.Context, args []string, output, progress io.Writer) (missed bool, err error) {
	o, err := parse(args, progress)
	if err != nil {
		return false, err
	}
	setup, err := o.setup()
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		if failure := setup.Target.Close(closing); failure != nil {
			err = errors.Join(err, fmt.Errorf("cleaning up: %w", failure))
		}
	}()
	totals, err := play(ctx, o, setup, progress)
	if err != nil {
		return false, err
	}
	report := loadtest.NewReport(setup.Load, totals)
	if err := report.Write(output); err != nil {
		return false, err
	}
	if err := o.writeJSON(report, output); err != nil {
		return false, err
	}
	for _, text := range o.limits.Check(report) {
		missed = true
		fmt.Fprintf(progress, "missed: %s\n", text)
	}
	return missed, nil
}

// play plays the load and returns what was counted once everybody had joined. When it is
// interrupted, it returns what was counted till then.
func play(ctx context.Context, o *options, setup loadtest.Setup, progress io.Writer) (*loadtest.Totals, error) {
	l := setup.Load
	wanted := l.Rooms * (l.Publishers + l.Subscribers)
	r, err := loadtest.Start(ctx, setup)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	showing, hide := context.WithCancel(ctx)
	shown := show(showing, r, wanted, o.quiet, progress)
	defer func() {
		hide()
		<-shown
	}()
	if err := r.WaitJoined(ctx); err == nil {
		r.Mark()
		timer := time.NewTimer(o.duration)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	totals := r.Totals()
	return &totals, nil
}

// show keeps a line with what is going on, until the context ends. The channel is closed when it is
// over.
func show(ctx context.Context, r *loadtest.Run, wanted int, quiet bool, to io.Writer) <-chan struct{} {
	over := make(chan struct{})
	if quiet {
		close(over)
		return over
	}
	before, end := "", "\n"
	if terminal(to) {
		before, end = "\r\x1b[K", ""
	}
	start := time.Now()
	go func() {
		defer close(over)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				totals := r.Totals()
				fmt.Fprintf(to, "%s%5.0f s   %s%s", before, time.Since(start).Seconds(), totals.Line(wanted), end)
			case <-ctx.Done():
				fmt.Fprint(to, "\n")
				return
			}
		}
	}()
	return over
}

// terminal tells whether a line can be written over.
func terminal(to io.Writer) bool {
	file, ok := to.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// writeJSON writes the report to where -json says.
func (o *options) writeJSON(report *loadtest.Report, output io.Writer) error {
	if o.json == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	encoded = append(encoded, '\n')
	if o.json == "-" {
		_, err = output.Write(encoded)
		return err
	}
	return os.WriteFile(o.json, encoded, 0o644)
}
