package route

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// shortHolds keep the order of the usual ones, and tests quick.
var shortHolds = holds{unknown: 50 * time.Millisecond, programmed: 100 * time.Millisecond, pod: 400 * time.Millisecond, retry: 20 * time.Millisecond}

// rooms are the rooms of a test.
type rooms struct {
	changes broadcast

	mu    sync.Mutex // guards what follows
	known map[string]Room
	ready []string
	err   error
}

func (r *rooms) Find(_ context.Context, key string) (Room, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[key], r.err
}

func (r *rooms) Ready(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready, nil
}

func (r *rooms) Changed() <-chan struct{} { return r.changes.next() }

func (r *rooms) set(key string, room Room) {
	r.mu.Lock()
	if r.known == nil {
		r.known = map[string]Room{}
	}
	r.known[key] = room
	r.mu.Unlock()
	r.changes.notify()
}

// secrets is what pods are told of the secrets of each namespace.
type secrets map[string]string

func (s secrets) Digests(_ context.Context, namespace string) (string, error) {
	return s[namespace], nil
}

// pod is a media pod that echoes every message, after one that says its name.
type pod struct {
	address string
	seen    chan *http.Request // each handshake that arrived
}

// startPod starts a pod that lets in gateways only, with the identity of a part of Mediarooms.
func startPod(t *testing.T, authority *mtlstest.Authority, name, identity string) *pod {
	t.Helper()
	config, err := mtls.Server(authority.Directory(t, identity), mtls.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{seen: make(chan *http.Request, 1000)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.seen <- r
		if strings.HasPrefix(r.URL.Query().Get("sessionId"), "full") {
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.CloseNow() }()
		if ws.Write(r.Context(), websocket.MessageText, []byte(name)) != nil {
			return
		}
		for {
			kind, message, err := ws.Read(r.Context())
			if err != nil || ws.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	p.address = server.Listener.Addr().String()
	return p
}

// world is a gateway's routing in front of two media pods.
type world struct {
	t       *testing.T
	rooms   *rooms
	handler *Handler
	url     string
	a, b    *pod
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	authority := mtlstest.NewAuthority(t)
	identity, err := mtls.Client(authority.Directory(t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rooms: &rooms{}, a: startPod(t, authority, "a", mtls.MediaPod), b: startPod(t, authority, "b", mtls.MediaPod)}
	config := Config{Rooms: w.rooms, Secrets: secrets{"acme": "salt:digest"}, TLS: identity, Proxies: behind(t, ""), Registry: prometheus.NewRegistry()}
	if change != nil {
		change(&config)
	}
	if w.handler, err = NewHandler(config); err != nil {
		t.Fatal(err)
	}
	w.handler.holds = shortHolds
	server := httptest.NewServer(w.handler)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.handler.Drain(ctx, 0)
		server.Close()
	})
	w.url = server.URL
	return w
}

// dial opens a WebSocket as the client does. It returns the status of a refusal.
func (w *world) dial(query string, header http.Header) (*websocket.Conn, int) {
	w.t.Helper()
	return w.dialAt(podhttp.OpenViduPath, query, header)
}

// dialAt is dial for the clients of a path.
func (w *world) dialAt(path, query string, header http.Header) (*websocket.Conn, int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, w.url+path+"?"+query, &websocket.DialOptions{HTTPHeader: header})
	if response == nil {
		w.t.Fatalf("dialling: %v", err)
	}
	if err != nil {
		_ = response.Body.Close()
		return nil, response.StatusCode
	}
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return ws, response.StatusCode
}

// join opens a WebSocket and returns the name of the pod behind it.
func (w *world) join(query string) (*websocket.Conn, string) {
	w.t.Helper()
	ws, status := w.dial(query, nil)
	if ws == nil {
		w.t.Fatalf("refused with %d", status)
	}
	return ws, w.read(ws)
}

func (w *world) read(ws *websocket.Conn) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	_, message, err := ws.Read(ctx)
	if err != nil {
		w.t.Fatalf("reading: %v", err)
	}
	return string(message)
}

func (w *world) refusals(reason refusal) float64 {
	return value(w.handler.metrics.refusals.WithLabelValues(string(reason)))
}

// deadAddress is an address on which nothing listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// TestThePodIsToldWhichProtocolItIs passes the path of a client protocol on, and no other.
func TestThePodIsToldWhichProtocolItIs(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	for path, want := range map[string]string{podhttp.OpenTokPath: podhttp.OpenTokPath, podhttp.OpenViduPath: podhttp.OpenViduPath, "/other": podhttp.OpenViduPath} {
		ws, response, err := websocket.Dial(t.Context(), w.url+path+"?sessionId=demo&token=tok_A", nil)
		if err != nil {
			t.Fatalf("%s: %v, %v", path, err, response)
		}
		if got := (<-w.a.seen).URL.RequestURI(); got != want+"?sessionId=demo" {
			t.Errorf("%s: the pod got %s", path, got)
		}
		_ = ws.CloseNow()
	}
}

func TestAKnownRoomIsReached(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("tenant.demo", Room{Known: true, Address: w.a.address, Programmed: true})
	ws, name := w.join("sessionId=tenant.demo&reconnect=true&token=secret")
	if name != "a" {
		t.Errorf("reached %q, want a", name)
	}
	large := strings.Repeat("x", 20000)
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(large)); err != nil {
		t.Fatal(err)
	}
	if got := w.read(ws); got != large {
		t.Errorf("echo has %d bytes, want %d", len(got), len(large))
	}
	request := <-w.a.seen
	if got, want := request.URL.RequestURI(), "/openvidu?reconnect=true&sessionId=tenant.demo"; got != want {
		t.Errorf("the pod got %s, want %s", got, want)
	}
	if got := value(w.handler.metrics.sockets); got != 1 {
		t.Errorf("sockets = %v, want 1", got)
	}
}

func TestOnlyTheHandshakeReachesThePod(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	ws, status := w.dial("sessionId=demo", http.Header{
		"Authorization":             {"Basic c2VjcmV0"},
		"Cookie":                    {"a=b"},
		"Origin":                    {"https://elsewhere.example"},
		"X-Real-Ip":                 {"203.0.113.9"},
		"X-Forwarded-For":           {"203.0.113.9"},
		"X-Mediarooms-Session":      {"waiting"},
		podhttp.HeaderSecretDigests: {"mine:mine"},
	})
	if ws == nil {
		t.Fatalf("refused with %d", status)
	}
	request := <-w.a.seen
	for _, name := range []string{"Authorization", "Cookie", "Origin", "X-Forwarded-For", podhttp.HeaderSession, podhttp.HeaderSecretDigests} {
		if got := request.Header.Get(name); got != "" {
			t.Errorf("the pod got %s: %s", name, got)
		}
	}
	if got := request.Header.Get("X-Real-IP"); got != "127.0.0.1" {
		t.Errorf("X-Real-IP = %q, want 127.0.0.1", got)
	}
}

func TestThePodIsToldOfTheSecretsOfTheRoomsTenant(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("acme.demo", Room{Known: true, Namespace: "acme", Address: w.a.address, Programmed: true})
	for _, connection := range []string{"Upgrade", "Upgrade, " + podhttp.HeaderSecretDigests} {
		header := http.Header{podhttp.HeaderSecretDigests: {"mine:mine"}, "Connection": {connection}}
		if ws, status := w.dial("sessionId=acme.demo", header); ws == nil {
			t.Fatalf("refused with %d", status)
		}
		if got := (<-w.a.seen).Header.Values(podhttp.HeaderSecretDigests); len(got) != 1 || got[0] != "salt:digest" {
			t.Errorf("Connection: %s: the pod got %q", connection, got)
		}
	}
	w.rooms.ready = []string{w.b.address}
	if ws, status := w.dial("sessionId=nobody", http.Header{podhttp.HeaderSecretDigests: {"mine:mine"}}); ws == nil {
		t.Fatalf("refused with %d", status)
	}
	if got := (<-w.b.seen).Header.Values(podhttp.HeaderSecretDigests); len(got) != 0 {
		t.Errorf("for an unknown room the pod got %q", got)
	}
}

func TestAnUnknownRoomIsAnsweredByAnyPod(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.ready = []string{deadAddress(t), w.b.address}
	if _, name := w.join("sessionId=nobody"); name != "b" {
		t.Errorf("reached %q, want b", name)
	}
	if request := <-w.b.seen; request.Header.Get(podhttp.HeaderSession) != "" {
		t.Error("the pod was told that the Session waits")
	}
}

func TestARoomThatWaitsForAPod(t *testing.T) {
	t.Run("is reached when the pod comes", func(t *testing.T) {
		w := newWorld(t, nil)
		w.handler.holds = usualHolds
		w.rooms.set("demo", Room{Known: true})
		w.rooms.ready = []string{w.b.address}
		joined := make(chan string, 1)
		go func() {
			_, name := w.join("sessionId=demo")
			joined <- name
		}()
		// The pod comes while the handshake is held.
		waitUntil(t, func() bool { return w.held() })
		w.rooms.set("demo", Room{Known: true, Address: w.a.address})
		w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
		if name := <-joined; name != "a" {
			t.Errorf("reached %q, want a", name)
		}
	})
	t.Run("is answered by any pod when none comes", func(t *testing.T) {
		w := newWorld(t, nil)
		w.rooms.set("demo", Room{Known: true})
		w.rooms.ready = []string{w.b.address}
		if _, name := w.join("sessionId=demo"); name != "b" {
			t.Errorf("reached %q, want b", name)
		}
		if request := <-w.b.seen; request.Header.Get(podhttp.HeaderSession) != "waiting" {
			t.Error("the pod was not told that the Session waits")
		}
	})
	t.Run("is waited for by a reconnection, and the pod told for how long", func(t *testing.T) {
		w := newWorld(t, nil)
		w.handler.holds = usualHolds
		w.rooms.set("demo", Room{Known: true})
		joined := make(chan string, 1)
		begun := time.Now()
		go func() {
			_, name := w.join("sessionId=demo&reconnect=true")
			joined <- name
		}()
		waitUntil(t, func() bool { return w.held() })
		since := time.Now()
		waitUntil(t, func() bool { return time.Since(since) > 2*time.Millisecond }) // it is told in milliseconds
		w.rooms.set("demo", Room{Known: true, Address: w.a.address})                // not told of the room yet
		w.rooms.set("demo", Room{Known: true, Address: w.b.address, Programmed: true})
		if name := <-joined; name != "b" {
			t.Errorf("reached %q, want b", name)
		}
		if held := podhttp.ReadClient(<-w.b.seen).Held; held <= 0 || held > time.Since(begun) {
			t.Errorf("it was held for %v of %v", held, time.Since(begun))
		}
		if len(w.a.seen) != 0 {
			t.Error("it came to a pod that does not have the room")
		}
	})
	t.Run("refuses a reconnection in the end", func(t *testing.T) {
		w := newWorld(t, nil)
		w.rooms.set("demo", Room{Known: true})
		w.rooms.ready = []string{w.b.address}
		if _, status := w.dial("sessionId=demo&reconnect=true", nil); status != http.StatusServiceUnavailable {
			t.Errorf("status = %d, want 503", status)
		}
		if w.refusals(refusedNoPod) != 1 {
			t.Error("the refusal was not counted")
		}
	})
}

func TestAPodThatCannotBeReached(t *testing.T) {
	t.Run("refuses a reconnection in the end", func(t *testing.T) {
		w := newWorld(t, nil)
		w.rooms.set("demo", Room{Known: true, Address: deadAddress(t), Programmed: true})
		if _, status := w.dial("sessionId=demo&reconnect=true", nil); status != http.StatusServiceUnavailable {
			t.Errorf("status = %d, want 503", status)
		}
		if w.refusals(refusedUnreachable) != 1 {
			t.Error("the refusal was not counted")
		}
	})
	t.Run("is replaced by the one that the room moves to", func(t *testing.T) {
		w := newWorld(t, nil)
		w.handler.holds = usualHolds
		w.rooms.set("demo", Room{Known: true, Address: deadAddress(t), Programmed: true})
		joined := make(chan string, 1)
		go func() {
			_, name := w.join("sessionId=demo")
			joined <- name
		}()
		waitUntil(t, func() bool { return w.held() })
		w.rooms.set("demo", Room{Known: true, Address: w.b.address, Programmed: true})
		if name := <-joined; name != "b" {
			t.Errorf("reached %q, want b", name)
		}
	})
	t.Run("is one that is no media pod", func(t *testing.T) {
		w := newWorld(t, nil)
		impostor := startPod(t, mtlstest.NewAuthority(t), "impostor", mtls.MediaPod)
		w.rooms.set("demo", Room{Known: true, Address: impostor.address, Programmed: true})
		if _, status := w.dial("sessionId=demo&reconnect=true", nil); status != http.StatusServiceUnavailable {
			t.Errorf("status = %d, want 503", status)
		}
	})
}

func TestARoomThatMovesIsReachedAtItsNewPod(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	_, name := w.join("sessionId=demo")
	w.rooms.set("demo", Room{Known: true, Address: w.b.address, Programmed: true})
	_, next := w.join("sessionId=demo&reconnect=true")
	if name != "a" || next != "b" {
		t.Errorf("reached %q and then %q, want a and b", name, next)
	}
}

// A pod that stops, or is full, refuses a reconnection for now: its room may come to another one.
func TestAReconnectionThatAPodRefusesIsTriedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("full", Room{Known: true, Address: w.a.address, Programmed: true})
	if _, status := w.dial("sessionId=full&reconnect=true", nil); status != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", status)
	}
	if len(w.a.seen) < 2 {
		t.Errorf("it was tried %d times", len(w.a.seen))
	}
}

func TestAPodsOwnRefusalIsPassedOn(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("full", Room{Known: true, Address: w.a.address, Programmed: true})
	if _, status := w.dial("sessionId=full", nil); status != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", status)
	}
	if w.refusals(refusedPod) != 1 {
		t.Error("the refusal was not counted")
	}
}

func TestBadHandshakes(t *testing.T) {
	w := newWorld(t, nil)
	for name, query := range map[string]string{"plain": "sessionId=demo"} {
		response, err := http.Get(w.url + podhttp.OpenViduPath + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("%s: status = %d, want 426", name, response.StatusCode)
		}
	}
	if _, status := w.dial("sessionId="+url.QueryEscape(strings.Repeat("k", maxKeyLength+1)), nil); status != http.StatusUpgradeRequired {
		t.Errorf("status for a key that is too long = %d, want 426", status)
	}
	if _, status := w.dial("sessionId=demo"+strings.Repeat("&a=", maxQueryLength/3), nil); status != http.StatusUpgradeRequired {
		t.Errorf("status for a query that is too long = %d, want 426", status)
	}
	if w.refusals(refusedHandshake) != 3 {
		t.Error("the refusals were not counted")
	}
}

func TestSocketsOfOneAddressAreBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxSocketsPerAddress, c.Proxies = 1, behind(t, "127.0.0.0/8") })
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	from := func(address string) int {
		_, status := w.dial("sessionId=demo", http.Header{"X-Forwarded-For": {address}})
		return status
	}
	if first, second, other := from("192.0.2.1"), from("192.0.2.1"), from("192.0.2.2"); first != 101 || second != 429 || other != 101 {
		t.Errorf("statuses %d, %d, %d, want 101, 429, 101", first, second, other)
	}
}

func TestNobodyIsKeptOutByWhoMayShareAnAddress(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxSocketsPerAddress = 1 })
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	for i := range 3 {
		if _, status := w.dial("sessionId=demo", http.Header{"X-Forwarded-For": {"192.0.2.1"}}); status != 101 {
			t.Fatalf("socket %d of a proxy that nobody has named: status %d", i, status)
		}
		if got := (<-w.a.seen).Header.Get(podhttp.HeaderSharedAddress); got != "true" {
			t.Errorf("the media pod is told %q of the address", got)
		}
	}
}

func TestAMediaPodIsToldTheClientsAddress(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Proxies = behind(t, "127.0.0.0/8") })
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	w.dial("sessionId=demo", http.Header{"X-Forwarded-For": {"203.0.113.1, 192.0.2.1"}, "X-Real-IP": {"203.0.113.1"}, podhttp.HeaderSharedAddress: {"true"}})
	header := (<-w.a.seen).Header
	if got := header.Get("X-Real-IP"); got != "192.0.2.1" {
		t.Errorf("X-Real-IP = %q, want that of the client", got)
	}
	if _, told := header[podhttp.HeaderSharedAddress]; told {
		t.Error("what a client says of its own address goes to the media pod")
	}
}

func TestDrainEndsOpenSockets(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	ws, _ := w.join("sessionId=demo")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	w.handler.Drain(ctx, time.Millisecond)
	if ctx.Err() != nil {
		t.Fatal("the socket did not end in time")
	}
	if _, _, err := ws.Read(ctx); err == nil {
		t.Error("the client's socket is still open")
	}
	if _, status := w.dial("sessionId=demo&reconnect=true", nil); status != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", status)
	}
	waitUntil(t, func() bool { return value(w.handler.metrics.sockets) == 0 })
}

func TestAClientThatGoesEndsTheWayToThePod(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("demo", Room{Known: true, Address: w.a.address, Programmed: true})
	ws, _ := w.join("sessionId=demo")
	if err := ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return value(w.handler.metrics.sockets) == 0 })
}

func TestASilentClientIsGivenUp(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	conn := &talkative{Conn: near, silence: 20 * time.Millisecond}
	go func() {
		buffer := make([]byte, 1)
		_, _ = far.Read(buffer)
	}()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a read went on after the silence")
	}
}

// value returns what a counter or gauge shows.
func value(metric prometheus.Metric) float64 {
	var written dto.Metric
	if err := metric.Write(&written); err != nil {
		return -1
	}
	return written.GetCounter().GetValue() + written.GetGauge().GetValue()
}

// held says whether a handshake is waiting for a change.
func (w *world) held() bool {
	w.rooms.changes.mu.Lock()
	defer w.rooms.changes.mu.Unlock()
	return w.rooms.changes.wake != nil
}

// waitUntil waits for a condition, for 10 s at most.
func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal("timed out")
		}
	}
}
