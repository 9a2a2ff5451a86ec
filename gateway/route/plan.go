package route

import "time"

// Bounds of how long a handshake is held, from its arrival.
const (
	holdUnknown    = time.Second
	holdProgrammed = 2 * time.Second
	holdPod        = 8 * time.Second
	// holdRetry is when a pod that could not be reached is tried again although nothing has changed.
	holdRetry = 500 * time.Millisecond
)

// Room is what the caches know about the Session with some routing key.
type Room struct {
	// Known says whether there is such a Session.
	Known bool
	// Address of its media pod's signalling, host:port; empty while it has no usable pod.
	Address string
	// Programmed says whether that pod is known to host the room by now.
	Programmed bool
}

// action is what happens to a handshake next.
type action int

const (
	// actionWait: look again when something has changed, at the latest when step.until has passed since the arrival.
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
func plan(room Room, reconnect bool, waited time.Duration) step {
	switch {
	case room.Known && room.Address != "" && (room.Programmed || waited >= holdProgrammed):
		return step{action: actionOwn}
	case room.Known && room.Address != "":
		return step{action: actionWait, until: holdProgrammed}
	case room.Known && reconnect:
		return step{action: actionRefuse}
	case room.Known && waited < holdPod:
		return step{action: actionWait, until: holdPod}
	case room.Known:
		return step{action: actionWaiting}
	case reconnect || waited >= holdUnknown:
		return step{action: actionAny}
	default:
		return step{action: actionWait, until: holdUnknown}
	}
}

// planUnreachable decides after the Session's own pod could not be reached: its node may be gone, and the caches not know yet.
func planUnreachable(reconnect bool, waited time.Duration) step {
	switch {
	case reconnect:
		return step{action: actionRefuse}
	case waited < holdPod:
		return step{action: actionWait, until: min(waited+holdRetry, holdPod)}
	default:
		return step{action: actionWaiting}
	}
}
