package room

import (
	"errors"
	"fmt"
)

// Why nobody is let in, or taken up again.
var (
	// ErrToken means that the token is unknown here or was used.
	ErrToken = errors.New("token not valid")
	// ErrClosed means that the room is closed.
	ErrClosed = errors.New("room closed")
	// ErrMetadata means that the room holds too much metadata for the client's to be added
	// (MaxMetadataBytes).
	ErrMetadata = errors.New("too much metadata in the room")
	// ErrNotResumed means that nobody is in a room under the given private id, or no longer.
	ErrNotResumed = errors.New("nobody to resume")
	// ErrNotYet means that a client can't be resumed here for now.
	ErrNotYet = errors.New("not to be resumed here yet")
)

// Why a participant is refused something.
var (
	// ErrLeft means that it is not in the room any more.
	ErrLeft = errors.New("participant has left the room")
	// ErrEmpty means that nobody is in the room.
	ErrEmpty = errors.New("nobody is in the room")
	// ErrTooManyStreams means that it sends as many streams as it may (PublishRequest.MaxStreams).
	ErrTooManyStreams = errors.New("participant sends as many streams as it may")
	// ErrNoOffer means that the client has no offer to answer.
	ErrNoOffer = errors.New("no offer to answer")
	// ErrSubscriptionEnded means that a subscription was ended before its offer was made.
	ErrSubscriptionEnded = errors.New("the subscription was ended meanwhile")
)

// Kind is what an error is about.
type Kind int

// The kinds of what has an id.
const (
	KindParticipant Kind = iota + 1
	KindStream
	KindSubscription
)

// String implements fmt.Stringer.
func (k Kind) String() string {
	return [...]string{"thing", "participant", "stream", "subscription"}[k]
}

// NotFoundError means that a room has nothing of the kind under the id.
type NotFoundError struct {
	Kind Kind
	ID   string
}

// Error implements error.
func (e NotFoundError) Error() string { return fmt.Sprintf("no %s %q", e.Kind, e.ID) }

// ConflictError means that the id is taken.
type ConflictError struct {
	Kind Kind
	ID   string
}

// Error implements error.
func (e ConflictError) Error() string { return fmt.Sprintf("there is a %s %q already", e.Kind, e.ID) }

// Operation is what not everybody may do.
type Operation int

// The operations that need a right.
const (
	Publish Operation = iota + 1
	ForceUnpublish
	ForceDisconnect
	ForceMute
	Receive
)

// String implements fmt.Stringer.
func (o Operation) String() string {
	return [...]string{"do that", "publish", "end a stream of another", "put somebody out", "mute others", "receive"}[o]
}

// ForbiddenError means that the participant may not do that.
type ForbiddenError struct {
	Operation Operation
}

// Error implements error.
func (e ForbiddenError) Error() string { return fmt.Sprintf("participant may not %s", e.Operation) }

// LimitError means that something would be more than may be. Its text names what, and the limit.
type LimitError struct {
	Text string
}

// Error implements error.
func (e LimitError) Error() string { return e.Text }

func overLimit(format string, args ...any) error {
	return LimitError{Text: fmt.Sprintf(format, args...)}
}

// MediaError means that the media engine has refused something: Err is one of package media.
type MediaError struct {
	Err error
	// ForcedCodec is the video codec that was demanded of the offer, or "".
	ForcedCodec string
}

// Error implements error.
func (e MediaError) Error() string { return fmt.Sprintf("media engine: %v", e.Err) }

// Unwrap returns the cause.
func (e MediaError) Unwrap() error { return e.Err }
