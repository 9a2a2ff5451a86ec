// Command cluster runs real Kubernetes clusters of two nodes on one Linux
// machine, without Docker: each node lives in namespaces of its own. It is the
// single authority on what runs, where it is, and how it goes away without a
// trace. docs/local-cluster.md describes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

const usage = `usage: cluster COMMAND [--name local|test|bench|selftest] [flags]

Commands:
  up           start the instance, or what is missing of it
  down         stop the instance and remove everything that it made
  status       say what runs (-o json: for programs)
  info         print the path of the file that describes the instance
  assets       build the binaries, if need be, and print their folder
  load-image   load image archives into all nodes: load-image ARCHIVE...
  stop-node    end a node at once, as a power cut does: stop-node NODE
  start-node   start a stopped node: start-node NODE
  pids         print the ids of a pod's processes: pids NAMESPACE/POD [CONTAINER]
`

// command is one command of this program.
type command struct {
	// minArgs is how many arguments it needs.
	minArgs int
	// root tells whether it works for root only.
	root bool
	run  func(ctx context.Context, c *cluster, args []string) error
}

// commands is the table of all commands; the last two are what the processes of an
// instance themselves run.
func commands() map[string]command {
	return map[string]command{
		"up":         {root: true, run: up},
		"down":       {root: true, run: down},
		"status":     {root: true, run: status},
		"info":       {run: printInfoPath},
		"assets":     {run: printAssets},
		"load-image": {root: true, minArgs: 1, run: loadImages},
		"stop-node":  {root: true, minArgs: 1, run: stopNode},
		"start-node": {root: true, minArgs: 1, run: startNode},
		"pids":       {root: true, minArgs: 1, run: printPIDs},
		"forward":    {root: true, run: runForward},
		"node":       {root: true, run: runNode},
	}
}

// cluster is what all commands work with.
type cluster struct {
	instance.Instance
	*report
	// program is this program's path, which the instance's processes run too.
	program string
	flags   options
}

// options are the flags of all commands.
type options struct {
	name, output, node, assets string
}

func main() {
	// The processes that this program starts outlive it: they must not hold on
	// to files of whoever started it, such as locks. The error means an old kernel, where they do.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		fmt.Print(usage)
		return nil
	}
	cmd, ok := commands()[args[0]]
	if !ok {
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
	c := &cluster{report: newReport(os.Stdout)}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&c.flags.name, "name", "local", "the instance")
	flags.StringVar(&c.flags.output, "o", "", "json: print for programs")
	flags.StringVar(&c.flags.node, "node", "", "the node (node)")
	flags.StringVar(&c.flags.assets, "assets", "", "the folder of the binaries (node)")
	rest, err := parse(flags, args[1:])
	if err != nil {
		return err
	}
	if len(rest) < cmd.minArgs {
		return fmt.Errorf("%s needs an argument\n%s", args[0], usage)
	}
	if cmd.root && os.Geteuid() != 0 {
		return errors.New("the local cluster needs root; without it, use a cluster that you have (KUBECONFIG) or kind")
	}
	if c.Instance, err = instance.New(c.flags.name); err != nil {
		return err
	}
	if c.program, err = os.Executable(); err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	return cmd.run(ctx, c, rest)
}

// parse parses flags that may stand before, between and after the arguments.
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}
