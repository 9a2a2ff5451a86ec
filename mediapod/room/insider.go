package room

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
)

// Admission is by what, and as what, somebody comes into a room.
type Admission int

// The ways in. Whoever shows the server's secret (openvidu-rpc 7.3) may do everything, is not part of the observed state, and does not
// come along when the room moves to another pod.
const (
	// ByToken is how users join.
	ByToken Admission = iota
	// BySecret is like a user with the role SUBSCRIBER, seen by all.
	BySecret
	// BySecretAsRecorder and BySecretAsSpeechToText are hidden: they receive everything, and nobody is told of them. A room has at most one of
	// each; the next one takes its place. They may not publish, since nobody could tell who does.
	BySecretAsRecorder
	BySecretAsSpeechToText
)

func (a Admission) hidden() bool {
	return a == BySecretAsRecorder || a == BySecretAsSpeechToText
}

// The connection ids of those who are hidden.
const (
	recorderID     = "RECORDER"
	speechToTextID = "SPEECH_TO_TEXT"
)

// newInsider makes a seat that is in no desired state. The room is locked.
func (r *Room) newInsider(admission Admission) *seat {
	s := &seat{admission: admission, desired: Connection{Role: Subscriber, Record: true, RPCSessionID: rand.Text()}}
	switch admission {
	case BySecretAsRecorder:
		s.desired.ID = recorderID
	case BySecretAsSpeechToText:
		s.desired.ID = speechToTextID
	default:
		s.desired.ID = r.newConnectionID()
	}
	if before, found := r.find(s.desired.ID); found {
		r.evict(before, ReasonForceDisconnectByServer)
	}
	r.byRPC[sha256.Sum256([]byte(s.desired.RPCSessionID))] = s
	return s
}

// newConnectionID makes an id that nobody has (openvidu-rpc 4.11). The room is locked.
func (r *Room) newConnectionID() string {
	for {
		id := "con_" + pick(upper)
		for range 9 {
			id += pick(alnum)
		}
		taken := slices.ContainsFunc(r.seats, func(s *seat) bool { return s.desired.ID == id })
		if _, found := r.find(id); !found && !taken {
			return id
		}
	}
}

// evictHidden throws out who is hidden when nobody else is in the room any more. The room is locked.
func (r *Room) evictHidden(reason string) {
	if slices.ContainsFunc(r.participants, func(p *Participant) bool { return !p.hidden() }) {
		return
	}
	for len(r.participants) > 0 {
		r.evict(r.participants[0], reason)
	}
}

// hidden reports whether nobody is told of the participant.
func (p *Participant) hidden() bool {
	return p.seat.admission.hidden()
}
