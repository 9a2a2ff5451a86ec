// Package process starts the cluster's processes and finds them again.
//
// The process table is the only record of what runs: every process carries its
// instance and component in its environment, and so do its children. There are
// no pid files that could be stale or name somebody else's process.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// marker is the environment variable that every process of the cluster
// carries: "instance/component", or "instance/node/component".
const marker = "MEDIAROOMS_CLUSTER_PROCESS"

// A Component is one long-running process of an instance.
type Component struct {
	// Instance is the instance's name.
	Instance string
	// Name is the component's name within the instance, such as "etcd" or "node-1/kubelet".
	Name string
	// Log is the path of the file that takes its output; it starts empty.
	Log string
	// Cloneflags are the namespaces that the process gets for itself.
	Cloneflags uintptr
}

// Running is a component that this program started.
type Running struct {
	Component
	PID int
	// exited is closed when the process has ended; state is set before.
	exited chan struct{}
	state  *os.ProcessState
}

// Start starts a component detached from this program and its terminal: it
// outlives both.
func Start(c Component, argv ...string) (*Running, error) {
	cmd, err := c.command(argv)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	r := &Running{Component: c, PID: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		// The error only repeats the state.
		_ = cmd.Wait()
		r.state = cmd.ProcessState
		close(r.exited)
	}()
	return r, nil
}

// StartUnwatched starts a component whose end the caller waits for by itself,
// as the first process of a node does for all its children.
func StartUnwatched(c Component, argv ...string) (pid int, err error) {
	cmd, err := c.command(argv)
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	return cmd.Process.Pid, nil
}

func (c Component) command(argv []string) (*exec.Cmd, error) {
	if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
		return nil, fmt.Errorf("creating the log folder of %s: %w", c.Name, err)
	}
	log, err := os.Create(c.Log)
	if err != nil {
		return nil, fmt.Errorf("creating the log of %s: %w", c.Name, err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(environment(), marker+"="+c.Instance+"/"+c.Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: c.Cloneflags}
	return cmd, nil
}

// environment is what components inherit: nothing of the caller's but what finds
// programs, so that a cluster does not depend on the shell that started it.
func environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if home, ok := os.LookupEnv("HOME"); ok {
		env = append(env, "HOME="+home)
	}
	return env
}

// Err returns nil while the component runs, and otherwise an error with the
// tail of its log.
func (r *Running) Err() error {
	select {
	case <-r.exited:
		return fmt.Errorf("%s ended early (%s); the end of %s:\n%s", r.Name, r.state, r.Log, Tail(r.Log, 20))
	default:
		return nil
	}
}

// Found is a process of an instance that runs now.
type Found struct {
	// Name is the component's name, as in Component. Children of a component bear its name too.
	Name string
	// Command is the process's own name, at most 15 bytes (proc(5), comm).
	Command string
	PID     int
	handle  *os.Process
}

// Find returns all processes of an instance, children included.
func Find(instance string) ([]Found, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("reading the process table: %w", err)
	}
	prefix := []byte(marker + "=" + instance + "/")
	var found []Found
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// The handle comes first: if the process is one of ours, the handle can
		// mean no other, even when its id is given to another process.
		handle, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		name, command, ok := identify(entry.Name(), prefix)
		if !ok {
			_ = handle.Release()
			continue
		}
		found = append(found, Found{Name: name, Command: command, PID: pid, handle: handle})
	}
	return found, nil
}

// identify reads a process's component name; it is false for processes of
// others, and for those that have ended.
func identify(pid string, prefix []byte) (name, command string, ok bool) {
	environ, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
	if err != nil {
		return "", "", false
	}
	for _, variable := range bytes.Split(environ, []byte{0}) {
		if value, is := bytes.CutPrefix(variable, prefix); is {
			name, ok = string(value), true
		}
	}
	if !ok {
		return "", "", false
	}
	comm, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
	if err != nil {
		return "", "", false
	}
	return name, strings.TrimSpace(string(comm)), true
}

// Main tells whether this is the component's own process and not a child of
// it, such as a container's shim.
func (f Found) Main() bool {
	base := f.Name[strings.LastIndex(f.Name, "/")+1:]
	return f.Command == base[:min(len(base), 15)] || f.Command == "cluster"
}

// Kill ends the given processes at once and waits until they are gone.
func Kill(found []Found, timeout time.Duration) error {
	for _, f := range found {
		if err := f.handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("killing %s (process %d): %w", f.Name, f.PID, err)
		}
	}
	deadline := time.Now().Add(timeout)
	for _, f := range found {
		for f.running() {
			if time.Now().After(deadline) {
				return fmt.Errorf("%s (process %d) does not end", f.Name, f.PID)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// running is false for zombies too: their parent is somebody else's business. While another thread
// of a zombie has yet to end, the process still has its files and ports.
func (f Found) running() bool {
	if err := f.handle.Signal(syscall.Signal(0)); err != nil {
		return false
	}
	tasks := filepath.Join("/proc", strconv.Itoa(f.PID), "task")
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(threads, func(thread os.DirEntry) bool {
		stat, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "stat"))
		if err != nil {
			return false
		}
		// "pid (comm) state ...", and comm may hold anything.
		rest := stat[bytes.LastIndexByte(stat, ')')+1:]
		return len(rest) < 2 || rest[1] != 'Z'
	})
}

// Tail returns the last lines of a file, or why they can't be had.
func Tail(path string, lines int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const most = 16 << 10
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
