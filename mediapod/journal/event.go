// Package journal is the single authority on what has happened in the rooms of a pod and was not acknowledged by the operator: it keeps the
// events in their order until they are, also those of rooms that are gone, within bounds.
//
//	room: Write --> entries, one order over all rooms --> operator: Replay, After
//	                    |                                          |
//	                    +---- acknowledged: applied to what is open <-- Acknowledge
//
// What was acknowledged is not quite forgotten: that something has begun stays known until its end is acknowledged, so that an
// operator that starts anew knows what has to end.
package journal

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// Kind is what has happened. The names are those of OpenVidu's events (openvidu-rest 5.3).
type Kind int

// The kinds, and which fields of an Event they set besides.
const (
	// SessionCreated is the first event of a room.
	SessionCreated Kind = iota + 1
	// SessionDestroyed is the last: Reason.
	SessionDestroyed
	// ParticipantJoined: Participant.
	ParticipantJoined
	// ParticipantLeft: Participant, Began, Reason.
	ParticipantLeft
	// ConnectionCreated: Connection.
	ConnectionCreated
	// ConnectionDestroyed: Connection, Began, Reason.
	ConnectionDestroyed
	// SignalSent: Signal.
	SignalSent
)

// Room names a room, with all that is needed to tell of it when its Session is gone.
type Room struct {
	// UID of the Session.
	UID string
	// Tenant is its namespace, Name its name there.
	Tenant, Name string
	// SessionID is what clients call it.
	SessionID string
	Created   time.Time
	// Proof is what the operator recognises all of that by.
	Proof []byte
}

// Event is something that has happened, with everything about it as it was then.
type Event struct {
	Kind        Kind
	Participant Participant
	Connection  Connection
	Signal      Signal
	// Began is when that began which ends.
	Began time.Time
	// Reason as in openvidu-rest section 8.
	Reason string
}

// Participant is somebody who joins or leaves.
type Participant struct {
	ConnectionID string
	// IP address, Platform and ClientData are as the client told, ServerData as the server did.
	IP, Platform, ClientData, ServerData string
}

// Connection is one participant's sending or receiving of a stream.
type Connection struct {
	// ConnectionID is whose it is.
	ConnectionID string
	// ReceivingFrom is the connection id of the publisher, "" for the publisher itself.
	ReceivingFrom string
	Stream        Stream
}

// Stream is a stream as it was.
type Stream struct {
	ID                       string
	Created                  time.Time
	HasAudio, HasVideo       bool
	AudioActive, VideoActive bool
	TypeOfVideo              string
	// FrameRate is not positive when the publisher did not say.
	FrameRate       int
	VideoDimensions media.Dimensions
}

// Signal is a message. From is "" for the server; a nil text was not given.
type Signal struct {
	From       string
	To         []string
	Type, Data *string
}

// Entry is an event in the journal.
type Entry struct {
	// Sequence grows over all rooms, and is never used again.
	Sequence uint64
	Time     time.Time
	Event    Event
}

// fixedWeight stands for what every event takes, in bytes.
const fixedWeight = 256

// weight is about how many bytes an event takes, in memory and on the wire.
func (e Event) weight() int {
	w := fixedWeight + len(e.Participant.ClientData) + len(e.Participant.ServerData) + len(e.Participant.Platform)
	for _, to := range e.Signal.To {
		w += len(to)
	}
	for _, text := range []*string{e.Signal.Type, e.Signal.Data} {
		if text != nil {
			w += len(*text)
		}
	}
	return w
}

// key names what an event begins or ends. Of two events with the same one the first begins what the second ends.
type key struct {
	participant            bool
	connection, from, what string
}

// begins returns what an event begins, or false.
func (e Event) begins() (key, bool) {
	switch e.Kind {
	case ParticipantJoined:
		return key{participant: true, connection: e.Participant.ConnectionID}, true
	case ConnectionCreated:
		return key{connection: e.Connection.ConnectionID, from: e.Connection.ReceivingFrom, what: e.Connection.Stream.ID}, true
	}
	return key{}, false
}

// ends returns what an event ends, or false.
func (e Event) ends() (key, bool) {
	switch e.Kind {
	case ParticipantLeft:
		return key{participant: true, connection: e.Participant.ConnectionID}, true
	case ConnectionDestroyed:
		return key{connection: e.Connection.ConnectionID, from: e.Connection.ReceivingFrom, what: e.Connection.Stream.ID}, true
	}
	return key{}, false
}

// classes is how many classes of events there are, by what is dropped first.
const classes = 3

// class returns when an event is dropped for want of space: 0 is first.
func (e Event) class() int {
	switch e.Kind {
	case SignalSent:
		return 0
	case ConnectionCreated, ConnectionDestroyed:
		return 1
	}
	return 2
}
