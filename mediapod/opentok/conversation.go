package opentok

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// methodPing shows that a client is there; it does not wait for its turn.
const methodPing = "ping"

// maxPingInterval is how seldom a client may ping.
const maxPingInterval = time.Minute

var errPanic = errors.New("panic")

// conversation is what one client and the server say to each other. Key never changes; what follows
// it is the worker's.
type conversation struct {
	Config
	client signalling.Client
	// key is what the socket's URL names a room by: the socket is for no other room.
	key string

	participant *room.Participant // nil until it has joined
}

// call is a request while it is handled.
type call struct {
	*conversation
	request  jsonrpc.Request
	repeated bool
	params   params
	answered bool
}

// Decode implements signalling.Conversation.
func (*conversation) Decode(message []byte, complete bool) (signalling.Request, error) {
	if !complete {
		return signalling.Request{Content: jsonrpc.Request{ID: jsonrpc.TrailingID(message)}}, nil
	}
	decoded, refused := jsonrpc.Decode(message)
	incoming := signalling.Request{Content: decoded, Ping: decoded.Method == methodPing}
	if refused != nil {
		return incoming, refused
	}
	if incoming.Ping {
		parameters := params{fields: decoded.Params}
		milliseconds := parameters.optionalInteger("interval", 1, int(maxPingInterval/time.Millisecond), 0)
		incoming.Interval = time.Duration(milliseconds) * time.Millisecond
		return incoming, parameters.failure()
	}
	return incoming, nil
}

// content returns what Decode put into a request.
func content(incoming signalling.Request) jsonrpc.Request {
	decoded, _ := incoming.Content.(jsonrpc.Request)
	return decoded
}

// Pong implements signalling.Conversation.
func (s *conversation) Pong(incoming signalling.Request) []byte {
	return s.result(content(incoming).ID, struct{}{})
}

// Refuse implements signalling.Conversation.
func (s *conversation) Refuse(incoming signalling.Request, err error) []byte {
	refused := wireError(err)
	if tooLarge := (signalling.TooLargeError{}); errors.As(err, &tooLarge) {
		refused = jsonrpc.Errorf(jsonrpc.CodeInvalidRequest, "Invalid request: %v", tooLarge)
	}
	return s.failure(content(incoming), refused)
}

// Encode implements signalling.Conversation.
func (*conversation) Encode(notification room.Notification) ([][]byte, error) {
	message, err := encodeNotification(notification)
	if message == nil || err != nil {
		return nil, err
	}
	return [][]byte{message}, nil
}

// Resume implements signalling.Conversation.
func (s *conversation) Resume(privateID string) error {
	return s.Rooms.ResumeUnnoticed(s.key, privateID, s.client, s.joined)
}

// joined takes over whom the conversation is for from now on. It is called with the room locked.
func (s *conversation) joined(participant *room.Participant) {
	s.participant = participant
	s.client.Joined(participant)
}

// Handle implements signalling.Conversation. It runs one request and answers it, unless its method
// did so at the right moment itself.
func (s *conversation) Handle(ctx context.Context, incoming signalling.Request) {
	asked := content(incoming)
	c := &call{conversation: s, request: asked, repeated: incoming.Repeated, params: params{fields: asked.Params}}
	m, known := methods[asked.Method]
	name, code := asked.Method, 0
	if !known {
		name = "unknown"
	}
	err := c.run(ctx, m, known)
	switch {
	case err != nil && c.answered:
		s.Log.Error(err, "Handling a request that was answered")
	case err != nil:
		refused := wireError(err)
		code = refused.Code
		s.client.Reply(s.failure(asked, refused))
	case !c.answered:
		c.reply(struct{}{})
	}
	took := time.Since(incoming.Received)
	s.Observer.Request(name, code, took)
	if asked.Method == methodConnect {
		s.Observer.Joined(code, time.Since(s.client.Opened()))
	}
}

// run calls the method. Should that panic, which is a mistake of ours or of a library, it costs no
// more than the request.
func (c *call) run(ctx context.Context, m method, known bool) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			c.Log.Error(fmt.Errorf("handling %s: %w", c.request.Method, errPanic), "Request panicked",
				"fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			err = refuse(codeInternal, nameUnexpected, "internal error")
		}
	}()
	switch {
	case !known:
		return jsonrpc.Errorf(jsonrpc.CodeMethodNotFound, "no method %q", shorten(c.request.Method))
	case !m.anybody && c.participant == nil:
		return refuse(codeNotConnected, nameNotConnected, "%q or %q comes first", methodConnect, methodResume)
	case m.once && c.repeated:
		return refuse(codeInternal, nameTimedOut, "the media pod was lost before it answered; it may have handled the request")
	}
	return m.handle(ctx, c)
}

// reply answers the request. It only queues, so it may be called with a room locked.
func (c *call) reply(result any) {
	c.answered = true
	c.client.Reply(c.result(c.request.ID, result))
}

// done answers a request of which there is nothing to tell.
func (c *call) done() { c.reply(struct{}{}) }

// result encodes the answer to a request; one without an id gets none.
func (s *conversation) result(id json.RawMessage, result any) []byte {
	if id == nil {
		return nil
	}
	body, err := jsonrpc.Encode(result)
	if err != nil {
		s.Log.Error(err, "Answering a request")
		return nil
	}
	return jsonrpc.EncodeResult(id, body)
}

// failure encodes an error as the answer to a request.
func (s *conversation) failure(asked jsonrpc.Request, refused *jsonrpc.Error) []byte {
	s.Log.V(1).Info("Refused a request", "method", shorten(asked.Method), "code", refused.Code, "name", refused.Data)
	id := asked.AnswerID()
	if id == nil {
		return nil
	}
	data, err := jsonrpc.EncodeError(id, refused)
	if err != nil {
		s.Log.Error(err, "Answering a request")
	}
	return data
}
