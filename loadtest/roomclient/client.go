// Package roomclient is a small client of the OpenVidu RPC protocol for tests and measurements:
// JSON-RPC over WebSocket with access to every raw message (client.go), and publishers and
// subscribers that send and count RTP without any codec (media.go). It does what openvidu-browser
// does on the wire, and nothing for a user.
package roomclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Timings of openvidu-browser (openvidu-rpc 1.5 and 1.6).
const (
	pingInterval   = 5 * time.Second
	requestTimeout = 10 * time.Second
)

// maxMessage bounds what a server may send in one message, in bytes.
const maxMessage = 4 << 20

// ErrClosed marks a call on a client whose socket is closed.
var ErrClosed = errors.New("socket closed")

// ErrUnavailable is in the error of Dial when the server refused the socket for now (503):
// openvidu-browser comes again, every 3 s.
var ErrUnavailable = errors.New("the server takes no socket for this room now")

// Error is a JSON-RPC error as the server sent it.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// Notification is a message of the server that answers nothing.
type Notification struct {
	Method string
	Params json.RawMessage
	// At is when it came.
	At time.Time
}

// Message is any message of the server.
type Message struct {
	// Raw is the message as it came.
	Raw json.RawMessage
	// Notification is set when the message has a method.
	Notification *Notification
	// Answers is the method of the request of Call that the message answers, "" when there is none.
	Answers string
	// Err is the error of an answer, nil when there is none.
	Err *Error
	// At is when it came.
	At time.Time
}

// Options of a client.
type Options struct {
	// Token is the URL that openvidu-browser's connect() takes.
	Token string
	// Endpoint is a ws:// or wss:// URL without path that is dialled instead of the token's own
	// host.
	Endpoint string
	// HTTPClient makes the handshake; http.DefaultClient when nil.
	HTTPClient *http.Client
	// Header is added to the handshake.
	Header http.Header
	// Query is appended to the URL of the handshake as it is, such as "&a=b".
	Query string
	// Reconnect marks the handshake as that of a client that comes back.
	Reconnect bool
	// Silent sends no pings, neither the first nor later ones.
	Silent bool
	// Notify, unless nil, gets each notification as it comes; it must not block. Messages are not
	// kept then: Messages, Notifications and the Wait methods know of none.
	Notify func(Notification)
}

// Client is one socket. It is safe for concurrent use. It sends pings as browsers do until it is
// closed.
type Client struct {
	token   string
	session string
	conn    *websocket.Conn
	running context.Context //nolint:containedctx // the life of the client's goroutines
	cancel  context.CancelFunc
	done    chan struct{} // closed when the reader has ended
	nextID  atomic.Int64
	notify  func(Notification)

	mu        sync.Mutex // guards what follows
	pending   map[int64]request
	messages  []Message
	changed   chan struct{} // closed and replaced at every message
	readError error
}

// request waits for its answer.
type request struct {
	method string
	answer chan<- response
}

type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

type response struct {
	result json.RawMessage
	err    error
}

// Dial opens the socket that a token leads to and sends the first ping. The room is not joined yet.
func Dial(ctx context.Context, options Options) (*Client, error) {
	token, err := url.Parse(options.Token)
	if err != nil {
		return nil, errors.New("parsing the token: not a URL") // the error of Parse would show the secret
	}
	endpoint := options.Endpoint
	if endpoint == "" {
		endpoint = token.Scheme + "://" + token.Host
	}
	session := token.Query().Get("sessionId")
	target := endpoint + "/openvidu?sessionId=" + url.QueryEscape(session)
	if options.Reconnect {
		target += "&reconnect=true"
	}
	target += options.Query
	//nolint:bodyclose // Dial says that its response never needs to be closed.
	conn, answer, err := websocket.Dial(ctx, target, &websocket.DialOptions{
		HTTPClient: options.HTTPClient, HTTPHeader: options.Header,
	})
	if err != nil {
		if answer != nil && answer.StatusCode == http.StatusServiceUnavailable {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, fmt.Errorf("opening the socket: %w", err)
	}
	conn.SetReadLimit(maxMessage)
	running, cancel := context.WithCancel(context.Background())
	c := &Client{
		token: options.Token, session: session, conn: conn, running: running, cancel: cancel, done: make(chan struct{}),
		pending: map[int64]request{}, changed: make(chan struct{}), notify: options.Notify,
	}
	c.nextID.Store(-1)
	go c.read(running)
	if options.Silent {
		return c, nil
	}
	if err := c.KeepAlive(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// KeepAlive sends a ping with the interval and starts to ping: as Dial does unless the client is
// Silent, and as a client does after it has come back. It may be called once.
func (c *Client) KeepAlive(ctx context.Context) error {
	if err := c.Call(ctx, "ping", map[string]any{"interval": pingInterval.Milliseconds()}, nil); err != nil {
		return fmt.Errorf("sending the first ping: %w", err)
	}
	go c.ping(c.running)
	return nil
}

// Close ends the socket without any word to the server, as a lost network does, and waits for the
// reader.
func (c *Client) Close() {
	c.cancel()
	_ = c.conn.CloseNow() // it was ending anyway
	<-c.done
}

// CloseWith ends the socket with a close frame, as a browser does, and waits for the reader.
func (c *Client) CloseWith(code websocket.StatusCode, reason string) {
	_ = c.conn.Close(code, reason) // the server may have closed it meanwhile
	c.Close()
}

// Done is closed when the socket has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the socket has ended, nil while it is open. It wraps ErrClosed, and a
// websocket.CloseError when the server closed it.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readError
}

func (c *Client) ping(ctx context.Context) {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.Call(ctx, "ping", nil, nil) != nil {
				return // the reader ends with the socket and tells
			}
		case <-ctx.Done():
			return
		case <-c.done:
			return
		}
	}
}

func (c *Client) read(ctx context.Context) {
	defer close(c.done)
	var err error
	for err == nil {
		var raw []byte
		if _, raw, err = c.conn.Read(ctx); err == nil {
			err = c.dispatch(raw)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readError = fmt.Errorf("%w: %w", ErrClosed, err)
	for id, waiting := range c.pending {
		waiting.answer <- response{err: c.readError}
		delete(c.pending, id)
	}
	close(c.changed)
	c.changed = nil
}

func (c *Client) dispatch(raw []byte) error {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("parsing a message of the server: %w", err)
	}
	if m.Version != "2.0" {
		return fmt.Errorf("parsing a message of the server: jsonrpc is %q", m.Version)
	}
	if m.Method == "" && m.ID == nil && m.Error == nil {
		return errors.New("parsing a message of the server: neither method nor id")
	}
	came := Message{Raw: raw, Err: m.Error, At: time.Now()}
	if m.Method != "" {
		came.Notification = &Notification{Method: m.Method, Params: m.Params, At: came.At}
		if c.notify != nil {
			c.notify(*came.Notification)
			return nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Method != "" {
		c.keep(came)
		return nil
	}
	if id, err := strconv.ParseInt(string(m.ID), 10, 64); err == nil {
		if waiting, found := c.pending[id]; found {
			delete(c.pending, id)
			came.Answers = waiting.method
			if m.Error != nil {
				waiting.answer <- response{err: m.Error}
			} else {
				waiting.answer <- response{result: m.Result}
			}
		}
	}
	if c.notify != nil {
		return nil
	}
	c.keep(came)
	return nil
}

// keep adds a message to those that came. The caller holds mu.
func (c *Client) keep(m Message) {
	c.messages = append(c.messages, m)
	close(c.changed)
	c.changed = make(chan struct{})
}

// Call sends a request and waits for its answer, at most 10 s as browsers do. nil params are left
// out. result, unless nil, takes the result. An error of the server is an *Error.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	var encoded json.RawMessage
	if params != nil {
		var err error
		if encoded, err = json.Marshal(params); err != nil {
			return err
		}
	}
	id := c.nextID.Add(1)
	raw, err := json.Marshal(message{Version: "2.0", ID: strconv.AppendInt(nil, id, 10), Method: method, Params: encoded})
	if err != nil {
		return err
	}
	answer := make(chan response, 1)
	c.mu.Lock()
	if c.readError != nil {
		defer c.mu.Unlock()
		return c.readError
	}
	c.pending[id] = request{method: method, answer: answer}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.pending, id)
	}()

	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.Send(ctx, raw); err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	select {
	case r := <-answer:
		if r.err != nil {
			return fmt.Errorf("calling %s: %w", method, r.err)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(r.result, result); err != nil {
			return fmt.Errorf("decoding the result of %s: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("calling %s: no answer: %w", method, ctx.Err())
	}
}

// Send writes a text message as it is.
func (c *Client) Send(ctx context.Context, raw []byte) error {
	return c.conn.Write(ctx, websocket.MessageText, raw)
}

// SendBinary writes a binary message, which no browser does.
func (c *Client) SendBinary(ctx context.Context, raw []byte) error {
	return c.conn.Write(ctx, websocket.MessageBinary, raw)
}

// Messages are all that came so far, in their order.
func (c *Client) Messages() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.messages)
}

// Notifications are all that came so far, in their order.
func (c *Client) Notifications() []Notification {
	var notifications []Notification
	for _, m := range c.Messages() {
		if m.Notification != nil {
			notifications = append(notifications, *m.Notification)
		}
	}
	return notifications
}

// WaitMessage waits for a message that matches, also one that came already.
func (c *Client) WaitMessage(ctx context.Context, match func(Message) bool) (Message, error) {
	seen := 0
	for {
		c.mu.Lock()
		messages, changed, readError := c.messages, c.changed, c.readError
		c.mu.Unlock()
		for ; seen < len(messages); seen++ {
			if match(messages[seen]) {
				return messages[seen], nil
			}
		}
		if readError != nil {
			return Message{}, readError
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// WaitNotification waits for a notification of a method that matches, also one that came already.
// match may be nil.
func (c *Client) WaitNotification(ctx context.Context, method string, match func(params json.RawMessage) bool) (Notification, error) {
	m, err := c.WaitMessage(ctx, func(m Message) bool {
		return m.Notification != nil && m.Notification.Method == method && (match == nil || match(m.Notification.Params))
	})
	if err != nil {
		return Notification{}, fmt.Errorf("waiting for %s: %w", method, err)
	}
	return *m.Notification, nil
}

// Joined is the result of joinRoom (openvidu-rpc 2.1).
type Joined struct {
	ID           string `json:"id"`
	Session      string `json:"session"`
	RPCSessionID string `json:"sessionId"`
	Metadata     string `json:"metadata"`
	Role         string `json:"role"`
	Version      string `json:"version"`
	MediaServer  string `json:"mediaServer"`
	CreatedAt    int64  `json:"createdAt"`
	// Life tells the media pods of a room apart (openvidu-rpc 1.11).
	Life  int64 `json:"life"`
	Value []struct {
		ID       string `json:"id"`
		Metadata string `json:"metadata"`
		Streams  []struct {
			ID       string `json:"id"`
			HasAudio bool   `json:"hasAudio"`
			HasVideo bool   `json:"hasVideo"`
		} `json:"streams"`
	} `json:"value"`
}

// Join calls joinRoom with the client's token. metadata is what the client says of itself.
func (c *Client) Join(ctx context.Context, metadata string) (*Joined, error) {
	return c.JoinWith(ctx, c.token, metadata)
}

// JoinWith calls joinRoom with any text as the token.
func (c *Client) JoinWith(ctx context.Context, token, metadata string) (*Joined, error) {
	parameters := c.JoinParameters()
	parameters["token"], parameters["metadata"] = token, metadata
	joined := &Joined{}
	if err := c.Call(ctx, "joinRoom", parameters, joined); err != nil {
		return nil, err
	}
	return joined, nil
}

// JoinParameters are those that openvidu-browser gives joinRoom, for callers that change some.
func (c *Client) JoinParameters() map[string]any {
	return map[string]any{
		"token": c.token, "session": c.session, "platform": "mediarooms test client", "sdkVersion": "2.32.2",
		"metadata": "", "secret": "", "recorder": false, "stt": false,
	}
}

// Reconnect calls connect on a new Silent client to take a connection up again, by the private id
// that joinRoom gave, and starts to ping.
func (c *Client) Reconnect(ctx context.Context, rpcSessionID string) error {
	if err := c.Call(ctx, "connect", map[string]any{"sessionId": rpcSessionID, "reconnect": true}, nil); err != nil {
		return err
	}
	return c.KeepAlive(ctx)
}

// Leave calls leaveRoom and closes the socket, as Session.disconnect() does.
func (c *Client) Leave(ctx context.Context) error {
	err := c.Call(ctx, "leaveRoom", map[string]any{}, nil)
	c.CloseWith(4102, "Connection closed by client")
	return err
}
