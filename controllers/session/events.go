package session

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
)

// Reasons and actions of Events.
const (
	eventPlaced         = "Placed"
	eventPodLost        = "PodLost"
	eventMoved          = "Moved"
	eventTakenOver      = "TakenOver"
	eventDraining       = "Draining"
	eventPodUnreachable = "PodUnreachable"
	eventPodReachable   = "PodReachable"
	eventProtected      = "Protected"
	eventDegraded       = "Degraded"
	eventWaiting        = "Waiting"
	eventRefused        = "Refused"
	eventNotClosed      = "CloseGivenUp"
	actionPlacing       = "Placing"
	actionObserving     = "Observing"
	actionAdmitting     = "Admitting"
	actionClosing       = "Closing"
)

// publish tells what a status write has changed. taken is how the room has come to its pod.
func (r *Reconciler) publish(s *v1alpha1.Session, before, after v1alpha1.SessionStatus, taken rooms.Takeover) {
	takenOver := before.PodName != after.PodName && after.PodName != "" && after.PodName == taken.To
	if takenOver {
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventTakenOver, actionPlacing,
			"Media pod %s, the standby, has taken the room over from media pod %s, %s; calls go on there", taken.To, taken.From, because(taken))
	} else if before.PodName != "" && before.PodName != after.PodName {
		if r.Fleet.Pod(before.PodName).State == fleet.Lost {
			r.Recorder.Eventf(s, nil, corev1.EventTypeWarning, eventPodLost, actionPlacing, "Media pod %s was lost", before.PodName)
		} else {
			r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventDraining, actionPlacing, "Media pod %s is being drained", before.PodName)
		}
	}
	switch {
	case takenOver:
	case after.PodName == "" || before.PodName == after.PodName:
	case after.ActiveConnections > 0:
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventMoved, actionPlacing, "The room was moved to media pod %s; %d users may come back there",
			after.PodName, after.ActiveConnections)
	default:
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventPlaced, actionPlacing, "Placed on media pod %s", after.PodName)
	}
	r.publishReach(s, before, after)
	r.publishProtection(s, before, after)
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

// publishProtection tells, of a room that somebody is in, that calls would not outlive its media
// pod any more, or would again.
func (r *Reconciler) publishProtection(s *v1alpha1.Session, before, after v1alpha1.SessionStatus) {
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProtected)
	now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionProtected)
	if was == nil || was.Status == now.Status || before.ActiveConnections == 0 || after.ActiveConnections == 0 {
		return
	}
	switch {
	case now.Status == metav1.ConditionTrue:
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventProtected, actionObserving, "Protected: %s", now.Message)
	case now.Reason != v1alpha1.ReasonNotWanted:
		r.Recorder.Eventf(s, nil, corev1.EventTypeWarning, eventDegraded, actionObserving, "Degraded, no standby: %s", now.Message)
	}
}

// because says why a standby has taken a room over.
func because(taken rooms.Takeover) string {
	switch taken.Cause {
	case rooms.CauseEnded:
		return "whose process has ended"
	case rooms.CauseSilent:
		return "which it did not hear any more"
	case rooms.CauseMoved:
		return "which has handed it over"
	}
	return "which was lost, or has handed it over"
}
