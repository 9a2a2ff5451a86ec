package route

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// line is one socket at a roomPod.
type line struct {
	client podhttp.Client
	ws     *websocket.Conn
}

// roomPod is a media pod that is played by a test.
type roomPod struct {
	address string
	refuse  chan int // with what to refuse the next handshakes
	lines   chan line
}

func startRoomPod(t *testing.T, authority *mtlstest.Authority) *roomPod {
	t.Helper()
	config, err := mtls.Server(authority.Directory(t, mtls.MediaPod), mtls.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	p := &roomPod{refuse: make(chan int, 10), lines: make(chan line, 10)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case status := <-p.refuse:
			http.Error(w, "refused", status)
			return
		default:
		}
		w.Header().Set(podhttp.HeaderResume, "new")
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		ws.SetReadLimit(-1)
		p.lines <- line{podhttp.ReadClient(r), ws}
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(func() {
		for len(p.lines) > 0 {
			_ = (<-p.lines).ws.CloseNow()
		}
		server.Close()
	})
	p.address = server.Listener.Addr().String()
	return p
}

// held is a client with a socket that the gateway keeps.
type held struct {
	*world
	first, second *roomPod
	ws            *websocket.Conn // the client's
	pod           line            // where it is
}

func newHeld(t *testing.T, times holds) *held {
	authority := mtlstest.NewAuthority(t)
	h := &held{first: startRoomPod(t, authority), second: startRoomPod(t, authority)}
	h.world = newWorld(t, func(c *Config) {
		identity, err := mtls.Client(authority.Directory(t, mtls.Gateway), mtls.MediaPod)
		if err != nil {
			t.Fatal(err)
		}
		c.TLS = identity
	})
	h.handler.holds = times
	h.rooms.set("demo", Room{Known: true, Address: h.first.address, Programmed: true})
	ws, status := h.dial("sessionId=demo", http.Header{podhttp.HeaderResume: {"forged"}, "Sec-WebSocket-Extensions": {"permessage-deflate"}})
	if ws == nil {
		t.Fatalf("refused with %d", status)
	}
	h.ws, h.pod = ws, <-h.first.lines
	if !h.pod.client.Holds || !h.pod.client.Tells || h.pod.client.Resume != "" {
		t.Errorf("the media pod is told %+v", h.pod.client)
	}
	h.writes(h.pod.ws, websocket.MessageText, `{"jsonrpc":"2.0","id":0,"result":{}}`)
	h.writes(h.pod.ws, websocket.MessageBinary, "secret")
	h.reads(h.ws, websocket.MessageText, `{"jsonrpc":"2.0","id":0,"result":{}}`)
	return h
}

func (h *held) writes(ws *websocket.Conn, kind websocket.MessageType, message string) {
	h.t.Helper()
	if err := ws.Write(h.t.Context(), kind, []byte(message)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *held) reads(ws *websocket.Conn, kind websocket.MessageType, want string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	if got, message, err := ws.Read(ctx); err != nil || got != kind || string(message) != want {
		h.t.Fatalf("got %v %q, %v, want %v %q", got, message, err, kind, want)
	}
}

// loses kills the way to the media pod, after the first request of two was received, and no answer.
func (h *held) loses() {
	h.t.Helper()
	h.writes(h.ws, websocket.MessageText, `{"id":1}`)
	h.reads(h.pod.ws, websocket.MessageText, `{"id":1}`)
	// The gateway has read what the media pod told it: the answer after it has come.
	h.writes(h.pod.ws, websocket.MessageText, `notification`)
	h.reads(h.ws, websocket.MessageText, `notification`)
	_ = h.pod.ws.CloseNow()
}

func (h *held) goesOn() {
	h.t.Helper()
	next := <-h.second.lines
	defer func() { _ = next.ws.CloseNow() }()
	if next.client.Resume != "secret" || !next.client.Holds {
		h.t.Errorf("the next media pod is told %+v", next.client)
	}
	h.reads(next.ws, websocket.MessageBinary, `{"id":1}`)
	h.writes(next.ws, websocket.MessageText, `{"id":1,"result":{}}`)
	h.reads(h.ws, websocket.MessageText, `{"id":1,"result":{}}`)
	large := strings.Repeat("x", 1<<20)
	h.ws.SetReadLimit(-1)
	h.writes(h.ws, websocket.MessageText, large)
	h.reads(next.ws, websocket.MessageText, large)
	h.writes(next.ws, websocket.MessageText, large)
	h.reads(h.ws, websocket.MessageText, large)
	if got := value(h.handler.metrics.handovers.WithLabelValues("resumed")); got != 1 {
		h.t.Errorf("%v handovers are counted", got)
	}
}

func TestAClientIsKeptWhenItsMediaPodIsLost(t *testing.T) {
	h := newHeld(t, usualHolds)
	h.first.refuse <- http.StatusServiceUnavailable // it stops
	h.second.refuse <- http.StatusServiceUnavailable
	h.loses()
	waitUntil(t, h.held)
	h.rooms.set("demo", Room{Known: true, Address: h.second.address}) // not told of the room yet
	h.rooms.set("demo", Room{Known: true, Address: h.second.address, Programmed: true})
	h.goesOn()
}

// Of a client that has not joined the media pod has said by its handshake how it goes on.
func TestAClientThatHasNotJoinedIsKept(t *testing.T) {
	h := newHeld(t, usualHolds)
	ws, status := h.dial("sessionId=demo", nil)
	if ws == nil {
		t.Fatalf("refused with %d", status)
	}
	pod := <-h.first.lines
	h.writes(ws, websocket.MessageText, `{"id":1}`)
	h.reads(pod.ws, websocket.MessageText, `{"id":1}`)
	h.rooms.set("demo", Room{Known: true, Address: h.second.address, Programmed: true})
	_ = pod.ws.CloseNow()
	next := <-h.second.lines
	defer func() { _ = next.ws.CloseNow() }()
	if next.client.Resume != "new" || !next.client.Holds {
		t.Errorf("the next media pod is told %+v", next.client)
	}
	h.reads(next.ws, websocket.MessageBinary, `{"id":1}`)
	h.writes(next.ws, websocket.MessageText, `{"id":1,"result":{}}`)
	h.reads(ws, websocket.MessageText, `{"id":1,"result":{}}`)
}

func TestAClientIsKeptWhenItsMediaPodDoesNotAnswer(t *testing.T) {
	h := newHeld(t, usualHolds)
	h.writes(h.ws, websocket.MessageText, `{"id":1}`)
	h.rooms.set("demo", Room{Known: true, Address: h.second.address, Programmed: true})
	h.goesOn()
}

// A client that has to notice loses its socket without a close frame.
func TestAClientIsNotKeptWhenTheMediaPodRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		holds holds
		lose  func(*held)
	}{
		"refused": {usualHolds, func(h *held) {
			h.second.refuse <- http.StatusConflict
			h.rooms.set("demo", Room{Known: true, Address: h.second.address, Programmed: true})
		}},
		"no pod":  {shortHolds, func(h *held) { h.rooms.set("demo", Room{Known: true}) }},
		"no room": {usualHolds, func(h *held) { h.rooms.set("demo", Room{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t, test.holds)
			test.lose(h)
			h.loses()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, _, err := h.ws.Read(ctx)
			if err == nil || ctx.Err() != nil || websocket.CloseStatus(err) != -1 {
				t.Errorf("the client's socket ends with %v", err)
			}
			if len(h.second.lines) != 0 {
				t.Error("a media pod goes on")
			}
		})
	}
}

func TestCloseCodesPass(t *testing.T) {
	h := newHeld(t, usualHolds)
	go func() { _ = h.ws.Close(4104, "Connection closed for reconnection") }()
	if _, _, err := h.pod.ws.Read(t.Context()); websocket.CloseStatus(err) != 4104 {
		t.Errorf("the media pod reads %v", err)
	}
	h = newHeld(t, usualHolds)
	go func() { _ = h.pod.ws.Close(websocket.StatusPolicyViolation, "too many") }()
	if _, _, err := h.ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("the client reads %v", err)
	}
}
