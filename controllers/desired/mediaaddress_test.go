package desired

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

func media() *MediaAddresses {
	m := &MediaAddresses{}
	m.Set("host-ports", []*controlv1.TransportAddress{{Ip: "192.0.2.1", UdpPort: 20000, TcpPort: 20000}}, v1alpha1.PortRange{First: 20000, Last: 20999})
	m.Set("node-ports", []*controlv1.TransportAddress{{Ip: "2001:db8::1", UdpPort: 30001, TcpPort: 30002}}, v1alpha1.PortRange{})
	m.Set("standard", []*controlv1.TransportAddress{{Ip: "192.0.2.3", UdpPort: 3478, TcpPort: 5349}}, v1alpha1.PortRange{})
	return m
}

func TestICEServersOnMediaAddressesAreFound(t *testing.T) {
	m := media()
	for url, want := range map[string]bool{
		"stun:192.0.2.1:20000":                 true,
		"turn:192.0.2.1:20000?transport=udp":   true,
		"turns:192.0.2.1:20999?transport=tcp":  true, // another pod may be given it
		"stun:[::ffff:192.0.2.1]:20000":        true,
		"stun:192.0.2.1:19999":                 false,
		"stun:192.0.2.1:21000":                 false,
		"stun:192.0.2.1":                       false,
		"stun:192.0.2.2:20000":                 false,
		"stun:[2001:db8::1]:30001":             true,
		"stun:[2001:db8::1]:30002":             true,
		"stun:[2001:db8::1]:30003":             false,
		"stun:[2001:db8::1]":                   false,
		"stun:192.0.2.3":                       true,
		"stuns:192.0.2.3":                      true,
		"turn:192.0.2.3:3479":                  false,
		"stun:stun.example.org:20000":          false,
		"stun:stun.invalid":                    false,
		"stun:":                                false,
		"turn:turn.example.org?transport=tcp":  false,
		"stun:[2001:db8::2]:30001":             false,
		"turns:[2001:db8::1]:30001?transport=": true,
	} {
		if got := m.Ignored("iceServers", []v1alpha1.IceServer{{URL: "stun:other"}, {URL: url}}); (got != "") != want ||
			want && !strings.Contains(got, "iceServers[1] ("+url+")") {
			t.Errorf("%s: got %q", url, got)
		}
	}
	m.Set("host-ports", nil, v1alpha1.PortRange{})
	if m.has("stun:192.0.2.1:20000") {
		t.Error("a pool without pods has addresses")
	}
}

func TestClientsAreNotGivenICEServersOnMediaAddresses(t *testing.T) {
	const bad, good, pool = "stun:192.0.2.1:20000", "stun:192.0.2.9", "turn:turn.example.org"
	for sentence, test := range map[string]struct{ own, pool, want []string }{
		"the others are left":                      {[]string{bad, good}, []string{pool}, []string{good}},
		"without another, the pool's serve":        {[]string{bad}, []string{pool}, []string{pool}},
		"the pool's on media are left out as well": {nil, []string{bad, pool}, []string{pool}},
		"none is left":                             {[]string{bad}, []string{bad}, nil},
	} {
		c := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "guest"}}
		c.Spec.CustomIceServers = serversAt(test.own)
		in := input(c)
		in.IceServers, in.Media = serversAt(test.pool), media()
		var got []string
		for _, server := range Room(in).Connections[0].IceServers {
			got = append(got, server.Url)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", sentence, got, test.want)
		}
	}
}

func serversAt(urls []string) []v1alpha1.IceServer {
	var servers []v1alpha1.IceServer
	for _, url := range urls {
		servers = append(servers, v1alpha1.IceServer{URL: url})
	}
	return servers
}
