package eventlog

import (
	"cmp"
	"maps"
	"slices"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// opened is what has begun in a room and not ended.
type opened struct {
	participants map[string]*controlv1.RoomEvent // connection id -> its ParticipantJoined
	connections  map[sending]*controlv1.RoomEvent
}

// sending names a WebrtcConnection.
type sending struct{ connection, from, stream string }

func newOpened() *opened {
	return &opened{participants: make(map[string]*controlv1.RoomEvent), connections: make(map[sending]*controlv1.RoomEvent)}
}

func nameOf(c *controlv1.WebrtcConnection) sending {
	return sending{c.GetConnectionId(), c.GetReceivingFrom(), c.GetStream().GetStreamId()}
}

// apply takes an event in.
func (o *opened) apply(event *controlv1.RoomEvent) {
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_ParticipantJoined:
		o.participants[e.ParticipantJoined.GetParticipant().GetConnectionId()] = event
	case *controlv1.RoomEvent_ParticipantLeft:
		delete(o.participants, e.ParticipantLeft.GetParticipant().GetConnectionId())
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		o.connections[nameOf(e.WebrtcConnectionCreated.GetConnection())] = event
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		delete(o.connections, nameOf(e.WebrtcConnectionDestroyed.GetConnection()))
	}
}

// endings returns the events that end everything, in the order of openvidu-rest 5.4: per participant what others receive from it, what it
// receives, what it sends, then that it has left.
func (o *opened) endings(now time.Time, reason reasons.Reason) []*controlv1.RoomEvent {
	at := now.UnixMilli()
	bySequence := func(a, b *controlv1.RoomEvent) int { return cmp.Compare(a.GetSequence(), b.GetSequence()) }
	connections := slices.SortedFunc(maps.Values(o.connections), bySequence)
	var endings []*controlv1.RoomEvent
	endAll := func(concerned func(sending) bool) {
		connections = slices.DeleteFunc(connections, func(created *controlv1.RoomEvent) bool {
			c := created.GetWebrtcConnectionCreated().GetConnection()
			if !concerned(nameOf(c)) {
				return false
			}
			endings = append(endings, &controlv1.RoomEvent{
				TimeUnixMs: at, Event: &controlv1.RoomEvent_WebrtcConnectionDestroyed{WebrtcConnectionDestroyed: &controlv1.WebrtcConnectionDestroyed{
					Connection: c, CreatedUnixMs: created.GetTimeUnixMs(), Reason: string(reason),
				}},
			})
			return true
		})
	}
	for _, joined := range slices.SortedFunc(maps.Values(o.participants), bySequence) {
		p := joined.GetParticipantJoined().GetParticipant()
		id := p.GetConnectionId()
		endAll(func(s sending) bool { return s.from == id })
		endAll(func(s sending) bool { return s.connection == id && s.from != "" })
		endAll(func(s sending) bool { return s.connection == id })
		endings = append(endings, &controlv1.RoomEvent{
			TimeUnixMs: at, Event: &controlv1.RoomEvent_ParticipantLeft{ParticipantLeft: &controlv1.ParticipantLeft{
				Participant: p, JoinedUnixMs: joined.GetTimeUnixMs(), Reason: string(reason),
			}},
		})
	}
	endAll(func(sending) bool { return true })
	return endings
}
