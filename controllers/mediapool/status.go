package mediapool

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/exposure"
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
	status.SetConditions(&after.Conditions, o.pool.Generation, o.now, accepted,
		readyCondition(o, after, failed), progressingCondition(o))
	if o.pool.Spec.Egress == nil {
		meta.RemoveStatusCondition(&after.Conditions, v1alpha1.ConditionRecorderReady)
	} else {
		status.SetConditions(&after.Conditions, o.pool.Generation, o.now, recorderCondition(o.recorder))
	}
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
	if said, fails := o.startObstacle(); fails && o.rollsOut() {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonStartFailed
		c.Message = "pods of the current template don't start, and those of the one before go on: " + said
	}
	c.Message += o.unreachable()
	return c
}

func progressingCondition(o observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionTrue}
	said, fails := o.startObstacle()
	switch supply := o.supply(); {
	case !o.pool.DeletionTimestamp.IsZero():
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonDeleting, "no pods are made any more"
	case fails:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonStartFailed, said
	case o.rollsOut():
		c.Reason, c.Message = v1alpha1.ReasonRollingOut, "pods are replaced by those of the current template"
	case supply.current > supply.usable || supply.current < o.minimum():
		c.Reason, c.Message = v1alpha1.ReasonRollingOut, "pods are being made"
	default:
		c.Reason, c.Message = v1alpha1.ReasonRolledOut, "all pods are of the current template and can host rooms"
	}
	if said != "" && c.Reason == v1alpha1.ReasonRollingOut {
		c.Message += ": " + said
	}
	return c
}

// rollsOut says that there are pods of another template.
func (o observed) rollsOut() bool {
	return slices.ContainsFunc(o.pods, func(p podFacts) bool { return !p.dead() && !p.going() && o.outdated(p) })
}

// startObstacle says what keeps pods from starting, and whether that is a failure; "" when nothing
// does.
func (o observed) startObstacle() (said string, fails bool) {
	if said := o.startFailure(); said != "" {
		return said, true
	}
	for _, pod := range o.pods {
		if !o.current(pod) || pod.started() {
			continue
		}
		if waiting := waitingReason(pod.pod); waiting != "" {
			return waiting, true
		}
		if said := pod.unschedulable(o); said != "" {
			return said, false
		}
	}
	return "", false
}

// unschedulable says why a pod can't be scheduled; "" when it can.
func (p podFacts) unschedulable(o observed) string {
	why := unschedulable(p.pod)
	switch {
	case why == "":
		return ""
	case portTaken(p.pod):
		return takenPort(o.exposure.Given(exposure.Allocated(p.pod))) + "a pod can't be scheduled: " + why
	}
	return "a pod can't be scheduled: " + why
}

// waitingReason says why the container of a pod can't start yet; "" when it is about to.
func waitingReason(pod *corev1.Pod) string {
	if w := waiting(pod); w != nil {
		return "a pod can't start: " + w.Reason + said(w.Message)
	}
	return ""
}

// obstacleOf says what keeps the first pod that is not ready from being so. Pods have random names,
// which do not belong into a condition, but for one that has failed and is kept.
func obstacleOf(o observed, failed error) string {
	if said := o.startFailure(); said != "" {
		return said
	}
	for _, pod := range o.pods {
		if pod.dead() || pod.going() || pod.cutOff() || pod.view.State == fleet.Synced && len(pod.addresses) > 0 {
			continue
		}
		if said := pod.unschedulable(o); said != "" {
			return said
		}
		if said := waitingReason(pod.pod); said != "" {
			return said
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
