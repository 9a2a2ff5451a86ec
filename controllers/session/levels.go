package session

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// levelsSpan is what service levels are of, and for how long they are shown of a pod that is not
// heard any more.
const levelsSpan = time.Minute

// serviceLevels returns how the room has served its users in the last minute; nil when nothing is
// known, or there is nothing to tell. The pod says so seldom, and says when a minute is over.
func serviceLevels(o observed) *v1alpha1.ServiceLevels {
	told := o.room.Levels
	if told == nil || o.room.Pod == "" || stale(o) {
		return nil
	}
	return &v1alpha1.ServiceLevels{
		Joins:                  max(0, told.GetJoins()),
		FailedJoins:            max(0, told.GetFailedJoins()),
		MedianJoinMilliseconds: max(0, told.GetMedianJoinMs()),
		WorstLossPercent:       min(max(0, told.GetWorstLossPercent()), 100),
		// The API server keeps whole seconds.
		SinceTime: metav1.Unix(told.GetSinceUnixMs()/1000, 0),
	}
}

// stale says whether the pod was not heard for longer than what its levels are of.
func stale(o observed) bool {
	return !o.pod.CutOff.IsZero() && o.now.Sub(o.pod.CutOff) >= levelsSpan
}

// untilStale returns when the levels of a pod that is not heard have to go; 0 when they have not.
func untilStale(o observed) time.Duration {
	if o.room.Levels == nil || o.pod.CutOff.IsZero() || stale(o) {
		return 0
	}
	return o.pod.CutOff.Add(levelsSpan).Sub(o.now)
}
