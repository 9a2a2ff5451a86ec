// Command bench measures what Mediarooms costs and prints it as tables, each figure beside the floor that was measured in the same
// run: the least that the same work costs on this machine. Ratios compare machines; absolute figures do not. There is no pass or
// fail.
//
// It runs a media pod in a network namespace of its own, so it needs Linux and root, and for the time to a token a
// cluster (MEDIAROOMS_CLUSTER_INFO). `make bench` brings both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options of a run.
type options struct {
	// parts is "all", "media" or "tokens".
	parts string
	// subscribers are the sizes of rooms.
	subscribers []int
	// windows of time in the steady state, whose median counts.
	windows int
	window  time.Duration
	// samples is how many tokens are timed.
	samples int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == floorSenderCommand {
		if err := runFloorSender(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "floor sender: %v\n", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	if o.parts != "tokens" {
		if err := measureMedia(ctx, o); err != nil {
			return fmt.Errorf("measuring media: %w", err)
		}
	}
	if o.parts != "media" {
		if err := measureTokens(ctx, o); err != nil {
			return fmt.Errorf("measuring tokens: %w", err)
		}
	}
	return nil
}

func parse(args []string) (options, error) {
	o := options{}
	var sizes string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.parts, "parts", "all", "what to measure: all, media or tokens")
	flags.StringVar(&sizes, "subscribers", "10,50,100", "sizes of rooms, comma-separated")
	flags.IntVar(&o.windows, "windows", 3, "windows of time whose median counts")
	flags.DurationVar(&o.window, "window", 5*time.Second, "length of a window")
	flags.IntVar(&o.samples, "samples", 200, "tokens to time, for each number at a time")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch o.parts {
	case "all", "media", "tokens":
	default:
		return o, fmt.Errorf("-parts: %q is none of all, media, tokens", o.parts)
	}
	if o.windows < 1 || o.window < time.Second || o.samples < 1 {
		return o, errors.New("-windows and -samples must be at least 1, -window at least 1 s")
	}
	for text := range strings.SplitSeq(sizes, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > 1000 {
			return o, fmt.Errorf("-subscribers: %q is no number from 1 to 1000", text)
		}
		o.subscribers = append(o.subscribers, size)
	}
	return o, nil
}

// progress says on the standard error what is being done, so that the standard output has only tables.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
