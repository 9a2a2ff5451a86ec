package outbox

import controlv1 "mediarooms.dev/mediarooms/internal/control/v1"

// fixedWeight stands for what every event takes, in bytes.
const fixedWeight = 256

// weight is about how many bytes an event takes, in memory and on the wire.
func weight(event *controlv1.RoomEvent) int {
	w := fixedWeight
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_ParticipantJoined:
		w += weightOfParticipant(e.ParticipantJoined.GetParticipant())
	case *controlv1.RoomEvent_ParticipantLeft:
		w += weightOfParticipant(e.ParticipantLeft.GetParticipant())
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		w += len(e.WebrtcConnectionCreated.GetConnection().GetStream().GetVideoDimensions())
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		w += len(e.WebrtcConnectionDestroyed.GetConnection().GetStream().GetVideoDimensions())
	case *controlv1.RoomEvent_SignalSent:
		w += len(e.SignalSent.GetType()) + len(e.SignalSent.GetData())
		for _, to := range e.SignalSent.GetTo() {
			w += len(to)
		}
	}
	return w
}

func weightOfParticipant(p *controlv1.ParticipantIdentity) int {
	return len(p.GetClientData()) + len(p.GetServerData()) + len(p.GetPlatform())
}

// classes is how many classes of events there are, by what is dropped first.
const classes = 3

// classOf returns when an event is dropped for want of space: 0 is first.
func classOf(event *controlv1.RoomEvent) int {
	switch event.GetEvent().(type) {
	case *controlv1.RoomEvent_SignalSent:
		return 0
	case *controlv1.RoomEvent_WebrtcConnectionCreated, *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		return 1
	}
	return 2
}
