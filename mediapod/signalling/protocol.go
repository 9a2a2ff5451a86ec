package signalling

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"time"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// Protocol is one client protocol over WebSockets. Its methods are safe for concurrent use.
type Protocol interface {
	// Open begins the conversation with a client that has connected by that HTTP request.
	Open(Client, *http.Request) Conversation
}

// Conversation is what one client and the server say to each other. The goroutines of a socket
// share it: Decode, Pong and Refuse are the reader's, Handle is the worker's, Encode the writer's.
type Conversation interface {
	// Decode reads a message. An error comes with what is known of the request, so that it can be
	// answered. A message that is not complete is the end of one that is too large: of it no more
	// than that is wanted, and no error.
	Decode(message []byte, complete bool) (Request, error)

	// Pong returns the answer to a Request that is a Ping, nil for none.
	Pong(Request) []byte

	// Refuse returns the answer to a request that is not handled, nil for none. The error is one of
	// Decode, a room.LimitError or a TooLargeError.
	Refuse(Request, error) []byte

	// Resume takes up the participant with a private id, whose client is behind the socket and
	// knows nothing of the change. It is called before anything else; an error ends the socket.
	Resume(privateID string) error

	// Handle does what a request asks for and answers it, one request after the other. The context
	// outlives the socket.
	Handle(context.Context, Request)

	// Encode writes what the client's participant is told: the messages, one after the other, none
	// for what its protocol does not tell.
	Encode(room.Notification) ([][]byte, error)
}

// Request is a decoded message of a client.
type Request struct {
	// Ping says that the client only shows that it is there, which does not wait for its turn.
	Ping bool
	// Interval is how often it means to; 0 when it did not say.
	Interval time.Duration
	// Repeated says that the gateway has sent the request before, over a socket that was lost: it
	// may have been handled then.
	Repeated bool
	// Content is the protocol's own.
	Content any
	// Received is when the request came.
	Received time.Time
}

// Client is the far end of a socket, as its conversation sees it. It is the sink of the participant
// that joins over it. Its methods are safe for concurrent use, but for Joined.
type Client interface {
	room.Sink

	// Address is the client's; the zero Addr when it is not known.
	Address() netip.Addr
	// Name is a secret of the socket, which is the same at the next media pod while nobody has
	// joined over it.
	Name() string
	// Opened is when the client connected.
	Opened() time.Time
	// Unwelcome says that nobody can join over this socket, since there are too many or the room
	// that it is for has no pod.
	Unwelcome() bool

	// Reply queues an encoded answer.
	Reply(answer []byte)
	// ReplyInParts queues an answer that may be large.
	ReplyInParts(LongAnswer)
	// Joined says whom the socket is for from now on. It is for Handle and Resume to call, also
	// with the room locked.
	Joined(*room.Participant)

	// Resumable says by which private id the participant is resumed, from when the client has the
	// answer to the request with that id (the JSON text, nil for at once). A gateway that holds is
	// told. It is called before that answer, perhaps with the room locked.
	Resumable(privateID string, requestID []byte)

	// SpendJoin takes an attempt to join with so many bytes of metadata off what the client may do;
	// the error is a room.LimitError.
	SpendJoin(metadata int) error
	// SpendSecret takes a wrong secret off before one is looked at, so that many at once are no
	// more tries. The refund is for one that is right.
	SpendSecret() (refund func(), err error)
	// Expel ends the socket once everything that is queued is written: the client broke the rules.
	Expel(cause error)
}

// LongAnswer is an answer that is encoded while it is written, so that it takes little memory while
// its client reads slowly, or not at all.
type LongAnswer struct {
	// Weight is about the number of bytes that it takes, for the bounds of queues.
	Weight int
	// Parts are the answer, one after the other. A part is good until the next one is asked for.
	Parts iter.Seq2[[]byte, error]
}

// TooLargeError means that a message has more bytes than one may have.
type TooLargeError struct {
	Limit int64
}

// Error implements error.
func (e TooLargeError) Error() string {
	return fmt.Sprintf("a message may have at most %d bytes", e.Limit)
}
