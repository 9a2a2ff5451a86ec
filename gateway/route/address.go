package route

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddress returns the address that a request comes from: the peer of the connection, or, behind a number of trusted proxies, what the
// outermost of them wrote into X-Forwarded-For. What a client writes there itself counts for nothing.
func ClientAddress(r *http.Request, trustedProxies int) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	if trustedProxies <= 0 {
		return peer.Addr().Unmap()
	}
	// Each proxy appends the peer that it saw: the last entry is what the innermost, our peer, wrote.
	var hops []string
	for _, value := range r.Header.Values("X-Forwarded-For") {
		hops = append(hops, strings.Split(value, ",")...)
	}
	if len(hops) == 0 {
		return peer.Addr().Unmap()
	}
	hop := hops[max(0, len(hops)-trustedProxies)]
	address, err := netip.ParseAddr(strings.TrimSpace(hop))
	if err != nil {
		return peer.Addr().Unmap()
	}
	return address.Unmap().WithZone("")
}

// ClientPrefix returns what counts as one client for limits, for the address that a request comes from.
func ClientPrefix(r *http.Request, trustedProxies int) netip.Prefix {
	return limitPrefix(ClientAddress(r, trustedProxies))
}

// limitPrefix returns what counts as one client for limits: an IPv4 address, or the /64 of an IPv6 address.
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
