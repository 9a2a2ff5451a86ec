package mediapool

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Reasons and actions of Events.
const (
	eventPodCreated     = "PodCreated"
	eventPodDeleted     = "PodDeleted"
	eventReady          = "Ready"
	eventNotReady       = "NotReady"
	eventPodUnreachable = "PodUnreachable"
	eventFull           = "Full"
	eventStartFailed    = "StartFailed"
	eventRecorderFailed = "RecorderFailed"
	eventServersIgnored = "IceServersIgnored"
	eventRemovalGivenUp = "RemovalGivenUp"
	actionScaling       = "Scaling"
	actionObserving     = "Observing"
	actionRemoving      = "Removing"
)

func (r *Reconciler) created(pool *v1alpha1.MediaPool, pod, why string) {
	r.Recorder.Eventf(pool, nil, corev1.EventTypeNormal, eventPodCreated, actionScaling, "Created media pod %s: %s", pod, why)
}

func (r *Reconciler) deleted(pool *v1alpha1.MediaPool, pod string, a deletePod) {
	kind := corev1.EventTypeNormal
	if !a.retire {
		kind = corev1.EventTypeWarning
	}
	r.Recorder.Eventf(pool, nil, kind, eventPodDeleted, actionScaling, "Deleted media pod %s: %s", pod, a.why())
}

// publish tells what a status write has changed.
func (r *Reconciler) publish(o observed, before, after v1alpha1.MediaPoolStatus) {
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady), meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	switch {
	case was == nil || was.Message == is.Message || is.Reason == v1alpha1.ReasonDeleting:
	case is.Status == metav1.ConditionTrue && o.unreachable() != "":
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventPodUnreachable, actionObserving, "%s", is.Message)
	case is.Status == metav1.ConditionTrue:
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeNormal, eventReady, actionObserving, "%s", is.Message)
	default:
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventNotReady, actionObserving, "%s", is.Message)
	}
	stopped, progress := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing), meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionProgressing)
	if progress.Reason == v1alpha1.ReasonStartFailed && (stopped == nil || stopped.Message != progress.Message) {
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventStartFailed, actionScaling, "%s", progress.Message)
	}
	could, can := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionRecorderReady), meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionRecorderReady)
	if can != nil && can.Reason == v1alpha1.ReasonStartFailed && (could == nil || could.Message != can.Message) {
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventRecorderFailed, actionObserving, "%s", can.Message)
	}
	said := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionAccepted)
	if o.ignored != "" && (said == nil || !strings.HasSuffix(said.Message, o.ignored)) {
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventServersIgnored, actionObserving, "%s", o.ignored)
	}
	if o.waiting > 0 && after.FreeSessions == 0 && after.Pods >= o.pool.Spec.MaxPods && before.FreeSessions > 0 {
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventFull, actionScaling,
			"%d Sessions wait, and the pool may have no more than %d pods", o.waiting, o.pool.Spec.MaxPods)
	}
}
