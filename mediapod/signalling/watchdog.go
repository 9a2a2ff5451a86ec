package signalling

import (
	"sync/atomic"
	"time"
)

const (
	// A client pings every 5 s and says so; one that does not is given 20 s. After three intervals
	// without a message it is lost.
	defaultPingInterval = 20 * time.Second
	minPingInterval     = time.Second
	missedPings         = 3
)

// watchdog barks when nothing has come over a socket for too long. Its methods are for the reader,
// spare is for whoever hears it bark.
type watchdog struct {
	timer   *time.Timer
	silence time.Duration // what it waits; owned by the reader
	pinged  bool          // the client has said how often it pings; owned by the reader
	told    atomic.Int64  // what it has said, in nanoseconds; 0 is nothing
	spoke   atomic.Bool   // a request other than ping has come
}

// start lets it wait for a client that has said nothing yet. Stop must follow.
func (w *watchdog) start(bark func()) {
	w.silence = missedPings * defaultPingInterval
	w.timer = time.AfterFunc(w.silence, bark)
}

// stop lets it bark no more. One that barks already goes on.
func (w *watchdog) stop() { w.timer.Stop() }

// heard notes that something came.
func (w *watchdog) heard() { w.timer.Reset(w.silence) }

// expect notes a ping, the first of which says how often to expect them; 0 is not said.
func (w *watchdog) expect(interval time.Duration) {
	if w.pinged {
		return
	}
	w.pinged = true
	w.told.Store(int64(interval))
	if interval == 0 {
		interval = defaultPingInterval
	}
	w.silence = missedPings * min(defaultPingInterval, max(minPingInterval, interval))
	w.heard()
}

// interval returns how often the client pings; 0 when it has not said.
func (w *watchdog) interval() time.Duration { return time.Duration(w.told.Load()) }

// spare lets it wait once more, for as long as for a client that has said nothing yet.
func (w *watchdog) spare() { w.timer.Reset(missedPings * defaultPingInterval) }
