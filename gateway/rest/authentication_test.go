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
		if !f.allow(one, start) {
			t.Fatalf("after %d failures the next is refused", i)
		}
		f.add(one, start)
	}
	if f.allow(one, start) {
		t.Errorf("after %d failures the next is allowed", failuresAtOnce)
	}
	if !f.allow(other, start) {
		t.Error("another address is refused")
	}
	if f.allow(one, start.Add(failureRecovery-time.Nanosecond)) || !f.allow(one, start.Add(failureRecovery)) {
		t.Errorf("the next is not allowed just after %s", failureRecovery)
	}
	if !f.allow(one, start.Add(failuresAtOnce*failureRecovery)) {
		t.Error("the failures are never forgotten")
	}
}

func TestFailuresOfManyAddressesNeedBoundedMemory(t *testing.T) {
	var f failures
	now := time.Unix(1000, 0)
	for i := range uint32(2 * maxFailing) {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], i)
		f.add(netip.PrefixFrom(netip.AddrFrom4(address), 32), now)
		now = now.Add(failureRecovery / maxFailing / 2)
	}
	if len(f.until) > maxFailing {
		t.Errorf("%d addresses are remembered", len(f.until))
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
	// Once it may not guess, it learns nothing from the right one.
	for _, secret := range []string{"WRONG", password} {
		if got := ask("192.0.2.1", secret); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
			t.Errorf("after %d failures: got %d", failuresAtOnce, got.status)
		}
	}
	if got := ask("192.0.2.2", password); got.status != http.StatusOK {
		t.Errorf("another address: got %d", got.status)
	}
}
