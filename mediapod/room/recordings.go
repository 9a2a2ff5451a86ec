package room

import (
	"slices"

	"mediarooms.dev/mediarooms/internal/reasons"
)

// Recording is a recording of a room, which is made elsewhere, as its participants are told of it.
type Recording struct {
	// ID and Name as clients know them. Each ID is of one recording.
	ID, Name string
	// Stopped says that it has ended, Reason why.
	Stopped bool
	Reason  reasons.Reason
	// Roles are those whose participants are told.
	Roles []Role
}

// RecordingStarted tells some participants that they are recorded.
type RecordingStarted struct {
	ID, Name string
}

// RecordingStopped tells them that they are not any more.
type RecordingStopped struct {
	ID, Name string
	Reason   reasons.Reason
}

// Weight implements Notification.
func (n RecordingStarted) Weight() int { return baseWeight + len(n.ID) + len(n.Name) }

// Weight implements Notification.
func (n RecordingStopped) Weight() int { return baseWeight + len(n.ID) + len(n.Name) }

// applyRecordings tells participants of what has changed. What a room is made with was told before,
// wherever the room was. The room is locked.
func (r *Room) applyRecordings(desired []Recording) {
	before := r.recordings
	r.recordings = desired
	if !r.applied {
		r.applied = true
		return
	}
	for _, was := range before {
		i := slices.IndexFunc(desired, func(now Recording) bool { return now.ID == was.ID })
		switch {
		case was.Stopped:
		case i < 0: // it was deleted
			r.notifyRoles(was.Roles, RecordingStopped{was.ID, was.Name, reasons.RecordingStoppedByServer})
		case desired[i].Stopped:
			r.notifyRoles(was.Roles, RecordingStopped{was.ID, was.Name, desired[i].Reason})
		}
	}
	for _, now := range desired {
		known := slices.ContainsFunc(before, func(was Recording) bool { return was.ID == now.ID && was.Stopped == now.Stopped })
		if !known && !now.Stopped {
			r.notifyRoles(now.Roles, RecordingStarted{now.ID, now.Name})
		}
	}
}

// notifyRoles notifies the participants with some roles. The room is locked.
func (r *Room) notifyRoles(roles []Role, notification Notification) {
	for _, p := range r.participants {
		if p.among(roles) {
			p.mailbox.notify(notification)
		}
	}
}

// among reports whether the participant has one of the roles, as others see it.
func (p *Participant) among(roles []Role) bool {
	role := p.seat.desired.Role
	if role == PublisherOnly {
		role = Publisher
	}
	return !p.hidden() && slices.Contains(roles, role)
}

// recordingFor returns the recording that runs, if a participant is told of it; nil otherwise. The
// room is locked.
func (r *Room) recordingFor(p *Participant) *Recording {
	for _, recording := range r.recordings {
		if !recording.Stopped && p.among(recording.Roles) {
			return &recording
		}
	}
	return nil
}
