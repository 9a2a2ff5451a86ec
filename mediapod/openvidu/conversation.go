package openvidu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// methodPing shows that a client is there; it does not wait for its turn.
const methodPing = "ping"

var errPanic = errors.New("panic")

// conversation is what one client and the server say to each other. Its fields are the worker's,
// but for the first group, which never changes.
type conversation struct {
	frontEnd *FrontEnd
	client   signalling.Client
	// key is what the socket's URL names a room by: the socket is for no other room. "" is a URL
	// without one, by which old clients join any room that they have a token for.
	key string
	// secrets are those of the tenant whose room that is.
	secrets podhttp.SecretDigests
	// held is for how long the gateway has held the handshake.
	held time.Duration

	participant *room.Participant    // nil until it has joined
	private     string               // its private id, put into answers
	early       []media.ICECandidate // for what it has not published yet
	joinFailed  bool
	guesses     int // secrets that were wrong or not looked at
}

// names reports whether the socket may be for a room that clients name by the key.
func (s *conversation) names(key string) bool {
	return s.key == "" || s.key == key
}

// joined takes over whom the conversation is for from now on. It is called with the room locked.
func (s *conversation) joined(participant *room.Participant, private string) {
	s.participant, s.private = participant, private
	s.client.Joined(participant)
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
		parameters := params{method: decoded.Method, fields: decoded.Params}
		milliseconds := parameters.optionalInteger("interval", 1, int(time.Hour/time.Millisecond), 0)
		incoming.Interval = time.Duration(milliseconds) * time.Millisecond
		return incoming, parameters.err
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
	return s.result(content(incoming).ID, map[string]string{"value": "pong"}, "")
}

// Refuse implements signalling.Conversation. What could not be decoded, and so has no id, is
// answered with id null (JSON-RPC 2.0 section 5).
func (s *conversation) Refuse(incoming signalling.Request, err error) []byte {
	refused := wireError(err, nil)
	if tooLarge := (signalling.TooLargeError{}); errors.As(err, &tooLarge) {
		refused = jsonrpc.Errorf(jsonrpc.CodeInvalidRequest, "Invalid request: %v", tooLarge)
	}
	return s.failure(content(incoming), refused)
}

// Encode implements signalling.Conversation.
func (*conversation) Encode(notification room.Notification) ([][]byte, error) {
	return encodeNotification(notification)
}

// Resume implements signalling.Conversation.
func (s *conversation) Resume(privateID string) error {
	return s.frontEnd.rooms.ResumeUnnoticed(s.key, privateID, s.client, func(participant *room.Participant) {
		s.joined(participant, privateID)
	})
}

// Handle implements signalling.Conversation. It runs one request and answers it, unless its method
// did so at the right moment itself.
func (s *conversation) Handle(ctx context.Context, incoming signalling.Request) {
	asked := content(incoming)
	c := &call{conversation: s, id: asked.ID, repeated: incoming.Repeated, params: params{method: asked.Method, fields: asked.Params}}
	err := s.dispatch(ctx, c)
	switch {
	case err != nil && c.answered:
		s.frontEnd.log.Error(err, "Handling a request that was answered")
	case err != nil:
		wire := *wireError(err, s.participant)
		wire.Data = errorData[asked.Method]
		c.code = wire.Code
		s.client.Reply(s.failure(asked, &wire))
	case !c.answered:
		c.reply(struct{}{})
	}
	if c.after != nil {
		c.after()
	}
	s.frontEnd.observer.Request(c.observedMethod, c.code, time.Since(incoming.Received))
}

// dispatch calls the method. Should that panic, which is a mistake of ours or of a library, it
// costs no more than the request.
func (s *conversation) dispatch(ctx context.Context, c *call) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.frontEnd.log.Error(fmt.Errorf("handling %s: %w", c.observedMethod, errPanic), "Request panicked",
				"fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			err = refuse(codeGeneric, "Internal error")
		}
	}()
	m, known := methods[c.params.method]
	if !known {
		c.observedMethod = "unknown"
		return jsonrpc.Errorf(jsonrpc.CodeMethodNotFound, "Method not found: '%s'", shorten(c.params.method))
	}
	c.observedMethod = c.params.method
	if !m.anybody && s.participant == nil {
		what := "No connection found"
		if s.joinFailed {
			what = "No session information found"
		}
		return refuse(codeTransport, "%s for participant with privateId null. Method 'Session.connect()' must be the first operation called in any session", what)
	}
	if m.once && c.repeated {
		return refuse(codeTransport, "The media pod was lost before it answered. It may have handled the request")
	}
	return m.handle(ctx, c)
}

// result encodes the answer to a request; one without an id gets none.
func (s *conversation) result(id json.RawMessage, result any, private string) []byte {
	if id == nil {
		return nil
	}
	data, err := encodeResult(id, result, private)
	if err != nil {
		s.frontEnd.log.Error(err, "Answering a request")
	}
	return data
}

// failure encodes an error as the answer to a request.
func (s *conversation) failure(asked jsonrpc.Request, refused *jsonrpc.Error) []byte {
	s.frontEnd.log.V(1).Info("Refused a request", "method", shorten(asked.Method), "code", refused.Code)
	id := asked.AnswerID()
	if id == nil {
		return nil
	}
	data, err := jsonrpc.EncodeError(id, refused)
	if err != nil {
		s.frontEnd.log.Error(err, "Answering a request")
	}
	return data
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
