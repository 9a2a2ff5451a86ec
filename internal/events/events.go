// Package events is the single authority on the events of rooms: how each is made, what it is
// called, and which of them begin and end something. Their one type is the control protocol's
// RoomEvent, from the room to the recipients:
//
//	media pod: room's recorder --> outbox --> control stream --> operator: event log --> renderer --> recipients
//
// An event says everything about what it is of as it was then, and never changes once it is in the
// outbox.
package events

import (
	"encoding/json"
	"fmt"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// SessionCreated is the first event of a Session.
func SessionCreated(at time.Time) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_SessionCreated{SessionCreated: &controlv1.SessionCreated{}}}
}

// SessionDestroyed is the last event of a Session.
func SessionDestroyed(at time.Time, reason reasons.Reason) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_SessionDestroyed{SessionDestroyed: &controlv1.SessionDestroyed{Reason: string(reason)}}}
}

// ParticipantJoined tells that a participant has come.
func ParticipantJoined(at time.Time, p *controlv1.ParticipantIdentity) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_ParticipantJoined{ParticipantJoined: &controlv1.ParticipantJoined{Participant: p}}}
}

// ParticipantLeft tells that a participant that came at a time has left.
func ParticipantLeft(at time.Time, p *controlv1.ParticipantIdentity, joined time.Time, reason reasons.Reason) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_ParticipantLeft{ParticipantLeft: &controlv1.ParticipantLeft{
		Participant: p, JoinedUnixMs: UnixMilli(joined), Reason: string(reason),
	}}}
}

// WebRTCConnectionCreated tells that a participant sends or receives a stream.
func WebRTCConnectionCreated(at time.Time, c *controlv1.WebrtcConnection) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_WebrtcConnectionCreated{WebrtcConnectionCreated: &controlv1.WebrtcConnectionCreated{Connection: c}}}
}

// WebRTCConnectionDestroyed tells that a participant no longer does, which it did from a time on.
func WebRTCConnectionDestroyed(at time.Time, c *controlv1.WebrtcConnection, created time.Time, reason reasons.Reason) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_WebrtcConnectionDestroyed{WebrtcConnectionDestroyed: &controlv1.WebrtcConnectionDestroyed{
		Connection: c, CreatedUnixMs: UnixMilli(created), Reason: string(reason),
	}}}
}

// SignalSent tells what somebody was told.
func SignalSent(at time.Time, signal *controlv1.SignalSent) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_SignalSent{SignalSent: signal}}
}

// RecordingStatusChanged tells how far a recording is.
func RecordingStatusChanged(at time.Time, recording *controlv1.RecordingStatusChanged) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{TimeUnixMs: UnixMilli(at), Event: &controlv1.RoomEvent_RecordingStatusChanged{RecordingStatusChanged: recording}}
}

// UnixMilli returns a time in milliseconds since 1970; 0 for the zero time.
func UnixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Name returns what an event is called: the name of its field in the control protocol, in lower
// camel case (sessionCreated). "" is for one that this version does not know.
func Name(e *controlv1.RoomEvent) string {
	message := e.ProtoReflect()
	field := message.WhichOneof(message.Descriptor().Oneofs().ByName("event"))
	if field == nil {
		return ""
	}
	return field.JSONName()
}

// VideoDimensions returns the size of a video as events have it; "" when it is not known.
func VideoDimensions(width, height int) string {
	if width == 0 && height == 0 {
		return ""
	}
	return fmt.Sprintf(`{"width":%d,"height":%d}`, width, height)
}

// ParseVideoDimensions returns the size that VideoDimensions has written; 0 when it is not known.
func ParseVideoDimensions(text string) (width, height int) {
	var size struct{ Width, Height int }
	if json.Unmarshal([]byte(text), &size) != nil || size.Width <= 0 || size.Height <= 0 {
		return 0, 0
	}
	return size.Width, size.Height
}
