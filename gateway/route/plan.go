package route

import "time"

// holds is how long a handshake is held at most, from its arrival.
type holds struct {
	// unknown is for a routing key that no Session has.
	unknown time.Duration
	// programmed is for a media pod that was not told of the room yet, by a first connection.
	programmed time.Duration
	// pod is for a Session without a usable media pod, and for a reconnection to one that was not
	// told of the room yet: such a pod would tell the client that it is out.
	pod time.Duration
	// retry is when a media pod that could not be reached is tried again although nothing has
	// changed.
	retry time.Duration
}

// usualHolds are below what clients bear: they time out after 10 s or more.
var usualHolds = holds{unknown: time.Second, programmed: 2 * time.Second, pod: 8 * time.Second, retry: 500 * time.Millisecond}

// Room is what the caches know about the Session with some routing key.
type Room struct {
	// Known says whether there is such a Session.
	Known bool
	// Namespace is the Session's.
	Namespace string
	// Address of its media pod's signalling, host:port; empty while it has no usable pod.
	Address string
	// Programmed says whether that pod is known to host the room by now.
	Programmed bool
	// Occupied says whether users are in it, as far as the operator has observed.
	Occupied bool
}

// action is what happens to a handshake next.
type action int

const (
	// actionWait: look again when something has changed, at the latest when step.until has passed
	// since the arrival.
	actionWait action = iota
	// actionOwn: go to the Session's own pod.
	actionOwn
	// actionAny: go to any ready pod.
	actionAny
	// actionWaiting: go to any ready pod, which is told that the Session waits for a place.
	actionWaiting
	// actionRefuse: refuse; the client comes again.
	actionRefuse
)

type step struct {
	action action
	until  time.Duration
}

// plan decides about a handshake that arrived a while ago. It is the table of the package comment.
func (h holds) plan(room Room, reconnect bool, waited time.Duration) step {
	switch {
	case room.Known && room.Address != "" && (room.Programmed || !reconnect && waited >= h.programmed):
		return step{action: actionOwn}
	case room.Known && room.Address != "" && !reconnect:
		return step{action: actionWait, until: h.programmed}
	case room.Known && waited < h.pod:
		return step{action: actionWait, until: h.pod}
	case room.Known && reconnect:
		return step{action: actionRefuse}
	case room.Known:
		return step{action: actionWaiting}
	case reconnect || waited >= h.unknown:
		return step{action: actionAny}
	default:
		return step{action: actionWait, until: h.unknown}
	}
}

// planUnreachable decides after the Session's own pod could not be reached: its node may be gone,
// and the caches not know yet.
func (h holds) planUnreachable(reconnect bool, waited time.Duration) step {
	switch {
	case waited < h.pod:
		return step{action: actionWait, until: min(waited+h.retry, h.pod)}
	case reconnect:
		return step{action: actionRefuse}
	default:
		return step{action: actionWaiting}
	}
}
