package room

import (
	"sync/atomic"
	"time"
)

// mailbox takes what a participant is told to its client, and keeps what the client misses while
// it has no socket. It belongs to its participant and is guarded by the room's mutex.
type mailbox struct {
	// sink is nil while the client has no socket. Then timer evicts the participant in the end.
	sink     Sink
	timer    *time.Timer
	losses   int // of the socket, to tell which one a timer belongs to
	missed   missed
	expended *atomic.Uint64 // counts what is not kept
}

// notify tells the client, or keeps it until it is back.
func (m *mailbox) notify(notification Notification) {
	if m.sink != nil {
		m.sink.Notify(notification)
		return
	}
	m.keep([]Notification{notification})
}

// keep remembers what the client has to be told when it is back.
func (m *mailbox) keep(notifications []Notification) {
	m.expended.Add(uint64(m.missed.add(notifications)))
}

// release takes back what was not delivered, if there is a sink.
func (m *mailbox) release() {
	if m.sink != nil {
		undelivered := m.sink.Release()
		m.sink = nil
		m.keep(undelivered)
	}
}

// move ends what there is of a sink: another pod tells the client from now on.
func (m *mailbox) move() {
	m.stopWaiting()
	if m.sink != nil {
		m.sink.Move()
		m.sink = nil
	}
	m.missed = missed{}
}

// suspend waits for the client to come back, and calls expire with the number of the loss if it
// does not.
func (m *mailbox) suspend(window time.Duration, expire func(loss int)) {
	m.release()
	m.losses++
	m.waitOn(window, expire)
}

// waitOn waits for a client that has not come back for a while more.
func (m *mailbox) waitOn(window time.Duration, expire func(loss int)) {
	loss := m.losses
	m.timer = time.AfterFunc(window, func() { expire(loss) })
}

// waits reports whether the client has not come back since that loss.
func (m *mailbox) waits(loss int) bool { return m.sink == nil && m.losses == loss }

// begin gives a client its sink that knows nothing yet, and so has missed nothing.
func (m *mailbox) begin(sink Sink) {
	m.stopWaiting()
	m.sink, m.missed = sink, missed{}
}

// resume gives the client another sink: it gets the reply, then what it missed unless that is
// stale.
func (m *mailbox) resume(sink Sink, reply func(), stale func(Notification) bool) {
	m.stopWaiting()
	m.sink = sink
	reply()
	for _, notification := range m.missed.notifications {
		if !stale(notification) {
			sink.Notify(notification)
		}
	}
	m.missed = missed{}
}

// stopWaiting ends the reconnection window.
func (m *mailbox) stopWaiting() {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}

// finish says that nothing more comes. The last words, if any, are for a client that has a socket.
func (m *mailbox) finish(last ...Notification) {
	if m.sink != nil {
		for _, notification := range last {
			m.sink.Notify(notification)
		}
		m.sink.Finish()
	}
	m.missed = missed{}
}
