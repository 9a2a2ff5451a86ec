// Package quality is the single authority on network quality levels: how a level from 0 to 5
// follows from what a media pod observes of a publisher, and when a change of it is worth telling.
// docs/network-quality.md explains it to users.
package quality

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// The ends of the scale. In between, each level is worse than the one above.
const (
	// Broken is when hardly any media arrives.
	Broken = 0
	// Best is when nothing that is known is wrong.
	Best = 5
)

// bound is the most that a level allows.
type bound struct {
	level     int
	lost      float64
	jitter    time.Duration
	roundTrip time.Duration
}

// bounds are ordered from the best level down. What is over the last row's loss is Broken; jitter
// and delay alone never are.
var bounds = []bound{
	{level: 5, lost: 0.01, jitter: 30 * time.Millisecond, roundTrip: 150 * time.Millisecond},
	{level: 4, lost: 0.03, jitter: 60 * time.Millisecond, roundTrip: 300 * time.Millisecond},
	{level: 3, lost: 0.08, jitter: 100 * time.Millisecond, roundTrip: 500 * time.Millisecond},
	{level: 2, lost: 0.15, jitter: 200 * time.Millisecond, roundTrip: time.Second},
	{level: 1, lost: 0.50, jitter: forever, roundTrip: forever},
}

const forever = time.Duration(1<<63 - 1)

// Shares of the target bitrate. A video of a quiet scene needs few bits on any network, so that too
// few alone are never worse than level 3.
const (
	fullShare = 0.6
	fairShare = 0.3
)

// Level says how well a publisher's media arrives: the worst of what is known. What is not known
// does not count.
func Level(r media.Reception) int {
	level := Broken
	for _, b := range bounds {
		if r.Lost <= b.lost && r.Jitter <= b.jitter && r.RoundTrip <= b.roundTrip {
			level = b.level
			break
		}
	}
	if r.TargetKbps > 0 {
		switch share := float64(r.VideoKbps) / float64(r.TargetKbps); {
		case share < fairShare:
			level = min(level, 3)
		case share < fullShare:
			level = min(level, 4)
		}
	}
	return level
}

// How many measurements in a row must be worse, or better, before the level follows: it is quick to
// warn and slow to praise, so that it does not go up and down all the time.
const (
	worseInARow  = 2
	betterInARow = 3
)

// Meter follows the level of one stream. The zero value has measured nothing. It is not safe for
// concurrent use.
type Meter struct {
	level    int
	measured bool
	// streak is how many measurements in a row were better (positive) or worse (negative) than the
	// level, and nearest the one of them that is nearest to it.
	streak, nearest int
}

// Level returns the level that holds. It is false while nothing was measured.
func (m *Meter) Level() (int, bool) {
	return m.level, m.measured
}

// Measure takes what was observed in one interval. The first level holds at once.
func (m *Meter) Measure(r media.Reception) {
	m.follow(Level(r))
}

// Miss says that media was to be expected and nothing was observed. It counts as Broken, once
// something was measured.
func (m *Meter) Miss() {
	if m.measured {
		m.follow(Broken)
	}
}

func (m *Meter) follow(level int) {
	switch {
	case !m.measured:
		m.level, m.measured = level, true
		return
	case level == m.level:
		m.streak = 0
		return
	case level > m.level && m.streak <= 0:
		m.streak, m.nearest = 1, level
	case level > m.level:
		m.streak, m.nearest = m.streak+1, min(m.nearest, level)
	case m.streak >= 0:
		m.streak, m.nearest = -1, level
	default:
		m.streak, m.nearest = m.streak-1, max(m.nearest, level)
	}
	if m.streak >= betterInARow || m.streak <= -worseInARow {
		m.level, m.streak = m.nearest, 0
	}
}
