package session

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
)

// Reasons and actions of Events.
const (
	eventPlaced         = "Placed"
	eventPodLost        = "PodLost"
	eventMoved          = "Moved"
	eventDraining       = "Draining"
	eventPodUnreachable = "PodUnreachable"
	eventPodReachable   = "PodReachable"
	eventWaiting        = "Waiting"
	eventRefused        = "Refused"
	eventNotClosed      = "CloseGivenUp"
	actionPlacing       = "Placing"
	actionObserving     = "Observing"
	actionAdmitting     = "Admitting"
	actionClosing       = "Closing"
)

// publish tells what a status write has changed.
func (r *Reconciler) publish(s *v1alpha1.Session, before, after v1alpha1.SessionStatus) {
	if before.PodName != "" && before.PodName != after.PodName {
		if r.Fleet.Pod(before.PodName).State == fleet.Lost {
			r.Recorder.Eventf(s, nil, corev1.EventTypeWarning, eventPodLost, actionPlacing, "Media pod %s was lost", before.PodName)
		} else {
			r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventDraining, actionPlacing, "Media pod %s is being drained", before.PodName)
		}
	}
	switch {
	case after.PodName == "" || before.PodName == after.PodName:
	case after.ActiveConnections > 0:
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventMoved, actionPlacing, "The room was moved to media pod %s; %d users may come back there",
			after.PodName, after.ActiveConnections)
	default:
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventPlaced, actionPlacing, "Placed on media pod %s", after.PodName)
	}
	r.publishReach(s, before, after)
	now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionAccepted)
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionAccepted)
	if now.Status == metav1.ConditionFalse && (was == nil || was.Reason != now.Reason) {
		reason := eventRefused
		if now.Reason == v1alpha1.ReasonPoolNotFound || now.Reason == v1alpha1.ReasonNoCapacity {
			reason = eventWaiting
		}
		r.Recorder.Eventf(s, nil, corev1.EventTypeWarning, reason, actionAdmitting, "%s: %s", now.Reason, now.Message)
	}
}
