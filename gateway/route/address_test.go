package route

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
)

// behind returns proxies in some networks.
func behind(t *testing.T, networks string) *Proxies {
	t.Helper()
	trusted, err := ParseNetworks(networks)
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := NewProxies(trusted, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return proxies
}

func TestWhomARequestComesFrom(t *testing.T) {
	for name, test := range map[string]struct {
		peer      string
		forwarded []string
		trusted   string
		want      string
		shared    bool
	}{
		"without a proxy the peer counts":                             {peer: "192.0.2.1:1234", want: "192.0.2.1"},
		"without a proxy nothing that a client writes counts":         {peer: "192.0.2.1:1234", forwarded: []string{"198.51.100.9"}, want: "192.0.2.1"},
		"a proxy that is not trusted counts, for many":                {peer: "10.0.0.1:1", forwarded: []string{"198.51.100.9"}, want: "10.0.0.1", shared: true},
		"a private address without a proxy may be that of many":       {peer: "10.0.0.1:1", want: "10.0.0.1", shared: true},
		"so may one of a unique local network":                        {peer: "[fd00::1]:1", want: "fd00::1", shared: true},
		"so may one of a carrier's network":                           {peer: "100.64.0.1:1", want: "100.64.0.1", shared: true},
		"behind a proxy what it wrote counts":                         {peer: "10.0.0.1:1", forwarded: []string{"198.51.100.9"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
		"behind a proxy what the client wrote before does not count":  {peer: "10.0.0.1:1", forwarded: []string{"203.0.113.5, 198.51.100.9"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
		"nor when it wrote the address of a proxy":                    {peer: "10.0.0.1:1", forwarded: []string{"203.0.113.5, 10.0.0.9, 198.51.100.9"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
		"nor in a header of its own":                                  {peer: "10.0.0.1:1", forwarded: []string{"203.0.113.5", "198.51.100.9"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
		"behind two proxies what the outer one wrote counts":          {peer: "10.0.0.1:1", forwarded: []string{"203.0.113.5, 198.51.100.9", "192.0.2.7"}, trusted: "10.0.0.0/8,192.0.2.0/24", want: "198.51.100.9"},
		"a proxy of another network is not trusted":                   {peer: "10.1.0.1:1", forwarded: []string{"198.51.100.9"}, trusted: "10.0.0.0/16", want: "10.1.0.1", shared: true},
		"a client on a private network, told by a proxy, is one":      {peer: "10.0.0.1:1", forwarded: []string{"172.16.0.9"}, trusted: "10.0.0.0/8", want: "172.16.0.9"},
		"a client in a trusted network is the first of all":           {peer: "10.0.0.1:1", forwarded: []string{"10.0.0.3, 10.0.0.2"}, trusted: "10.0.0.0/8", want: "10.0.0.3"},
		"a proxy that writes nothing is the client, for many":         {peer: "10.0.0.1:1", trusted: "10.0.0.0/8", want: "10.0.0.1", shared: true},
		"what is no address does not count":                           {peer: "10.0.0.1:1", forwarded: []string{"198.51.100.9, unknown"}, trusted: "10.0.0.0/8", want: "10.0.0.1", shared: true},
		"before what is no address the proxy counts that wrote it":    {peer: "10.0.0.1:1", forwarded: []string{"unknown, 10.0.0.2"}, trusted: "10.0.0.0/8", want: "10.0.0.2"},
		"an empty header is none":                                     {peer: "10.0.0.1:1", forwarded: []string{""}, trusted: "10.0.0.0/8", want: "10.0.0.1", shared: true},
		"a port does not matter":                                      {peer: "10.0.0.1:1", forwarded: []string{"198.51.100.9:4711"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
		"nor does that of an IPv6 address":                            {peer: "10.0.0.1:1", forwarded: []string{"[2001:db8::1]:4711"}, trusted: "10.0.0.0/8", want: "2001:db8::1"},
		"nor do brackets":                                             {peer: "10.0.0.1:1", forwarded: []string{"[2001:db8::1]"}, trusted: "10.0.0.0/8", want: "2001:db8::1"},
		"a mapped address is an IPv4 address":                         {peer: "[::ffff:192.0.2.1]:1234", want: "192.0.2.1"},
		"a mapped address is trusted as the IPv4 address that it is":  {peer: "[::ffff:10.0.0.1]:1", forwarded: []string{"::ffff:198.51.100.9"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
		"an IPv6 address loses its zone":                              {peer: "10.0.0.1:1", forwarded: []string{"fe80::1%eth0"}, trusted: "10.0.0.0/8", want: "fe80::1"},
		"an IPv6 proxy is trusted whatever its interface is":          {peer: "[fe80::1%eth0]:1", forwarded: []string{"198.51.100.9"}, trusted: "fe80::/10", want: "198.51.100.9"},
		"of two headers the last is the nearest, whatever is in them": {peer: "10.0.0.1:1", forwarded: []string{"a, b, c", "198.51.100.9"}, trusted: "10.0.0.0/8", want: "198.51.100.9"},
	} {
		t.Run(name, func(t *testing.T) {
			request := &http.Request{RemoteAddr: test.peer, Header: http.Header{forwardedHeader: test.forwarded}}
			got := behind(t, test.trusted).Client(request)
			if got.Address.String() != test.want || got.Shared != test.shared {
				t.Errorf("got %v, shared %v; want %s, %v", got.Address, got.Shared, test.want, test.shared)
			}
		})
	}
}

func TestNetworks(t *testing.T) {
	got, err := ParseNetworks(" 10.1.2.3/8, fd00::/8,,192.0.2.1/32")
	if err != nil || len(got) != 3 || got[0].String() != "10.0.0.0/8" || got[1].String() != "fd00::/8" || got[2].String() != "192.0.2.1/32" {
		t.Errorf("got %v and %v", got, err)
	}
	for _, text := range []string{"10.0.0.1", "10.0.0.0/33", "0.0.0.0/0", "10.0.0.0/8,::/0", "proxy", "1", "::ffff:10.0.0.0/104"} {
		if got, err := ParseNetworks(text); err == nil || !strings.Contains(err.Error(), text[strings.LastIndexByte(text, ',')+1:]) {
			t.Errorf("%s: got %v and %v", text, got, err)
		}
	}
}

func TestAProxyThatNobodyHasNamedIsNoticed(t *testing.T) {
	lines := 0
	log := funcr.New(func(_, text string) {
		lines++
		if !strings.Contains(text, "--trusted-proxy-networks") || !strings.Contains(text, "10.9.0.1") || strings.Contains(text, "198.51.100.9") {
			t.Errorf("the log says %s", text)
		}
	}, funcr.Options{})
	proxies := behind(t, "10.0.0.0/16")
	ctx := logr.NewContext(t.Context(), log)
	ask := func(peer string, header http.Header) {
		proxies.Client((&http.Request{RemoteAddr: peer, Header: header}).WithContext(ctx))
	}
	ask("10.9.0.1:1", nil)
	ask("10.0.0.1:1", http.Header{forwardedHeader: {"198.51.100.9"}})
	if lines != 0 || value(proxies.ignored) != 0 {
		t.Errorf("where nothing is wrong there are %d lines, and %v is counted", lines, value(proxies.ignored))
	}
	for range 100 {
		ask("10.9.0.1:1", http.Header{forwardedHeader: {"198.51.100.9"}})
	}
	if lines != 1 || value(proxies.ignored) != 100 {
		t.Errorf("of 100 requests there are %d lines, and %v are counted, want 1 and 100", lines, value(proxies.ignored))
	}
	now := time.Now()
	for _, after := range []time.Duration{warnInterval / 2, warnInterval + time.Minute, warnInterval + 2*time.Minute} {
		proxies.ignore(ctx, netip.MustParseAddr("10.9.0.1"), now.Add(after))
	}
	if lines != 2 {
		t.Errorf("an hour later there are %d lines, want 2", lines)
	}
	// Without a log nothing is told, and nothing breaks.
	proxies.ignore(context.Background(), netip.Addr{}, now.Add(3*warnInterval))
}

func TestWhatCountsAsOneClient(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::beef": "2001:db8:1:2::/64",
	} {
		if got := (Client{Address: netip.MustParseAddr(address)}).Prefix(); got.String() != want {
			t.Errorf("%s counts as %v, want %s", address, got, want)
		}
	}
	if got := (Client{}).Prefix(); got.IsValid() {
		t.Errorf("no address counts as %v, want none", got)
	}
	for address, want := range map[string]bool{"192.0.2.1": true, "2001:db8::1": true, "::ffff:192.0.2.1": true, "10.0.0.1": false, "127.0.0.1": false, "203.0.113.1": false} {
		if _, got := behind(t, "203.0.113.0/24").Bound(netip.MustParseAddr(address)); got != want {
			t.Errorf("connections from %s are bounded: got %v", address, got)
		}
	}
}

func TestReadingWhomARequestComesFromIsLinear(t *testing.T) {
	proxies := behind(t, "10.0.0.0/8")
	ask := func(header string) float64 {
		request := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{forwardedHeader: {header}}}
		return testing.AllocsPerRun(10, func() { proxies.Client(request) })
	}
	for _, entry := range []string{"10.0.0.1,", ",", "x,", "::,", "[", "10.0.0.1:1,"} {
		if few, many := ask(strings.Repeat(entry, 10)), ask(strings.Repeat(entry, (16<<10)/len(entry))); many > few+4 {
			t.Errorf("%q: %v allocations for 10 entries, %v for 16 KiB of them", entry, few, many)
		}
	}
}

func TestTheBoundsOfAHandshakeAreThoseThatTheDocumentationSays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| `sessionId` of a signalling socket | %d bytes; its query %d |", maxKeyLength, maxQueryLength),
		fmt.Sprintf("| a signalling socket whose client says nothing | %.0f s |", silenceTimeout.Seconds()),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/rest.md has no row that begins with %s", row)
		}
	}
}
