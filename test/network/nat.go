package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// NAT is a client's home: a network namespace that reaches this process's namespace through that of
// a router, which translates addresses (nftables' masquerade). This process must have a network
// namespace of its own, which is the internet here.
//
//	client 192.168.7.2 -- 192.168.7.1 router 198.51.100.1 -- 198.51.100.2 this process
type NAT struct {
	client, router namespace
	// ports is how often the router has forgotten: each time its mappings get other ports.
	ports int
	// deaf is the transport protocol whose packets don't reach the client; empty for none.
	deaf string
}

// The addresses are those that are reserved for documentation and for private networks.
const (
	natServer = "198.51.100.2"
	natRouter = "198.51.100.1"
	natHome   = "192.168.7.1"
	natClient = "192.168.7.2"
)

// namespace is a network namespace without a name: it goes with the process that holds it.
type namespace struct{ holder int }

// newNamespace makes a namespace that is there until the test ends.
func newNamespace(t testing.TB) namespace {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the process with the thread that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := holder.Start()
		started <- err
		if err == nil {
			_ = holder.Wait() // it is killed
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		<-ended
	})
	return namespace{holder.Process.Pid}
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

// NewNAT makes the client's home. It is removed at the end of the test.
func NewNAT(t testing.TB) *NAT {
	t.Helper()
	n := &NAT{client: newNamespace(t), router: newNamespace(t)}
	if err := n.build(t.Context()); err != nil {
		t.Fatalf("making a network with NAT: %v", err)
	}
	return n
}

func (n *NAT) build(ctx context.Context) error {
	// Firefox uses only interfaces with a route to everywhere.
	for _, command := range []string{
		"link set lo up",
		fmt.Sprintf("link add wan0 type veth peer name wan0 netns %d", n.router.holder),
		"address add " + natServer + "/24 dev wan0",
		"link set wan0 up",
		"route add default via " + natRouter,
	} {
		if err := ip(ctx, command); err != nil {
			return err
		}
	}
	for _, command := range []string{
		"ip link set lo up",
		fmt.Sprintf("ip link add lan0 type veth peer name eth0 netns %d", n.client.holder),
		"ip address add " + natRouter + "/24 dev wan0",
		"ip link set wan0 up",
		"ip address add " + natHome + "/24 dev lan0",
		"ip link set lan0 up",
		"sysctl -q -w net.ipv4.ip_forward=1",
	} {
		if err := n.router.run(ctx, "", command); err != nil {
			return err
		}
	}
	for _, command := range []string{
		"ip link set lo up",
		"ip address add " + natClient + "/24 dev eth0",
		"ip link set eth0 up",
		"ip route add default via " + natHome,
	} {
		if err := n.client.run(ctx, "", command); err != nil {
			return err
		}
	}
	return errors.Join(n.client.filter(ctx, "names", noNames), n.route(ctx))
}

// noNames is for a network without a name server: who asks is told at once.
const noNames = "chain out { type filter hook output priority 0; meta l4proto { udp, tcp } th dport 53 reject; }"

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
	return n.router.filter(ctx, "nat", chains)
}

// filter replaces a table of a namespace's packet filter.
func (n namespace) filter(ctx context.Context, table, chains string) error {
	return n.run(ctx, replaceTable(table, chains), "nft -f -")
}

// Server is the address by which the client reaches this process.
func (n *NAT) Server() netip.Addr { return netip.MustParseAddr(natServer) }

// Namespace is the path of the client's network namespace.
func (n *NAT) Namespace() string { return n.client.path() }

// Listen listens on a TCP address of the client, such as 127.0.0.1:0.
func (n *NAT) Listen(ctx context.Context, address string) (net.Listener, error) {
	return Within(n.Namespace(), func() (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	})
}

// Rebind has the router forget its mappings of UDP, and give other ports to what the client sends
// from now on. What is sent to the old ones is lost.
func (n *NAT) Rebind(ctx context.Context) error {
	n.ports++
	return errors.Join(n.route(ctx), n.router.run(ctx, "", "conntrack -D -p udp"))
}

// Deafen loses what is sent to the client by a transport protocol, "udp" or "tcp", from now on;
// what the client sends arrives. Without one everything passes again.
func (n *NAT) Deafen(ctx context.Context, protocol string) error {
	n.deaf = protocol
	return n.route(ctx)
}
