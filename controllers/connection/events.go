package connection

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
)

// Reasons and actions of Events. Joins and leaves are in status and make no Events: they would double the writes of a busy room.
const (
	eventRefused     = "Refused"
	eventUserLost    = "UserLost"
	eventNotEvicted  = "EvictionGivenUp"
	actionAdmitting  = "Admitting"
	actionObserving  = "Observing"
	actionEvicting   = "Evicting"
	evictionBoundMsg = "The media pod did not confirm within %s that the user is out; deleted anyway"
)

// publish tells what a status write has changed.
func (r *Reconciler) publish(c *v1alpha1.Connection, before, after v1alpha1.ConnectionStatus) {
	if now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionAccepted); meta.IsStatusConditionFalse(after.Conditions, v1alpha1.ConditionAccepted) {
		was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionAccepted)
		if (was == nil || was.Reason != now.Reason) && now.Reason != v1alpha1.ReasonDeleting {
			r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventRefused, actionAdmitting, "%s: %s", now.Reason, now.Message)
		}
	}
	if before.State != after.State && after.DisconnectReason == participant.ReasonNodeCrashed {
		r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventUserLost, actionObserving, "The media pod was lost with the user on it")
	}
}
