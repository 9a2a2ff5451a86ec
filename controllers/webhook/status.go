package webhook

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Reasons and actions of Events.
const (
	eventRetrying    = "DeliveryFailing"
	eventRefused     = "DeliveryRefused"
	eventRecovered   = "DeliveryRecovered"
	eventLost        = "EventsLost"
	eventNotAccepted = "Refused"
	actionDelivering = "Delivering"
	actionAdmitting  = "Admitting"
)

// makeStatus derives the whole status. It is pure.
func makeStatus(hook *v1alpha1.Webhook, problem *refusal, seen state, now time.Time) v1alpha1.WebhookStatus {
	status := *hook.Status.DeepCopy()
	status.ObservedGeneration = hook.Generation
	status.PendingEvents = int64(seen.pending)
	if !seen.lastDelivery.IsZero() {
		status.LastDeliveryTime = &metav1.Time{Time: seen.lastDelivery.Truncate(time.Second)}
	}
	accepted := acceptedCondition(problem)
	for _, condition := range []metav1.Condition{accepted, readyCondition(accepted, seen)} {
		condition.ObservedGeneration = hook.Generation
		condition.LastTransitionTime = metav1.Time{Time: now}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

func acceptedCondition(problem *refusal) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "the spec can be used"}
	if problem != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, problem.reason, problem.message
	}
	return c
}

func readyCondition(accepted metav1.Condition, seen state) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case accepted.Status != metav1.ConditionTrue:
		c.Reason, c.Message = accepted.Reason, accepted.Message
	case seen.problem != "" && seen.retrying:
		c.Reason, c.Message = v1alpha1.ReasonRetrying, seen.problem+"; it is tried again"
	case seen.problem != "":
		c.Reason, c.Message = v1alpha1.ReasonRefused, seen.problem+"; the event is not sent again"
	case seen.lastDelivery.IsZero():
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonReady, "no event was sent yet"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonReady, "the endpoint takes the events"
	}
	return c
}

// publish tells what a status write has changed.
func (r *Reconciler) publish(hook *v1alpha1.Webhook, before, after v1alpha1.WebhookStatus) {
	now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady)
	if was != nil && was.Reason == now.Reason {
		return
	}
	switch {
	case now.Reason == v1alpha1.ReasonRetrying:
		r.Recorder.Eventf(hook, nil, corev1.EventTypeWarning, eventRetrying, actionDelivering, "%s", now.Message)
	case now.Reason == v1alpha1.ReasonRefused:
		r.Recorder.Eventf(hook, nil, corev1.EventTypeWarning, eventRefused, actionDelivering, "%s", now.Message)
	case now.Status == metav1.ConditionFalse:
		r.Recorder.Eventf(hook, nil, corev1.EventTypeWarning, eventNotAccepted, actionAdmitting, "%s: %s", now.Reason, now.Message)
	case was != nil && was.Status == metav1.ConditionFalse:
		r.Recorder.Eventf(hook, nil, corev1.EventTypeNormal, eventRecovered, actionDelivering, "%s", now.Message)
	}
}

// tellLost tells of events that were given up since it was last told.
func (r *Reconciler) tellLost(hook *v1alpha1.Webhook, lost int) {
	name := client.ObjectKeyFromObject(hook)
	r.mu.Lock()
	more := lost - r.lost[name]
	r.lost[name] = lost
	r.mu.Unlock()
	if more > 0 {
		r.Recorder.Eventf(hook, nil, corev1.EventTypeWarning, eventLost, actionDelivering, "%s", fmt.Sprintf(
			"%d events were given up: the endpoint did not take them in time, or too many waited", more))
	}
}
