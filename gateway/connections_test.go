package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/test/wait"
)

const patience = 30 * time.Second

func newBounds(t *testing.T, maxTotal, maxPerAddress int, bound func(netip.Addr) (netip.Prefix, bool)) *connections {
	t.Helper()
	c, err := newConnections(maxTotal, maxPerAddress, bound, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everyAddress bounds each address.
func everyAddress(peer netip.Addr) (netip.Prefix, bool) {
	return netip.PrefixFrom(peer, peer.BitLen()), true
}

// refusals returns how many connections were refused for a reason.
func (c *connections) refusals(t *testing.T, reason string) float64 {
	t.Helper()
	var written dto.Metric
	if err := c.refused.WithLabelValues(reason).Write(&written); err != nil {
		t.Fatal(err)
	}
	return written.GetCounter().GetValue()
}

func TestConnectionsAreBounded(t *testing.T) {
	c := newBounds(t, 3, 2, everyAddress)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	enter := func(peer netip.Addr, want string) func() {
		t.Helper()
		leave, refusal := c.enter(peer)
		if refusal != want {
			t.Fatalf("from %s: got %q, want %q", peer, refusal, want)
		}
		return leave
	}
	enter(one, "")
	leave := enter(one, "")
	enter(one, "address_limit")
	enter(two, "")
	enter(two, "total_limit")
	leave()
	enter(one, "")
	enter(one, "total_limit")

	unbounded := newBounds(t, 0, 0, everyAddress)
	for range 10 {
		if _, refusal := unbounded.enter(one); refusal != "" {
			t.Fatalf("without bounds: got %q", refusal)
		}
	}
}

func TestProxiesAreOnlyBoundedInAll(t *testing.T) {
	trusted, err := route.ParseNetworks("203.0.113.0/24")
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := route.NewProxies(trusted, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := newBounds(t, 9, 1, proxies.Bound)
	for _, peer := range []string{"203.0.113.1", "10.0.0.1", "fd00::1"} {
		for i := range 2 {
			if _, refusal := c.enter(netip.MustParseAddr(peer)); refusal != "" {
				t.Errorf("connection %d of %s: got %q", i, peer, refusal)
			}
		}
	}
	for _, peer := range []string{"198.51.100.1", "2001:db8::1"} {
		if _, refusal := c.enter(netip.MustParseAddr(peer)); refusal != "" {
			t.Errorf("the first connection of %s: got %q", peer, refusal)
		}
	}
	if _, refusal := c.enter(netip.MustParseAddr("2001:db8::2")); refusal != "address_limit" {
		t.Errorf("the second connection of a /64: got %q", refusal)
	}
	if len(c.perAddress) != 2 {
		t.Errorf("%d addresses are counted", len(c.perAddress))
	}
}

func TestWhatIsBeyondTheBoundsIsClosedAtOnce(t *testing.T) {
	c := newBounds(t, 0, 2, everyAddress)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Listener = c.listen(server.Listener)
	server.Start()
	defer server.Close()
	var open []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	wait.For(t, patience, "the refusal of one", wait.True(func() bool { return c.refusals(t, "address_limit") == 1 }))
	if err := open[2].SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := open[2].Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the connection that is too many: got %d bytes and %v", n, err)
	}
	// One that ends, in whatever way, makes room for another.
	_ = open[0].Close()
	wait.For(t, patience, "another to be served", wait.True(func() bool {
		response, err := http.Get(server.URL)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, response.Body)
		return response.Body.Close() == nil && response.StatusCode == http.StatusNotFound
	}))
}

func TestEveryServerIsBoundedInTime(t *testing.T) {
	server := (&Gateway{}).server(t.Context(), "127.0.0.1:0", http.NotFoundHandler())
	for name, got := range map[string]time.Duration{
		"ReadHeaderTimeout": server.ReadHeaderTimeout, "ReadTimeout": server.ReadTimeout, "WriteTimeout": server.WriteTimeout, "IdleTimeout": server.IdleTimeout,
	} {
		if got <= 0 || got > 5*time.Minute {
			t.Errorf("%s is %s", name, got)
		}
	}
	if server.MaxHeaderBytes <= 0 || server.MaxHeaderBytes > 64<<10 {
		t.Errorf("MaxHeaderBytes is %d", server.MaxHeaderBytes)
	}
	// A body that does not come is waited for, and then the connection ends: also for those who
	// need no body.
	server.ReadTimeout = 100 * time.Millisecond
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection did not end: %v", err)
	}
}

func TestTheBoundsAreThoseThatTheDocumentationSays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| header | %d KiB, %.0f s |", maxHeaderBytes>>10, readHeaderTimeout.Seconds()),
		fmt.Sprintf("| a request with its body | %.0f s |", readTimeout.Seconds()),
		fmt.Sprintf("| an answer that is not read | %.0f min |", writeTimeout.Minutes()),
		fmt.Sprintf("| a connection without a request | %.0f min |", idleTimeout.Minutes()),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/rest.md has no row that begins with %s", row)
		}
	}
}
