package session

import (
	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/participant"
)

// action is one write of a pass. Actions are ordered.
type action struct {
	kind actionKind
	// reason is why, for the log and the Event.
	reason string
}

type actionKind string

const (
	// addFinalizer makes a deletion wait until the room is closed.
	addFinalizer actionKind = "AddFinalizer"
	// displace takes the room off a pod that is lost.
	displace actionKind = "Displace"
	// place reserves capacity and puts the room on a pod, or has the Session wait.
	place actionKind = "Place"
	// move puts a room without users on another pod than one that drains.
	move actionKind = "Move"
	// tell sends the room again, for another generation.
	tell actionKind = "Tell"
	// vacate gives up what is held for a Session that is not accepted.
	vacate actionKind = "Vacate"
	// remove deletes the Session.
	remove actionKind = "Remove"
	// collect deletes the Session, and nobody is told.
	collect actionKind = "Collect"
)

// makePlan decides what to write, apart from the status. It is pure.
func makePlan(o observed) []action {
	if o.rival != nil {
		if o.known {
			return []action{{vacate, "an older Session has this sessionID"}}
		}
		return nil
	}
	var actions []action
	if !o.finalizing() {
		actions = append(actions, action{addFinalizer, "the room has to be closed before the Session goes"})
	}
	if emptied(o) {
		return append(actions, action{remove, "the last user has left and whenEmpty is Delete"})
	}
	if waste(o) {
		return append(actions, action{collect, "nobody has ever joined it, and it is old"})
	}
	hasPod := o.pod != "" && o.podState != fleet.Lost
	if o.pod != "" && !hasPod {
		actions = append(actions, action{displace, "the media pod was lost"})
	}
	switch {
	case hasPod && o.draining && !o.foreign && o.podState == fleet.Synced && count(o, v1alpha1.ConnectionStateActive) == 0 && len(o.candidates) > 0:
		actions = append(actions, action{move, "the media pod drains and nobody is in the room"})
	case hasPod:
		if o.view.Generation < o.session.Generation {
			actions = append(actions, action{tell, "the media pod does not know this generation"})
		}
	case o.foreign && o.known:
		actions = append(actions, action{vacate, "the pool does not host the Sessions of this namespace"})
	case o.foreign:
	case o.pool != nil:
		actions = append(actions, action{place, "the room is on no media pod"})
	case o.known:
		actions = append(actions, action{vacate, "the pool is gone"})
	}
	return actions
}

// emptied says whether the last user has left a Session that is to be deleted then: there was one, and there is none. Who is being put out is
// still there: their end has a reason of its own.
func emptied(o observed) bool {
	if o.session.Spec.WhenEmpty != v1alpha1.WhenEmptyDelete || count(o, v1alpha1.ConnectionStateActive) > 0 {
		return false
	}
	if leavingActive(o) {
		return false
	}
	return count(o, v1alpha1.ConnectionStateDisconnected) > 0 || o.session.Status.ActiveConnections > 0 || o.view.Visited
}

// leavingActive says whether somebody who is in the room is being put out.
func leavingActive(o observed) bool {
	for i := range o.leaving {
		if stateOf(o, &o.leaving[i]) == v1alpha1.ConnectionStateActive {
			return true
		}
	}
	return false
}

// count returns how many Connections have come so far.
func count(o observed, state v1alpha1.ConnectionState) int {
	n := 0
	for i := range o.connections {
		if stateOf(o, &o.connections[i]) == state {
			n++
		}
	}
	return n
}

// stateOf returns how far a Connection has come.
func stateOf(o observed, c *v1alpha1.Connection) v1alpha1.ConnectionState {
	return participant.State(c.Status.State, o.view.Seen[c.UID])
}
