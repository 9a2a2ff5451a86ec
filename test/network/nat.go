package network

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// NAT is a client's home: a network namespace that reaches this process's namespace through that of
// a router, which translates addresses (nftables' masquerade). This process must have a network
// namespace of its own, which is the internet here.
//
//	client 192.168.7.2 -- 192.168.7.1 router 198.51.100.1 -- 198.51.100.2 this process
type NAT struct {
	way
	// ports is how often the router has forgotten: each time its mappings get other ports.
	ports int
	// deaf is the transport protocol whose packets don't reach the client; empty for none.
	deaf string
}

// NewNAT makes the client's home. It is removed at the end of the test.
func NewNAT(t testing.TB) *NAT {
	t.Helper()
	n := &NAT{way: newWay(t, true)}
	if err := n.route(t.Context()); err != nil {
		t.Fatalf("making a network with NAT: %v", err)
	}
	return n
}

// route sets what the router does. What comes for nobody is lost, without a word to who has sent
// it, as most routers do.
func (n *NAT) route(ctx context.Context) error {
	first := 20_000 + 1000*(n.ports%40)
	chains := fmt.Sprintf(`chain out { type nat hook postrouting priority srcnat;
		oifname wan0 meta l4proto { tcp, udp } masquerade to :%d-%d; }
	chain mine { type filter hook input priority filter; iifname wan0 drop; }`, first, first+999)
	if n.deaf != "" {
		chains += "\n\tchain in { type filter hook forward priority filter; iifname wan0 meta l4proto " + n.deaf + " drop; }"
	}
	return n.middle.filter(ctx, "nat", chains)
}

// Rebind has the router forget its mappings of UDP, and give other ports to what the client sends
// from now on. What is sent to the old ones is lost.
func (n *NAT) Rebind(ctx context.Context) error {
	n.ports++
	return errors.Join(n.route(ctx), n.middle.run(ctx, "", "conntrack -D -p udp"))
}

// Deafen loses what is sent to the client by a transport protocol, "udp" or "tcp", from now on;
// what the client sends arrives. Without one everything passes again.
func (n *NAT) Deafen(ctx context.Context, protocol string) error {
	n.deaf = protocol
	return n.route(ctx)
}
