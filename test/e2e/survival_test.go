//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// badNetwork is that of a client far away: 80 ms there and back, and 2 % of all packets are lost.
var badNetwork = network.Quality{Delay: 40 * time.Millisecond, Loss: 0.02}

// clientsOf opens Chromium and Firefox on hosts of their own, and Chromium on this machine.
func clientsOf(hosts func(t *testing.T, number int) clientHost) func(t *testing.T, n int) opener {
	return func(t *testing.T, n int) opener {
		switch n {
		case 0:
			return openOn(t, hosts(t, n), "Chromium")
		case 1:
			return openOn(t, hosts(t, n), "Firefox")
		default:
			return chromium(t, n)
		}
	}
}

// thorough says whether there is time for all that is alike: MEDIAROOMS_ROUNDS is set. Then each
// thing is tried as often as it says.
func thorough() bool { return roundsOr(0) > 0 }

// A call goes on at its standby wherever its clients are.
func TestACallGoesOnWhereverItsClientsAre(t *testing.T) {
	segment, err := network.SegmentOf(kube.Nodes[0].IP)
	if err != nil {
		t.Fatal(err)
	}
	if err := segment.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	homes := map[string]network.Quality{"behind NAT": {}}
	if thorough() {
		homes["behind NAT, 80 ms and 2 % loss"] = badNetwork
	}
	for range roundsOr(1) {
		for name, quality := range homes {
			t.Run(name, func(t *testing.T) {
				goesOnOnce(t, clientsOf(func(t *testing.T, number int) clientHost {
					home := segment.NewHome(t, number)
					home.Set(quality)
					return home
				}), func(*guest, int) {})
			})
		}
		t.Run("TCP only", func(t *testing.T) {
			goesOnOnce(t, clientsOf(func(t *testing.T, number int) clientHost {
				machine := segment.NewMachine(t, number)
				if err := machine.Close(t.Context(), "udp"); err != nil {
					t.Fatal(err)
				}
				return machine
			}), func(g *guest, number int) {
				if number < 2 {
					g.UseTCP()
				}
			})
		})
	}
}

// goesOnOnce begins a call of three, kills its pod, and ends it. prepare is called with each of
// them.
func goesOnOnce(t *testing.T, open func(t *testing.T, n int) opener, prepare func(g *guest, number int)) {
	t.Helper()
	c := newLastingRoom(t)
	for n, name := range []string{"alice", "bob", "carol"} {
		prepare(c.enters(t, open(t, n), name, cutPublication), n)
	}
	c.begins(t)
	c.goesOn(t, killed)
	c.leaves(t)
}

// Nor does it matter what they send, and how many there are.
func TestACallGoesOnWhateverIsSent(t *testing.T) {
	simulcast := browser.Publication{Resolution: "640x480", FrameRate: 15, Simulcast: new(true)}
	screen := browser.Publication{VideoSource: "screen", AudioSource: false, FrameRate: 15}
	for range roundsOr(1) {
		t.Run("simulcast and a screen", func(t *testing.T) {
			c := newLastingRoom(t)
			c.enters(t, chromium(t, 0), "alice", simulcast)
			c.enters(t, firefox(t, 0), "bob", cutPublication)
			c.enters(t, chromium(t, 1), "carol", screen)
			c.begins(t)
			c.goesOn(t, killed)
			c.leaves(t)
		})
		if thorough() {
			t.Run("ten people", tenGoOn)
			t.Run("operator, gateways and API server killed", noticesNothing)
		}
	}
}

// tenGoOn has ten see each other when their pod is killed.
func tenGoOn(t *testing.T) {
	c := newLastingRoom(t)
	open := startCrowdBrowsers(t)
	for number := range crowdSize {
		c.enters(t, smallPages{open[number%crowdBrowsers]}, fmt.Sprintf("guest-%02d", number+1), crowdPublication)
		wait.For(t, 30*time.Second, fmt.Sprintf("all %d to see each other", len(c.guests)), func() error {
			return eachSeesAll(c.guests)
		})
	}
	c.began = time.Now()
	c.goesOn(t, killed)
	c.leaves(t)
}

// noticesNothing has the operator, the gateways and the API server killed at once during a call,
// which notices nothing; status is right as soon as they are back. A gateway that starts can't
// route without the API server, which may take longer to come back than users may be without a
// gateway whose media does not go on.
func noticesNothing(t *testing.T) {
	c := newLastingRoom(t)
	c.enters(t, chromium(t, 0), "alice", cutPublication)
	c.enters(t, firefox(t, 0), "bob", cutPublication)
	c.enters(t, chromium(t, 1), "carol", cutPublication)
	c.begins(t)
	c.hasReserve(t)
	c.isProtected(t)
	pod := c.settled(t, c.guests)
	others := append(running(t, "manager"), running(t, "gateway")...)
	everyPair(c.guests, func(receiver, sender *guest) {
		if err := receiver.Watch(sender.joined.ConnectionID); err != nil {
			t.Fatal(err)
		}
	})
	before := time.Now()
	t.Cleanup(func() {
		if err := kube.StartComponents(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(kube.KillComponent(t.Context(), "kube-apiserver"), killAll(t, others)); err != nil {
		t.Fatal(err)
	}
	everyPair(c.guests, func(receiver, sender *guest) { receiver.advances(t, sender, 30*time.Second) })
	if err := kube.StartComponents(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the API server is back after %v", time.Since(before))
	c.hearEachOther(t, before)
	if now := c.settled(t, c.guests); now.Name != pod.Name {
		t.Errorf("the room was moved from %s to %s", pod.Name, now.Name)
	}
	c.isProtected(t)
	t.Logf("status is right after %v", time.Since(before))
	everyPair(c.guests, func(receiver, sender *guest) {
		gaps, err := receiver.Gaps(sender.joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("GAP %s from %s: no frame for %.0f ms, no audio packet for %.0f ms",
			receiver.Name, sender.Name, gaps.VideoMilliseconds, gaps.AudioMilliseconds)
		if gaps.VideoMilliseconds > cutOffGap || gaps.AudioMilliseconds > cutOffGap {
			t.Errorf("%s from %s: media stopped for %+v", receiver.Name, sender.Name, gaps)
		}
	})
	for _, g := range c.guests {
		g.same(t)
	}
}

// hearEachOther waits until what one says reaches all: sockets that a gateway had are open again.
func (c *lastingCall) hearEachOther(t *testing.T, since time.Time) {
	t.Helper()
	said := 0
	wait.For(t, time.Minute, "signals to reach everybody", func() error {
		said++
		kind := fmt.Sprintf("round-%d", said)
		for _, g := range c.guests {
			if err := g.Signal(kind, g.Name); err != nil {
				return err
			}
		}
		return wait.Poll(t.Context(), 2*time.Second, func() error {
			for _, g := range c.guests {
				if n := g.count(t, since, func(e browser.Event) bool { return e.Type == "signal:"+kind }); n < len(c.guests) {
					return fmt.Errorf("%s has heard %d of %d", g.Name, n, len(c.guests))
				}
			}
			return nil
		})
	})
	t.Logf("everybody hears everybody after %v", time.Since(since))
}

// cutOffGap is for how many milliseconds no new frame may come where nothing happens to media: a
// busy machine keeps some back.
const cutOffGap = 2000

// killAll kills pods.
func killAll(t *testing.T, pods []corev1.Pod) error {
	t.Helper()
	var failed error
	for i := range pods {
		failed = errors.Join(failed, kube.KillPod(t.Context(), &pods[i]))
	}
	return failed
}
