package route

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// startListener starts a media pod that takes signals, and says what it got: the path, a space and
// the message.
func startListener(t *testing.T, authority *mtlstest.Authority, status int) (address string, got chan string) {
	t.Helper()
	config, err := mtls.Server(authority.Directory(t, mtls.MediaPod), mtls.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan string, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- r.Method + " " + r.URL.EscapedPath() + " " + string(body)
		w.WriteHeader(status)
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), got
}

func identity(t *testing.T, authority *mtlstest.Authority) *tls.Config {
	t.Helper()
	config, err := mtls.Client(authority.Directory(t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestSignalsReachTheMediaPod(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	text, empty := "x", ""
	for name, test := range map[string]struct {
		namespace string
		signal    Signal
		status    int
		occupied  bool
		sent      bool
		failure   string
		got       string
	}{
		"to all": {
			namespace: "default", status: 204, sent: true, got: "POST /rooms/demo/signal {}",
		},
		"of another tenant, to one": {
			namespace: "acme", signal: Signal{To: []string{"con_A"}, Type: &text, Data: &empty}, status: 204, sent: true,
			got: `POST /rooms/acme.demo/signal {"to":["con_A"],"type":"x","data":""}`,
		},
		"nobody there":                  {namespace: "default", status: 406, got: "POST /rooms/demo/signal {}"},
		"a room that has not come":      {namespace: "default", status: 404, got: "POST /rooms/demo/signal {}"},
		"a room that is not there":      {namespace: "default", status: 404, occupied: true, failure: "does not have the room", got: "POST /rooms/demo/signal {}"},
		"more than the room takes":      {namespace: "default", status: 429, failure: "too many signals", got: "POST /rooms/demo/signal {}"},
		"what the pod does not take":    {namespace: "default", status: 400, failure: "answered 400", got: "POST /rooms/demo/signal {}"},
		"what nobody has thought of":    {namespace: "default", status: 302, failure: "answered 302", got: "POST /rooms/demo/signal {}"},
		"what the pod has failed to do": {namespace: "default", status: 500, failure: "answered 500", got: "POST /rooms/demo/signal {}"},
	} {
		t.Run(name, func(t *testing.T) {
			address, got := startListener(t, authority, test.status)
			known := &rooms{}
			for _, key := range []string{"demo", "acme.demo"} {
				known.set(key, Room{Known: true, Address: address, Occupied: test.occupied})
			}
			signals := NewSignals(known, identity(t, authority), "default")
			signals.wait, signals.retry = 0, time.Millisecond
			sent, err := signals.Send(t.Context(), test.namespace, "demo", test.signal)
			if sent != test.sent || (err != nil) != (test.failure != "") || err != nil && !strings.Contains(err.Error(), test.failure) {
				t.Errorf("got %v and %v", sent, err)
			}
			if message := <-got; message != test.got {
				t.Errorf("the pod got %s, want %s", message, test.got)
			}
		})
	}
}

func TestWishesForMuteReachTheMediaPod(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	for name, test := range map[string]struct {
		mute   podhttp.Mute
		status int
		told   bool
		got    string
	}{
		"one":            {podhttp.Mute{Stream: "str_A"}, 204, true, `{"stream":"str_A"}`},
		"one is missing": {podhttp.Mute{Stream: "str_A"}, 406, false, `{"stream":"str_A"}`},
		"all":            {podhttp.Mute{All: true, Excluded: []string{"str_B"}}, 204, true, `{"all":true,"excluded":["str_B"]}`},
		"no more":        {podhttp.Mute{}, 204, true, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			address, got := startListener(t, authority, test.status)
			known := &rooms{}
			known.set("acme.demo", Room{Known: true, Address: address, Occupied: true})
			told, err := NewSignals(known, identity(t, authority), "default").Mute(t.Context(), "acme", "demo", test.mute)
			if told != test.told || err != nil {
				t.Errorf("got %v and %v", told, err)
			}
			if message := <-got; message != "POST /rooms/acme.demo/mute "+test.got {
				t.Errorf("the pod got %s", message)
			}
		})
	}
}

func TestASignalFollowsARoomThatMoves(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	address, got := startListener(t, authority, 204)
	known := &rooms{}
	known.set("demo", Room{Known: true, Address: deadAddress(t), Occupied: true})
	signals := NewSignals(known, identity(t, authority), "default")
	sent := make(chan error, 1)
	go func() {
		_, err := signals.Send(t.Context(), "default", "demo", Signal{})
		sent <- err
	}()
	waitUntil(t, func() bool {
		known.changes.mu.Lock()
		defer known.changes.mu.Unlock()
		return known.changes.wake != nil
	})
	known.set("demo", Room{Known: true, Occupied: true})
	known.set("demo", Room{Known: true, Address: address, Occupied: true})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if message := <-got; message != "POST /rooms/demo/signal {}" {
		t.Errorf("the pod got %s", message)
	}
}

func TestWithoutAPodASignalIsNotSent(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	known := &rooms{}
	signals := NewSignals(known, identity(t, authority), "default")
	signals.wait, signals.retry = 20*time.Millisecond, time.Millisecond
	known.set("empty", Room{Known: true})
	if sent, err := signals.Send(t.Context(), "default", "empty", Signal{}); sent || err != nil {
		t.Errorf("an empty room without a pod: got %v and %v", sent, err)
	}
	known.set("lost", Room{Known: true, Occupied: true})
	if sent, err := signals.Send(t.Context(), "default", "lost", Signal{}); sent || !errors.Is(err, ErrUnreachable) {
		t.Errorf("a room that has lost its pod: got %v and %v", sent, err)
	}
	known.set("dead", Room{Known: true, Address: deadAddress(t)})
	if sent, err := signals.Send(t.Context(), "default", "dead", Signal{}); sent || !errors.Is(err, ErrUnreachable) {
		t.Errorf("a pod that is dead: got %v and %v", sent, err)
	}
	impostor, _ := startListener(t, mtlstest.NewAuthority(t), 204)
	known.set("impostor", Room{Known: true, Address: impostor})
	if sent, err := signals.Send(t.Context(), "default", "impostor", Signal{}); sent || !errors.Is(err, ErrUnreachable) {
		t.Errorf("a pod of somebody else: got %v and %v", sent, err)
	}
}

func TestASignalIsNotSentTwice(t *testing.T) {
	authority := mtlstest.NewAuthority(t)
	config, err := mtls.Server(authority.Directory(t, mtls.MediaPod), mtls.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	var arrived atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Add(1)
		panic(http.ErrAbortHandler)
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	known := &rooms{}
	known.set("demo", Room{Known: true, Address: server.Listener.Addr().String(), Occupied: true})
	if sent, err := NewSignals(known, identity(t, authority), "default").Send(t.Context(), "default", "demo", Signal{}); sent || !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v and %v", sent, err)
	}
	if arrived.Load() != 1 {
		t.Errorf("the signal arrived %d times", arrived.Load())
	}
}
