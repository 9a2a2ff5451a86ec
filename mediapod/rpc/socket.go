package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

const (
	// probeTimeout is how long a browser may take to answer a WebSocket ping.
	probeTimeout = 10 * time.Second

	// requestTimeout is shorter than the client's own of 10 s, so that it gets an error that says something. It begins when the request comes.
	requestTimeout = 9 * time.Second

	methodPing = "ping"

	// closeTimeout is how long a client may take to answer a close frame.
	closeTimeout = 500 * time.Millisecond

	// maxPending is how many requests of one client may wait for their turn.
	maxPending = 2048

	// oversizeFactor is how many times the size limit is read, and thrown away, for the sake of an answer.
	oversizeFactor = 4
)

// Why sockets end.
var (
	errNotReading = errors.New("client does not read")
	errTakenOver  = errors.New("participant has another socket")
	errSilent     = errors.New("no ping")
	errLingered   = errors.New("participant has left")
	errFlooding   = errors.New("too many messages")
	errGuessing   = errors.New("too many wrong secrets")
	errShutdown   = errors.New("server stops")
)

var errPanic = errors.New("panic")

// socket is the connection of one client.
//
//	reader --pings are answered, other requests queued--> worker --answers--> outbox --> writer
//
// The worker handles requests one after the other, in the order in which they came; pings do not wait for them.
type socket struct {
	server    *Server
	ws        *websocket.Conn
	log       logr.Logger
	handshake handshake
	allowance allowance

	out    *outbox
	cancel context.CancelCauseFunc
	calls  *backlog
	group  sync.WaitGroup // every goroutine of the socket but the reader

	watchdog  watchdog
	visit     *visit // until it has joined
	lingering atomic.Pointer[time.Timer]

	participant *room.Participant    // set once; owned by the worker
	early       []media.ICECandidate // for what it has not published yet; owned by the worker
	private     string               // its private id, put into answers; owned by the worker
	joinFailed  bool                 // owned by the worker
	guesses     int                  // secrets that were wrong or not looked at; owned by the worker
}

// handshake is what is known of a socket since it was opened.
type handshake struct {
	address netip.Addr // of the client; the zero Addr when it is not known
	opened  time.Time
	// key is what the socket's URL names a room by: the socket is for no other room. "" is a URL without one, by which old clients join any room
	// that they have a token for.
	key string
	// secrets are those of the tenant whose room that is.
	secrets []secretDigest
	// refusal answers joinRoom in this socket, when the server can't let anybody in here; nil otherwise.
	refusal func(sessionID string) *Error
}

// names reports whether the socket may be for a room that clients name by the key.
func (h handshake) names(key string) bool {
	return h.key == "" || h.key == key
}

// serve is the life of a socket. It returns when nothing of it runs any more.
func (s *socket) serve(ctx context.Context) error {
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	defer s.group.Wait()
	defer s.cancel(nil) // before the wait

	s.watchdog.start(func() { s.bark(ctx) })
	defer func() {
		s.watchdog.stop()
		if lingering := s.lingering.Load(); lingering != nil {
			lingering.Stop()
		}
	}()

	s.visit = s.server.lobby.enter(s.allowance.shared, s.sendAway)
	defer s.visit.leave()

	s.group.Go(func() {
		switch err := s.out.run(ctx, &s.group); {
		case errors.Is(err, errGuessing):
			s.close(websocket.StatusPolicyViolation, err.Error(), err)
		case err != nil:
			s.drop(err)
		}
	})
	worked := make(chan struct{})
	s.group.Go(func() {
		defer close(worked)
		s.work(ctx)
	})

	err := s.read(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	// What was asked before is still done: a client that leaves does not wait for the answer.
	s.calls.end()
	<-worked
	if s.participant != nil {
		s.participant.Suspend(s.out)
	}
	s.cancel(err)
	_ = s.ws.CloseNow() // it is closed already or useless
	return err
}

// read takes messages until the socket ends.
func (s *socket) read(ctx context.Context) error {
	var buffer bytes.Buffer
	for {
		kind, reader, err := s.ws.Reader(ctx)
		if err != nil {
			return err
		}
		buffer.Reset()
		size, err := s.readMessage(&buffer, reader)
		if err != nil {
			return err
		}
		s.watchdog.heard()
		if kind != websocket.MessageText {
			continue // clients send none; the reference ignores them
		}
		if err := s.take(buffer.Bytes(), size); err != nil {
			s.close(websocket.StatusPolicyViolation, err.Error(), err)
			return err
		}
	}
}

// bark ends a socket that was silent for too long. One that has never asked for anything may stay, until its time to join is over, while its browser
// answers: a client whose join was cut off waits on such a socket, without pings, and would come back again and again (openvidu-rpc 1.6, trap 14).
func (s *socket) bark(ctx context.Context) {
	if !s.watchdog.spoke.Load() {
		probing, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		if s.ws.Ping(probing) == nil && ctx.Err() == nil {
			s.watchdog.spare()
			return
		}
	}
	s.close(websocket.StatusNormalClosure, "Close for not receive ping from client", errSilent)
}

// sendAway closes a socket that has joined nothing. A client that meant to join, and was too late, may come again.
func (s *socket) sendAway(cause error) {
	code := websocket.StatusPolicyViolation
	if errors.Is(cause, errCrowded) {
		code = websocket.StatusTryAgainLater
	}
	s.close(code, cause.Error(), cause)
}

// joined takes over whom the socket is for from now on. It is called with the room locked.
func (s *socket) joined(participant *room.Participant, private string) {
	s.participant, s.private = participant, private
	if s.visit != nil {
		s.visit.leave()
	}
}

// readMessage reads one message into the buffer and returns its size. Of one that is too big only the end is kept, for its id.
func (s *socket) readMessage(buffer *bytes.Buffer, reader io.Reader) (size int, err error) {
	limit := s.server.limits.MessageBytes
	if _, err := buffer.ReadFrom(io.LimitReader(reader, limit+1)); err != nil {
		return 0, err
	}
	size = buffer.Len()
	if int64(size) <= limit {
		return size, nil
	}
	var chunk [4096]byte
	for {
		n, err := reader.Read(chunk[:])
		tail := buffer.Bytes()
		tail = bytes.Clone(tail[max(0, len(tail)-len(chunk)):])
		buffer.Reset()
		buffer.Write(tail)
		buffer.Write(chunk[:n])
		size += n
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// take handles one message of that size: pings are answered, what can't be done is refused, everything else waits for the worker. Of a message that is
// too big only the end is given. An error means that the client floods.
func (s *socket) take(message []byte, size int) error {
	incoming, refused := decode(message)
	if int64(size) > s.server.limits.MessageBytes {
		incoming = request{ID: trailingID(message)}
		refused = bare(codeInvalidRequest, "Invalid request: a message may have at most %d bytes", s.server.limits.MessageBytes)
	}
	over, err := s.allowance.spend(incoming.Method, size)
	if err != nil {
		return err
	}
	if over != nil {
		refused = over
	}
	if refused != nil {
		s.fail(incoming, refused)
		return nil
	}
	s.accept(incoming)
	return nil
}

// accept answers a ping at once and hands everything else to the worker.
func (s *socket) accept(incoming request) {
	if incoming.Method == methodPing {
		s.ping(incoming)
		return
	}
	s.watchdog.spoke.Store(true)
	incoming.came = time.Now()
	if !s.calls.push(incoming) {
		s.fail(incoming, refuse(codeGeneric, "Too many requests: %d wait for their answers", maxPending))
	}
}

// ping answers a ping.
func (s *socket) ping(incoming request) {
	parameters := params{method: incoming.Method, fields: incoming.Params}
	milliseconds := parameters.optionalInteger("interval", 1, int(time.Hour/time.Millisecond), int(defaultPingInterval/time.Millisecond))
	if parameters.err != nil {
		s.fail(incoming, wireError(parameters.err, nil))
		return
	}
	s.watchdog.expect(time.Duration(milliseconds) * time.Millisecond)
	s.answer(incoming.ID, map[string]string{"value": "pong"}, "")
}

// work handles requests until there are no more.
func (s *socket) work(ctx context.Context) {
	for {
		incoming, more := s.calls.next()
		if !more {
			return
		}
		s.handle(ctx, incoming)
	}
}

// handle runs one request and answers it, unless its method did so at the right moment itself.
func (s *socket) handle(ctx context.Context, incoming request) {
	// A request outlives its socket: the client may come back and find it done (openvidu-rpc, trap 16).
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), incoming.came.Add(requestTimeout))
	defer cancel()
	c := &call{socket: s, id: incoming.ID, params: params{method: incoming.Method, fields: incoming.Params}}
	err := s.dispatch(ctx, c)
	switch {
	case err != nil && c.answered:
		s.log.Error(err, "Handling a request that was answered")
	case err != nil:
		wire := *wireError(err, s.participant)
		wire.Data = errorData[incoming.Method]
		c.code = wire.Code
		s.fail(incoming, &wire)
	case !c.answered:
		c.reply(struct{}{})
	}
	s.server.observer.Request(c.observedMethod, c.code, time.Since(incoming.came))
}

// dispatch calls the method. Should that panic, which is a mistake of ours or of a library, it costs no more than the request.
func (s *socket) dispatch(ctx context.Context, c *call) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.log.Error(fmt.Errorf("handling %s: %w", c.observedMethod, errPanic), "Request panicked", "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			err = refuse(codeGeneric, "Internal error")
		}
	}()
	m, known := methods[c.params.method]
	if !known {
		c.observedMethod = "unknown"
		return bare(codeMethodNotFound, "Method not found: '%s'", shorten(c.params.method))
	}
	c.observedMethod = c.params.method
	if !m.anybody && s.participant == nil {
		what := "No connection found"
		if s.joinFailed {
			what = "No session information found"
		}
		return refuse(codeTransport, "%s for participant with privateId null. Method 'Session.connect()' must be the first operation called in any session", what)
	}
	return m.handle(ctx, c)
}

// answer queues the answer to a request; one without an id gets none.
func (s *socket) answer(id json.RawMessage, result any, private string) {
	if id == nil {
		return
	}
	data, err := encodeResult(id, result, private)
	if err != nil {
		s.log.Error(err, "Answering a request")
		return
	}
	s.out.reply(data)
}

// fail answers a request with an error. What could not be decoded, and so has no id, is answered with id null (JSON-RPC 2.0 section 5).
func (s *socket) fail(incoming request, refused *Error) {
	s.log.V(1).Info("Refused a request", "method", shorten(incoming.Method), "code", refused.Code)
	id := incoming.ID
	if id == nil {
		if incoming.Method != "" {
			return
		}
		id = json.RawMessage("null")
	}
	data, err := encodeError(id, refused)
	if err != nil {
		s.log.Error(err, "Answering a request")
		return
	}
	s.out.reply(data)
}

// writeText implements transport.
func (s *socket) writeText(ctx context.Context, data []byte) error {
	return s.ws.Write(ctx, websocket.MessageText, data)
}

// confirm implements transport.
func (s *socket) confirm(ctx context.Context) error {
	return s.ws.Ping(ctx)
}

// drop implements transport.
func (s *socket) drop(cause error) {
	s.cancel(cause)
}

// expended implements transport.
func (s *socket) expended(count int) {
	s.server.expended.Add(uint64(count))
}

// linger implements transport.
func (s *socket) linger(after time.Duration) {
	s.lingering.Store(time.AfterFunc(after, func() {
		s.close(websocket.StatusNormalClosure, "", errLingered)
	}))
}

// close ends the socket with a close frame, waiting a moment for the client's. The library alone would wait for 5 s, by which a client whose
// network is gone would stay longer than its reconnection window.
func (s *socket) close(code websocket.StatusCode, reason string, cause error) {
	hurry := time.AfterFunc(closeTimeout, func() { s.cancel(cause) })
	defer hurry.Stop()
	_ = s.ws.Close(code, reason) // the client may be gone, and then it does not matter
	s.cancel(cause)
}

// shorten bounds what is quoted of a client's message in a log.
func shorten(text string) string {
	const limit = 200
	if len(text) <= limit {
		return text
	}
	return cut(text, limit) + "..."
}

// cut returns at most so many bytes of a text, and no half character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}
