package layers

import "time"

// Temporal is how many temporal layers a layer can have.
const Temporal = 4

const (
	// hopeless is the share of the least that there is of video that a path does not carry when it
	// is better without, in percent: with less than that, next to no picture would get through
	// whole.
	hopeless = 60
	// despair is for how long that must be so, and the path be clogged.
	despair = 1500 * time.Millisecond
)

// A layer without lower temporal layers can't be made to fit a receiver's limit. Its sender is told
// the limit when all receivers have one, and does as it is told within a second or two.
const (
	// excess is by how much the least that there is of video may exceed a receiver's limit, in
	// percent of that.
	excess = 150
	// patience is for how long it may exceed that.
	patience = 3 * time.Second
)

// Pause says why a receiver gets nothing of what there is.
type Pause uint8

// The values of Pause.
const (
	// NoPause: the receiver gets something.
	NoPause Pause = iota
	// PathPause: the path does not even carry the lowest temporal layer of the lowest layer.
	PathPause
	// LimitPause: that layer is far above the receiver's limit.
	LimitPause
)

// Selection is what one receiver gets of a track. Its zero value gets nothing yet. It is not safe
// for concurrent use.
//
//	path carries   nothing known, or      less than the            less than 60 % of the lowest
//	               all that a layer takes lowest layer             temporal layer, and clogged, for 1.5 s
//	receiver gets  that layer             the lowest layer without paused: nothing, until a probe shows that
//	                                      upper temporal layers    the path carries the lowest temporal layer
//
// What a receiver does not want is not there for it; see Bound. A limit of the receiver's is kept
// in the same way, and when the lowest temporal layer takes more than 150 % of it for 3 s, nothing
// is sent until it takes less than the limit.
type Selection struct {
	// Layer is the index of the layer.
	Layer int
	// Temporal is the highest temporal layer of it; Temporal-1 for all.
	Temporal int
	// Paused tells that the path does not even carry the lowest temporal layer of the lowest layer,
	// Over that this is far above the receiver's limit. Then nothing is to be sent.
	Paused, Over bool

	hopelessSince time.Time // zero when it is not
	overSince     time.Time // likewise
}

// Pause says why nothing is to be sent. The limit comes first: it holds on any path.
func (s *Selection) Pause() Pause {
	switch {
	case s.Over:
		return LimitPause
	case s.Paused:
		return PathPause
	}
	return NoPause
}

// Update chooses anew; see Choose for what it takes and returns. pausable tells that it can be
// found out when a path carries something again.
func (s *Selection) Update(all []Layer, current int, path Path, limits Limits, pausable bool, now time.Time) (wanted int) {
	before := s.Temporal
	var room [Max]Layer
	seen := limits.within(all, before, &room)
	wanted = s.follow(seen, current, path, limits.Kbps, pausable, now)
	limited := s.limit(seen[s.Layer], before, limits.Kbps, now)
	s.Temporal = min(s.Temporal, limits.temporal(all[s.Layer], before))
	if limited {
		return 0
	}
	return wanted
}

// limit leaves out what exceeds the receiver's limit. It reports whether there was something.
// before is the highest temporal layer that the receiver has had.
func (s *Selection) limit(chosen Layer, before, maxKbps int, now time.Time) bool {
	least := chosen.UpTo[0]
	switch {
	case maxKbps == 0, least*100 <= maxKbps*tolerance:
		s.Over, s.overSince = false, time.Time{}
	case s.Over:
	case least*100 <= maxKbps*excess:
		s.overSince = time.Time{}
	case s.overSince.IsZero():
		s.overSince = now
	case now.Sub(s.overSince) >= patience:
		s.Over = true
	}
	if maxKbps == 0 {
		return false
	}
	fits := 0
	for fits+1 < Temporal {
		most := maxKbps
		if fits+1 <= before {
			most = maxKbps * tolerance / 100
		}
		if chosen.UpTo[fits+1] > most {
			break
		}
		fits++
	}
	if s.Over || fits < s.Temporal {
		s.Temporal = min(s.Temporal, fits)
		return true
	}
	return false
}

// follow chooses what the path carries.
func (s *Selection) follow(all []Layer, current int, path Path, maxKbps int, pausable bool, now time.Time) (wanted int) {
	s.Layer, wanted = Choose(all, current, path, maxKbps)
	chosen := all[s.Layer]
	if path.Kbps == 0 || hasLower(all, s.Layer) {
		s.Temporal, s.Paused, s.hopelessSince = Temporal-1, false, time.Time{}
		return wanted
	}
	if s.Paused {
		if path.Congested || path.Kbps < chosen.UpTo[0] {
			return chosen.UpTo[0] * headroom / 100
		}
		s.Paused = false
		s.Temporal = 0
	}
	fits := 0
	for fits+1 < Temporal && chosen.UpTo[fits+1] <= path.Kbps {
		fits++
	}
	if chosen.Kbps == 0 { // not measured yet
		fits = s.Temporal
	}
	if path.Congested {
		s.Temporal = min(s.Temporal, fits)
	} else {
		s.Temporal = max(s.Temporal, fits)
	}
	if higher := chosen.above(s.Temporal); higher > 0 && !path.Congested {
		wanted = higher * headroom / 100
	}
	switch {
	case !pausable || !path.Clogged || path.Kbps*100 >= chosen.UpTo[0]*hopeless:
		s.hopelessSince = time.Time{}
	case s.hopelessSince.IsZero():
		s.hopelessSince = now
	case now.Sub(s.hopelessSince) >= despair:
		s.Paused, s.hopelessSince = true, time.Time{}
		return chosen.UpTo[0] * headroom / 100
	}
	return wanted
}

// hasLower reports whether there is something lower than a layer.
func hasLower(all []Layer, i int) bool {
	for _, l := range all[:i] {
		if l.Alive {
			return true
		}
	}
	return false
}

// above returns the bitrate with the next temporal layer; 0 when there is none.
func (l Layer) above(temporal int) int {
	for t := temporal + 1; t < Temporal; t++ {
		if l.UpTo[t] > l.UpTo[temporal] {
			return l.UpTo[t]
		}
	}
	return 0
}
