// Package clock is the authority on when a frame belongs into a recording. RTP timestamps alone are
// not trusted: clocks of senders drift, and senders stall. Sender reports bring the tracks of a
// stream together, and all is held to the clock that the media pod stamps arrivals with.
//
//	track's timestamp --sender report--> sender's clock --least transit time--> the pod's clock
//
// Times are arguments: the package has no clock of its own.
package clock

import "time"

const (
	// window is for how long the least transit time counts: longer than most queues last, and short
	// enough to notice that a sender has stalled.
	window = 2 * time.Second
	// maxError is what is not corrected by slew, a share of the time that passes, which nobody
	// notices. When it is more the sender has stalled, or its clock was set, and there is a gap; or
	// what was placed until now is late, and it catches up by a share of the time.
	maxError = 200 * time.Millisecond
	slew     = 0.02
	catchUp  = 0.5
)

// Clock places the frames of one stream. It is not safe for concurrent use.
type Clock struct {
	tracks map[int]*track
	shared transit // of what is placed by sender reports
}

// track is one kind of media of the stream.
type track struct {
	rate      float64 // Hz
	highest   uint32  // timestamp
	unwrapped int64
	started   bool

	reported    bool
	reportedAt  time.Duration // by the sender's clock
	reportStamp int64

	own     transit       // of the track's own timestamps
	said    transit       // of those by the sender's clock
	offset  time.Duration // that holds now
	placed  bool
	byClock bool // offset is of the sender's clock, not of the track's own
	// The frame that was placed last: where, and its timestamp.
	last      time.Duration
	lastStamp int64
}

// New returns a clock of a stream without tracks.
func New() *Clock { return &Clock{tracks: map[int]*track{}} }

// Add makes a track with a clock rate in Hz known.
func (c *Clock) Add(id int, rate uint32) { c.tracks[id] = &track{rate: float64(rate)} }

// unwrap returns a timestamp that does not wrap.
func (t *track) unwrap(timestamp uint32) int64 {
	if !t.started {
		t.started, t.highest, t.unwrapped = true, timestamp, int64(timestamp)
		return t.unwrapped
	}
	n := t.unwrapped + int64(int32(timestamp-t.highest))
	if n > t.unwrapped {
		t.unwrapped, t.highest = n, timestamp
	}
	return n
}

func (t *track) seconds(stamps int64) time.Duration {
	return time.Duration(float64(stamps) / t.rate * float64(time.Second))
}

// Report takes a pair of the sender's NTP time and a timestamp of a track.
func (c *Clock) Report(id int, ntp uint64, timestamp uint32) {
	t := c.tracks[id]
	if t == nil {
		return
	}
	const since1900 = 2_208_988_800
	seconds := int64(ntp>>32) - since1900
	t.reported = true
	t.reportedAt = time.Duration(seconds)*time.Second + time.Duration((ntp&0xffffffff)*uint64(time.Second)>>32)
	t.reportStamp = t.unwrap(timestamp)
}

// Place returns when a frame with a timestamp belongs, since 1970 by the clock of arrivals. at is
// when it arrived, by the same clock. It is to be called as frames arrive, since reports count from
// when they do. Frames that arrive in order are placed in order.
func (c *Clock) Place(id int, timestamp uint32, at time.Time) time.Time {
	t := c.tracks[id]
	if t == nil {
		return at
	}
	arrived := time.Duration(at.UnixNano())
	stamp := t.unwrap(timestamp)
	own := t.seconds(stamp)
	least := t.own.add(arrived-own, arrived)
	said := own
	if t.reported {
		said = t.reportedAt + t.seconds(stamp-t.reportStamp)
		least = c.shared.add(arrived-said, arrived)
		// A track that stalls is behind what the last report has said of it.
		if alone := t.said.add(arrived-said, arrived); alone-least > maxError {
			least = alone
		}
	}
	switch {
	case !t.placed:
		t.offset = least
	case t.byClock != t.reported: // go on from where it was, and slew
		t.offset = t.last + t.seconds(stamp-t.lastStamp) - said
	}
	if t.placed && stamp <= t.lastStamp { // it comes late, or is of the same frame
		return time.Unix(0, int64(said+t.offset))
	}
	t.placed, t.byClock = true, t.reported
	t.correct(least, max(t.seconds(stamp-t.lastStamp), 0))
	t.last, t.lastStamp = max(said+t.offset, t.last), stamp
	return time.Unix(0, int64(t.last))
}

// correct moves the offset towards what it should be, when so much time has passed.
func (t *track) correct(to, passed time.Duration) {
	difference := to - t.offset
	most := time.Duration(float64(min(passed, time.Second)) * slew)
	switch {
	case difference > maxError:
		t.offset = to
	case difference < -maxError:
		t.offset -= time.Duration(float64(passed) * catchUp)
	case difference > most:
		t.offset += most
	case difference < -most:
		t.offset -= most
	default:
		t.offset = to
	}
}

// transit is the least time that something took, or any constant more, in the last window. Its zero
// value knows nothing.
type transit struct {
	current, before time.Duration // the least of this half of the window, and of the one before
	since           time.Duration
	known, older    bool
}

// add takes what a frame took that arrived then, and returns the least.
func (t *transit) add(took, arrived time.Duration) time.Duration {
	if !t.known {
		t.known, t.current, t.since = true, took, arrived
	}
	if passed := arrived - t.since; passed >= window/2 {
		t.before, t.older = t.current, passed < window
		t.current, t.since = took, arrived
	}
	t.current = min(t.current, took)
	if t.older {
		return min(t.current, t.before)
	}
	return t.current
}
