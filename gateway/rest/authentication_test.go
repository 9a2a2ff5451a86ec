package rest

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func TestWrongPasswordsOfOneAddressAreBounded(t *testing.T) {
	var f failures
	start := time.Unix(1000, 0)
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range failuresAtOnce {
		if !f.take(one, start) {
			t.Fatalf("after %d failures the next is refused", i)
		}
	}
	if f.take(one, start) {
		t.Errorf("after %d failures the next is allowed", failuresAtOnce)
	}
	if !f.take(other, start) {
		t.Error("another address is refused")
	}
	if f.take(one, start.Add(failureRecovery-time.Nanosecond)) || !f.take(one, start.Add(failureRecovery)) {
		t.Errorf("the next is not allowed just after %s", failureRecovery)
	}
	f.giveBack(one)
	if !f.take(one, start.Add(failureRecovery)) || f.take(one, start.Add(failureRecovery)) {
		t.Error("one that was given back is not just one")
	}
	for i := range failuresAtOnce {
		if !f.take(one, start.Add(3*failuresAtOnce*failureRecovery)) {
			t.Errorf("only %d failures were forgotten", i)
		}
	}
}

func TestFailuresAreRememberedForTheirTime(t *testing.T) {
	const memory = failuresAtOnce * failureRecovery
	start := time.Unix(1000, 0)
	one := netip.MustParsePrefix("192.0.2.1/32")
	for at := time.Duration(0); at < 2*memory; at += memory / 8 {
		var f failures
		// Another generation begins somewhere in between.
		f.take(netip.MustParsePrefix("192.0.2.2/32"), start)
		for range failuresAtOnce {
			f.take(one, start.Add(at))
		}
		f.take(netip.MustParsePrefix("192.0.2.3/32"), start.Add(at+memory/2))
		allowed := 0
		for range failuresAtOnce {
			if f.take(one, start.Add(at+memory/2)) {
				allowed++
			}
		}
		if allowed != failuresAtOnce/2 {
			t.Errorf("beginning %s after the generation: half the time later %d are allowed, want %d", at, allowed, failuresAtOnce/2)
		}
	}
}

func TestFailuresOfManyAddressesNeedBoundedMemory(t *testing.T) {
	var f failures
	now := time.Unix(1000, 0)
	for i := range uint32(3 * maxFailing) {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], i)
		f.take(netip.PrefixFrom(netip.AddrFrom4(address), 32), now)
		if remembered := len(f.newer) + len(f.older); remembered > maxFailing {
			t.Fatalf("%d addresses are remembered", remembered)
		}
	}
}

func TestGuessingIsRefused(t *testing.T) {
	w := newWorld(t)
	ask := func(client, secret string) answer {
		request := w.request(0, http.MethodGet, "/sessions", "")
		request.Header.Set(clientHeader, client)
		if secret != "" {
			request.SetBasicAuth("OPENVIDUAPP", secret)
		}
		return w.do(request)
	}
	for range 2 * failuresAtOnce {
		if got := ask("192.0.2.1", ""); got.status != http.StatusUnauthorized {
			t.Fatalf("without credentials: got %d", got.status)
		}
	}
	for range failuresAtOnce {
		if got := ask("192.0.2.1", "WRONG"); got.status != http.StatusUnauthorized {
			t.Fatalf("with a wrong password: got %d", got.status)
		}
	}
	if got := ask("192.0.2.1", "WRONG"); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("after %d failures: got %d", failuresAtOnce, got.status)
	}
	for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
		if got := ask(client, password); got.status != http.StatusOK {
			t.Errorf("the right password from %s: got %d", client, got.status)
		}
	}
}
