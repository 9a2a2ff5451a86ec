package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"mediarooms.dev/mediarooms/test/cluster"
)

// measureForwarding runs the Go benchmarks of forwarding. benchstat reads what it prints.
func measureForwarding(ctx context.Context, _ options) error {
	progress("the forwarding path alone")
	fmt.Fprintln(os.Stdout)
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkForward", "-benchmem", "-benchtime", "0.5s", "-count", "3",
		"./mediapod/sfu", "./mediapod/peer/...")
	command.Dir = cluster.Root()
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("running the benchmark: %w", err)
	}
	return nil
}
