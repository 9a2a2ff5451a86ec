package opentok

import (
	"errors"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// The codes of errors, as applications know them (opentok-rpc 4).
const (
	codeAuthentication   = 1004
	codeInvalidSession   = 1005
	codeConnectFailed    = 1006
	codeConnectRejected  = 1007
	codeSecurity         = 1009
	codeNotConnected     = 1010
	codeInvalidParameter = 1011
	codePeerConnection   = 1013
	codePublish          = 1500
	codeForceDisconnect  = 1520
	codeForceUnpublish   = 1530
	codeInvalidStream    = 1535
	codeInternal         = 2000
)

// The names of errors.
const (
	nameAuthentication    = "OT_AUTHENTICATION_ERROR"
	nameInvalidSession    = "OT_INVALID_SESSION_ID"
	nameConnectFailed     = "OT_CONNECT_FAILED"
	nameNotConnected      = "OT_NOT_CONNECTED"
	nameInvalidParameter  = "OT_INVALID_PARAMETER"
	namePermission        = "OT_PERMISSION_DENIED"
	nameStreamCreate      = "OT_STREAM_CREATE_FAILED"
	nameStreamNotFound    = "OT_STREAM_NOT_FOUND"
	nameStreamDestroyed   = "OT_STREAM_DESTROYED"
	nameNotFound          = "OT_NOT_FOUND"
	nameRateLimit         = "OT_RATE_LIMIT_EXCEEDED"
	nameRemoteDescription = "OT_SET_REMOTE_DESCRIPTION_FAILED"
	namePeerConnection    = "OT_CREATE_PEER_CONNECTION_FAILED"
	nameTimedOut          = "OT_TIMEOUT"
	nameUnexpected        = "OT_UNEXPECTED_SERVER_RESPONSE"
)

// refuse makes an error that has a name.
func refuse(code int, name, format string, args ...any) *jsonrpc.Error {
	refused := jsonrpc.Errorf(code, format, args...)
	refused.Data = name
	return refused
}

// wireError returns what a client is told of an error.
func wireError(err error) *jsonrpc.Error {
	var (
		wire      *jsonrpc.Error
		missing   room.NotFoundError
		forbidden room.ForbiddenError
		limit     room.LimitError
	)
	switch {
	case errors.As(err, &wire):
		return wire
	case errors.Is(err, room.ErrClosed), errors.Is(err, room.ErrLeft):
		return refuse(codeNotConnected, nameNotConnected, "%v", err)
	case errors.As(err, &limit):
		return refuse(codeInternal, nameRateLimit, "%v", limit)
	case errors.As(err, &forbidden):
		return refuse(forbiddenCodes[forbidden.Operation], namePermission, "%v", forbidden)
	case errors.As(err, &missing) && missing.Kind == room.KindStream:
		return refuse(codeInvalidStream, nameStreamNotFound, "%v", missing)
	case errors.As(err, &missing):
		return refuse(codeInvalidParameter, nameNotFound, "%v", missing)
	case errors.Is(err, room.ErrTooManyStreams):
		return refuse(codePublish, nameStreamCreate, "%v: at most %d", err, maxStreams)
	case errors.Is(err, room.ErrNoOffer):
		return refuse(codeInvalidParameter, nameInvalidParameter, "%v", err)
	case errors.Is(err, room.ErrSubscriptionEnded):
		return refuse(codePeerConnection, nameStreamDestroyed, "%v", err)
	}
	return mediaError(err)
}

// mediaError returns what a client is told of a refusal of the media engine, or of what is not
// known.
func mediaError(err error) *jsonrpc.Error {
	if refused := (room.MediaError{}); !errors.As(err, &refused) {
		return refuse(codeInternal, nameUnexpected, "%v", err)
	}
	if errors.Is(err, media.ErrPublicationClosed) {
		return refuse(codePeerConnection, nameStreamDestroyed, "%v", err)
	}
	if errors.Is(err, media.ErrSDP) {
		return refuse(codePeerConnection, nameRemoteDescription, "%v", err)
	}
	return refuse(codePeerConnection, namePeerConnection, "%v", err)
}

var forbiddenCodes = map[room.Operation]int{
	room.Publish: codePublish, room.ForceUnpublish: codeForceUnpublish, room.ForceDisconnect: codeForceDisconnect, room.ForceMute: codeSecurity,
	room.Receive: codeSecurity,
}
