package signalling

import (
	"net/netip"
	"testing"
	"time"
)

func TestAddressesOfOneIPv6NetworkAreOne(t *testing.T) {
	rates := DefaultLimits().Address
	rates.Joins = Rate{PerSecond: 1, Burst: 1}
	a := newAddresses(rates)
	now := time.Now()
	join := func(address string, now time.Time) bool {
		b := a.enter(netip.MustParseAddr(address), now)
		defer a.leave(b)
		return b.join(now) == nil
	}
	for _, address := range []string{"2001:db8::1", "192.0.2.1", "2001:db8:1::1"} {
		if !join(address, now) {
			t.Errorf("%s has no attempt", address)
		}
	}
	for _, address := range []string{"2001:db8::ffff", "::ffff:192.0.2.1"} {
		if join(address, now) {
			t.Errorf("%s got another attempt", address)
		}
	}
	if !join("2001:db8::1", now.Add(time.Second)) {
		t.Error("no attempt a second later")
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	a := newAddresses(DefaultLimits().Address)
	now := time.Now()
	visit := func(n int, attempts int) *budget {
		b := a.enter(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), now)
		for range attempts {
			_ = b.join(now)
		}
		return b
	}
	present := visit(0, 0) // still there
	for n := range maxAddresses - 1 {
		a.leave(visit(n+1, n%2))
	}
	if got := len(a.budgets); got != maxAddresses {
		t.Fatalf("%d addresses", got)
	}
	a.leave(visit(maxAddresses, 1)) // those who made no attempt go
	if got := len(a.budgets); got < maxAddresses/2-1 || got > maxAddresses/2+2 {
		t.Errorf("%d addresses are left", got)
	}
	for n := range maxAddresses {
		a.leave(visit(maxAddresses+1+n, 1))
	}
	if got := len(a.budgets); got > maxAddresses {
		t.Errorf("%d addresses", got)
	}
	if visit(0, 0) != present {
		t.Error("an address with a socket was forgotten")
	}
}
