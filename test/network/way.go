package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// way is from a client's network namespace to that of this process, over the one in the middle.
// This process must have a network namespace of its own.
type way struct{ client, middle namespace }

// The addresses are those that are reserved for documentation and for private networks: of this
// process, of the namespace in the middle towards either end, and of the client.
const (
	wayServer  = "198.51.100.2"
	wayOutside = "198.51.100.1"
	wayInside  = "192.168.7.1"
	wayClient  = "192.168.7.2"
)

// newWay makes the namespaces, until the test ends. The one in the middle is a router if packets
// are to be forwarded there.
func newWay(t testing.TB, forwarded bool) way {
	t.Helper()
	w := way{client: newNamespace(t), middle: newNamespace(t)}
	if err := w.build(t.Context(), forwarded); err != nil {
		t.Fatalf("making a client's network: %v", err)
	}
	return w
}

func (w way) build(ctx context.Context, forwarded bool) error {
	forward := 0 // a new namespace has what the first one has
	if forwarded {
		forward = 1
	}
	// Firefox uses only interfaces with a route to everywhere.
	for _, command := range []string{
		"link set lo up",
		fmt.Sprintf("link add wan0 type veth peer name wan0 netns %d", w.middle.holder),
		"address add " + wayServer + "/24 dev wan0",
		"link set wan0 up",
		"route add default via " + wayOutside,
	} {
		if err := ip(ctx, command); err != nil {
			return err
		}
	}
	for _, command := range []string{
		"ip link set lo up",
		fmt.Sprintf("ip link add lan0 type veth peer name eth0 netns %d", w.client.holder),
		"ip address add " + wayOutside + "/24 dev wan0",
		"ip link set wan0 up",
		"ip address add " + wayInside + "/24 dev lan0",
		"ip link set lan0 up",
		fmt.Sprintf("sysctl -q -w net.ipv4.ip_forward=%d", forward),
	} {
		if err := w.middle.run(ctx, "", command); err != nil {
			return err
		}
	}
	var failed error
	for _, command := range []string{
		"ip link set lo up",
		"ip address add " + wayClient + "/24 dev eth0",
		"ip link set eth0 up",
		"ip route add default via " + wayInside,
	} {
		failed = errors.Join(failed, w.client.run(ctx, "", command))
	}
	return errors.Join(failed, w.client.filter(ctx, "names", noNames))
}

// noNames is for a network without a name server: who asks is told at once.
const noNames = "chain out { type filter hook output priority 0; meta l4proto { udp, tcp } th dport 53 reject; }"

// Server is the address by which this process is reached.
func (w way) Server() netip.Addr { return netip.MustParseAddr(wayServer) }

// Namespace is the path of the client's network namespace.
func (w way) Namespace() string { return w.client.path() }

// Listen listens on a TCP address of the client, such as 127.0.0.1:0.
func (w way) Listen(ctx context.Context, address string) (net.Listener, error) {
	return Within(w.Namespace(), func() (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	})
}
