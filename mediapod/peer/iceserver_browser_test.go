//go:build e2e

package peer

import (
	"fmt"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/test/browser"
)

// What ICE servers do to media (docs/adr/0017): the ones that clients are given by default do no
// harm; one on the media address takes UDP away from Chromium, which is why nobody is given such a
// one.
func TestICEServersAndTheTransportOfMedia(t *testing.T) {
	own := ownAddress(t)
	for _, in := range []struct {
		name string
		open func(*testing.T) *tab
		// onMedia is over what media goes with an ICE server on the media address.
		onMedia string
	}{
		{"Chromium", openTab, "tcp"},
		{"Firefox", openFirefox, "udp"},
	} {
		e := newEngine(t, func(c *Config) { c.ListenIP = own })
		e.SetAdvertisedAddresses([]Address{{IP: own, UDPPort: e.UDPPort(), TCPPort: e.TCPPort()}})
		address := fmt.Sprintf("%s:%d", own, e.UDPPort())
		for _, with := range []struct {
			name    string
			servers any
			want    string
		}{
			{"none", nil, "udp"},
			{"the default", server(browser.DefaultICEServers[0]), "udp"},
			{"STUN on the media address", server("stun:" + address), in.onMedia},
			{"TURN on the media address", server("turn:" + address), in.onMedia},
			{"another one too", append(server("stun:"+address), server(browser.DefaultICEServers[0])...), in.onMedia},
		} {
			t.Run(in.name+"/"+with.name, func(t *testing.T) {
				b := in.open(t)
				b.page.UseICEServers()
				b.page.UseTCP()
				if with.servers != nil {
					b.call(nil, "configure", with.servers)
				}
				seenOver(t, b, e, with.want)
			})
		}
	}
}

// server is an ICE server as RTCConfiguration has it; TURN ones have an account.
func server(url string) []map[string]any {
	return []map[string]any{{"urls": []string{url}, "username": "user", "credential": "secret"}}
}

// seenOver publishes and subscribes, and checks over what the media of both goes once there is a
// picture.
func seenOver(t *testing.T, b *tab, e *Engine, want string) {
	t.Helper()
	p := e.NewPublication(both)
	b.publish(p, "publisher", 320, 240, nil)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	b.until("a picture is shown", func() bool { return b.video("subscriber").FramesDecoded > 0 })
	b.until("both peer connections go over "+want, func() bool {
		all, err := b.page.Transports()
		if err != nil {
			t.Fatal(err)
		}
		return len(all) == 2 && all[0].Protocol == want && all[1].Protocol == want
	})
}
