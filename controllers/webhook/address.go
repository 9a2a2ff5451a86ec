package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errForbiddenAddress marks an endpoint whose address is not called.
var errForbiddenAddress = errors.New("the address may not be called")

// Guard says which addresses may be called. A tenant names URLs that the operator then calls from
// within the cluster, past the network policies that hold for the tenant's own pods: what only the
// cluster, a node or the pod itself can reach must not be among them, unless the platform team says
// so. The zero value allows public addresses and nothing else.
type Guard struct {
	// Allowed are networks that may be called although they are not public, or are the cluster's.
	Allowed []netip.Prefix
	// Forbidden are networks that may not be called, whatever else is said.
	Forbidden []netip.Prefix
	// Owned says whether an address is the cluster's own: those of nodes and pods may be public.
	// nil is none.
	Owned func(context.Context, netip.Addr) (bool, error)
}

// Networks that are special (RFC 6890 and its registries) within what is otherwise global: all of
// IPv4, and 2000::/3 of IPv6.
var special = prefixes(
	// "This" network, private, shared with a provider (CGNAT), loopback, link-local.
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
	// Protocol assignments, documentation, relays of 6to4, benchmarks, multicast, reserved.
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	// What virtual machines of Azure ask for their settings: the one cloud metadata address outside
	// all of these.
	"168.63.129.16/32",
	// Protocol assignments (Teredo among them), documentation, 6to4.
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	// nat64 and sixToFour hold an IPv4 address, which packets to them are passed on to.
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// check returns an error for an address that may not be called.
func (g Guard) check(ctx context.Context, address netip.Addr) error {
	address = address.Unmap().WithZone("")
	if network, found := find(g.Forbidden, address); found {
		return fmt.Errorf("%s is in %s, which is forbidden: %w", address, network, errForbiddenAddress)
	}
	// An address that leads to another one is as good as both.
	if inner, found := embedded(address); found {
		if err := g.check(ctx, inner); err != nil {
			return err
		}
	}
	if _, allowed := find(g.Allowed, address); allowed {
		return nil
	}
	if network, found := find(special, address); found {
		return fmt.Errorf("%s is in %s, which is not public and not allowed: %w", address, network, errForbiddenAddress)
	}
	if address.Is6() && !globalIPv6.Contains(address) {
		return fmt.Errorf("%s is not public and not allowed: %w", address, errForbiddenAddress)
	}
	if g.Owned == nil {
		return nil
	}
	owned, err := g.Owned(ctx, address)
	if err != nil {
		return err
	}
	if owned {
		return fmt.Errorf("%s is an address of the cluster and not allowed: %w", address, errForbiddenAddress)
	}
	return nil
}

// control checks the address that is about to be connected to, after every look-up of names: a name
// that changes is no way around it.
func (g Guard) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address: %w", err)
	}
	return g.check(ctx, target.Addr())
}

// embedded returns the IPv4 address that an IPv6 address stands for.
func embedded(address netip.Addr) (netip.Addr, bool) {
	bytes := address.As16()
	switch {
	case nat64.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[12:])), true
	case sixToFour.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[2:6])), true
	}
	return netip.Addr{}, false
}

func find(networks []netip.Prefix, address netip.Addr) (netip.Prefix, bool) {
	i := slices.IndexFunc(networks, func(network netip.Prefix) bool { return network.Contains(address) })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return networks[i], true
}

func prefixes(texts ...string) []netip.Prefix {
	networks := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		networks = append(networks, netip.MustParsePrefix(text))
	}
	return networks
}

// ParseNetworks reads networks that are written as CIDRs, separated by commas.
func ParseNetworks(list string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no network, which is written as 10.0.0.0/8 or fd00::/8", text)
		}
		if network.Addr().Is4In6() {
			// Addresses are looked at as the IPv4 addresses that they are: this network would hold
			// none.
			return nil, fmt.Errorf("%q holds IPv4 addresses in IPv6 notation: write them as IPv4", text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// OwnedBy returns what says whether an address is one of a node, or in a node's network of pods.
func OwnedBy(nodes client.Reader) func(context.Context, netip.Addr) (bool, error) {
	return func(ctx context.Context, address netip.Addr) (bool, error) {
		var list corev1.NodeList
		if err := nodes.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			return false, fmt.Errorf("listing Nodes: %w", err)
		}
		for i := range list.Items {
			if owns(&list.Items[i], address) {
				return true, nil
			}
		}
		return false, nil
	}
}

func owns(node *corev1.Node, address netip.Addr) bool {
	for _, own := range node.Status.Addresses {
		if parsed, err := netip.ParseAddr(own.Address); err == nil && parsed.Unmap() == address {
			return true
		}
	}
	for _, cidr := range node.Spec.PodCIDRs {
		if network, err := netip.ParsePrefix(cidr); err == nil && network.Contains(address) {
			return true
		}
	}
	return false
}
