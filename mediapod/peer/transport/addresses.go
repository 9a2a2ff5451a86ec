package transport

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses is from how many addresses a peer may send: its candidates, and what becomes of them
// behind NATs that forget.
const maxAddresses = 16

// addressBook knows which peer is at a UDP address, and which ones are at an IP address. A peer can
// be at several, at no more than 16: the one that it was first seen at is forgotten for the next.
// It is not safe for concurrent use.
type addressBook[P comparable] struct {
	peers     map[netip.AddrPort]P
	addresses map[P][]netip.AddrPort // the oldest first
	hosts     map[netip.Addr]*host[P]
}

// host is an IP address with peers, which may be that of a NAT.
type host[P comparable] struct {
	ports   map[P]int // how many each peer has
	lookups *rate.Limiter
}

// What looking for the sender of a packet may cost for each IP address, since it may be anybody's:
// one lookup for each peer that may be it.
const (
	lookupsPerSecond = 1000
	lookupsAtOnce    = 10_000
)

// newAddressBook returns an empty one.
func newAddressBook[P comparable]() addressBook[P] {
	return addressBook[P]{peers: map[netip.AddrPort]P{}, addresses: map[P][]netip.AddrPort{}, hosts: map[netip.Addr]*host[P]{}}
}

// peer returns who is at an address; the zero value for nobody.
func (b addressBook[P]) peer(address netip.AddrPort) P { return b.peers[address] }

// add notes that a peer is at an address, and nobody else any more.
func (b addressBook[P]) add(peer P, address netip.AddrPort) {
	b.forget(address)
	if addresses := b.addresses[peer]; len(addresses) == maxAddresses {
		b.forget(addresses[0])
	}
	b.peers[address] = peer
	b.addresses[peer] = append(b.addresses[peer], address)
	at := b.hosts[address.Addr()]
	if at == nil {
		at = &host[P]{ports: map[P]int{}, lookups: rate.NewLimiter(lookupsPerSecond, lookupsAtOnce)}
		b.hosts[address.Addr()] = at
	}
	at.ports[peer]++
}

// forget notes that nobody is at an address.
func (b addressBook[P]) forget(address netip.AddrPort) {
	peer, ok := b.peers[address]
	if !ok {
		return
	}
	delete(b.peers, address)
	b.addresses[peer] = slices.DeleteFunc(b.addresses[peer], func(other netip.AddrPort) bool { return other == address })
	b.leave(peer, address.Addr())
}

// leave notes that a peer has one port less at an IP address.
func (b addressBook[P]) leave(peer P, ip netip.Addr) {
	at := b.hosts[ip]
	at.ports[peer]--
	if at.ports[peer] == 0 {
		delete(at.ports, peer)
	}
	if len(at.ports) == 0 {
		delete(b.hosts, ip)
	}
}

// neighbours returns the peers at an IP address, of which one may have come to another port of it.
// It returns none when they were asked for too often.
func (b addressBook[P]) neighbours(ip netip.Addr, now time.Time) []P {
	at := b.hosts[ip]
	if at == nil || !at.lookups.AllowN(now, len(at.ports)) {
		return nil
	}
	return slices.AppendSeq(make([]P, 0, len(at.ports)), maps.Keys(at.ports))
}

// remove forgets a peer.
func (b addressBook[P]) remove(peer P) {
	for _, address := range b.addresses[peer] {
		delete(b.peers, address)
		b.leave(peer, address.Addr())
	}
	delete(b.addresses, peer)
}
