package openvidu

import (
	"errors"
	"fmt"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// The codes of OpenVidu's errors that clients get (openvidu-rpc section 6).
const (
	codeUserNotFound        = 102
	codeExistingUser        = 104
	codeUserNotStreaming    = 105
	codeUserAlreadyStreams  = 106
	codeRoomNotFound        = 202
	codeRoomClosed          = 203
	codeNoMediaNode         = 204
	codeMediaSDP            = 302
	codeMediaEndpoint       = 303
	codeMediaCandidate      = 304
	codeOperationImpossible = 306
	codeUnauthorized        = 401
	codeMetadata            = 500
	codeSignalFormat        = 600
	codeSignalTo            = 601
	codeForcedCodecNotFound = 800
	codeTransport           = 803
	codeWrongEdition        = 997
	codeGeneric             = 999
)

// Codes of the reference's own JSON-RPC layer.
const (
	codeParameter    = -1
	codeReconnection = 40007
)

// refuse makes an error with an OpenVidu code. Its text ends as clients and tests know it
// (openvidu-rpc 1.4).
func refuse(code int, format string, args ...any) *jsonrpc.Error {
	return &jsonrpc.Error{Code: code, Message: fmt.Sprintf(format, args...) + fmt.Sprintf(". Code: %d", code)}
}

// wireError returns what a client is told of an error that its method has no sentence of its own
// for. The participant is nil before it has joined.
func wireError(err error, p *room.Participant) *jsonrpc.Error {
	var (
		wire    *jsonrpc.Error
		missing room.NotFoundError
		limit   room.LimitError
	)
	switch {
	case errors.As(err, &wire):
		return wire
	case p != nil && errors.Is(err, room.ErrClosed):
		return refuse(codeRoomClosed, "Session %s is closed", p.Room().SessionID())
	case p != nil && errors.Is(err, room.ErrLeft):
		// The reference does not answer at all.
		return userNotFound(p, p.ConnectionID())
	case p != nil && errors.As(err, &missing) && missing.Kind == room.KindStream:
		return streamNotFound(p, missing.ID)
	case errors.As(err, &limit):
		return overLimit(limit)
	}
	return refuse(codeGeneric, "%v", err)
}

func userNotFound(p *room.Participant, connectionID string) *jsonrpc.Error {
	return refuse(codeUserNotFound, "User %s not found in session %s", connectionID, p.Room().SessionID())
}

// streamNotFound refuses to receive a stream that is not there, or whose publisher is not.
func streamNotFound(p *room.Participant, streamID string) *jsonrpc.Error {
	publisher := publisherOf(streamID)
	if !p.Room().Has(publisher) {
		// The quote that is missing is missing in the reference, too.
		return refuse(codeUserNotFound, "User '%s not found in session '%s'", publisher, p.Room().SessionID())
	}
	return refuse(codeUserNotStreaming, "User '%s not streaming media in session '%s'", publisher, p.Room().SessionID())
}

func noSuchStream(p *room.Participant, streamID string) *jsonrpc.Error {
	return refuse(codeUserNotStreaming, "Stream '%s' does not exist in Session '%s'", streamID, p.Room().SessionID())
}

func notStreaming(p *room.Participant) *jsonrpc.Error {
	return refuse(codeUserNotStreaming, "Participant '%s' is not streaming media", p.ConnectionID())
}

func noValidToken(what string) *jsonrpc.Error {
	return refuse(codeUnauthorized, "%s. The user does not have a valid token", what)
}

func overLimit(limit room.LimitError) *jsonrpc.Error {
	text := limit.Error()
	return refuse(codeGeneric, "%s", strings.ToUpper(text[:1])+text[1:])
}

// mediaRefused turns a refusal of the media engine into an error, and returns any other as it is.
func mediaRefused(err error, doing string) error {
	var refused room.MediaError
	if !errors.As(err, &refused) {
		return err
	}
	code := codeMediaEndpoint
	switch {
	case errors.Is(err, media.ErrSDP):
		code = codeMediaSDP
	case errors.Is(err, media.ErrForcedCodec), errors.Is(err, media.ErrCodecRejected):
		code = codeForcedCodecNotFound
	case errors.Is(err, media.ErrCandidate):
		code = codeMediaCandidate
	}
	return refuse(code, "%s: %v", doing, refused.Err)
}

// offerRefused is mediaRefused for the offer of a publisher.
func offerRefused(err error, p *room.Participant) error {
	var refused room.MediaError
	if errors.As(err, &refused) && errors.Is(err, media.ErrForcedCodec) {
		return refuse(codeForcedCodecNotFound,
			"Error forcing codec: '%s', for PARTICIPANT: '%s' in Session: '%s'. Is publishing: 'true'. The offer does not have the codec: %v",
			refused.ForcedCodec, p.ConnectionID(), p.Room().SessionID(), refused.Err)
	}
	return mediaRefused(err, "Error generating SDP response for publishing user "+p.ConnectionID())
}

// is reports whether an error is, or wraps, one of the type.
func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
