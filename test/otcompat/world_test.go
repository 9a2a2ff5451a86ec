//go:build e2e

// Package otcompat is the authority on whether the library for OpenTok.js applications does what
// such applications expect, in browsers, with a media pod's rooms and media behind it.
package otcompat

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/gateway/otcompat"
	"mediarooms.dev/mediarooms/mediapod/opentok"
	"mediarooms.dev/mediarooms/mediapod/openvidu"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

//go:embed page.html
var page []byte

// patience bounds how long a test waits for anything.
const patience = 20 * time.Second

// world is a room with real media, and a site whose gateway lets in whoever asks: the token is the
// user's name, by which it has its role.
type world struct {
	t       *testing.T
	browser *browser.Browser
	rooms   *room.Registry
	sockets *sockets
	mux     *http.ServeMux // of the site
	url     string

	mu      sync.Mutex // guards what follows
	desired room.Desired
}

// sockets are the connections of a site, which can be cut.
type sockets struct {
	net.Listener
	mu  sync.Mutex // guards all
	all []net.Conn
}

// Accept implements net.Listener.
func (s *sockets) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err == nil {
		s.mu.Lock()
		s.all = append(s.all, conn)
		s.mu.Unlock()
	}
	return conn, err
}

// cut ends all connections.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.all {
		_ = conn.Close()
	}
	s.all = nil
}

// observer implements opentok.Observer and openvidu.Observer.
type observer struct{}

func (observer) WrongSecret() {}

func (observer) Joined(int, time.Duration)          {}
func (observer) Request(string, int, time.Duration) {}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, netip.MustParseAddr("127.0.0.1"))
}

// newWorldAt is newWorld with its media at an address of this machine.
func newWorldAt(t *testing.T, address netip.Addr) *world {
	t.Helper()
	if _, built := otcompat.Script(); !built {
		t.Fatal("the library is not built: hack/page")
	}
	engine, err := peer.NewEngine(peer.Config{Logger: logr.Discard(), ListenIP: address})
	if err != nil {
		t.Fatal(err)
	}
	engine.SetAdvertisedAddresses([]peer.Address{{IP: address, UDPPort: engine.UDPPort(), TCPPort: engine.TCPPort()}})
	w := &world{t: t, rooms: room.NewRegistry(engine, logr.Discard()), desired: room.Desired{UID: "uid", Key: "room", SessionID: "room"}}
	w.rooms.Apply(w.desired)
	server := signalling.NewServer(signalling.Config{Log: logr.Discard(), Limits: signalling.DefaultLimits()})
	site := w.serve(
		opentok.New(opentok.Config{Rooms: w.rooms, Log: logr.Discard(), Observer: observer{}}).Handler(server),
		openvidu.New(openvidu.Config{Rooms: w.rooms, Log: logr.Discard(), Observer: observer{}}).Handler(server))
	if w.browser, err = browser.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.browser.Close()
		w.rooms.Stop()
		server.Shutdown(t.Context()) // it has ended
		site.Close()
		w.rooms.Wait()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// ownAddress is an address of this machine that is not a loopback address, which Firefox does not
// send to.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr()
		}
	}
	t.Fatal("this machine has loopback addresses only")
	return netip.Addr{}
}

// serve serves the page, the library, the way in and the WebSockets of both protocols on this
// machine.
func (w *world) serve(clients, ofOpenVidu http.Handler) *httptest.Server {
	w.mux = http.NewServeMux()
	w.mux.Handle("/opentok", clients)
	w.mux.Handle("/openvidu", ofOpenVidu)
	w.mux.Handle(otcompat.Path, otcompat.Handler())
	w.mux.HandleFunc("POST /opentok/join", w.join)
	w.serves("/{$}", func(string) []byte { return page })
	site := httptest.NewUnstartedServer(w.mux)
	w.sockets = &sockets{Listener: site.Listener}
	site.Listener = w.sockets
	site.Start()
	w.url = site.URL
	return site
}

// serves adds a page to the site, whose text depends on the user who asks.
func (w *world) serves(path string, text func(user string) []byte) {
	w.mux.HandleFunc("GET "+path, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = rw.Write(text(r.URL.Query().Get("user")))
	})
}

// join is what the gateway does: it makes a Connection and tells its token.
func (w *world) join(rw http.ResponseWriter, r *http.Request) {
	var asked struct{ APIKey, SessionID, Token string }
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 1<<16)).Decode(&asked); err != nil || asked.APIKey != "46000001" {
		http.Error(rw, "bad request", http.StatusBadRequest)
		return
	}
	if asked.SessionID != "room" || asked.Token == "wrong" || asked.Token == "" {
		rw.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(rw).Encode(map[string]any{"code": 1004, "message": "no such token", "name": "OT_AUTHENTICATION_ERROR"})
		return
	}
	secret := w.admit(asked.Token)
	_ = json.NewEncoder(rw).Encode(map[string]string{"url": "ws://" + r.Host + "/opentok?sessionId=room&token=" + secret})
}

// records has the room be recorded, or not any more.
func (w *world) records(stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.desired.Recordings = []room.Recording{{ID: "room~1", Name: "daily", Stopped: stopped, Roles: []room.Role{room.Publisher, room.Moderator}}}
	w.rooms.Apply(w.desired)
}

// admit makes a Connection for a user and returns its token.
func (w *world) admit(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	secret := fmt.Sprintf("tok_%d", len(w.desired.Connections))
	role := room.Publisher
	switch name[0] {
	case 'M':
		role = room.Moderator
	case 'P':
		role = room.PublisherOnly
	case 'S':
		role = room.Subscriber
	}
	w.desired.Connections = append(slices.Clone(w.desired.Connections), room.Connection{
		UID: secret, ID: "con_" + secret, PrivateID: "private " + secret, Token: sha256.Sum256([]byte(secret)), Role: role, ServerData: name,
	})
	w.rooms.Apply(w.desired)
	return secret
}

// user is a page.
type user struct {
	browser.Tab
	t    *testing.T
	name string
	read int // lines of its log
}

// open opens a page for a user, who has not connected.
func (w *world) open(name string) *user {
	w.t.Helper()
	return w.openAt(name, "/")
}

// openAt opens another page of the site for a user.
func (w *world) openAt(name, path string) *user {
	w.t.Helper()
	opened := w.browser.Open(w.t, name, w.url+path+"?user="+name, browser.Viewport{})
	opened.UseICEServers() // the library uses those of the Connection, which has none
	return &user{Tab: opened, t: w.t, name: name}
}

// openFirefox is open in Firefox.
func (w *world) openFirefox(name string) *user {
	w.t.Helper()
	firefox, err := browser.StartFirefox()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(firefox.Close)
	opened := firefox.Open(w.t, name, w.url+"/?user="+name)
	opened.UseICEServers()
	return &user{Tab: opened, t: w.t, name: name}
}

// connect opens a page, connects, and waits until it has heard of itself.
func (w *world) connect(name string) *user {
	w.t.Helper()
	u := w.open(name)
	u.do("connect()")
	u.until("it has connected", "connectionCount > 0")
	return u
}

// do runs an expression, which must go well.
func (u *user) do(expression string) {
	u.t.Helper()
	if err := u.Evaluate(expression, nil); err != nil {
		u.t.Fatal(err)
	}
}

// value returns what an expression gives.
func value[T any](u *user, expression string) (result T) {
	u.t.Helper()
	if err := u.Evaluate(expression, &result); err != nil {
		u.t.Fatal(err)
	}
	return result
}

// until waits until an expression is true.
func (u *user) until(what, expression string) {
	u.t.Helper()
	wait.For(u.t, patience, u.name+": "+what, func() error {
		if holds := value[bool](u, expression); !holds {
			return fmt.Errorf("log: %s", strings.Join(value[[]string](u, "typeof log === 'undefined' ? [] : log"), "; "))
		}
		return nil
	})
}

// logged waits until the log goes on with these lines, and no others.
func (u *user) logged(want ...string) {
	u.t.Helper()
	u.until("it has logged "+strings.Join(want, "; "), fmt.Sprintf("log.length >= %d", u.read+len(want)))
	got := value[[]string](u, "log")[u.read:]
	u.read += len(got)
	if !slices.Equal(got, want) {
		u.t.Errorf("%s:\ngot  %s\nwant %s", u.name, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// logs waits until the log has a line, and reads on after it.
func (u *user) logs(line string) {
	u.t.Helper()
	u.until("it has logged "+line, fmt.Sprintf("log.slice(%d).includes(%q)", u.read, line))
	u.read = value[int](u, fmt.Sprintf("log.indexOf(%q, %d) + 1", line, u.read))
}

// counts waits until the page shows a number of connections.
func (u *user) counts(want int) {
	u.t.Helper()
	u.until(fmt.Sprintf("%d are there", want), fmt.Sprintf(`document.getElementById('connectionCountField').value === "%d"`, want))
}
