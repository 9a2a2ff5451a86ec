//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

const (
	// firewallRounds is how often each kind of firewall is tried, without a failure, unless
	// MEDIAROOMS_ROUNDS says more.
	firewallRounds = 1
	// takeover is how long media may take to find the transport that is open.
	takeover = 3 * time.Second
)

// Media finds the transport that a client's network lets through, whichever it is, and uses UDP
// where it can.
func TestMediaFindsTheTransportThatIsOpen(t *testing.T) {
	segment, err := network.SegmentOf(kube.Nodes[0].IP)
	if err != nil {
		t.Fatal(err)
	}
	if err := segment.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for number, name := range []string{"Chromium", "Firefox"} {
		t.Run(name, func(t *testing.T) {
			machine := segment.NewMachine(t, number)
			client := openOn(t, machine, name)
			room, calls := newRoom(t), 0
			for round := range roundsOr(firewallRounds) {
				for _, firewall := range []struct{ closed, used string }{
					{"udp", "tcp"}, {"", "udp"}, // it comes back: new connections use it
					{"tcp", "udp"}, {"", "udp"},
				} {
					what := "everything is open"
					if firewall.closed != "" {
						what = firewall.closed + " is closed"
					}
					t.Run(fmt.Sprintf("%s, round %d", what, round+1), func(t *testing.T) {
						if err := machine.Close(t.Context(), firewall.closed); err != nil {
							t.Fatal(err)
						}
						calls++
						callOver(t, room, calls, client, firewall.used)
					})
				}
			}
		})
	}
}

// clientHost is where browsers are: a network.Machine or a network.Home.
type clientHost interface {
	Namespace() string
	Listen(ctx context.Context, address string) (net.Listener, error)
}

// openOn starts a browser on a host. There it reaches the gateway and the page by the addresses
// that tokens and tests have for them; its media goes over the host's link.
func openOn(t *testing.T, machine clientHost, name string) opener {
	t.Helper()
	public, err := url.Parse(kube.GatewayURL)
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := machine.Listen(t.Context(), "127.0.0.1:"+public.Port())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(public)
		request.Out.Host = request.In.Host
	}}}
	go func() { _ = proxy.Serve(gateway) }() // it ends with the test
	t.Cleanup(func() { _ = proxy.Close() })
	inside := siteOn(t, machine)
	place := browser.Place{NetworkNamespace: machine.Namespace()}
	if name == "Firefox" {
		f, err := browser.StartFirefoxAt(place)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
		return onSite{f, inside}
	}
	b, err := browser.StartAt(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return onSite{b, inside}
}

// callOver lets one participant publish and another one receive, and checks over which transport
// both do, in good time.
func callOver(t *testing.T, room room, number int, client opener, transport string) {
	t.Helper()
	from, to := fmt.Sprintf("sender-%d", number), fmt.Sprintf("receiver-%d", number)
	room.admit(t, from, v1alpha1.RolePublisher)
	room.admit(t, to, v1alpha1.RoleSubscriber)
	receiver := joinWith(t, client, room.namespace, to)
	sender := joinWith(t, client, room.namespace, from)
	if transport == "tcp" {
		receiver.UseTCP()
		sender.UseTCP()
	}
	begin := time.Now()
	sender.publishSmall(t)
	took := map[*guest]time.Duration{}
	for _, g := range []*guest{sender, receiver} {
		wait.For(t, 20*time.Second, "the media of "+g.Name+" to go over "+transport, func() error {
			all, err := g.Transports()
			if err != nil {
				return err
			}
			if len(all) != 1 || all[0].Protocol != transport {
				return fmt.Errorf("%+v", all)
			}
			return nil
		})
		took[g] = time.Since(begin)
	}
	receiver.receives(t, sender)
	t.Logf("sent over %s after %v, received after %v", transport, took[sender].Round(time.Millisecond), took[receiver].Round(time.Millisecond))
	if took[sender] > takeover || took[receiver] > takeover {
		t.Errorf("media has taken longer than %v", takeover)
	}
	want := v1alpha1.MediaConnections{UDP: 2}
	if transport == "tcp" {
		want = v1alpha1.MediaConnections{TCP: 2}
	}
	counted := func(what string, want v1alpha1.MediaConnections) {
		t.Helper()
		wait.For(t, 10*time.Second, "the Session's status to count "+what, func() error {
			session, err := kube.Session(room.namespace, roomName)
			if err != nil {
				return err
			}
			if session.Status.MediaConnections != want {
				return fmt.Errorf("it is %+v", session.Status.MediaConnections)
			}
			return nil
		})
	}
	counted("the transports", want)
	for _, g := range []*guest{sender, receiver} {
		if err := g.Leave(); err != nil {
			t.Error(err)
		}
		g.Close()
	}
	counted("nobody", v1alpha1.MediaConnections{})
}
