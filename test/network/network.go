// Package network is the authority on the machines that tests make up: network namespaces with a
// link to the cluster's nodes that can be cut. Nothing else of this machine's network is touched.
package network

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaces is where ip-netns(8) keeps names of network namespaces.
const namespaces = "/run/netns"

// Segment is the Ethernet that a cluster's nodes are on: a bridge of this machine.
type Segment struct {
	bridge string
	prefix netip.Prefix
}

// SegmentOf finds the bridge on which a node with an address is.
func SegmentOf(node string) (Segment, error) {
	address, err := netip.ParseAddr(node)
	if err != nil {
		return Segment{}, fmt.Errorf("looking for the nodes' network: %w", err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return Segment{}, fmt.Errorf("looking for the nodes' network: %w", err)
	}
	for _, candidate := range interfaces {
		if _, err := os.Stat(filepath.Join("/sys/class/net", candidate.Name, "bridge")); err != nil {
			continue
		}
		prefixes, err := candidate.Addrs()
		if err != nil {
			return Segment{}, fmt.Errorf("listing the addresses of %s: %w", candidate.Name, err)
		}
		for _, text := range prefixes {
			if prefix, err := netip.ParsePrefix(text.String()); err == nil && prefix.Contains(address) {
				return Segment{bridge: candidate.Name, prefix: prefix.Masked()}, nil
			}
		}
	}
	return Segment{}, fmt.Errorf("looking for the nodes' network: no bridge of this machine has %s on it; a local cluster is needed", node)
}

// name is a name for a machine of this segment. It has at most 15 characters, as names of
// interfaces must.
func (s Segment) name(number int) string {
	return fmt.Sprintf("%s%d", s.names(), number)
}

// names is what the names of all machines of this segment begin with.
func (s Segment) names() string {
	return fmt.Sprintf("mrt%08x", crc32.ChecksumIEEE([]byte(s.bridge)))
}

// Sweep removes what a run that was killed has left of its machines on this segment.
func (s Segment) Sweep(ctx context.Context) error {
	interfaces, err := filepath.Glob("/sys/class/net/" + s.names() + "*")
	if err != nil {
		return err
	}
	for _, link := range interfaces {
		if err := ip(ctx, "link delete "+filepath.Base(link)); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(namespaces, s.names()+"*"))
	if err != nil {
		return err
	}
	for _, namespace := range left {
		if err := ip(ctx, "netns delete "+filepath.Base(namespace)); err != nil {
			return err
		}
	}
	return nil
}

// Machine is a network namespace with a link to a Segment, and nothing else but its loopback
// interface. Its route to everywhere else leads nowhere.
type Machine struct {
	segment Segment
	name    string
}

// NewMachine makes a machine. The number, 0 to 9, tells the machines of a segment apart. It is
// removed at the end of the test.
func (s Segment) NewMachine(t testing.TB, number int) *Machine {
	t.Helper()
	m := &Machine{segment: s, name: s.name(number)}
	address := s.prefix.Addr().As4()
	address[3] = byte(240 + number)
	inside := "-n " + m.name + " "
	t.Cleanup(func() {
		// The link goes with the namespace, which lives on as long as processes are in it: so the
		// link is removed by its name.
		for _, command := range []string{"link delete " + m.name, "netns delete " + m.name} {
			if err := ip(context.Background(), command); err != nil {
				t.Error(err)
			}
		}
	})
	for _, command := range []string{
		"netns add " + m.name,
		// A bridge takes the lowest address of its links for its own. Were that ours, it would
		// change with every cut, and the nodes would lose this machine.
		fmt.Sprintf("link add %s address fe:ff:ff:ff:ff:%02x type veth peer name eth0 netns %s", m.name, number, m.name),
		"link set " + m.name + " master " + s.bridge + " up",
		inside + "link set lo up",
		inside + fmt.Sprintf("address add %s/%d dev eth0", netip.AddrFrom4(address), s.prefix.Bits()),
		inside + "link set eth0 up",
		// Firefox uses only interfaces with a route to everywhere. Nobody has this gateway's
		// address.
		inside + fmt.Sprintf("route add default via %s", unused(s.prefix)),
	} {
		if err := ip(t.Context(), command); err != nil {
			t.Fatalf("making a machine: %v", err)
		}
	}
	if err := m.filter(t.Context(), "names", noNames); err != nil {
		t.Fatalf("making a machine: %v", err)
	}
	return m
}

// unused is the last address of a segment, which nobody has.
func unused(prefix netip.Prefix) netip.Addr {
	address := prefix.Addr().As4()
	address[3] = 254
	return netip.AddrFrom4(address)
}

// Namespace is the path of the machine's network namespace.
func (m *Machine) Namespace() string {
	return filepath.Join(namespaces, m.name)
}

// Cut loses everything on the link from now on, both ways. The machine itself does not notice: its
// end of the link stays up.
func (m *Machine) Cut(ctx context.Context) error {
	return ip(ctx, "link set "+m.name+" nomaster")
}

// Mend ends a Cut.
func (m *Machine) Mend(ctx context.Context) error {
	return ip(ctx, "link set "+m.name+" master "+m.segment.bridge)
}

// Close loses what the machine sends and receives over its link by a transport protocol, "udp" or
// "tcp", from now on, as a firewall does that drops it. Without one everything passes again. What
// stays on the machine is not touched.
func (m *Machine) Close(ctx context.Context, protocol string) error {
	chains := ""
	if protocol != "" {
		chains = fmt.Sprintf(`chain out { type filter hook output priority 1; oifname eth0 meta l4proto %[1]s drop; }
	chain in { type filter hook input priority 1; iifname eth0 meta l4proto %[1]s drop; }`, protocol)
	}
	return m.filter(ctx, "firewall", chains)
}

// filter replaces a table of the machine's packet filter.
func (m *Machine) filter(ctx context.Context, name, chains string) error {
	command := exec.CommandContext(ctx, "ip", "netns", "exec", m.name, "nft", "-f", "-")
	command.Stdin = strings.NewReader(replaceTable(name, chains))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("setting the packet filter of %s: %w: %s", m.name, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// replaceTable is what nft(8) is to read to replace a table.
func replaceTable(table, chains string) string {
	return fmt.Sprintf("table inet %[1]s {}\ndelete table inet %[1]s\ntable inet %[1]s {\n%[2]s\n}\n", table, chains)
}

// Listen listens on a TCP address of the machine, such as 127.0.0.1:0.
func (m *Machine) Listen(ctx context.Context, address string) (net.Listener, error) {
	return Within(m.Namespace(), func() (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	})
}

// Within makes a socket in a network namespace, given by its path: it stays there.
func Within[Socket any](namespace string, open func() (Socket, error)) (Socket, error) {
	type result struct {
		socket Socket
		err    error
	}
	results := make(chan result)
	go func() {
		// The thread is not used again: it ends with this goroutine.
		runtime.LockOSThread()
		var r result
		if r.err = enter(namespace); r.err == nil {
			r.socket, r.err = open()
		}
		results <- r
	}()
	r := <-results
	if r.err != nil {
		return r.socket, fmt.Errorf("making a socket in namespace %s: %w", namespace, r.err)
	}
	return r.socket, nil
}

// enter brings the thread into a network namespace.
func enter(path string) error {
	namespace, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET), namespace.Close())
}

// ip runs ip(8).
func ip(ctx context.Context, command string) error {
	output, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("running ip %s: %w: %s", command, err, strings.TrimSpace(string(output)))
	}
	return nil
}
