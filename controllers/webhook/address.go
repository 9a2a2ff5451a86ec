package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// errForbiddenAddress marks an endpoint whose address is not called.
var errForbiddenAddress = errors.New("the address may not be called")

// Guard says which addresses may be called. A tenant names URLs that the operator then calls from within the cluster: what only the node or the
// pod itself can reach must not be among them. The zero value allows what is neither loopback nor link-local.
type Guard struct {
	// AllowLocal allows loopback and link-local addresses, too.
	AllowLocal bool
	// Forbidden are further networks that may not be called.
	Forbidden []netip.Prefix
}

// check returns an error for an address that may not be called.
func (g Guard) check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	local := address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsUnspecified() || address.IsMulticast()
	if local && !g.AllowLocal {
		return fmt.Errorf("%s is loopback, link-local or multicast: %w", address, errForbiddenAddress)
	}
	for _, network := range g.Forbidden {
		if network.Contains(address) {
			return fmt.Errorf("%s is in %s, which is forbidden: %w", address, network, errForbiddenAddress)
		}
	}
	return nil
}

// control checks the address that is about to be connected to, after every look-up of names: a name that changes is no way around it.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address: %w", err)
	}
	return g.check(target.Addr())
}
