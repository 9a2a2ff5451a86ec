package opentok

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/openvidu"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// world is a server with one room, in which clients of both protocols meet.
type world struct {
	t        *testing.T
	engine   *mediatest.Engine
	rooms    *room.Registry
	url      string
	observed observer
}

// observer implements both Observers.
type observer struct{}

func (observer) Joined(int, time.Duration)          {}
func (observer) WrongSecret()                       {}
func (observer) Request(string, int, time.Duration) {}

// newWorld makes a room with a connection per name: "A" is a publisher, "M:moderator" has that
// role.
func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t: t, engine: &mediatest.Engine{}}
	w.rooms = room.NewRegistry(w.engine, logr.Discard())
	desired := room.Desired{UID: "uid", Key: "team.room", SessionID: "room"}
	for _, spec := range names {
		name, role, _ := strings.Cut(spec, ":")
		desired.Connections = append(desired.Connections, room.Connection{
			UID: "uid-" + name, ID: "con_" + name, Token: sha256.Sum256([]byte("tok_" + name)), PrivateID: "private-" + name,
			Role:       map[string]room.Role{"": room.Publisher, "moderator": room.Moderator, "subscriber": room.Subscriber}[role],
			ServerData: "data of " + name, ICEServers: []room.ICEServer{{URL: "turn:192.0.2.2", Username: "user", Credential: "secret"}},
		})
	}
	w.rooms.Apply(desired)
	server := signalling.NewServer(signalling.Config{Log: logr.Discard(), Limits: signalling.DefaultLimits()})
	mux := http.NewServeMux()
	mux.Handle("/", openvidu.New(openvidu.Config{Rooms: w.rooms, Log: logr.Discard(), Observer: w.observed}).Handler(server))
	own := New(Config{Rooms: w.rooms, Log: logr.Discard(), Observer: w.observed}).Handler(server)
	mux.Handle("/opentok", own)
	mux.Handle(podhttp.MutePattern, own)
	listener := httptest.NewServer(mux)
	w.url = listener.URL
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		w.rooms.Stop()
		server.Shutdown(ended)
		listener.Close()
		w.rooms.Wait()
	})
	return w
}

// client is a browser's side of a socket.
type client struct {
	t    *testing.T
	name string
	ws   *websocket.Conn
	next int
	told []string // notifications that came before an answer
	// binary has requests be sent as a gateway repeats them.
	binary bool
}

// dial opens a socket of a protocol, whose path that is.
func (w *world) dial(path, name string) *client {
	w.t.Helper()
	ws, _, err := websocket.Dial(w.t.Context(), w.url+path+"?sessionId=team.room", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: w.t, name: name, ws: ws}
}

// join connects as the named user.
func (w *world) join(name string) *client {
	w.t.Helper()
	c := w.dial("/opentok", name)
	c.call("connect", `{"token":"wss://host/opentok?sessionId=team.room&token=tok_`+name+`"}`)
	return c
}

// joinOpenVidu joins as the named user by the other protocol.
func (w *world) joinOpenVidu(name string) *client {
	w.t.Helper()
	c := w.dial("/openvidu", name)
	c.call("joinRoom", `{"token":"wss://host?sessionId=team.room&token=tok_`+name+`","session":"team.room","metadata":"client of `+name+`"}`)
	return c
}

func (c *client) message() map[string]json.RawMessage {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	_, data, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatalf("%s reading: %v", c.name, err)
	}
	var message map[string]json.RawMessage
	if err := json.Unmarshal(data, &message); err != nil || string(message["jsonrpc"]) != `"2.0"` {
		c.t.Fatalf("%s got %s, %v", c.name, data, err)
	}
	return message
}

// ask sends a request and returns its answer. Notifications before it are kept.
func (c *client) ask(method, params string) map[string]json.RawMessage {
	c.t.Helper()
	c.next++
	request := fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s,"id":%d}`, method, params, c.next)
	kind := websocket.MessageText
	if c.binary {
		kind = websocket.MessageBinary
	}
	if err := c.ws.Write(c.t.Context(), kind, []byte(request)); err != nil {
		c.t.Fatal(err)
	}
	for {
		message := c.message()
		if message["id"] == nil {
			c.told = append(c.told, notification(message))
			continue
		}
		if string(message["id"]) != fmt.Sprint(c.next) {
			c.t.Fatalf("%s got the answer to %s", c.name, message["id"])
		}
		return message
	}
}

// call requests something that must succeed and returns the result.
func (c *client) call(method, params string) string {
	c.t.Helper()
	answer := c.ask(method, params)
	if answer["error"] != nil {
		c.t.Fatalf("%s: %s %s: %s", c.name, method, params, answer["error"])
	}
	return string(answer["result"])
}

// refused requests something that must fail.
func (c *client) refused(method, params string, code int, name string) {
	c.t.Helper()
	answer := c.ask(method, params)
	var got jsonrpc.Error
	if answer["error"] == nil || json.Unmarshal(answer["error"], &got) != nil {
		c.t.Errorf("%s: %s %s: got %s, want %s", c.name, method, params, answer["result"], name)
		return
	}
	if got.Code != code || got.Data != name || got.Message == "" {
		c.t.Errorf("%s: %s %s: got %+v, want %d %s", c.name, method, params, got, code, name)
	}
}

func notification(message map[string]json.RawMessage) string {
	return strings.Trim(string(message["method"]), `"`) + " " + string(message["params"])
}

// expect reads notifications, which must be as wanted; times and ids of new streams are left out.
func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, expected := range want {
		var got string
		if len(c.told) > 0 {
			got, c.told = c.told[0], c.told[1:]
		} else {
			message := c.message()
			if message["id"] != nil {
				c.t.Fatalf("%s got the answer to %s, want %s", c.name, message["id"], expected)
			}
			got = notification(message)
		}
		if got = steady(got); got != expected {
			c.t.Errorf("%s\ngot  %s\nwant %s", c.name, got, expected)
		}
	}
}

const (
	cameraParams = `{"sdpOffer":"offer","hasAudio":true,"hasVideo":true,"videoType":"camera","frameRate":30,` +
		`"videoDimensions":{"width":640,"height":480},"name":"Anna","initials":"A"}`
	screenParams    = `{"sdpOffer":"offer","hasAudio":false,"hasVideo":true,"videoType":"screen"}`
	openViduCamera  = `{"sdpOffer":"offer","doLoopback":false,"hasAudio":true,"hasVideo":true,"typeOfVideo":"CAMERA","frameRate":15}`
	openViduChanged = `{"streamId":"","property":"audioActive","newValue":false,"reason":"publishAudio"}`
)

// publish publishes and returns the stream's id.
func (c *client) publish(params string) string {
	c.t.Helper()
	var result struct {
		ID string `json:"streamId"`
	}
	if err := json.Unmarshal([]byte(c.call("publish", params)), &result); err != nil {
		c.t.Fatal(err)
	}
	return result.ID
}
