//go:build e2e

package peer

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// dtlsGoroutines is how many goroutines the DTLS library has in this process.
func dtlsGoroutines() int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "created by github.com/pion/dtls/")
}

// atOnce is within what time an alert ends a connection; silence takes longer.
const atOnce = 3 * time.Second

// Nothing of DTLS runs for a browser that sends or receives, and both ends still learn at once that
// the other one closes.
func TestBrowsersAndSessionsThatRest(t *testing.T) {
	for _, in := range []struct {
		name string
		open func(*testing.T) *tab
	}{{"Chromium", openTab}, {"Firefox", openFirefox}} {
		t.Run(in.name, func(t *testing.T) {
			own := ownAddress(t)
			e := newEngine(t, func(c *Config) { c.ListenIP = own })
			e.SetAdvertisedAddresses([]Address{{IP: own, UDPPort: e.UDPPort()}})
			b := in.open(t)
			for _, closes := range []string{"the page", "the engine"} {
				p := e.NewPublication(both)
				b.publish(p, closes+" sends", 320, 240, nil)
				b.subscribe(e, p, closes+" receives", media.SubscriptionOptions{})
				b.until("a picture is shown", func() bool { return b.video(closes+" receives").FramesDecoded > 0 })
				b.until("the sessions rest", func() bool { return dtlsGoroutines() == 0 })
				frames := b.video(closes + " receives").FramesDecoded
				b.until("the picture moves", func() bool { return b.video(closes+" receives").FramesDecoded > frames+30 })
				began := time.Now()
				if closes == "the page" {
					b.call(nil, "end", closes+" sends")
					b.call(nil, "end", closes+" receives")
					b.until("both connections have ended", func() bool {
						stats := e.Stats()
						return stats.PublishingConnections == 0 && stats.SubscribingConnections == 0
					})
				} else {
					if err := p.Close(); err != nil {
						t.Error(err)
					}
					b.until("the page knows that both have", func() bool {
						return b.secured(closes+" sends") == "closed" && b.secured(closes+" receives") == "closed"
					})
				}
				if took := time.Since(began); took > atOnce {
					t.Errorf("%s closes: the other end learns it after %v", closes, took)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// secured is the state of the DTLS transport of a peer connection.
func (b *tab) secured(name string) (state string) {
	b.t.Helper()
	b.call(&state, "secured", name)
	return state
}
