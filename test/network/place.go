package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Place is the network namespace of somebody else, such as a pod or a node. It can be used after
// the processes that it was found by have ended.
type Place struct {
	name      string
	namespace *os.File
}

// OpenPlace opens the network namespace at a path. What is lost there passes again after the test.
func OpenPlace(t testing.TB, name, path string) *Place {
	t.Helper()
	namespace, err := os.Open(path)
	if err != nil {
		t.Fatalf("opening the network of %s: %v", name, err)
	}
	p := &Place{name, namespace}
	t.Cleanup(func() {
		if err := p.Pass(context.Background()); err != nil {
			t.Error(err)
		}
		_ = namespace.Close() // it was only read
	})
	return p
}

// Lose loses everything that the place sends to some addresses, gets from them, or forwards, from
// now on. Nobody is told, as with a firewall that drops it.
func (p *Place) Lose(ctx context.Context, addresses ...netip.Prefix) error {
	set := make([]string, 0, len(addresses))
	for _, address := range addresses {
		set = append(set, address.String())
	}
	var rules strings.Builder
	for _, hook := range []string{"input", "output", "forward"} {
		fmt.Fprintf(&rules, "chain %[1]s { type filter hook %[1]s priority 1; ip saddr { %[2]s } drop; ip daddr { %[2]s } drop; }\n",
			hook, strings.Join(set, ", "))
	}
	return p.filter(ctx, rules.String())
}

// Pass ends a Lose.
func (p *Place) Pass(ctx context.Context) error { return p.filter(ctx, "") }

// filter replaces the table of the place's packet filter that is the tests'.
func (p *Place) filter(ctx context.Context, chains string) error {
	command := exec.CommandContext(ctx, "nsenter", "--net=/proc/self/fd/3", "nft", "-f", "-")
	command.ExtraFiles = []*os.File{p.namespace}
	command.Stdin = strings.NewReader(replaceTable("mediarooms_cut", chains))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("setting the packet filter of %s: %w: %s", p.name, err, strings.TrimSpace(string(output)))
	}
	return nil
}
