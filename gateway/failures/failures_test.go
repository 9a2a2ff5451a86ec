package failures

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestFailuresOfOneAddressAreBounded(t *testing.T) {
	var f Counter
	start := time.Unix(1000, 0)
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range AtOnce {
		if !f.Take(one, start) {
			t.Fatalf("after %d failures the next is refused", i)
		}
	}
	if f.Take(one, start) {
		t.Errorf("after %d failures the next is allowed", AtOnce)
	}
	if !f.Take(other, start) {
		t.Error("another address is refused")
	}
	if f.Take(one, start.Add(Recovery-time.Nanosecond)) || !f.Take(one, start.Add(Recovery)) {
		t.Errorf("the next is not allowed just after %s", Recovery)
	}
	f.GiveBack(one)
	if !f.Take(one, start.Add(Recovery)) || f.Take(one, start.Add(Recovery)) {
		t.Error("one that was given back is not just one")
	}
	for i := range AtOnce {
		if !f.Take(one, start.Add(3*AtOnce*Recovery)) {
			t.Errorf("only %d failures were forgotten", i)
		}
	}
}

func TestFailuresAreRememberedForTheirTime(t *testing.T) {
	const memory = AtOnce * Recovery
	start := time.Unix(1000, 0)
	one := netip.MustParsePrefix("192.0.2.1/32")
	for at := time.Duration(0); at < 2*memory; at += memory / 8 {
		var f Counter
		// Another generation begins somewhere in between.
		f.Take(netip.MustParsePrefix("192.0.2.2/32"), start)
		for range AtOnce {
			f.Take(one, start.Add(at))
		}
		f.Take(netip.MustParsePrefix("192.0.2.3/32"), start.Add(at+memory/2))
		allowed := 0
		for range AtOnce {
			if f.Take(one, start.Add(at+memory/2)) {
				allowed++
			}
		}
		if allowed != AtOnce/2 {
			t.Errorf("beginning %s after the generation: half the time later %d are allowed, want %d", at, allowed, AtOnce/2)
		}
	}
}

func TestFailuresOfManyAddressesNeedBoundedMemory(t *testing.T) {
	var f Counter
	now := time.Unix(1000, 0)
	for i := range uint32(3 * MaxAddresses) {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], i)
		f.Take(netip.PrefixFrom(netip.AddrFrom4(address), 32), now)
		if remembered := len(f.newer) + len(f.older); remembered > MaxAddresses {
			t.Fatalf("%d addresses are remembered", remembered)
		}
	}
}
