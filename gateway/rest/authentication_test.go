package rest

import (
	"net/http"
	"testing"

	"mediarooms.dev/mediarooms/gateway/failures"
)

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
	for range 2 * failures.AtOnce {
		if got := ask("192.0.2.1", ""); got.status != http.StatusUnauthorized {
			t.Fatalf("without credentials: got %d", got.status)
		}
	}
	for range failures.AtOnce {
		if got := ask("192.0.2.1", "WRONG"); got.status != http.StatusUnauthorized {
			t.Fatalf("with a wrong password: got %d", got.status)
		}
	}
	if got := ask("192.0.2.1", "WRONG"); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("after %d failures: got %d", failures.AtOnce, got.status)
	}
	for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
		if got := ask(client, password); got.status != http.StatusOK {
			t.Errorf("the right password from %s: got %d", client, got.status)
		}
	}
}
