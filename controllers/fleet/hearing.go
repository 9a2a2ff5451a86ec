package fleet

import "time"

// hush is how long nobody may be heard until that is the operator's own deafness. Each pod says
// something every second.
const hush = 2 * time.Second

// moment is an instant, with what does not count in the time from one to another.
type moment struct {
	at time.Time
	// stalled is how long the operator had not run by then, deaf how long it had heard nobody.
	stalled, deaf time.Duration
}

// since returns the time from an earlier moment in which the operator ran.
func (m moment) since(earlier moment) time.Duration {
	return m.at.Sub(earlier.at) - (m.stalled - earlier.stalled)
}

// heardSince returns the part of it in which the operator heard somebody.
func (m moment) heardSince(earlier moment) time.Duration {
	return m.since(earlier) - (m.deaf - earlier.deaf)
}

// hearing is what the operator knows of its own ears: when it heard of any pod. Who is not heard
// while nobody is may be well.
type hearing struct {
	last moment // when somebody was heard
}

// moment returns a moment as it is reached.
func (h *hearing) moment(now time.Time, stalled time.Duration) moment {
	m := moment{at: now, stalled: stalled, deaf: h.last.deaf}
	if gap := m.since(h.last); gap >= hush && !h.last.at.IsZero() {
		m.deaf += gap
	}
	return m
}

// hear notes that somebody was heard.
func (h *hearing) hear(m moment) { h.last = m }
