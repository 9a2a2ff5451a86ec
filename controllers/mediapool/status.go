package mediapool

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/internal/hosting"
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of
// the change. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o observed, failed error) (time.Duration, error) {
	before, after := o.pool.Status, makeStatus(o, failed)
	written, wait, err := r.statuses.Write(ctx, o.pool, after, status.Lazy)
	if written {
		r.publish(o, before, after)
	}
	return wait, err
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, failed error) v1alpha1.MediaPoolStatus {
	after := *o.pool.Status.DeepCopy()
	after.Pods, after.ReadyPods, after.Sessions, after.FreeSessions = 0, 0, 0, 0
	for _, pod := range o.pods {
		if pod.dead() {
			continue
		}
		after.Pods++
		after.Sessions += pod.load.Sessions
		if pod.view.State == fleet.Synced && len(pod.addresses) > 0 {
			after.ReadyPods++
		}
		if pod.view.Usable {
			after.FreeSessions += o.free(pod)
		}
	}
	if failed == nil {
		after.ObservedGeneration = o.pool.Generation
	}
	accepted := metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "the pool can be made",
	}
	if o.ignored != "" {
		accepted.Message += "; " + o.ignored
	}
	if err := hosting.Check(o.pool); err != nil {
		accepted.Status, accepted.Reason = metav1.ConditionFalse, v1alpha1.ReasonInvalid
		accepted.Message = "no Session is hosted: " + err.Error()
	}
	status.SetConditions(&after.Conditions, o.pool.Generation, o.now, accepted, readyCondition(o, after, failed))
	return after
}

func readyCondition(o observed, after v1alpha1.MediaPoolStatus, failed error) metav1.Condition {
	if !o.pool.DeletionTimestamp.IsZero() {
		return status.Deleting(o.waitsFor())
	}
	c := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, Message: "the minimum of pods can host rooms",
	}
	if minimum := ptr.Deref(o.pool.Spec.MinPods, 1); after.ReadyPods < minimum {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonPodsNotReady
		c.Message = fmt.Sprintf("%d of at least %d pods can host rooms", after.ReadyPods, minimum)
		if obstacle := obstacleOf(o, failed); obstacle != "" {
			c.Message += ": " + obstacle
		}
	}
	c.Message += o.unreachable()
	return c
}

// obstacleOf says what keeps the first pod that is not ready from being so. Pods have random names,
// which do not belong into a condition: it would change at every attempt.
func obstacleOf(o observed, failed error) string {
	for _, pod := range o.pods {
		if pod.dead() || pod.going() || pod.cutOff() || pod.view.State == fleet.Synced && len(pod.addresses) > 0 {
			continue
		}
		for _, condition := range pod.pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
				return "a pod can't be scheduled: " + condition.Message
			}
		}
		for _, container := range pod.pod.Status.ContainerStatuses {
			if waiting := container.State.Waiting; waiting != nil && waiting.Reason != "" && waiting.Reason != "ContainerCreating" {
				return "a pod can't start: " + waiting.Reason
			}
		}
		if pod.pod.Status.Phase == corev1.PodRunning && pod.missing != "" {
			return "a pod has no address to advertise: " + pod.missing
		}
		return "a pod is starting"
	}
	if failed != nil {
		return "making a pod has failed; the operator's log says why"
	}
	return ""
}
