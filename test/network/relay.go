package network

import (
	"net/netip"
	"os/exec"
	"testing"
)

// Relay is the only machine that a client reaches. It has a link to this process, too, and forwards
// no packets: what passes between the two goes through a program that runs there. This process must
// have a network namespace of its own.
//
//	client 192.168.7.2 -- 192.168.7.1 relay 198.51.100.1 -- 198.51.100.2 this process
type Relay struct{ way }

// NewRelay makes the machine and the client's network. They are removed at the end of the test.
func NewRelay(t testing.TB) *Relay {
	t.Helper()
	return &Relay{newWay(t, false)}
}

// Address is the relay's on the network of this process. Clients reach it by that, too.
func (r *Relay) Address() netip.Addr { return netip.MustParseAddr(wayOutside) }

// Run runs a command on the relay until the test ends.
func (r *Relay) Run(t testing.TB, command *exec.Cmd) {
	t.Helper()
	command.Args = append([]string{"nsenter", "--net=" + r.middle.path(), command.Path}, command.Args[1:]...)
	command.Path = "/usr/bin/nsenter"
	if err := keep(t, command, 0); err != nil {
		t.Fatalf("running %s: %v", command.Args[2], err)
	}
}
