package route

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// forwardedHeader is where proxies write whom they have the request from: each appends the address
// of its peer.
const forwardedHeader = "X-Forwarded-For"

// warnInterval is how often the log says at most that proxies are not trusted.
const warnInterval = time.Hour

// carrierNetwork is what many clouds number pods and load balancers from, apart from the private
// networks (RFC 6598).
var carrierNetwork = netip.MustParsePrefix("100.64.0.0/10")

// Client is whom a request comes from.
type Client struct {
	// Address is the client's, as far as it is known: the zero Addr when it is not at all.
	Address netip.Addr
	// Shared says that others may have the same address: it is on a private network and was not
	// told by a trusted proxy. It may be a proxy's that is not trusted, or a node's that hides the
	// clients' addresses. What one client does must then bound no other.
	Shared bool
}

// Prefix returns what counts as one client for limits: an IPv4 address, or the /64 of an IPv6
// address.
func (c Client) Prefix() netip.Prefix { return limitPrefix(c.Address) }

// limit returns what counts as one client where nobody must be kept out because of others; the zero
// Prefix when that can't be told.
func (c Client) limit() netip.Prefix {
	if c.Shared {
		return netip.Prefix{}
	}
	return c.Prefix()
}

// Proxies knows the proxies in front of the gateway, and so from whom requests come. Safe for
// concurrent use.
type Proxies struct {
	trusted []netip.Prefix
	ignored prometheus.Counter
	warned  atomic.Int64 // when the log was told last, in Unix nanoseconds
}

// NewProxies returns the proxies whose addresses are in some networks. It fails when the metrics
// are registered already.
func NewProxies(trusted []netip.Prefix, registry prometheus.Registerer) (*Proxies, error) {
	p := &Proxies{trusted: trusted, ignored: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mediarooms_gateway_untrusted_forwarded_requests_total",
		Help: "Requests whose X-Forwarded-For was ignored: the address that they came from is in none of --trusted-proxy-networks.",
	})}
	if err := registry.Register(p.ignored); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return p, nil
}

// ParseNetworks reads CIDRs that are separated by commas; none is no network.
func ParseNetworks(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		network, err := netip.ParsePrefix(part)
		switch {
		case err != nil || network.Addr().Is4In6():
			return nil, fmt.Errorf("%q is no network: it must be a CIDR such as 10.0.0.0/8 or fd00::/8", part)
		case network.Bits() == 0:
			return nil, fmt.Errorf("%q would trust what everybody writes: name the proxies' networks", part)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// Client returns whom a request comes from: the peer of the connection, or, when that is a trusted
// proxy, whom it has the request from, and so on while that is a trusted proxy, too. What a client
// writes into X-Forwarded-For itself counts for nothing.
func (p *Proxies) Client(r *http.Request) Client {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return Client{Shared: true}
	}
	nearest := peer.Addr().Unmap().WithZone("")
	values := r.Header.Values(forwardedHeader)
	if !p.Trusts(nearest) {
		if len(values) > 0 {
			p.ignore(r.Context(), nearest, time.Now())
		}
		return Client{Address: nearest, Shared: private(nearest)}
	}
	client := Client{Address: nearest, Shared: private(nearest)}
	for i := len(values) - 1; i >= 0; i-- {
		for rest := values[i]; rest != ""; {
			comma := strings.LastIndexByte(rest, ',')
			hop, ok := parseHop(rest[comma+1:])
			if !ok {
				// What the proxy is told of is no address: all that is known is the proxy that says
				// so.
				return client
			}
			client = Client{Address: hop}
			if !p.Trusts(hop) {
				return client
			}
			rest = rest[:max(comma, 0)]
		}
	}
	return client
}

// Trusts says whether an address is that of a trusted proxy.
func (p *Proxies) Trusts(address netip.Addr) bool {
	for _, network := range p.trusted {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// Bound returns what counts as one client for the bound of connections, by their peer's address;
// false for a proxy, or what may be one.
func (p *Proxies) Bound(peer netip.Addr) (netip.Prefix, bool) {
	peer = peer.Unmap().WithZone("")
	prefix := limitPrefix(peer)
	return prefix, prefix.IsValid() && !p.Trusts(peer) && !private(peer)
}

// ignore counts a request that says from where it comes, and can't be believed, and tells the log
// now and then: it is what a proxy that nobody has named looks like.
func (p *Proxies) ignore(ctx context.Context, peer netip.Addr, now time.Time) {
	p.ignored.Inc()
	last := p.warned.Load()
	if last != 0 && now.UnixNano()-last < int64(warnInterval) || !p.warned.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	logr.FromContextOrDiscard(ctx).Info("Ignoring X-Forwarded-For: if the sender is a proxy of yours, name its network in --trusted-proxy-networks. "+
		"Until then all its users count as one address", "sender", peer.String())
}

// parseHop reads an entry of X-Forwarded-For. Some proxies write the port, too.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Unmap().WithZone(""), true
	}
	if inner, found := strings.CutPrefix(text, "["); found {
		if address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil {
			return address.Unmap().WithZone(""), true
		}
	}
	withPort, err := netip.ParseAddrPort(text)
	return withPort.Addr().Unmap().WithZone(""), err == nil
}

// private says whether an address is on a private network.
func private(address netip.Addr) bool {
	return address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || carrierNetwork.Contains(address)
}

// limitPrefix returns what counts as one client for limits: an IPv4 address, or the /64 of an IPv6
// address.
func limitPrefix(address netip.Addr) netip.Prefix {
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
