package route

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	for name, test := range map[string]struct {
		peer      string
		forwarded []string
		proxies   int
		want      string
	}{
		"without a proxy the peer counts":                            {peer: "192.0.2.1:1234", want: "192.0.2.1"},
		"without a proxy nothing that a client writes counts":        {peer: "192.0.2.1:1234", forwarded: []string{"198.51.100.9"}, want: "192.0.2.1"},
		"behind a proxy what it wrote counts":                        {peer: "10.0.0.1:1", forwarded: []string{"198.51.100.9"}, proxies: 1, want: "198.51.100.9"},
		"behind a proxy what the client wrote before does not count": {peer: "10.0.0.1:1", forwarded: []string{"203.0.113.5, 198.51.100.9"}, proxies: 1, want: "198.51.100.9"},
		"behind two proxies what the outer one wrote counts":         {peer: "10.0.0.1:1", forwarded: []string{"203.0.113.5, 198.51.100.9", "10.0.0.2"}, proxies: 2, want: "198.51.100.9"},
		"fewer entries than proxies give the first":                  {peer: "10.0.0.1:1", forwarded: []string{"198.51.100.9"}, proxies: 3, want: "198.51.100.9"},
		"a proxy that writes nothing is the client":                  {peer: "10.0.0.1:1", proxies: 1, want: "10.0.0.1"},
		"what is no address does not count":                          {peer: "10.0.0.1:1", forwarded: []string{"unknown"}, proxies: 1, want: "10.0.0.1"},
		"a mapped address is an IPv4 address":                        {peer: "[::ffff:192.0.2.1]:1234", want: "192.0.2.1"},
		"an IPv6 address loses its zone":                             {peer: "10.0.0.1:1", forwarded: []string{"fe80::1%eth0"}, proxies: 1, want: "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			request := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			if got := ClientAddress(request, test.proxies); got.String() != test.want {
				t.Errorf("ClientAddress = %v, want %s", got, test.want)
			}
		})
	}
}

func TestLimitPrefix(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::beef": "2001:db8:1:2::/64",
	} {
		if got := limitPrefix(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("limitPrefix(%s) = %v, want %s", address, got, want)
		}
	}
	if got := limitPrefix(netip.Addr{}); got.IsValid() {
		t.Errorf("limitPrefix of no address = %v, want none", got)
	}
}
