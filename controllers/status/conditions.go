package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// SetConditions sets conditions as observed of a generation. The time of a transition changes with
// the condition's status only.
func SetConditions(all *[]metav1.Condition, generation int64, now time.Time, conditions ...metav1.Condition) {
	for _, condition := range conditions {
		condition.ObservedGeneration = generation
		condition.LastTransitionTime = metav1.Time{Time: now}
		meta.SetStatusCondition(all, condition)
	}
}

// Deleting returns the Ready condition of an object that is being deleted. waitsFor names what has
// to happen before it goes.
func Deleting(waitsFor string) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeleting,
		Message: "waiting until " + waitsFor,
	}
}

// sameConditions reports whether two statuses have the same conditions, but for their messages and
// times.
func sameConditions(before, after []metav1.Condition) bool {
	if len(before) != len(after) {
		return false
	}
	for _, x := range after {
		y := meta.FindStatusCondition(before, x.Type)
		if y == nil || x.Status != y.Status || x.Reason != y.Reason || x.ObservedGeneration != y.ObservedGeneration {
			return false
		}
	}
	return true
}
