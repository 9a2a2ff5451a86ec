// Command kubectl-mediarooms is a plugin of kubectl: "kubectl mediarooms" shows rooms and who is in
// them, moderates them, and checks an installation.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"mediarooms.dev/mediarooms/plugin"
)

// commit is set by the build.
var commit = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := plugin.Run(ctx, commit, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(status)
}
