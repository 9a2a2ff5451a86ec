package connection

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Reasons and actions of Events. Those of leaves are the values of reasons.Cause.
const (
	eventAdmitted    = "Admitted"
	eventWaiting     = "Waiting"
	eventRefused     = "Refused"
	eventIgnored     = "IceServersIgnored"
	eventUserJoined  = "UserJoined"
	eventExpired     = "TokenExpired"
	eventNotEvicted  = "EvictionGivenUp"
	actionAdmitting  = "Admitting"
	actionObserving  = "Observing"
	actionEvicting   = "Evicting"
	evictionBoundMsg = "The media pod did not confirm within %s that the user is out; deleted anyway"
)

// publish tells what a status write has changed.
func (r *Reconciler) publish(o observed, before, after v1alpha1.ConnectionStatus) {
	c := o.connection
	now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionAccepted)
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionAccepted)
	if was == nil || was.Reason != now.Reason {
		switch now.Reason {
		case v1alpha1.ReasonDeleting:
		case v1alpha1.ReasonAccepted:
			if was == nil || was.Status != metav1.ConditionFalse {
				break // it did not have to wait
			}
			r.Recorder.Eventf(c, nil, corev1.EventTypeNormal, eventAdmitted, actionAdmitting, "Admitted to Session %s; the token can be used once", c.Spec.SessionName)
		case v1alpha1.ReasonSessionNotAccepted:
			// Its Session has an Event of its own.
			r.Recorder.Eventf(c, nil, corev1.EventTypeNormal, eventWaiting, actionAdmitting, "%s: %s", now.Reason, now.Message)
		case v1alpha1.ReasonSessionNotFound, v1alpha1.ReasonSessionFull:
			r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventWaiting, actionAdmitting, "%s: %s", now.Reason, now.Message)
		default:
			r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventRefused, actionAdmitting, "%s: %s", now.Reason, now.Message)
		}
	}
	if hasExpired(after) && !hasExpired(before) {
		r.Recorder.Eventf(c, nil, corev1.EventTypeNormal, eventExpired, actionObserving, "Nobody has used the token in time; its place is free")
	}
	if o.ignored != "" && now.Status == metav1.ConditionTrue && (was == nil || was.Message != now.Message) {
		r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventIgnored, actionAdmitting, "%s", o.ignored)
	}
}
