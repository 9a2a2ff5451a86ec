// Command bench measures what Mediarooms costs and prints it as tables, each figure beside the
// floor that was measured in the same run: the least that the same work costs on this machine.
// Ratios compare machines; absolute figures do not. There is no pass or fail.
//
// It runs a media pod in a network namespace of its own, so it needs Linux and root, and for some
// parts a cluster (MEDIAROOMS_CLUSTER_INFO). `make bench` brings both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options of a run.
type options struct {
	// parts are the names of what is measured.
	parts []string
	// subscribers are the sizes of rooms.
	subscribers []int
	// windows of time in the steady state, whose median counts.
	windows int
	window  time.Duration
	// samples is how many tokens are timed.
	samples int
	// churn is how long participants come and go, feedback how often receivers give feedback.
	churn, feedback time.Duration
	// attack is how long each attack is, attacks what their names must contain.
	attack  time.Duration
	attacks string
	// ask only tells whether a cluster is needed.
	ask bool
}

// part is something that can be measured by itself.
type part struct {
	name, text string
	// always tells that it is measured unless others are asked for.
	always bool
	// cluster tells that it needs one.
	cluster bool
	measure func(ctx context.Context, o options) error
}

// parts are all that there are, in the order in which they are measured.
var parts = []part{
	{"forward", "the forwarding path alone, as a Go benchmark", true, false, measureForwarding},
	{"media", "a media pod: CPU, memory, delay and joins, beside floors", true, false, measureMedia},
	{"impaired", "bad networks", true, false, measureImpaired},
	{"churn", "continuous joins and leaves for the time that -churn says", false, false, measureChurn},
	{"attack", "what a call notices of attacks on its pod, each for the time that -attack says", false, false, measureAttacks},
	{"tokens", "the time to a token; needs a cluster", true, true, measureTokens},
	{"rest", "connections from the REST API; needs a cluster", true, true, measureREST},
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
	if err := run(ctx); errors.Is(err, flag.ErrHelp) {
		os.Exit(2) // it was shown
	} else if err != nil {
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
	wanted := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !slices.Contains(o.parts, p.name) })
	if o.ask {
		fmt.Println(slices.ContainsFunc(wanted, func(p part) bool { return p.cluster }))
		return nil
	}
	for _, p := range wanted {
		if err := p.measure(ctx, o); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
	}
	return nil
}

func parse(args []string) (options, error) {
	o := options{}
	var all, always []string
	for _, p := range parts {
		all = append(all, p.name+": "+p.text)
		if p.always {
			always = append(always, p.name)
		}
	}
	var sizes, names string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&names, "parts", strings.Join(always, ","), "what to measure, comma-separated;\n"+strings.Join(all, "\n"))
	flags.StringVar(&sizes, "subscribers", "10,50,100,200", "sizes of rooms, comma-separated")
	flags.IntVar(&o.windows, "windows", 3, "windows of time whose median counts")
	flags.DurationVar(&o.window, "window", 3*time.Second, "length of a window")
	flags.IntVar(&o.samples, "samples", 200, "tokens to time, for each number at a time")
	flags.DurationVar(&o.churn, "churn", 30*time.Minute, "how long the part churn lasts")
	flags.DurationVar(&o.attack, "attack", time.Minute, "how long each of the attacks of the part attack lasts")
	flags.StringVar(&o.attacks, "attacks", "", "a text of the names of those attacks that are measured")
	flags.DurationVar(&o.feedback, "feedback", 100*time.Millisecond, "how often receivers give feedback")
	flags.BoolVar(&o.ask, "needs-cluster", false, "only tell whether a cluster is needed, true or false")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(names, ",") {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return o, fmt.Errorf("-parts: there is no %q", name)
		}
		o.parts = append(o.parts, name)
	}
	if o.windows < 1 || o.window < time.Second || o.samples < 1 || o.churn < time.Second || o.attack < time.Second || o.feedback < 0 {
		return o, errors.New("-windows and -samples must be at least 1, -window, -churn and -attack at least 1 s")
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

// progress says on the standard error what is being done, so that the standard output has only
// tables.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
