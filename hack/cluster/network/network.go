// Package network makes and removes the network of an instance: a bridge in the
// machine's own network namespace, and per node a namespace that a veth pair
// connects to the bridge. Nodes reach each other's pods, and the machine
// reaches all pods, by routes; there is no address translation, and the
// machine's own firewall rules and forwarding stay as they are.
package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

// namespaces is where ip-netns(8) keeps names of network namespaces.
const namespaces = "/run/netns"

// EnsureBridge creates the instance's bridge unless it is there.
func EnsureBridge(ctx context.Context, i instance.Instance) error {
	if exists(i.Bridge()) {
		return nil
	}
	if err := checkFree(i); err != nil {
		return err
	}
	return steps(ctx,
		"link add "+i.Bridge()+" type bridge",
		"address add "+i.BridgeAddr().String()+" dev "+i.Bridge(),
		"link set "+i.Bridge()+" up",
	)
}

// checkFree refuses to work when the machine uses the instance's addresses for
// something else.
func checkFree(i instance.Instance) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("listing the network interfaces: %w", err)
	}
	for _, other := range interfaces {
		addresses, err := other.Addrs()
		if err != nil {
			return fmt.Errorf("listing the addresses of %s: %w", other.Name, err)
		}
		for _, address := range addresses {
			prefix, err := netip.ParsePrefix(address.String())
			if err == nil && !strings.HasPrefix(other.Name, "mr-") && prefix.Overlaps(i.Range()) {
				return fmt.Errorf("the addresses %s, which the cluster needs, are in use: %s has %s", i.Range(), other.Name, prefix)
			}
		}
	}
	return nil
}

// CreateNode makes a node's namespace and link anew; what an earlier life of the
// node left (addresses, firewall rules) goes first. No process of the node may
// run.
func CreateNode(ctx context.Context, n instance.Node) error {
	if err := RemoveNode(ctx, n); err != nil {
		return err
	}
	inside := "-n " + n.Netns() + " "
	commands := []string{
		"netns add " + n.Netns(),
		"link add " + n.Veth() + " type veth peer name eth0 address " + n.MAC() + " netns " + n.Netns(),
		"link set " + n.Veth() + " master " + n.Instance.Bridge() + " up",
		inside + "link set lo up",
		inside + fmt.Sprintf("address add %s/%d dev eth0", n.IP(), n.Instance.BridgeAddr().Bits()),
		inside + "link set eth0 up",
		inside + "route add default via " + n.Instance.BridgeAddr().Addr().String(),
		fmt.Sprintf("route replace %s via %s dev %s", n.PodSubnet(), n.IP(), n.Instance.Bridge()),
	}
	for _, other := range n.Instance.Nodes() {
		if other.Name != n.Name {
			commands = append(commands, inside+fmt.Sprintf("route add %s via %s", other.PodSubnet(), other.IP()))
		}
	}
	return steps(ctx, commands...)
}

// Disconnect takes a node's link down: to everybody else, the node falls
// silent, as a machine does that lost its power.
func Disconnect(ctx context.Context, n instance.Node) error {
	return steps(ctx, "link set "+n.Veth()+" down")
}

// RemoveNode removes a node's namespace and link.
func RemoveNode(ctx context.Context, n instance.Node) error {
	if exists(n.Veth()) {
		if err := steps(ctx, "link delete "+n.Veth()); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(namespaces, n.Netns())); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return steps(ctx, "netns delete "+n.Netns())
}

// Remove removes all that EnsureBridge and CreateNode made.
func Remove(ctx context.Context, i instance.Instance) error {
	for _, n := range i.Nodes() {
		if err := RemoveNode(ctx, n); err != nil {
			return err
		}
	}
	if !exists(i.Bridge()) {
		return nil
	}
	return steps(ctx, "link delete "+i.Bridge())
}

// exists tells whether the machine has a network interface.
func exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// NamespacePath is the path of a node's network namespace.
func NamespacePath(n instance.Node) string { return filepath.Join(namespaces, n.Netns()) }

// steps runs ip(8) once per command line, and stops at the first that fails.
func steps(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		output, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("running ip %s: %w: %s", command, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
