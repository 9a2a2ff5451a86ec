package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// killWait is how long what it says is waited for when it was killed.
const killWait = 5 * time.Second

// maxSaid bounds what is kept of what a process says.
const maxSaid = 400

// process is one run of ffmpeg, which reads and writes what is ours only.
type process struct {
	in   io.WriteCloser
	out  io.ReadCloser
	wait func() error // until it has ended; it may be asked more than once
}

// refusedError is a run of ffmpeg that has ended by itself, with an error.
type refusedError struct {
	code int
	said string
}

func (e *refusedError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("ffmpeg has ended with code %d", e.code)
	}
	return fmt.Sprintf("ffmpeg has ended with code %d: %s", e.code, e.said)
}

// start runs ffmpeg, with pipes to its standard input and output if they are wanted. It is killed
// when the context ends, and when this process does. No shell is involved.
func (c Composer) start(ctx context.Context, args []string, in, out bool) (*process, error) {
	command := exec.CommandContext(ctx, c.Program, args...)
	command.Env, command.WaitDelay = []string{"LC_ALL=C"}, killWait
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	said := &tail{}
	command.Stderr = said
	p := &process{}
	var err error
	if in {
		p.in, err = command.StdinPipe()
	}
	if out && err == nil {
		p.out, err = command.StdoutPipe()
	}
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting ffmpeg: %w", err)
	}
	_ = syscall.Setpriority(syscall.PRIO_PGRP, command.Process.Pid, c.Nice) // it works without
	p.wait = sync.OnceValue(func() error { return ended(ctx, command.Wait(), said) })
	return p, nil
}

// ended says how a run has ended.
func ended(ctx context.Context, err error, said *tail) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errors.New("ffmpeg took too long, and was killed")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit) && exit.Exited():
		return &refusedError{exit.ExitCode(), said.String()}
	}
	return fmt.Errorf("running ffmpeg: %w", err)
}

// tail keeps the end of what is written.
type tail struct {
	mu  sync.Mutex
	all []byte
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, b...)
	if over := len(t.all) - maxSaid; over > 0 {
		t.all = append(t.all[:0], t.all[over:]...)
	}
	return len(b), nil
}

// String returns it as one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.all)), " ")
}
