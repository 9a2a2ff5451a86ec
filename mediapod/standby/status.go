package standby

import "time"

// Causes of a takeover.
const (
	// CauseEnded: the other pod's process has ended.
	CauseEnded = "ended"
	// CauseSilent: the other pod was not heard.
	CauseSilent = "silent"
	// CauseMoved: the other pod has handed the room over.
	CauseMoved = "moved"
)

// State is how far this pod is the standby of a room.
type State int

// The states of a standby.
const (
	// None: it is not the standby of the room.
	None State = iota
	// Behind: it does not know all that it needs.
	Behind
	// Ready: it could take over now.
	Ready
	// Serving: it has taken over, and is not told yet what the room is to be.
	Serving
)

// Status is how far this pod is the standby of a room.
type Status struct {
	State State
	// Cause and At say why and when it has taken over; they are empty before.
	Cause string
	At    time.Time
}

// Status returns that of one room.
func (e *Engine) Status(uid string) Status {
	e.mu.Lock()
	f := e.followed[uid]
	e.mu.Unlock()
	var status Status
	if f == nil {
		return status
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.cause != "":
		status.State, status.Cause, status.At = Serving, f.cause, f.at
	case f.ready:
		status.State = Ready
	default:
		status.State = Behind
	}
	return status
}

// Changed has an element whenever TakeChanged has something to say.
func (e *Engine) Changed() <-chan struct{} { return e.changes.Signal() }

// TakeChanged returns the rooms whose Status has changed since it was last called, sorted.
func (e *Engine) TakeChanged() []string { return e.changes.Take() }

// Followed returns the rooms that this pod is the standby of.
func (e *Engine) Followed() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	uids := make([]string, 0, len(e.followed))
	for uid := range e.followed {
		uids = append(uids, uid)
	}
	return uids
}
