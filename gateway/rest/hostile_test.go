package rest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// onePassword is a tenant whose password is "right".
type onePassword struct{}

// Holder implements Tenants.
func (onePassword) Holder(_ context.Context, password string) (string, error) {
	if password == "right" {
		return "default", nil
	}
	return "", nil
}

// door is an API without a cluster: enough for everything that needs none.
func door(t *testing.T) *API {
	t.Helper()
	metrics, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &API{tenants: onePassword{}, metrics: metrics, bodyTimeout: bodyTimeout, address: func(*http.Request) netip.Prefix { return netip.MustParsePrefix("10.0.0.7/32") }}
}

// knock asks for the version with a password.
func knock(api http.Handler, password string) int {
	request := httptest.NewRequest(http.MethodGet, "/openvidu/api/config/openvidu-version", nil)
	request.SetBasicAuth(username, password)
	response := httptest.NewRecorder()
	api.ServeHTTP(response, request)
	return response.Code
}

func TestTheRightPasswordIsNeverRefusedForOthersWrongOnes(t *testing.T) {
	api := door(t)
	for range 3 * failuresAtOnce {
		knock(api, "wrong")
	}
	for range 3 * failuresAtOnce {
		if got := knock(api, "right"); got != http.StatusOK {
			t.Fatalf("after wrong passwords from the same address: got %d", got)
		}
	}
	if got := knock(api, "wrong"); got != http.StatusTooManyRequests {
		t.Errorf("a wrong one after many: got %d", got)
	}
}

func TestWrongPasswordsAtTheSameTimeAreCountedEach(t *testing.T) {
	api := door(t)
	tries := &sync.WaitGroup{}
	got := make(chan int, 10*failuresAtOnce)
	begin := make(chan struct{})
	api.tenants = gate{begin}
	for range cap(got) {
		tries.Go(func() { got <- knock(api, "wrong") })
	}
	close(begin)
	tries.Wait()
	close(got)
	refused := 0
	for status := range got {
		if status == http.StatusUnauthorized {
			refused++
		}
	}
	if refused > failuresAtOnce {
		t.Errorf("%d of %d wrong passwords at the same time were answered, want %d", refused, cap(got), failuresAtOnce)
	}
}

// gate is tenants that are looked up only when the gate is open.
type gate struct{ open <-chan struct{} }

// Holder implements Tenants.
func (g gate) Holder(context.Context, string) (string, error) {
	<-g.open
	return "", nil
}

func TestABodyThatNeverComesEndsTheConnection(t *testing.T) {
	api := door(t)
	api.bodyTimeout = 50 * time.Millisecond
	server := httptest.NewServer(api)
	defer server.Close()
	for name, head := range map[string]string{
		"without credentials": "POST /openvidu/api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
		"chunked":             "POST /openvidu/api/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"to no endpoint":      "PUT /openvidu/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"public":              "GET /openvidu/api/openapi.json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
				t.Errorf("got %q and %v, want an answer and the end of the connection", answer, err)
			}
		})
	}
}
