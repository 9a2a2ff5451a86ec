package mediapool

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/internal/hosting"
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of the change. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o observed, failed error) (time.Duration, error) {
	before := o.pool.Status
	after := makeStatus(o, failed)
	urgency := urgencyOf(before, after)
	if delay := r.pace.Delay(o.pool.UID, urgency, o.now); delay > 0 {
		return delay, nil
	}
	if urgency == pace.Unchanged {
		return 0, nil
	}
	base := o.pool.DeepCopy()
	if before.ObservedGeneration == 0 {
		// The first write, also after the status was wiped: counts of 0 are to be there, not just to be absent.
		base.Status.Pods, base.Status.ReadyPods, base.Status.Sessions, base.Status.FreeSessions = -1, -1, -1, -1
	}
	o.pool.Status = after
	// This controller is the only writer of this status, so a merge patch of what differs needs no lock.
	if err := r.Client.Status().Patch(ctx, o.pool, client.MergeFrom(base), FieldOwner); err != nil {
		return 0, client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	r.pace.Wrote(o.pool.UID, o.now)
	r.publish(o, before, after)
	return 0, nil
}

func urgencyOf(before, after v1alpha1.MediaPoolStatus) pace.Urgency {
	if equality.Semantic.DeepEqual(before, after) {
		return pace.Unchanged
	}
	for _, x := range after.Conditions {
		if y := meta.FindStatusCondition(before.Conditions, x.Type); y == nil || x.Status != y.Status || x.Reason != y.Reason {
			return pace.Urgent
		}
	}
	return pace.Lazy
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, failed error) v1alpha1.MediaPoolStatus {
	status := *o.pool.Status.DeepCopy()
	status.Pods, status.ReadyPods, status.Sessions, status.FreeSessions = 0, 0, 0, 0
	for _, pod := range o.pods {
		if pod.dead() {
			continue
		}
		status.Pods++
		status.Sessions += pod.load.Sessions
		if pod.view.State == fleet.Synced && len(pod.addresses) > 0 {
			status.ReadyPods++
		}
		if pod.view.Usable {
			status.FreeSessions += o.free(pod)
		}
	}
	if failed == nil {
		status.ObservedGeneration = o.pool.Generation
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
	for _, condition := range []metav1.Condition{accepted, readyCondition(o, status, failed)} {
		condition.ObservedGeneration = o.pool.Generation
		condition.LastTransitionTime = metav1.Time{Time: o.now}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

func readyCondition(o observed, status v1alpha1.MediaPoolStatus, failed error) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, Message: "the minimum of pods can host rooms",
	}
	if minimum := ptr.Deref(o.pool.Spec.MinPods, 1); status.ReadyPods < minimum {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonPodsNotReady
		c.Message = fmt.Sprintf("%d of at least %d pods can host rooms", status.ReadyPods, minimum)
		if obstacle := obstacleOf(o, failed); obstacle != "" {
			c.Message += ": " + obstacle
		}
	}
	return c
}

// obstacleOf says what keeps the first pod that is not ready from being so. Pods have random names, which do not
// belong into a condition: it would change at every attempt.
func obstacleOf(o observed, failed error) string {
	for _, pod := range o.pods {
		if pod.dead() || pod.going() || pod.view.State == fleet.Synced && len(pod.addresses) > 0 {
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
