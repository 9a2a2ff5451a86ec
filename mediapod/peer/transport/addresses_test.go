package transport

import (
	"net/netip"
	"testing"
)

func TestAnAddressBook(t *testing.T) {
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port) }
	b := newAddressBook[string]()
	for port := range uint16(maxAddresses + 2) {
		b.add("a", at(port))
	}
	check := func(when string, want map[uint16]string) {
		t.Helper()
		for port, peer := range want {
			if got := b.peer(at(port)); got != peer {
				t.Errorf("%s, %q is at %d, want %q", when, got, port, peer)
			}
		}
	}
	check("with more than fit", map[uint16]string{0: "", 1: "", 2: "a", maxAddresses + 1: "a"})

	b.add("b", at(5))
	b.add("a", at(100)) // takes the place of what b has
	check("after another peer came", map[uint16]string{2: "a", 5: "b", 100: "a"})

	b.add("a", at(2)) // again: now it is the newest
	b.add("a", at(101))
	check("after an address was noted again", map[uint16]string{2: "a", 3: "", 101: "a"})

	b.forget(at(101))
	b.forget(at(101))
	b.add("a", at(102))
	check("after one was forgotten", map[uint16]string{4: "a", 101: "", 102: "a"})

	b.remove("a")
	check("after a peer has gone", map[uint16]string{2: "", 5: "b", 102: ""})
	b.remove("b")
	if n := len(b.peers); n != 0 || len(b.addresses) != 0 {
		t.Errorf("%d addresses of %d peers are left", n, len(b.addresses))
	}
}
