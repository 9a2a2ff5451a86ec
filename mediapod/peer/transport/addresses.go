package transport

import (
	"net/netip"
	"slices"
)

// maxAddresses is from how many addresses a peer may send: its candidates, and what becomes of them
// behind NATs that forget.
const maxAddresses = 16

// addressBook knows which peer is at a UDP address. A peer can be at several, at no more than 16:
// the one that it was first seen at is forgotten for the next. It is not safe for concurrent use.
type addressBook[P comparable] struct {
	peers     map[netip.AddrPort]P
	addresses map[P][]netip.AddrPort // the oldest first
}

// newAddressBook returns an empty one.
func newAddressBook[P comparable]() addressBook[P] {
	return addressBook[P]{peers: map[netip.AddrPort]P{}, addresses: map[P][]netip.AddrPort{}}
}

// peer returns who is at an address; the zero value for nobody.
func (b addressBook[P]) peer(address netip.AddrPort) P { return b.peers[address] }

// add notes that a peer is at an address, and nobody else any more.
func (b addressBook[P]) add(peer P, address netip.AddrPort) {
	b.forget(address)
	addresses := b.addresses[peer]
	if len(addresses) == maxAddresses {
		delete(b.peers, addresses[0])
		addresses = slices.Delete(addresses, 0, 1)
	}
	b.peers[address] = peer
	b.addresses[peer] = append(addresses, address)
}

// forget notes that nobody is at an address.
func (b addressBook[P]) forget(address netip.AddrPort) {
	peer, ok := b.peers[address]
	if !ok {
		return
	}
	delete(b.peers, address)
	b.addresses[peer] = slices.DeleteFunc(b.addresses[peer], func(other netip.AddrPort) bool { return other == address })
}

// remove forgets a peer.
func (b addressBook[P]) remove(peer P) {
	for _, address := range b.addresses[peer] {
		delete(b.peers, address)
	}
	delete(b.addresses, peer)
}
