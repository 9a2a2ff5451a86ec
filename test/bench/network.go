package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// maxRuns is how many runs there can be at a time on one machine.
const maxRuns = 16

// link is a network namespace for the sender of media, and a veth pair into it. Receivers are in
// the namespace of this process. The addresses are of the range for benchmarks (RFC 2544).
type link struct {
	namespace string
	// client is the name of the interface on this side, far that of the other end.
	client, far string
	// clientAddress and podAddress are those of the two ends.
	clientAddress, podAddress string
	// lock is held while the names and addresses are used.
	lock *os.File
}

// newLink makes one. What an earlier, killed run of the same names left behind is removed first.
func newLink(ctx context.Context) (*link, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("making a network namespace: it needs root")
	}
	l, err := reserveLink()
	if err != nil {
		return nil, err
	}
	if err := l.remove(); err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	for _, args := range [][]string{
		{"netns", "add", l.namespace},
		{"link", "add", l.client, "type", "veth", "peer", "name", l.far, "netns", l.namespace},
		{"address", "add", l.clientAddress + "/30", "dev", l.client},
		{"link", "set", l.client, "up"},
		{"-n", l.namespace, "address", "add", l.podAddress + "/30", "dev", l.far},
		{"-n", l.namespace, "link", "set", l.far, "up"},
		{"-n", l.namespace, "link", "set", "lo", "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

// reserveLink finds names and addresses that no other run uses.
func reserveLink() (*link, error) {
	for i := range maxRuns {
		lock, err := os.OpenFile(fmt.Sprintf("/run/lock/mediarooms-measure-%d", i), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("reserving a link: %w", err)
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = lock.Close() // another run has it
			continue
		}
		return &link{
			namespace: fmt.Sprintf("mediarooms-measure-%d", i), client: fmt.Sprintf("mrmeasure%da", i), far: fmt.Sprintf("mrmeasure%db", i),
			clientAddress: fmt.Sprintf("198.18.77.%d", 4*i+1), podAddress: fmt.Sprintf("198.18.77.%d", 4*i+2), lock: lock,
		}, nil
	}
	return nil, fmt.Errorf("reserving a link: %d runs are going on", maxRuns)
}

// command is a command that runs inside the namespace.
func (l *link) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.namespace, name}, args...)...)
}

// close removes the namespace, and the pair with it, and lets others use their names.
func (l *link) close() error {
	return errors.Join(l.remove(), l.lock.Close())
}

// remove removes the namespace and the pair, if they are there.
func (l *link) remove() error {
	if _, err := os.Stat("/run/netns/" + l.namespace); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// The end on this side goes first: that of a namespace goes only when the last process in it
	// has ended.
	if _, err := os.Stat("/sys/class/net/" + l.client); err == nil {
		if err := ip(context.Background(), "link", "delete", l.client); err != nil {
			return err
		}
	}
	return ip(context.Background(), "netns", "delete", l.namespace)
}

func ip(ctx context.Context, args ...string) error {
	output, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("running ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
