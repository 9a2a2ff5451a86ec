package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Addresses of the two ends of the link, of the range for benchmarks (RFC 2544).
const (
	clientAddress = "198.18.77.1"
	podAddress    = "198.18.77.2"
)

// link is a network namespace for the sender of media, and a veth pair into it. Receivers are in the namespace of this process.
type link struct {
	namespace string
	// client is the name of the interface on this side.
	client string
}

// newLink makes one. What an earlier, killed run left behind is removed first.
func newLink(ctx context.Context) (*link, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("making a network namespace: it needs root")
	}
	l := &link{namespace: "mediarooms-measure", client: "mrmeasure0"}
	if err := l.close(); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"netns", "add", l.namespace},
		{"link", "add", l.client, "type", "veth", "peer", "name", "mrmeasure1", "netns", l.namespace},
		{"address", "add", clientAddress + "/30", "dev", l.client},
		{"link", "set", l.client, "up"},
		{"-n", l.namespace, "address", "add", podAddress + "/30", "dev", "mrmeasure1"},
		{"-n", l.namespace, "link", "set", "mrmeasure1", "up"},
		{"-n", l.namespace, "link", "set", "lo", "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

// command is a command that runs inside the namespace.
func (l *link) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.namespace, name}, args...)...)
}

// close removes the namespace, and the pair with it. It is idempotent.
func (l *link) close() error {
	if _, err := os.Stat("/run/netns/" + l.namespace); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// The end on this side goes first: that of a namespace goes only when the last process in it has ended.
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
