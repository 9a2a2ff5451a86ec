package placement

import (
	"cmp"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// WantsStandby says whether a room of a pool is to have a standby, by what its Session says of it
// ("" is nothing) or else by what the pool says, or may have.
func WantsStandby(pool *v1alpha1.MediaPool, session v1alpha1.Standby) bool {
	switch cmp.Or(session, pool.Spec.Standby) {
	case v1alpha1.StandbyWarm:
		return true
	case v1alpha1.StandbyNone:
		return false
	}
	return pool.Spec.MaxPods > 1
}

// Standby returns the pod that is to go on with a room when its pod, which is on a node, is lost;
// false when there is no other pod. It is on another node if any candidate is, and the one that
// hosts and follows the fewest rooms: all that a standby takes over comes at once. Of several on
// other nodes, or else on this one, a pod that failed a short while ago comes last.
func Standby(candidates []Candidate, pod, node string, now time.Time) (chosen Candidate, found bool) {
	others := slices.DeleteFunc(slices.Clone(candidates), func(c Candidate) bool { return c.Pod == pod })
	if len(others) == 0 {
		return Candidate{}, false
	}
	near := func(c Candidate) int {
		if c.Node == node {
			return 1
		}
		return 0
	}
	return slices.MinFunc(others, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(near(a), near(b)), cmp.Compare(a.suspect(now), b.suspect(now)),
			cmp.Compare(a.Sessions+a.Standbys, b.Sessions+b.Standbys), cmp.Compare(a.Pod, b.Pod))
	}), true
}
