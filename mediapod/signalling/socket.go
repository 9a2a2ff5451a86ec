package signalling

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
)

const (
	// probeTimeout is how long a browser may take to answer a WebSocket ping.
	probeTimeout = 10 * time.Second

	// requestTimeout is shorter than the client's own of 10 s, so that it gets an error that says
	// something. It begins when the request comes.
	requestTimeout = 9 * time.Second

	// messageTimeout is how long a message may take from its first byte to its last one. What came
	// of it is kept that long, and clients give up on an answer after the same time.
	messageTimeout = 10 * time.Second

	// keptBytes is how much memory for messages a socket keeps from one to the next.
	keptBytes = 16 << 10

	// closeTimeout is how long a client may take to answer a close frame.
	closeTimeout = 500 * time.Millisecond

	// maxPending is how many requests of one client may wait for their turn.
	maxPending = 2048

	// oversizeFactor is how many times the size limit is read, and thrown away, for the sake of an
	// answer.
	oversizeFactor = 4
)

// Why sockets end.
var (
	errNotReading = errors.New("client does not read")
	errTakenOver  = errors.New("participant has another socket")
	errSilent     = errors.New("no ping")
	errLingered   = errors.New("participant has left")
	errFlooding   = errors.New("too many messages")
	errUnfinished = errors.New("a message was not complete within 10 s")
	errShutdown   = errors.New("server stops")
	errMoved      = errors.New("the session is on another media pod")
)

// expulsion is why a client is sent away that broke the rules.
type expulsion struct{ error }

// socket is the connection of one client. It implements Client.
//
//	reader --pings are answered, other requests queued--> worker --answers--> outbox --> writer
//
// The worker handles requests one after the other, in the order in which they came; pings do not
// wait for them.
type socket struct {
	server       *Server
	name         string // wherever the gateway carries the client to before it has joined
	ws           *websocket.Conn
	log          logr.Logger
	address      netip.Addr
	opened       time.Time
	unwelcome    bool
	holds        bool                // the gateway outlives this pod with the client
	tells        bool                // the gateway says when the client has gone
	gone         bool                // it has said so, or an incomplete message does
	resumption   *podhttp.Resumption // what the gateway resumes; nil for a client of its own
	allowance    allowance
	conversation Conversation

	outbox  *outbox
	cancel  context.CancelCauseFunc
	backlog *backlog
	group   sync.WaitGroup // every goroutine of the socket but the reader

	watchdog  watchdog
	visit     *visit // until it has joined
	lingering atomic.Pointer[time.Timer]

	participant *room.Participant // set once; owned by the worker
}

var _ Client = (*socket)(nil)

// Address implements Client.
func (s *socket) Address() netip.Addr { return s.address }

// Name implements Client.
func (s *socket) Name() string { return s.name }

// Opened implements Client.
func (s *socket) Opened() time.Time { return s.opened }

// Unwelcome implements Client.
func (s *socket) Unwelcome() bool { return s.unwelcome }

// Notify implements room.Sink.
func (s *socket) Notify(notification room.Notification) { s.outbox.notify(notification) }

// Release implements room.Sink.
func (s *socket) Release() []room.Notification { return s.outbox.release() }

// Move implements room.Sink: it ends the socket once everything that is queued is written.
func (s *socket) Move() { s.outbox.move() }

// Finish implements room.Sink: it ends the socket in a while, in case that the client does not.
func (s *socket) Finish() {
	s.lingering.Store(time.AfterFunc(lingerTime, func() {
		s.close(websocket.StatusNormalClosure, "", errLingered)
	}))
}

// Reply implements Client.
func (s *socket) Reply(answer []byte) {
	if answer != nil {
		s.outbox.reply(answer)
	}
}

// ReplyInParts implements Client.
func (s *socket) ReplyInParts(answer LongAnswer) { s.outbox.replyInParts(answer) }

// Joined implements Client.
func (s *socket) Joined(participant *room.Participant) {
	s.participant = participant
	s.visit.leave()
}

// Resumable implements Client.
func (s *socket) Resumable(privateID string, requestID []byte) {
	if s.holds {
		resumption := podhttp.Resumption{PrivateID: privateID, PingInterval: s.watchdog.interval()}
		s.outbox.tellGateway(resumption.Message(requestID))
	}
}

// SpendJoin implements Client.
func (s *socket) SpendJoin(metadata int) error {
	over := s.allowance.join(metadata)
	if over != nil {
		s.tell("Refusing what a client asks for", over)
	}
	return over
}

// SpendSecret implements Client.
func (s *socket) SpendSecret() (refund func(), err error) {
	return s.allowance.shared.trySecret(time.Now())
}

// Expel implements Client.
func (s *socket) Expel(cause error) { s.outbox.end(expulsion{cause}) }

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

	if err := s.resume(); err != nil {
		_ = s.ws.CloseNow() // the gateway tries again, and is told why not
		return err
	}
	s.group.Go(func() { s.write(ctx) })
	worked := make(chan struct{})
	s.group.Go(func() {
		defer close(worked)
		s.work(ctx)
	})

	err := s.read(ctx)
	severed := s.tells && !s.gone && severs(err)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	// What was asked before is still done: a client that leaves does not wait for the answer.
	s.backlog.end()
	<-worked
	switch {
	case s.participant == nil:
	case websocket.CloseStatus(err) == websocket.StatusGoingAway:
		s.participant.Depart(s) // a browser says so when its page is closed or loaded anew
	case severed:
		s.participant.Strand(s)
	default:
		s.participant.Suspend(s)
	}
	s.cancel(err)
	_ = s.ws.CloseNow() // it is closed already or useless
	return err
}

// resume takes up the participant of a client that the gateway has held.
func (s *socket) resume() error {
	if s.resumption == nil {
		return nil
	}
	if interval := s.resumption.PingInterval; interval > 0 {
		s.watchdog.expect(interval)
	}
	if s.resumption.PrivateID == "" {
		return nil // it has not joined
	}
	s.watchdog.spoke.Store(true)
	return s.conversation.Resume(s.resumption.PrivateID)
}

// write writes what is queued, and ends the socket when there is no more to write. With a close
// frame other than that of a move the gateway does not look for the client's next socket.
func (s *socket) write(ctx context.Context) {
	var expelled expulsion
	switch err := s.outbox.run(ctx, &s.group); {
	case errors.As(err, &expelled):
		s.close(websocket.StatusPolicyViolation, err.Error(), err)
	case errors.Is(err, errMoved):
		s.close(websocket.StatusServiceRestart, err.Error(), err)
	case errors.Is(err, errTakenOver):
		s.close(websocket.StatusNormalClosure, err.Error(), err)
	case err != nil:
		s.drop(err)
	}
}

// read takes messages until the socket ends.
func (s *socket) read(ctx context.Context) error {
	var buffer bytes.Buffer
	unfinished := time.AfterFunc(messageTimeout, func() {
		s.tell("Closing the socket of a client", errUnfinished)
		s.close(websocket.StatusPolicyViolation, errUnfinished.Error(), errUnfinished)
	})
	defer unfinished.Stop()
	for {
		unfinished.Stop()
		if buffer.Cap() > keptBytes {
			buffer = bytes.Buffer{}
		}
		kind, reader, err := s.ws.Reader(ctx)
		if err != nil {
			return err
		}
		unfinished.Reset(messageTimeout)
		buffer.Reset()
		size, err := s.readMessage(&buffer, reader)
		if err != nil {
			s.gone = true
			return err
		}
		s.watchdog.heard()
		if kind == websocket.MessageBinary && s.tells && buffer.String() == podhttp.ClientGone {
			s.gone = true
			continue
		}
		repeated := kind == websocket.MessageBinary && s.resumption != nil
		if kind != websocket.MessageText && !repeated {
			continue // clients send none; the reference ignores them
		}
		if err := s.take(buffer.Bytes(), size, repeated); err != nil {
			s.close(websocket.StatusPolicyViolation, err.Error(), err)
			return err
		}
	}
}

// severs reports whether a connection has ended without a word.
func severs(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// bark ends a socket that was silent for too long. One that has never asked for anything may stay,
// until its time to join is over, while its browser answers: a client whose join was cut off waits
// on such a socket, without pings, and would come back again and again (openvidu-rpc 1.6, trap 14).
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

// sendAway closes a socket that has joined nothing. A client that meant to join, and was too late,
// may come again.
func (s *socket) sendAway(cause error) {
	code := websocket.StatusPolicyViolation
	if errors.Is(cause, errCrowded) {
		code = websocket.StatusTryAgainLater
		s.tell("Closing the socket of a client", cause)
	}
	s.close(code, cause.Error(), cause)
}

// readMessage reads one message into the buffer and returns its size. Of one that is too big only
// the end is kept, for its id.
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

// take handles one message of that size: pings are answered, what can't be done is refused,
// everything else waits for the worker. Of a message that is too large only the end is given. An
// error means that the client floods.
func (s *socket) take(message []byte, size int, repeated bool) error {
	complete := int64(size) <= s.server.limits.MessageBytes
	incoming, err := s.conversation.Decode(message, complete)
	incoming.Repeated = repeated
	if !complete {
		err = TooLargeError{s.server.limits.MessageBytes}
	}
	if over := s.allowance.spend(incoming.Ping, size); errors.Is(over, errFlooding) {
		s.tell("Closing the socket of a client", over)
		return over
	} else if over != nil {
		s.tell("Refusing what a client asks for", over)
		err = over
	}
	if err == nil {
		err = s.accept(incoming)
	}
	if err != nil {
		s.Reply(s.conversation.Refuse(incoming, err))
	}
	return nil
}

// accept answers a ping at once and hands everything else to the worker.
func (s *socket) accept(incoming Request) error {
	if incoming.Ping {
		s.watchdog.expect(incoming.Interval)
		s.Reply(s.conversation.Pong(incoming))
		return nil
	}
	s.watchdog.spoke.Store(true)
	incoming.Received = time.Now()
	if !s.backlog.push(incoming) {
		return tooMany("requests: %d wait for their answers", maxPending)
	}
	return nil
}

// work handles requests until there are no more.
func (s *socket) work(ctx context.Context) {
	for {
		incoming, more := s.backlog.next()
		if !more {
			return
		}
		s.handle(ctx, incoming)
	}
}

// handle handles one request. It outlives its socket: the client may come back and find it done.
func (s *socket) handle(ctx context.Context, incoming Request) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), incoming.Received.Add(requestTimeout))
	defer cancel()
	s.conversation.Handle(ctx, incoming)
}

// writeText implements transport.
func (s *socket) writeText(ctx context.Context, data []byte) error {
	return s.ws.Write(ctx, websocket.MessageText, data)
}

// writeBinary implements transport.
func (s *socket) writeBinary(ctx context.Context, data []byte) error {
	return s.ws.Write(ctx, websocket.MessageBinary, data)
}

// writeParts implements transport.
func (s *socket) writeParts(ctx context.Context, parts iter.Seq2[[]byte, error]) error {
	message, err := s.ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for part, err := range parts {
		if err != nil {
			return err
		}
		if _, err := message.Write(part); err != nil {
			return err
		}
	}
	return message.Close()
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

// tell has the log say why something of the client is refused or ended: once a minute for all at
// its address.
func (s *socket) tell(what string, reason error) {
	if s.server.addresses.tell(s.allowance.shared, reason.Error(), time.Now()) {
		s.log.Info(what, "address", s.address.String(), "reason", reason.Error())
	}
}

// close ends the socket with a close frame, waiting a moment for the client's. The library alone
// would wait for 5 s, by which a client whose network is gone would stay longer than its
// reconnection window.
func (s *socket) close(code websocket.StatusCode, reason string, cause error) {
	hurry := time.AfterFunc(closeTimeout, func() { s.cancel(cause) })
	defer hurry.Stop()
	_ = s.ws.Close(code, reason) // the client may be gone, and then it does not matter
	s.cancel(cause)
}
