package webhook

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/status"
)

const (
	// resync is how often a Webhook is looked at whatever happens: its counts go into the status
	// then.
	resync = 15 * time.Second
	// pause is the least time between two writes of one status: an endpoint may fail and recover
	// with every event.
	pause = 2 * time.Second
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of
// it. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o observed, p plan) (time.Duration, error) {
	r.tellLost(o.hook, o.endpoint.lost)
	before, after := o.hook.Status, makeStatus(o, p)
	written, wait, err := r.statuses.Write(ctx, o.hook, after, status.Lazy)
	if err != nil || wait > 0 {
		return wait, err
	}
	if written {
		r.publish(o.hook, before, after)
	}
	return resync, nil
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, p plan) v1alpha1.WebhookStatus {
	after := *o.hook.Status.DeepCopy()
	after.ObservedGeneration = o.hook.Generation
	after.PendingEvents = int64(o.endpoint.pending)
	if last := o.endpoint.lastDelivery; !last.IsZero() {
		after.LastDeliveryTime = &metav1.Time{Time: last.Truncate(time.Second)}
	}
	accepted := acceptedCondition(p.refused)
	status.SetConditions(&after.Conditions, o.hook.Generation, o.now, accepted, readyCondition(accepted, o.endpoint))
	return after
}

func acceptedCondition(refused *refusal) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "the spec can be used"}
	if refused != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, refused.reason, refused.message
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
