package room

import "slices"

// Bounds of what is kept for a client without a socket. Beyond them what it can do without is dropped; one that misses more all the same can't be
// brought up to date any more.
const (
	maxMissed      = 1024
	maxMissedBytes = 16 << 20
)

// missed is what a client is to be told when it is back. It belongs to its participant and is guarded by the room's mutex.
type missed struct {
	notifications []Notification // oldest first
	bytes         int
	tooMuch       bool
}

// Expendable reports whether a client stays up to date without a notification: a signal, or a change of a property that this server knows nothing
// of. Such ones are dropped, the oldest first, where there is not space for all, so that nobody can be thrown out by being told too much.
func Expendable(notification Notification) bool {
	switch n := notification.(type) {
	case SignalReceived:
		return true
	case StreamPropertyChanged:
		return !n.Change.known()
	}
	return false
}

// known reports whether the change is of a property of streams that this server knows.
func (c PropertyChange) known() bool {
	return c.AudioActive != nil || c.VideoActive != nil || c.VideoDimensions != nil
}

// add remembers notifications and returns how many had to be dropped.
func (m *missed) add(notifications []Notification) (dropped int) {
	for _, notification := range notifications {
		if _, offer := notification.(ForciblyReconnectSubscriber); offer || m.tooMuch {
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
	type property struct{ stream, name string }
	replaced := make(map[property]bool)
	slices.Reverse(m.notifications)
	m.notifications = slices.DeleteFunc(m.notifications, func(n Notification) bool {
		told, changes := n.(StreamPropertyChanged)
		if !changes || !told.Change.known() {
			return false
		}
		key := property{told.StreamID, told.Change.Property}
		if replaced[key] {
			m.bytes -= n.Weight()
			return true
		}
		replaced[key] = true
		return false
	})
	slices.Reverse(m.notifications)
}

// dropExpendable drops what is expendable, the oldest first, and returns how many those were. It makes more space than is needed now, so that it is
// not asked for every time.
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
