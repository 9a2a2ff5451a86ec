package session

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/internal/naming"
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of the change. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o *observed, failed error) (time.Duration, error) {
	before := o.session.Status
	after := makeStatus(*o, failed == nil)
	urgency := urgencyOf(before, after, *o)
	now := r.Clock.Now()
	if delay := r.pace.Delay(o.session.UID, urgency, now); delay > 0 {
		return delay, nil
	}
	if urgency == pace.Unchanged {
		return 0, nil
	}
	base := o.session.DeepCopy()
	if before.ObservedGeneration == 0 {
		// The first write, also after the status was wiped: counts of 0 are to be there, not just to be absent.
		base.Status.ActiveConnections, base.Status.PendingConnections, base.Status.Publishers, base.Status.Recording = -1, -1, -1, true
	}
	o.session.Status = after
	// This controller is the only writer of this status, so a merge patch of what differs needs no lock.
	if err := r.Client.Status().Patch(ctx, o.session, client.MergeFrom(base), FieldOwner); err != nil {
		return 0, client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	r.pace.Wrote(o.session.UID, now)
	r.pace.Changed(o.session.UID, o.session.ResourceVersion)
	observeLatency(base, o.session, now)
	r.publish(o.session, before, after)
	return 0, nil
}

// urgencyOf says whether somebody waits for what has changed. Counts have time.
func urgencyOf(before, after v1alpha1.SessionStatus, o observed) pace.Urgency {
	if equality.Semantic.DeepEqual(before, after) {
		return pace.Unchanged
	}
	unprogrammed := meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionAccepted) &&
		!meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionProgrammed)
	if unprogrammed && o.podState == fleet.Synced {
		return pace.Awaiting
	}
	if !pace.SameConditions(before.Conditions, after.Conditions) ||
		before.PodName != after.PodName || before.URL != after.URL || before.SessionID != after.SessionID {
		return pace.Urgent
	}
	return pace.Lazy
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, succeeded bool) v1alpha1.SessionStatus {
	status := *o.session.Status.DeepCopy()
	status.SessionID = naming.SessionID(o.session)
	status.PodName, status.NodeName = "", ""
	switch {
	case o.foreign && o.pod == "":
		// It is to be free for another default pool.
		status.PoolName, status.URL = "", ""
	case o.pool != nil && o.rival == nil:
		status.PoolName, status.URL = o.pool.Name, desired.SignallingURL(o.pool)
	}
	if o.pod != "" {
		status.PodName, status.NodeName = o.pod, o.view.Pod.Node
	}
	status.ActiveConnections, status.PendingConnections = 0, 0
	for i := range o.connections {
		c := &o.connections[i]
		switch stateOf(o, c) {
		case v1alpha1.ConnectionStateActive:
			status.ActiveConnections++
		case v1alpha1.ConnectionStatePending:
			if o.admitted[c.UID] {
				status.PendingConnections++
			}
		}
	}
	status.Publishers, status.MediaConnections = o.view.Publishers, o.view.Media
	if o.podState == fleet.Connecting {
		// This leader is new and the pod about to say what it knows.
		status.Publishers, status.MediaConnections = o.session.Status.Publishers, o.session.Status.MediaConnections
	}
	if succeeded {
		status.ObservedGeneration = o.session.Generation
	}
	accepted := acceptedCondition(o)
	programmed := programmedCondition(o, accepted)
	for _, condition := range []metav1.Condition{accepted, programmed, readyCondition(accepted, programmed)} {
		condition.ObservedGeneration = o.session.Generation
		condition.LastTransitionTime = metav1.Time{Time: o.now}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

func acceptedCondition(o observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse}
	switch {
	case o.rival != nil:
		c.Reason = v1alpha1.ReasonSessionIDInUse
		c.Message = fmt.Sprintf("Session %q is older and has sessionID %q", o.rival.Name, naming.SessionID(o.session))
	case o.pod != "":
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "the room has a place"
	case o.pool == nil && o.session.Spec.PoolName != "":
		c.Reason, c.Message = v1alpha1.ReasonPoolNotFound, fmt.Sprintf("there is no MediaPool %q", o.session.Spec.PoolName)
	case o.pool == nil:
		c.Reason = v1alpha1.ReasonPoolNotFound
		c.Message = fmt.Sprintf("`poolName` is not set and no MediaPool carries the annotation %s: \"true\"", v1alpha1.DefaultPoolAnnotation)
	case o.foreign:
		c.Reason = v1alpha1.ReasonNamespaceNotAllowed
		c.Message = fmt.Sprintf("MediaPool %q does not host the Sessions of namespace %q", o.pool.Name, o.session.Namespace)
	case !o.pool.DeletionTimestamp.IsZero():
		c.Reason, c.Message = v1alpha1.ReasonPoolNotFound, fmt.Sprintf("MediaPool %q is being deleted", o.pool.Name)
	case !o.known:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonPending, "not decided yet"
	default:
		c.Reason = v1alpha1.ReasonNoCapacity
		c.Message = fmt.Sprintf("no media pod of MediaPool %q has room now; the Session waits for one", o.pool.Name)
	}
	return c
}

func programmedCondition(o observed, accepted metav1.Condition) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse}
	switch {
	case accepted.Status == metav1.ConditionUnknown:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonPending, "not decided yet"
	case accepted.Reason == v1alpha1.ReasonNoCapacity:
		c.Reason, c.Message = v1alpha1.ReasonWaitingForPod, "no media pod has been chosen"
	case accepted.Status != metav1.ConditionTrue:
		c.Reason, c.Message = v1alpha1.ReasonNotAccepted, "nothing is programmed before the Session is accepted"
	case o.view.Generation >= o.session.Generation:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the media pod has applied this generation"
	case o.podState == fleet.Connecting && sameGeneration(o):
		// This leader is new and the pod about to say what it knows: what was said last still holds.
		return *meta.FindStatusCondition(o.session.Status.Conditions, v1alpha1.ConditionProgrammed)
	case o.podState == fleet.Synced:
		c.Reason, c.Message = v1alpha1.ReasonWaitingForAck, "the media pod has not confirmed this generation yet"
	default:
		c.Reason, c.Message = v1alpha1.ReasonPodUnreachable, "the control stream to the media pod is down"
	}
	return c
}

// sameGeneration says whether Programmed was true of this very generation.
func sameGeneration(o observed) bool {
	before := meta.FindStatusCondition(o.session.Status.Conditions, v1alpha1.ConditionProgrammed)
	return before != nil && before.Status == metav1.ConditionTrue && before.ObservedGeneration == o.session.Generation
}

// readyCondition sums up: Ready = Accepted and Programmed.
func readyCondition(accepted, programmed metav1.Condition) metav1.Condition {
	for _, other := range []metav1.Condition{accepted, programmed} {
		if other.Status != metav1.ConditionTrue {
			return metav1.Condition{Type: v1alpha1.ConditionReady, Status: other.Status, Reason: other.Reason, Message: other.Message}
		}
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, Message: "clients can join",
	}
}
