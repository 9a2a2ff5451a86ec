//go:build e2e

package peer

import (
	"sync/atomic"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/network"
)

// natGap is for how many milliseconds no new frame may come. The goal is half of it, on a machine
// that has nothing else to do.
const natGap = 12_000

// natCall is a call of two browsers, of which one is behind a NAT.
type natCall struct {
	t      *testing.T
	engine *Engine
	// behind is the browser behind the NAT, and beside the one that is not.
	behind, beside *tab
	publications   []media.Publication
}

// watched is how many frames were decoded since watch.
func (b *tab) watched(name string) (frames int) {
	b.t.Helper()
	b.call(&frames, "frames", name)
	return frames
}

// behindNAT starts the browser of a name behind a NAT, and the other one beside the engine.
func behindNAT(t *testing.T, name string, nat *network.NAT) *natCall {
	t.Helper()
	listener, err := nat.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	place, url := browser.Place{NetworkNamespace: nat.Namespace()}, serveOn(t, listener)
	c := &natCall{t: t}
	if name == "Firefox" {
		c.behind, c.beside = openFirefoxAt(t, place, url), openTab(t)
	} else {
		c.behind, c.beside = openTabAt(t, place, url), openFirefox(t)
	}
	for _, b := range []*tab{c.behind, c.beside} {
		b.page.UseICEServers()
		b.page.UseTCP()
	}
	c.engine = newEngine(t, func(c *Config) { c.ListenIP = nat.Server() })
	c.engine.SetAdvertisedAddresses([]Address{{IP: nat.Server(), UDPPort: c.engine.UDPPort(), TCPPort: c.engine.TCPPort()}})
	return c
}

// connect lets each browser publish, and the other one receive that.
func (c *natCall) connect() {
	c.t.Helper()
	for from, to := range map[*tab]*tab{c.behind: c.beside, c.beside: c.behind} {
		p := c.engine.NewPublication(both)
		from.publish(p, "publisher", 320, 240, nil)
		c.subscribe(to, p)
		c.publications = append(c.publications, p)
	}
	for _, b := range []*tab{c.behind, c.beside} {
		b.until("the picture is shown", func() bool { return b.video("subscriber").FramesDecoded > 60 })
	}
}

// subscribe lets a browser receive a publication and, as a room does, do so anew when the engine
// asks for that.
func (c *natCall) subscribe(b *tab, p media.Publication) {
	c.t.Helper()
	var subscription atomic.Pointer[media.Subscription]
	s := b.subscribe(c.engine, p, "subscriber", media.SubscriptionOptions{Outdated: func() {
		b.call(nil, "end", "subscriber")
		c.subscribe(b, p)
		if err := (*subscription.Load()).Close(); err != nil {
			c.t.Error(err)
		}
	}})
	subscription.Store(&s)
}

// both are the browsers, as the log names them.
func (c *natCall) both() map[string]*tab {
	return map[string]*tab{"the one behind the NAT": c.behind, "the other one": c.beside}
}

// survives lets something happen to the network, and checks that browsers soon get pictures again.
func (c *natCall) survives(what string, all map[string]*tab, happen func()) {
	c.t.Helper()
	for _, b := range all {
		b.call(nil, "watch", "subscriber")
	}
	happen()
	for name, b := range all {
		before := b.watched("subscriber")
		b.until(name+" gets pictures again", func() bool { return b.watched("subscriber") > before+60 })
	}
	for name, b := range all {
		var got gaps
		b.call(&got, "gaps", "subscriber")
		c.t.Logf("GAP %s, of %s: video %.0f to %.0f ms, audio %.0f to %.0f ms, %s",
			what, name, got.Video, got.VideoAtMost, got.Audio, got.AudioAtMost, got.State)
		if got.Video > natGap {
			c.t.Errorf("%s: %s had no new picture for %.0f ms", what, name, got.Video)
		}
	}
}

// A NAT may give a client other ports in mid-call.
func TestCallsBehindANATThatForgets(t *testing.T) {
	if !network.Isolated(t) {
		return
	}
	nat := network.NewNAT(t)
	for _, name := range []string{"Chromium", "Firefox"} {
		t.Run(name, func(t *testing.T) {
			c := behindNAT(t, name, nat)
			c.connect()
			for range rounds() {
				c.survives(name+" at other ports", c.both(), func() {
					if err := nat.Rebind(t.Context()); err != nil {
						t.Fatal(err)
					}
				})
			}
			if s := c.engine.Stats(); s.UDPConnections != 4 || s.TCPConnections != 0 {
				t.Errorf("%d connections go over UDP, and %d over TCP", s.UDPConnections, s.TCPConnections)
			}
		})
	}
}

// end ends the call.
func (c *natCall) end() {
	for _, b := range []*tab{c.behind, c.beside} {
		b.call(nil, "end", "publisher")
		b.call(nil, "end", "subscriber")
	}
	for _, p := range c.publications {
		if err := p.Close(); err != nil {
			c.t.Error(err)
		}
	}
	c.publications = nil
}

// Some networks let UDP out, and nothing of it back in.
func TestCallsWhereUDPGoesOneWay(t *testing.T) {
	if !network.Isolated(t) {
		return
	}
	nat := network.NewNAT(t)
	for _, name := range []string{"Chromium", "Firefox"} {
		t.Run(name, func(t *testing.T) {
			c := behindNAT(t, name, nat)
			for range rounds() {
				if err := nat.Deafen(t.Context(), "udp"); err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				c.connect()
				t.Logf("60 frames after %v", time.Since(begin))
				c.survives(name+" where UDP goes out only", c.both(), func() {
					for range 12 { // longer than an answer counts
						c.behind.during(500 * time.Millisecond)
						if s := c.engine.Stats(); s.UDPConnections != 2 || s.TCPConnections != 2 {
							t.Errorf("%d connections go over UDP, and %d over TCP", s.UDPConnections, s.TCPConnections)
						}
					}
				})
				if err := nat.Deafen(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				c.end()
			}
		})
	}
}

// Inbound UDP may cease in mid-call. Who receives is given another connection. Who publishes has to
// make one by itself, which is up to the client.
func TestCallsWhoseUDPBecomesOneWay(t *testing.T) {
	if !network.Isolated(t) {
		return
	}
	nat := network.NewNAT(t)
	for _, name := range []string{"Chromium", "Firefox"} {
		t.Run(name, func(t *testing.T) {
			c := behindNAT(t, name, nat)
			for range rounds() {
				c.connect()
				c.survives(name+" when UDP ceases to come in", map[string]*tab{"the one behind the NAT": c.behind}, func() {
					if err := nat.Deafen(t.Context(), "udp"); err != nil {
						t.Fatal(err)
					}
				})
				if err := nat.Deafen(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				c.end()
			}
		})
	}
}
