package webhook

import (
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
		r.Recorder.Eventf(hook, nil, corev1.EventTypeWarning, eventLost, actionDelivering,
			"%d events were given up: the endpoint did not take them in time, or too many waited", more)
	}
}
