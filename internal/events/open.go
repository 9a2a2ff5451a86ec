package events

import (
	"cmp"
	"maps"
	"slices"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// key names what an event begins or ends. Of two events with the same one the first begins what the
// second ends.
type key struct {
	participant              bool
	connection, from, stream string
}

func keyOfParticipant(p *controlv1.ParticipantIdentity) key {
	return key{participant: true, connection: p.GetConnectionId()}
}

func keyOfConnection(c *controlv1.WebrtcConnection) key {
	return key{connection: c.GetConnectionId(), from: c.GetReceivingFrom(), stream: c.GetStream().GetStreamId()}
}

// Open is what has begun in a room and not ended: the events that began it.
type Open map[key]*controlv1.RoomEvent

// Apply takes an event in.
func (o Open) Apply(event *controlv1.RoomEvent) {
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_ParticipantJoined:
		o[keyOfParticipant(e.ParticipantJoined.GetParticipant())] = event
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		o[keyOfConnection(e.WebrtcConnectionCreated.GetConnection())] = event
	default:
		o.Forget(event)
	}
}

// Forget takes out what an event begins or ends.
func (o Open) Forget(event *controlv1.RoomEvent) {
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_ParticipantJoined:
		delete(o, keyOfParticipant(e.ParticipantJoined.GetParticipant()))
	case *controlv1.RoomEvent_ParticipantLeft:
		delete(o, keyOfParticipant(e.ParticipantLeft.GetParticipant()))
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		delete(o, keyOfConnection(e.WebrtcConnectionCreated.GetConnection()))
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		delete(o, keyOfConnection(e.WebrtcConnectionDestroyed.GetConnection()))
	}
}

// Events returns the events by their sequence.
func (o Open) Events() []*controlv1.RoomEvent {
	return slices.SortedFunc(maps.Values(o), func(a, b *controlv1.RoomEvent) int { return cmp.Compare(a.GetSequence(), b.GetSequence()) })
}

// Endings returns the events that end everything now: per participant what others receive from it,
// what it receives, what it sends, then that it has left.
func (o Open) Endings(now time.Time, reason reasons.Reason) []*controlv1.RoomEvent {
	var participants, connections, endings []*controlv1.RoomEvent
	for _, event := range o.Events() {
		if event.GetParticipantJoined() != nil {
			participants = append(participants, event)
		} else {
			connections = append(connections, event)
		}
	}
	endAll := func(concerned func(*controlv1.WebrtcConnection) bool) {
		connections = slices.DeleteFunc(connections, func(created *controlv1.RoomEvent) bool {
			c := created.GetWebrtcConnectionCreated().GetConnection()
			if !concerned(c) {
				return false
			}
			endings = append(endings, WebRTCConnectionDestroyed(now, c, time.UnixMilli(created.GetTimeUnixMs()), reason))
			return true
		})
	}
	for _, joined := range participants {
		p := joined.GetParticipantJoined().GetParticipant()
		id := p.GetConnectionId()
		endAll(func(c *controlv1.WebrtcConnection) bool { return c.GetReceivingFrom() == id })
		endAll(func(c *controlv1.WebrtcConnection) bool {
			return c.GetConnectionId() == id && c.GetReceivingFrom() != ""
		})
		endAll(func(c *controlv1.WebrtcConnection) bool { return c.GetConnectionId() == id })
		endings = append(endings, ParticipantLeft(now, p, time.UnixMilli(joined.GetTimeUnixMs()), reason))
	}
	endAll(func(*controlv1.WebrtcConnection) bool { return true })
	return endings
}
