package desired

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// MediaAddresses knows where clients reach the media pods of every pool, as the pools' controller
// has found last, so that nobody is given an ICE server there: Chromium would get no media over UDP
// (docs/adr/0017). The zero value and nil know none. Safe for concurrent use.
type MediaAddresses struct {
	mu    sync.RWMutex // guards pools
	pools map[string]poolAddresses
}

// poolAddresses is where the media pods of one pool are.
type poolAddresses struct {
	advertised []*controlv1.TransportAddress
	// ports are those that pods of the pool may be given on the advertised addresses; zero where
	// they are not ours to give.
	ports v1alpha1.PortRange
}

// Set notes where the pods of a pool are, and which ports they may be given; no address is none.
func (m *MediaAddresses) Set(pool string, advertised []*controlv1.TransportAddress, ports v1alpha1.PortRange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(advertised) == 0 {
		delete(m.pools, pool)
		return
	}
	if m.pools == nil {
		m.pools = make(map[string]poolAddresses)
	}
	m.pools[pool] = poolAddresses{advertised, ports}
}

// Ignored says which servers of a field are on a media address, for a condition; "" when none is.
// Host names are not resolved.
func (m *MediaAddresses) Ignored(field string, servers []v1alpha1.IceServer) string {
	var found []string
	for i, server := range servers {
		if m.has(server.URL) {
			found = append(found, fmt.Sprintf("%s[%d] (%s)", field, i, server.URL))
		}
	}
	if len(found) == 0 {
		return ""
	}
	return fmt.Sprintf("clients are not told %s: it is an address of media, from where Chromium would take nothing but STUN; name another port or host",
		strings.Join(found, ", "))
}

// Usable returns the servers that are not on a media address.
func (m *MediaAddresses) Usable(servers []v1alpha1.IceServer) []v1alpha1.IceServer {
	var usable []v1alpha1.IceServer
	for _, server := range servers {
		if !m.has(server.URL) {
			usable = append(usable, server)
		}
	}
	return usable
}

// has says whether the URL of an ICE server (RFC 7064, RFC 7065) names a media address.
func (m *MediaAddresses) has(url string) bool {
	address, ok := addressOf(url)
	if !ok || m == nil {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, pool := range m.pools {
		for _, advertised := range pool.advertised {
			ip, err := netip.ParseAddr(advertised.GetIp())
			if err != nil || ip.Unmap() != address.Addr() {
				continue
			}
			port := int32(address.Port())
			if port == advertised.GetUdpPort() || port == advertised.GetTcpPort() || port >= pool.ports.First && port <= pool.ports.Last {
				return true
			}
		}
	}
	return false
}

// Default ports of STUN and TURN (RFC 8489, section 8.1).
const (
	plainPort  = 3478
	securePort = 5349
)

// addressOf returns the address in the URL of an ICE server; false when it has a host name.
func addressOf(url string) (netip.AddrPort, bool) {
	scheme, rest, _ := strings.Cut(url, ":")
	rest, _, _ = strings.Cut(rest, "?")
	if address, err := netip.ParseAddrPort(rest); err == nil {
		return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), true
	}
	ip, err := netip.ParseAddr(strings.Trim(rest, "[]")) // brackets are around an IPv6 address
	if err != nil {
		return netip.AddrPort{}, false
	}
	port := uint16(plainPort)
	if strings.HasSuffix(scheme, "s") {
		port = securePort
	}
	return netip.AddrPortFrom(ip.Unmap(), port), true
}
