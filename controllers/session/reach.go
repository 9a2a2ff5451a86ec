package session

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// reachable returns the Ready condition with what there is to say of a pod that is cut off: the
// room is as usable as it was, as far as anybody knows, but the operator hears nothing of it.
func reachable(o observed, ready metav1.Condition) metav1.Condition {
	if o.pod.CutOff.IsZero() || ready.Status != metav1.ConditionTrue {
		return ready
	}
	ready.Reason = v1alpha1.ReasonPodUnreachable
	ready.Message = fmt.Sprintf("the operator has not heard of the media pod since %s; calls there go on, and who has a token can join",
		o.pod.CutOff.UTC().Format(time.RFC3339))
	return ready
}

// publishReach tells that a status write says that the pod can't be reached any more, or can again.
func (r *Reconciler) publishReach(s *v1alpha1.Session, before, after v1alpha1.SessionStatus) {
	was, is := unreachable(before), unreachable(after)
	switch {
	case before.PodName != after.PodName:
	case !was && is:
		r.Recorder.Eventf(s, nil, corev1.EventTypeWarning, eventPodUnreachable, actionObserving,
			"The operator does not hear of media pod %s; calls there go on", after.PodName)
	case was && !is:
		r.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventPodReachable, actionObserving, "The operator hears of media pod %s again", after.PodName)
	}
}

// unreachable says whether a status says that the pod can't be reached.
func unreachable(s v1alpha1.SessionStatus) bool {
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.Reason == v1alpha1.ReasonPodUnreachable
}
