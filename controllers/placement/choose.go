// Package placement is the authority on which of several media pods is the best one for a Session,
// and for its standby: pure functions of what is reserved on each. Package rooms reserves what they
// have chosen.
package placement

import (
	"cmp"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// FailureMemory is how long a pod, or a node, that failed is not preferred.
const FailureMemory = 2 * time.Minute

// Candidate is a media pod that can take rooms now.
type Candidate struct {
	// Pod is its name, Node its node's.
	Pod, Node string
	// MaxSessions and MaxConnections are its hard caps.
	MaxSessions, MaxConnections int32
	// Sessions and Connections are what is reserved on it.
	Sessions, Connections int32
	// Standbys is how many rooms of other pods it follows. They take none of its capacity.
	Standbys int32
	// Failed is when it, or its node, failed last; zero when not known to.
	Failed time.Time
}

// fits says whether a Session with so many connections can be placed there.
func (c Candidate) fits(connections int32) bool {
	return c.Sessions < c.MaxSessions && c.Connections+connections <= c.MaxConnections &&
		// A pod whose last connection is taken would host a room that nobody can enter.
		c.Connections < c.MaxConnections
}

// suspect is 1 for a pod that failed a short while ago, else 0.
func (c Candidate) suspect(now time.Time) int {
	if !c.Failed.IsZero() && now.Sub(c.Failed) < FailureMemory {
		return 1
	}
	return 0
}

// Choose returns the pod that a Session with so many admitted connections gets, or false when none
// has room. A pod that failed a short while ago is taken only when no other one fits: it looks idle
// because it failed.
func Choose(candidates []Candidate, connections int32, policy v1alpha1.Placement, now time.Time) (string, bool) {
	fitting := slices.DeleteFunc(slices.Clone(candidates), func(c Candidate) bool { return !c.fits(connections) })
	if len(fitting) == 0 {
		return "", false
	}
	fullness := func(c Candidate) float64 {
		return max(float64(c.Sessions)/float64(c.MaxSessions), float64(c.Connections)/float64(c.MaxConnections))
	}
	best := slices.MinFunc(fitting, func(a, b Candidate) int {
		byFullness := cmp.Compare(fullness(a), fullness(b))
		if policy != v1alpha1.PlacementSpread {
			byFullness = -byFullness
		}
		return cmp.Or(cmp.Compare(a.suspect(now), b.suspect(now)), byFullness, cmp.Compare(a.Pod, b.Pod))
	})
	return best.Pod, true
}
