package room

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/levels"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// service is how a room serves its users. The room's mutex guards it.
type service struct {
	minute levels.Window
	// told are the figures that a snapshot tells, since when they have been so.
	told  levels.Figures
	since time.Time
}

// Levels are the service levels of a room as they are told.
type Levels struct {
	levels.Figures
	// Since is when they became so; zero while there were never any.
	Since time.Time
}

// attempted counts an attempt to join whose client has opened its socket at a time. Who is hidden
// is no user, and who comes to a room that is closed is let in by another pod. The room is locked.
func (r *Room) attempted(request JoinRequest, err error) {
	now := time.Now()
	switch {
	case r.closed, request.Claims != nil && request.Claims.Hidden:
	case err != nil:
		r.service.minute.Failed(now)
	case request.Opened.IsZero():
		r.service.minute.Joined(0, now)
	default:
		r.service.minute.Joined(now.Sub(request.Opened), now)
	}
}

// MeasureLevels brings the service levels of all rooms up to date; rooms whose levels are others
// then are told of by Changed. They cost the operator a write each, so it is called seldom.
func (g *Registry) MeasureLevels() {
	measured := g.measures()
	for _, r := range g.rooms() {
		if !measured {
			r.measureLoss()
		}
		if r.refreshLevels() {
			g.mark(r.uid)
		}
	}
}

// measures reports whether the reception of publishers is measured in the background.
func (g *Registry) measures() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.quality.stop != nil
}

// measureLoss takes what was lost on the way from publishers.
func (r *Room) measureLoss() {
	_, receptions := r.observe()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost(receptions)
}

// lost notes what was lost of streams. The room is locked.
func (r *Room) lost(receptions []*media.Reception) {
	now := time.Now()
	for _, reception := range receptions {
		if reception != nil {
			r.service.minute.Lost(reception.Lost, now)
		}
	}
}

// refreshLevels brings what is told up to date, what is lost on the way to subscribers included. It
// reports whether that has changed anything; the standby is told then, too.
func (r *Room) refreshLevels() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	now := time.Now()
	for _, p := range r.participants {
		for _, s := range p.subscriptions.byID {
			if s.media != nil {
				r.service.minute.Lost(s.media.Loss(), now)
			}
		}
	}
	figures := r.service.minute.Figures(now)
	if figures == r.service.told {
		return false
	}
	r.service.told, r.service.since = figures, now
	r.rememberLevels()
	return true
}

// rememberLevels has the standby know the last minute, if there is anything in it.
func (r *Room) rememberLevels() {
	if len(r.service.minute.Slots) == 0 {
		r.forget(levelsMemory)
		return
	}
	r.remember(r.service.minute.Clone(), levelsMemory)
}

// recallLevels takes the last minute of the pod before up, as that has remembered it.
func (r *Room) recallLevels(memories map[string]media.Memory) {
	var minute levels.Window
	if r.read(memories, memoryName(levelsMemory), &minute) {
		now := time.Now()
		r.service.minute.Recall(minute, now)
		r.service.told, r.service.since = r.service.minute.Figures(now), now
		r.rememberLevels()
	}
}
