package route

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// writes sends a message as the client does.
func (w *world) writes(ws *websocket.Conn, message string) {
	w.t.Helper()
	if err := ws.Write(w.t.Context(), websocket.MessageText, []byte(message)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reads(ws *websocket.Conn, want string) {
	w.t.Helper()
	if got := w.read(ws); got != want {
		w.t.Errorf("got  %s\nwant %s", got, want)
	}
}

const (
	joinDemo  = `{"jsonrpc":"2.0","method":"joinRoom","params":{"token":"wss://host?sessionId=tenant.demo&token=tok_A","session":"demo"},"id":2}`
	noPodDemo = `{"error":{"code":204,"message":"There is no available Media Node where to initialize session 'demo'. Code: 204"},"id":2,"jsonrpc":"2.0"}`
)

// A refused first handshake leaves the client hanging for ever, so the gateway takes it in: it
// answers that there is no pod in bounded time, and joins once there is one.
func TestAClientWithoutAnyMediaPodIsTakenIn(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("tenant.demo", Room{Known: true})
	ws, status := w.dial("sessionId=tenant.demo", nil)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake is answered with %d", status)
	}
	w.writes(ws, `{"jsonrpc":"2.0","method":"ping","params":{"interval":5000},"id":1}`)
	w.reads(ws, `{"id":1,"jsonrpc":"2.0","result":{"value":"pong"}}`)
	w.writes(ws, joinDemo)
	w.reads(ws, noPodDemo)
	w.rooms.set("tenant.demo", Room{Known: true, Address: w.a.address, Programmed: true})
	w.writes(ws, joinDemo)
	w.reads(ws, "a")
	w.reads(ws, joinDemo) // and nothing of what the gateway has answered
	w.writes(ws, "hello")
	w.reads(ws, "hello")
}

// Clients of OpenTok's library join by another method, and know another error.
func TestAClientOfOpenTokIsTakenIn(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("tenant.demo", Room{Known: true})
	ws, status := w.dialAt(podhttp.OpenTokPath, "sessionId=tenant.demo", nil)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake is answered with %d", status)
	}
	const connect = `{"jsonrpc":"2.0","method":"connect","params":{"token":"wss://host?sessionId=tenant.demo&token=tok_A"},"id":2}`
	w.writes(ws, connect)
	w.reads(ws, `{"error":{"code":1007,"message":"no media pod has room for the session","data":"OT_CONNECT_FAILED"},"id":2,"jsonrpc":"2.0"}`)
	w.rooms.set("tenant.demo", Room{Known: true, Address: w.a.address, Programmed: true})
	w.writes(ws, connect)
	w.reads(ws, "a")
	w.reads(ws, connect)
	if request := <-w.a.seen; request.URL.Path != podhttp.OpenTokPath {
		t.Errorf("the pod was asked for %v", request.URL)
	}
}

// A reconnection is refused: its client comes again.
func TestAReconnectionWithoutAnyMediaPodIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	if _, status := w.dial("sessionId=tenant.demo&reconnect=true", nil); status != http.StatusServiceUnavailable {
		t.Errorf("it is answered with %d", status)
	}
}

// A client whose URL has no room says by its token where it wants to.
func TestATokenSaysWhereTo(t *testing.T) {
	w := newWorld(t, nil)
	w.rooms.set("tenant.demo", Room{Known: true, Address: w.b.address, Programmed: true})
	w.rooms.ready = []string{w.a.address}
	ws, status := w.dial("", nil)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake is answered with %d", status)
	}
	w.writes(ws, `{"jsonrpc":"2.0","method":"ping","id":"first"}`)
	w.reads(ws, `{"id":"first","jsonrpc":"2.0","result":{"value":"pong"}}`)
	w.writes(ws, "what only a pod understands")
	w.writes(ws, joinDemo)
	w.reads(ws, "b")
	w.reads(ws, "what only a pod understands")
	w.reads(ws, joinDemo)
	if request := <-w.b.seen; request.URL.Query().Get("sessionId") != "tenant.demo" {
		t.Errorf("the pod was asked for %v", request.URL)
	}
}

// Bad input ends at most its own socket.
func TestWhoIsTakenInMaySayLittle(t *testing.T) {
	w := newWorld(t, nil)
	ws, _ := w.dial("", nil)
	for range 10 { // the gateway may end the socket in between
		if ws.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", 64<<10))) != nil {
			break
		}
	}
	if _, message, err := ws.Read(t.Context()); err == nil {
		t.Errorf("got %s", message)
	}
	ws, _ = w.dial("", nil)
	w.writes(ws, `{"method":"ping","id":"`+strings.Repeat("x", maxRequestID)+`"}`) // it gets no answer
	w.writes(ws, `{"method":"joinRoom","params":{"token":"%zz","session":"demo"},"id":2}`)
	w.reads(ws, noPodDemo)
}
