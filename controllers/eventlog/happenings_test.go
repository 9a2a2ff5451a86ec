package eventlog

import (
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
)

var room = &controlv1.RoomIdentity{Uid: "uid", Tenant: "team", Name: "object", SessionId: "Room_1", CreatedUnixMs: 1700000000123}

var camera = &controlv1.PublishedStream{
	StreamId: "str_CAM_A", HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30,
	VideoDimensions: `{"width":640,"height":480}`,
}

func joined(id string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_ParticipantJoined{ParticipantJoined: &controlv1.ParticipantJoined{Participant: user(id)}}}
}

func left(id, reason string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_ParticipantLeft{
		ParticipantLeft: &controlv1.ParticipantLeft{Participant: user(id), JoinedUnixMs: 1700000001000, Reason: reason},
	}}
}

func user(id string) *controlv1.ParticipantIdentity {
	return &controlv1.ParticipantIdentity{ConnectionId: id, Ip: "192.0.2.7", Platform: "Test <1>", ClientData: "", ServerData: `{"a":"&"}`}
}

func created(id, from string, stream *controlv1.PublishedStream) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_WebrtcConnectionCreated{WebrtcConnectionCreated: &controlv1.WebrtcConnectionCreated{
		Connection: &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: stream},
	}}}
}

func destroyed(id, from string, stream *controlv1.PublishedStream) *controlv1.RoomEvent {
	return events.WebRTCConnectionDestroyed(
		time.UnixMilli(1700000001000), &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: stream}, time.UnixMilli(1700000000000),
		reasons.NetworkDisconnect,
	)
}

func begins() *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_SessionCreated{SessionCreated: &controlv1.SessionCreated{}}}
}

func ends(reason string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_SessionDestroyed{SessionDestroyed: &controlv1.SessionDestroyed{Reason: reason}}}
}

func signal(s *controlv1.SignalSent) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_SignalSent{SignalSent: s}}
}
