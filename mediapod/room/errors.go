package room

import (
	"errors"
	"fmt"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// Code is an OpenVidu error code (openvidu-rpc section 6).
type Code int

// The codes that a room refuses with.
const (
	CodeUserNotFound        Code = 102
	CodeUserNotStreaming    Code = 105
	CodeUserAlreadyStreams  Code = 106
	CodeRoomNotFound        Code = 202
	CodeRoomClosed          Code = 203
	CodeMediaSDP            Code = 302
	CodeMediaEndpoint       Code = 303
	CodeMediaCandidate      Code = 304
	CodeUnauthorized        Code = 401
	CodeSignalTo            Code = 601
	CodeForcedCodecNotFound Code = 800
	CodeGeneric             Code = 999
)

// Error is a refusal: a code and a text for the client. It never holds a secret that the client did not send.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string {
	return e.Message
}

// Why nobody is let in. The texts for the client quote what it sent, so they are for the layer above.
var (
	// ErrToken means that the token is unknown here or was used.
	ErrToken = errors.New("token not valid")
	// ErrClosed means that the room is closed.
	ErrClosed = errors.New("room closed")
	// ErrMetadata means that the room holds too much metadata for the client's to be added (MaxMetadataBytes).
	ErrMetadata = errors.New("too much metadata in the room")
	// ErrReconnection means that nobody is in a room under the given private id, or no longer.
	ErrReconnection = errors.New("reconnection error")
)

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// left answers a request of somebody who is no longer in the room. The reference does not answer at all. The room is locked.
func (p *Participant) left() *Error {
	if p.room.closed {
		return refuse(CodeRoomClosed, "Session %s is closed", p.room.sessionID)
	}
	return refuse(CodeUserNotFound, "User %s not found in session %s", p.id, p.room.sessionID)
}

// mediaError turns a refusal of the media engine into one for the client.
func mediaError(err error, doing string) *Error {
	code := CodeMediaEndpoint
	switch {
	case errors.Is(err, media.ErrSDP):
		code = CodeMediaSDP
	case errors.Is(err, media.ErrForcedCodec), errors.Is(err, media.ErrCodecRejected):
		code = CodeForcedCodecNotFound
	case errors.Is(err, media.ErrCandidate):
		code = CodeMediaCandidate
	}
	return refuse(code, "%s: %v", doing, err)
}
