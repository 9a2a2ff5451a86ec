package network

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// namespace is a network namespace without a name: it goes with the process that holds it.
type namespace struct{ holder int }

// newNamespace makes a namespace that is there until the test ends.
func newNamespace(t testing.TB) namespace {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	if err := keep(t, holder, syscall.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	return namespace{holder.Process.Pid}
}

// keep runs a command, with flags of clone(2), until the test ends.
func keep(t testing.TB, command *exec.Cmd, flags uintptr) error {
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the process with the thread that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // it is killed
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	return nil
}

// path is where processes enter it.
func (n namespace) path() string { return fmt.Sprintf("/proc/%d/ns/net", n.holder) }

// run runs a command in it, with an input.
func (n namespace) run(ctx context.Context, input, command string) error {
	words := append([]string{"--net=" + n.path()}, strings.Fields(command)...)
	inside := exec.CommandContext(ctx, "nsenter", words...)
	inside.Stdin = strings.NewReader(input)
	if output, err := inside.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %s", command, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// filter replaces a table of its packet filter.
func (n namespace) filter(ctx context.Context, table, chains string) error {
	return n.run(ctx, replaceTable(table, chains), "nft -f -")
}
