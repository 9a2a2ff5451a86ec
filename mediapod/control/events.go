package control

import (
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/journal"
)

// roomJournal translates how a room stood.
func roomJournal(standing journal.Standing) *controlv1.RoomJournal {
	return &controlv1.RoomJournal{Room: roomIdentity(standing.Room), Open: roomEventList(standing.Open), Begun: standing.Begun}
}

// roomEvents translates what has happened in a room.
func roomEvents(batch journal.Batch) *controlv1.PodMessage {
	return &controlv1.PodMessage{Message: &controlv1.PodMessage_Events{Events: &controlv1.RoomEvents{
		Room: roomIdentity(batch.Room), Events: roomEventList(batch.Entries), Dropped: batch.Dropped,
	}}}
}

func roomIdentity(room journal.Room) *controlv1.RoomIdentity {
	return &controlv1.RoomIdentity{
		Uid: room.UID, Tenant: room.Tenant, Name: room.Name, SessionId: room.SessionID, CreatedUnixMs: unixMilli(room.Created), Proof: room.Proof,
	}
}

func roomEventList(entries []journal.Entry) []*controlv1.RoomEvent {
	events := make([]*controlv1.RoomEvent, 0, len(entries))
	for _, entry := range entries {
		events = append(events, roomEvent(entry))
	}
	return events
}

func roomEvent(entry journal.Entry) *controlv1.RoomEvent {
	out, event := &controlv1.RoomEvent{Sequence: entry.Sequence, TimeUnixMs: entry.Time.UnixMilli()}, entry.Event
	switch event.Kind {
	case journal.SessionCreated:
		out.Event = &controlv1.RoomEvent_SessionCreated{SessionCreated: &controlv1.SessionCreated{}}
	case journal.SessionDestroyed:
		out.Event = &controlv1.RoomEvent_SessionDestroyed{SessionDestroyed: &controlv1.SessionDestroyed{Reason: event.Reason}}
	case journal.ParticipantJoined:
		out.Event = &controlv1.RoomEvent_ParticipantJoined{ParticipantJoined: &controlv1.ParticipantJoined{
			Participant: participantIdentity(event.Participant),
		}}
	case journal.ParticipantLeft:
		out.Event = &controlv1.RoomEvent_ParticipantLeft{ParticipantLeft: &controlv1.ParticipantLeft{
			Participant: participantIdentity(event.Participant), JoinedUnixMs: event.Began.UnixMilli(), Reason: event.Reason,
		}}
	case journal.ConnectionCreated:
		out.Event = &controlv1.RoomEvent_WebrtcConnectionCreated{WebrtcConnectionCreated: &controlv1.WebrtcConnectionCreated{
			Connection: webrtcConnection(event.Connection),
		}}
	case journal.ConnectionDestroyed:
		out.Event = &controlv1.RoomEvent_WebrtcConnectionDestroyed{WebrtcConnectionDestroyed: &controlv1.WebrtcConnectionDestroyed{
			Connection: webrtcConnection(event.Connection), CreatedUnixMs: event.Began.UnixMilli(), Reason: event.Reason,
		}}
	case journal.SignalSent:
		out.Event = &controlv1.RoomEvent_SignalSent{SignalSent: &controlv1.SignalSent{
			From: event.Signal.From, To: event.Signal.To, Type: event.Signal.Type, Data: event.Signal.Data,
		}}
	}
	return out
}

func participantIdentity(p journal.Participant) *controlv1.ParticipantIdentity {
	return &controlv1.ParticipantIdentity{
		ConnectionId: p.ConnectionID, Ip: p.IP, Platform: p.Platform, ClientData: p.ClientData, ServerData: p.ServerData,
	}
}

func webrtcConnection(c journal.Connection) *controlv1.WebrtcConnection {
	return &controlv1.WebrtcConnection{
		ConnectionId: c.ConnectionID, ReceivingFrom: c.ReceivingFrom, Stream: &controlv1.PublishedStream{
			StreamId:        c.Stream.ID,
			CreatedUnixMs:   unixMilli(c.Stream.Created),
			HasAudio:        c.Stream.HasAudio,
			HasVideo:        c.Stream.HasVideo,
			AudioActive:     c.Stream.AudioActive,
			VideoActive:     c.Stream.VideoActive,
			TypeOfVideo:     c.Stream.TypeOfVideo,
			FrameRate:       max(0, int32(c.Stream.FrameRate)), // 0 is unknown
			VideoDimensions: dimensions(c.Stream.VideoDimensions),
		},
	}
}
