package room

import (
	"crypto/rand"
	"slices"

	"mediarooms.dev/mediarooms/internal/reasons"
)

// Claims are what a client is let in with that has no Connection, since it has proved to the front
// end of its protocol who it is. Such a participant is not part of the observed state, and does
// not come along when the room moves to another pod.
type Claims struct {
	// ConnectionID is its id. Nobody else may have it.
	ConnectionID string
	Role         Role
	Record       bool
	// Privileged lets it do everything, whatever its role.
	Privileged bool
	// Hidden has nobody notified of it. It may receive everything and publish nothing, since nobody
	// could tell who does. The next one with its id takes its place.
	Hidden bool
}

// newSeat makes a seat that is in no desired state. The room is locked.
func (r *Room) newSeat(claims Claims) (*seat, error) {
	taken := slices.ContainsFunc(r.seats, func(s *seat) bool { return s.desired.ID == claims.ConnectionID })
	before, found := r.find(claims.ConnectionID)
	replaced := found && before.hidden() && claims.Hidden
	if taken || found && !replaced {
		return nil, ConflictError{KindParticipant, claims.ConnectionID}
	}
	if replaced {
		r.evict(before, reasons.ForceDisconnectByServer)
	}
	s := &seat{claims: &claims, desired: Connection{
		ID: claims.ConnectionID, Role: claims.Role, Record: claims.Record, PrivateID: rand.Text(),
	}}
	r.byPrivateID[digestOf(s.desired.PrivateID)] = s
	r.registry.resumable.add(r, digestOf(s.desired.PrivateID))
	return s, nil
}

// forgetPrivateID lets nobody resume who was let in by claims and has left. The room is locked.
func (r *Room) forgetPrivateID(s *seat) {
	id := digestOf(s.desired.PrivateID)
	delete(r.byPrivateID, id)
	r.registry.resumable.remove(r, id)
}

// evictHidden evicts who is hidden when nobody else is in the room any more. The room is locked.
func (r *Room) evictHidden(reason reasons.Reason) {
	if slices.ContainsFunc(r.participants, func(p *Participant) bool { return !p.hidden() }) {
		return
	}
	for len(r.participants) > 0 {
		r.evict(r.participants[0], reason)
	}
}

// hidden reports whether nobody is notified of the participant.
func (p *Participant) hidden() bool {
	return p.seat.claims != nil && p.seat.claims.Hidden
}
