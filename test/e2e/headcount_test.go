//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// The project of config/samples.
const (
	sampleKey    = "46000001"
	sampleSecret = "MY_SECRET"
)

// openTokJWT signs a token of the sample project, for REST unless the claims say otherwise.
func openTokJWT(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"iss": sampleKey, "ist": "project", "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(sampleSecret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// openTokREST asks OpenTok's REST API of the gateway for something, and reads the answer.
func openTokREST(t *testing.T, method, path string, want int, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, kube.GatewayURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-OPENTOK-AUTH", openTokJWT(t, nil))
	request.Header.Set("Accept", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != want {
		t.Fatalf("%s %s is answered with %s", method, path, answer.Status)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

// headCount is the page of examples/opentok that counts who is in a session of OpenTok, in browsers
// of its own.
type headCount struct {
	t         *testing.T
	sessionID string
	page      []byte
	url       string
	opened    int
}

// newHeadCount serves the page with the values that its README says to replace.
func newHeadCount(t *testing.T) *headCount {
	t.Helper()
	var created []struct {
		SessionID string `json:"session_id"`
	}
	openTokREST(t, http.MethodPost, "/session/create", http.StatusOK, &created)
	if len(created) != 1 {
		t.Fatalf("got %+v", created)
	}
	id := created[0].SessionID
	content, err := os.ReadFile(filepath.Join(cluster.Root(), "examples", "opentok", "head-count.html"))
	if err != nil {
		t.Fatal(err)
	}
	token := openTokJWT(t, jwt.MapClaims{"session_id": id, "role": "moderator", "scope": "session.connect", "initial_layout_class_list": ""})
	page := strings.NewReplacer("https://rooms.example.org/", kube.GatewayURL+"/", `apiKey = ""`, fmt.Sprintf("apiKey = %q", sampleKey),
		`sessionID = ""`, fmt.Sprintf("sessionID = %q", id), `token = ""`, fmt.Sprintf("token = %q", token)).Replace(string(content))
	h := &headCount{t: t, sessionID: id, page: []byte(page)}
	site := httptest.NewServer(h)
	t.Cleanup(site.Close)
	h.url = site.URL
	return h
}

// ServeHTTP implements http.Handler: it serves the page.
func (h *headCount) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(h.page)
}

// counter is one open page.
type counter struct {
	*roomPage
	t *testing.T
	// id is its connection's.
	id string
}

// open opens the page in the browser with a number, and waits until it has connected.
func (h *headCount) open(number int) *counter {
	h.t.Helper()
	return h.openIn(chromium(h.t, number), h.url)
}

// on starts a browser on a machine, with nothing in between that would keep its connections alive,
// and returns what opens the page there.
func (h *headCount) on(machine *network.Machine) (open func() *counter) {
	h.t.Helper()
	listener, err := machine.Listen(h.t.Context(), "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	site := httptest.NewUnstartedServer(h)
	_ = site.Listener.Close()
	site.Listener = listener
	site.Start()
	h.t.Cleanup(site.Close)
	gateway := net.JoinHostPort(kube.Nodes[0].IP, strconv.Itoa(gatewayNodePort(h.t)))
	b, err := browser.StartAt(browser.Place{
		NetworkNamespace: machine.Namespace(), Addresses: map[string]string{strings.TrimPrefix(kube.GatewayURL, "http://"): gateway},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(b.Close)
	return func() *counter { return h.openIn(b, site.URL) }
}

func (h *headCount) openIn(b *browser.Browser, url string) *counter {
	h.t.Helper()
	h.opened++
	c := &counter{t: h.t, roomPage: &roomPage{b.Open(h.t, fmt.Sprintf("count %d", h.opened), url, browser.Viewport{})}}
	c.is(h.t, 30*time.Second, "that it has connected", "session.isConnected()")
	for expression, into := range map[string]any{
		"session.connection.connectionId": &c.id,
		"session.on('connectionDestroyed', ({connection, reason}) => (window.left ??= []).push(`${connection.connectionId} ${reason}`)) && 0": nil,
		"session.on('sessionDisconnected', ({reason}) => { window.ended = reason; }) && 0":                                                    nil,
	} {
		if err := c.Evaluate(expression, into); err != nil {
			h.t.Fatal(err)
		}
	}
	return c
}

// counts waits until the page shows a number of connections. Whose network is cut is there for 25
// seconds.
func (c *counter) counts(want int) {
	c.t.Helper()
	c.is(c.t, time.Minute, fmt.Sprintf("%d connections", want), fmt.Sprintf(`document.getElementById('connectionCountField').value === "%d"`, want))
}

// saw waits until the page was told that another one has left, and why.
func (c *counter) saw(gone *counter, reason string) {
	c.t.Helper()
	c.is(c.t, 10*time.Second, "why the other has left", fmt.Sprintf("window.left?.includes(%q)", gone.id+" "+reason))
}

// connections returns the Connection objects of the session whose users are in it, and the Session.
func (h *headCount) connections() (*v1alpha1.Session, []v1alpha1.Connection, error) {
	var sessions v1alpha1.SessionList
	if err := kube.Client.List(context.Background(), &sessions, client.InNamespace(cluster.DefaultTenant)); err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(sessions.Items, func(s v1alpha1.Session) bool { return s.Spec.SessionID == h.sessionID })
	if at < 0 {
		return nil, nil, nil
	}
	var all v1alpha1.ConnectionList
	if err := kube.Client.List(context.Background(), &all, client.InNamespace(cluster.DefaultTenant)); err != nil {
		return nil, nil, err
	}
	active := slices.DeleteFunc(all.Items, func(c v1alpha1.Connection) bool {
		return c.Spec.SessionName != sessions.Items[at].Name || c.Status.State != v1alpha1.ConnectionStateActive
	})
	return &sessions.Items[at], active, nil
}

// has waits until Kubernetes shows exactly these pages as active Connections of a Session that goes
// with the last of them, and returns the Connection of the last page.
func (h *headCount) has(pages ...*counter) (last *v1alpha1.Connection) {
	h.t.Helper()
	wait.For(h.t, 20*time.Second, "the objects of who is there", func() error {
		session, active, err := h.connections()
		switch {
		case err != nil:
			return err
		case session == nil:
			return fmt.Errorf("no Session with id %s", h.sessionID)
		case session.Spec.WhenEmpty != v1alpha1.WhenEmptyDelete:
			return fmt.Errorf("whenEmpty is %s", session.Spec.WhenEmpty)
		case len(active) != len(pages):
			return fmt.Errorf("%d active Connections, want %d", len(active), len(pages))
		}
		for _, page := range pages {
			at := slices.IndexFunc(active, func(c v1alpha1.Connection) bool { return c.Status.ConnectionID == page.id })
			if at < 0 || active[at].Spec.Role != v1alpha1.RoleModerator {
				return fmt.Errorf("%s is not there as a moderator", page.id)
			}
			last = &active[at]
		}
		return nil
	})
	return last
}

// OpenTok's example of ConnectionEvent, as it is, with an installed gateway: it counts three
// clients, and two after each way to go, which is told by its reason. Kubernetes shows the same.
func TestTheHeadCountOfAnOpenTokSession(t *testing.T) {
	segment, err := network.SegmentOf(kube.Nodes[0].IP)
	if err != nil {
		t.Fatal(err)
	}
	if err := segment.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	machine := segment.NewMachine(t, 0)
	h := newHeadCount(t)
	a, b, open := h.open(0), h.open(1), h.on(machine)
	for _, way := range []struct {
		reason string
		leave  func(*counter, *v1alpha1.Connection)
	}{
		{"clientDisconnected", func(c *counter, _ *v1alpha1.Connection) {
			if err := c.Evaluate("session.disconnect()", nil); err != nil {
				t.Fatal(err)
			}
		}},
		{"clientDisconnected", func(c *counter, _ *v1alpha1.Connection) { c.Close() }},
		{"forceDisconnected", func(c *counter, _ *v1alpha1.Connection) {
			if err := a.Evaluate(fmt.Sprintf("session.forceDisconnect.promise(session.connections.find({connectionId: %q}))", c.id), nil); err != nil {
				t.Fatal(err)
			}
			c.is(t, 10*time.Second, "that it was put out", "window.ended === 'forceDisconnected'")
		}},
		{"forceDisconnected", func(c *counter, _ *v1alpha1.Connection) {
			openTokREST(t, http.MethodDelete, "/v2/project/"+sampleKey+"/session/"+h.sessionID+"/connection/"+c.id, http.StatusNoContent, nil)
			c.is(t, 10*time.Second, "that it was put out", "window.ended === 'forceDisconnected'")
		}},
		{"forceDisconnected", func(c *counter, object *v1alpha1.Connection) {
			if _, err := kube.Kubectl(t.Context(), "delete", "connection", object.Name, "-n", object.Namespace); err != nil {
				t.Fatal(err)
			}
			c.is(t, 10*time.Second, "that it was put out", "window.ended === 'forceDisconnected'")
		}},
		{"networkDisconnected", func(*counter, *v1alpha1.Connection) {
			if err := machine.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		third := open()
		for _, page := range []*counter{a, b, third} {
			page.counts(3)
		}
		way.leave(third, h.has(a, b, third))
		for _, page := range []*counter{a, b} {
			page.counts(2)
			page.saw(third, way.reason)
		}
		h.has(a, b)
	}
	a.Close()
	b.Close()
	wait.For(t, 30*time.Second, "the Session to be gone", func() error {
		session, _, err := h.connections()
		if err == nil && session != nil {
			err = fmt.Errorf("Session %s is there", session.Name)
		}
		return err
	})
}
