package room

import "slices"

// Bounds of what is kept for a client without a socket. Beyond them what it can do without is
// dropped; one that misses more all the same can't be brought up to date any more.
const (
	maxMissed      = 1024
	maxMissedBytes = 16 << 20
)

// missed is what a client is to be told when it is back. It belongs to its participant and is
// guarded by the room's mutex.
type missed struct {
	notifications []Notification // oldest first
	bytes         int
	tooMuch       bool
}

// Expendable reports whether a client stays up to date without a notification: a signal, a
// candidate, a moderator's wish for mute, that video pauses, or a change of a property that rooms
// know nothing of.
// Such ones are dropped, the oldest first, where there is not space for all, so that nobody can be
// thrown out by being told too much.
func Expendable(notification Notification) bool {
	switch n := notification.(type) {
	case SignalReceived, CandidateAdded, StreamMuteForced, ForceMuteChanged, VideoPaused:
		return true
	case StreamChanged:
		return !n.Change.known()
	}
	return false
}

// add remembers notifications and returns how many had to be dropped.
func (m *missed) add(notifications []Notification) (dropped int) {
	for _, notification := range notifications {
		if _, offer := notification.(StreamRenewed); offer || m.tooMuch {
			continue // who is back gets an offer of now (renewAll)
		}
		m.notifications = append(m.notifications, notification)
		m.bytes += notification.Weight()
		if len(m.notifications) <= maxMissed && m.bytes <= maxMissedBytes {
			continue
		}
		m.dropReplaced()
		dropped += m.dropExpendable()
		if len(m.notifications) > maxMissed || m.bytes > maxMissedBytes {
			*m = missed{tooMuch: true}
		}
	}
	return dropped
}

// dropReplaced drops changes of streams that later ones replace.
func (m *missed) dropReplaced() {
	later := make(map[string][]StreamChange) // by stream
	slices.Reverse(m.notifications)
	m.notifications = slices.DeleteFunc(m.notifications, func(n Notification) bool {
		told, is := n.(StreamChanged)
		if !is || !told.Change.known() {
			return false
		}
		for _, change := range later[told.StreamID] {
			if change.replaces(told.Change) {
				m.bytes -= n.Weight()
				return true
			}
		}
		later[told.StreamID] = append(later[told.StreamID], told.Change)
		return false
	})
	slices.Reverse(m.notifications)
}

// dropExpendable drops what is expendable, the oldest first, and returns how many those were. It
// makes more space than is needed now, so that it is not asked for every time.
func (m *missed) dropExpendable() int {
	before := len(m.notifications)
	left := before
	m.notifications = slices.DeleteFunc(m.notifications, func(n Notification) bool {
		if left <= maxMissed*3/4 && m.bytes <= maxMissedBytes*3/4 || !Expendable(n) {
			return false
		}
		left--
		m.bytes -= n.Weight()
		return true
	})
	return before - left
}
