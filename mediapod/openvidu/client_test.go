package openvidu

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// pod is a server with one room, behind a listener in memory, so that it runs on the clock of
// testing/synctest as well.
type pod struct {
	t        *testing.T
	engine   *mediatest.Engine
	rooms    *room.Registry
	server   *signalling.Server
	handler  http.Handler
	listener *pipeListener
	joins    counts
	refused  int // the status of the last handshake that was refused
	log      lines
}

// lines are those of a log.
type lines struct {
	mu  sync.Mutex // guards all
	all []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, args)
	}, funcr.Options{})
}

// with returns the lines that contain a text.
func (l *lines) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.all), func(line string) bool { return !strings.Contains(line, text) })
}

// newPod makes a pod with a connection per name: "A" is a publisher, "M:moderator" has that role.
func newPod(t *testing.T, limits signalling.Limits, names ...string) *pod {
	t.Helper()
	p := &pod{t: t, engine: &mediatest.Engine{}, listener: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	p.rooms = room.NewRegistry(p.engine, p.log.logger())
	p.rooms.Apply(desired(names...))
	p.server = signalling.NewServer(signalling.Config{Log: p.log.logger(), Limits: limits})
	p.handler = New(Config{Rooms: p.rooms, Log: p.log.logger(), Observer: &p.joins}).Handler(p.server)
	httpServer := &http.Server{Handler: p.handler, ReadHeaderTimeout: time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = httpServer.Serve(p.listener)
	}()
	t.Cleanup(func() {
		p.rooms.Stop()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.server.Shutdown(ctx)
		_ = httpServer.Close()
		<-served
		p.rooms.Wait()
	})
	return p
}

func desired(names ...string) room.Desired {
	d := room.Desired{UID: "uid", Key: "team.room", SessionID: "room"}
	for _, spec := range names {
		name, role, _ := strings.Cut(spec, ":")
		connection := room.Connection{
			UID:        "uid-" + name,
			ID:         "con_" + name,
			Token:      sha256.Sum256([]byte("tok_" + name)),
			PrivateID:  "rpc-" + name,
			Role:       map[string]room.Role{"": room.Publisher, "moderator": room.Moderator, "subscriber": room.Subscriber}[role],
			ServerData: "server " + name,
			Record:     true,
		}
		if name == "T" {
			connection.ICEServers = []room.ICEServer{{URL: "turn:192.0.2.2:3478", Username: "user", Credential: "secret"}}
		}
		d.Connections = append(d.Connections, connection)
	}
	return d
}

// counts implements Observer.
type counts struct {
	mu     sync.Mutex // guards what follows
	joined map[int]int

	wrongSecrets atomic.Int64
}

func (c *counts) Joined(code int, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined == nil {
		c.joined = make(map[int]int)
	}
	c.joined[code]++
}

func (c *counts) of(code int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined[code]
}

func (c *counts) WrongSecret() { c.wrongSecrets.Add(1) }

func (c *counts) Request(string, int, time.Duration) {}

// pipeListener hands out the far ends of net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
	last   *cuttable // the newest connection
}

// cuttable is the server's end of a connection. Once it is cut, what the server sends is lost, as
// in a network without a word.
type cuttable struct {
	net.Conn
	cut atomic.Bool
}

// Write implements net.Conn.
func (c *cuttable) Write(p []byte) (int, error) {
	if c.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	l.last = &cuttable{Conn: far}
	select {
	case l.conns <- l.last:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// client is a browser's side of a socket.
type client struct {
	t    *testing.T
	ws   *websocket.Conn
	next int
	deaf atomic.Bool // it reads no more, once it has read the next message

	told     []string                        // notifications that callThrough has skipped
	messages chan map[string]json.RawMessage // what has come, in order
	binary   chan string                     // what has come for the gateway
	ended    chan error                      // why the socket ended

	resumption string // by the handshake
}

func (p *pod) dial(headers ...string) *client {
	p.t.Helper()
	return p.dialRoom("team.room", headers...)
}

// dialRoom opens a socket whose URL names a room, as the gateway passes it on.
func (p *pod) dialRoom(key string, headers ...string) *client {
	p.t.Helper()
	header := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, "ws://pod/openvidu?sessionId="+url.QueryEscape(key), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: p.listener.dial, DisableKeepAlives: true}},
		HTTPHeader: header,
	})
	if err != nil && response != nil {
		p.refused = response.StatusCode
		return nil
	}
	if err != nil {
		p.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	c := &client{t: p.t, ws: ws, messages: make(chan map[string]json.RawMessage, 4096), binary: make(chan string, 16), ended: make(chan error, 1), resumption: response.Header.Get(podhttp.HeaderResume)}
	go c.read()
	p.t.Cleanup(func() { _ = ws.CloseNow() })
	return c
}

func (c *client) read() {
	for {
		kind, data, err := c.ws.Read(context.Background())
		if err != nil {
			c.ended <- err
			close(c.messages)
			return
		}
		if kind == websocket.MessageBinary {
			c.binary <- string(data)
			continue
		}
		var message map[string]json.RawMessage
		if err := json.Unmarshal(data, &message); err != nil || string(message["jsonrpc"]) != `"2.0"` {
			c.ended <- fmt.Errorf("bad message %s: %w", data, err)
			close(c.messages)
			return
		}
		c.messages <- message
		if c.deaf.Load() {
			return
		}
	}
}

func (c *client) send(raw string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(raw)); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// message returns what comes next.
func (c *client) message() map[string]json.RawMessage {
	c.t.Helper()
	select {
	case message, open := <-c.messages:
		if !open {
			c.t.Fatalf("the socket has ended: %v", <-c.ended)
		}
		return message
	case <-time.After(10 * time.Second):
		c.t.Fatal("no message")
	}
	return nil
}

// request sends a request with the next id.
func (c *client) request(method, params string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s,"id":%d}`, method, params, c.next))
	c.next++
}

// answer returns what comes next, which must be the answer to the last request.
func (c *client) answer() map[string]json.RawMessage {
	c.t.Helper()
	message := c.message()
	if got, want := string(message["id"]), fmt.Sprint(c.next-1); got != want {
		c.t.Fatalf("got %v, want the answer to %s", show(message), want)
	}
	if (message["result"] == nil) == (message["error"] == nil) {
		c.t.Fatalf("neither or both of result and error: %v", show(message))
	}
	return message
}

// call requests something that must succeed and returns the result.
func (c *client) call(method, params string) map[string]json.RawMessage {
	c.t.Helper()
	c.request(method, params)
	message := c.answer()
	if message["error"] != nil {
		c.t.Fatalf("%s: %s", method, message["error"])
	}
	return object(c.t, message["result"])
}

// callThrough is call for when notifications may come before the answer.
func (c *client) callThrough(method, params string) {
	c.t.Helper()
	c.request(method, params)
	for {
		message := c.message()
		if message["id"] == nil {
			c.told = append(c.told, strings.Trim(string(message["method"]), `"`)+" "+string(message["params"]))
			continue
		}
		if string(message["id"]) != fmt.Sprint(c.next-1) || message["error"] != nil {
			c.t.Fatalf("%s: got %s", method, show(message))
		}
		return
	}
}

// refused requests something that must fail.
func (c *client) refused(method, params string) jsonrpc.Error {
	c.t.Helper()
	c.request(method, params)
	return failure(c.t, c.answer())
}

func failure(t *testing.T, message map[string]json.RawMessage) jsonrpc.Error {
	t.Helper()
	var refused jsonrpc.Error
	if message["error"] == nil {
		t.Fatalf("got %s", show(message))
	}
	if err := json.Unmarshal(message["error"], &refused); err != nil {
		t.Fatal(err)
	}
	return refused
}

// notification returns the method and the parameters of what comes next, which must be a
// notification.
func (c *client) notification() string {
	c.t.Helper()
	message := c.message()
	if message["id"] != nil {
		c.t.Fatalf("got %s, want a notification", show(message))
	}
	return strings.Trim(string(message["method"]), `"`) + " " + string(message["params"])
}

func (c *client) expect(notification string) {
	c.t.Helper()
	if got := c.notification(); got != notification {
		c.t.Errorf("got  %s\nwant %s", got, notification)
	}
}

// join joins as the named user.
func (p *pod) join(name string) *client {
	p.t.Helper()
	c := p.dial()
	c.joinAs(name)
	return c
}

func (c *client) joinAs(name string) map[string]json.RawMessage {
	c.t.Helper()
	c.call("ping", `{"interval":5000}`)
	return c.call("joinRoom", joinParams("wss://host:4443?sessionId=team.room&token=tok_"+name, "team.room"))
}

func joinParams(tokenURL, session string) string {
	return fmt.Sprintf(`{"token":%q,"session":%q,"platform":"Chrome on Linux","sdkVersion":"2.32.2","metadata":"client","secret":"","recorder":false,"stt":false}`, tokenURL, session)
}

const (
	cameraParams = `{"sdpOffer":"offer","doLoopback":false,"hasAudio":true,"hasVideo":true,"audioActive":true,"videoActive":true,` +
		`"typeOfVideo":"CAMERA","frameRate":30,"videoDimensions":"{\"width\":640,\"height\":480}"}`
	microphoneParams = `{"sdpOffer":"offer","doLoopback":false,"hasAudio":true,"hasVideo":false,"audioActive":true,"frameRate":-1}`
)

// publish publishes and returns the stream's id.
func (c *client) publish(params string) string {
	c.t.Helper()
	return unquote(c.t, c.call("publishVideo", params)["id"])
}

func object(t *testing.T, raw json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatalf("%s is no object", raw)
	}
	return fields
}

func unquote(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		t.Fatalf("%s is no string", raw)
	}
	return text
}

func show(message map[string]json.RawMessage) string {
	text, _ := json.Marshal(message)
	return string(text)
}
