package session

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/internal/naming"
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of
// the change. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o *observed, failed error) (time.Duration, error) {
	before := o.session.DeepCopy()
	after := makeStatus(*o, failed == nil)
	written, wait, err := r.statuses.Write(ctx, o.session, after, urgencyOf(before.Status, after, *o))
	if written {
		observeLatency(before, o.session, r.Clock.Now())
		r.publish(o.session, before.Status, after, o.room.Taken)
	}
	return wait, err
}

// writeDeleting writes for what a Session that is being deleted waits, unless it goes at once.
func (r *Reconciler) writeDeleting(ctx context.Context, s *v1alpha1.Session, waitsFor string) (time.Duration, error) {
	after := *s.Status.DeepCopy()
	status.SetConditions(&after.Conditions, s.Generation, r.Clock.Now(), status.Deleting(waitsFor))
	_, wait, err := r.statuses.Write(ctx, s, after, status.Awaiting)
	return wait, err
}

// urgencyOf says whether somebody waits for what has changed. Counts have time.
func urgencyOf(before, after v1alpha1.SessionStatus, o observed) status.Urgency {
	unprogrammed := meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionAccepted) &&
		!meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionProgrammed)
	switch {
	case unprogrammed && o.pod.State == fleet.Synced:
		return status.Awaiting
	case before.PodName != after.PodName, before.StandbyPodName != after.StandbyPodName, before.URL != after.URL, before.SessionID != after.SessionID,
		before.Recording != after.Recording:
		return status.Urgent
	}
	return status.Lazy
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, succeeded bool) v1alpha1.SessionStatus {
	after := *o.session.Status.DeepCopy()
	after.SessionID = naming.SessionID(o.session)
	after.PodName, after.NodeName, after.StandbyPodName, after.StandbyNodeName = "", "", "", ""
	switch {
	case o.foreign && o.room.Pod == "":
		// It is to be free for another default pool.
		after.PoolName, after.URL = "", ""
	case o.pool != nil && o.rival == nil:
		after.PoolName, after.URL = o.pool.Name, desired.SignallingURL(o.pool)
	}
	if o.room.Pod != "" {
		after.PodName, after.NodeName = o.room.Pod, o.pod.Node
	}
	if o.room.Standby.Pod != "" {
		after.StandbyPodName, after.StandbyNodeName = o.room.Standby.Pod, o.standby.Node
	}
	after.ActiveConnections, after.PendingConnections = 0, 0
	for _, c := range o.connections {
		switch stateOf(o, c) {
		case v1alpha1.ConnectionStateActive:
			after.ActiveConnections++
		case v1alpha1.ConnectionStatePending:
			if o.room.Admitted[c.UID] {
				after.PendingConnections++
			}
		}
	}
	after.Publishers, after.MediaConnections = o.room.Publishers, o.room.Media
	after.ServiceLevels = serviceLevels(o)
	if o.pod.State == fleet.Connecting {
		// This leader is new and the pod about to say what it knows.
		after.Publishers, after.MediaConnections = o.session.Status.Publishers, o.session.Status.MediaConnections
		after.ServiceLevels = o.session.Status.ServiceLevels.DeepCopy()
	}
	after.Recording = recorded(o)
	if succeeded {
		after.ObservedGeneration = o.session.Generation
	}
	accepted := acceptedCondition(o)
	programmed := programmedCondition(o, accepted)
	status.SetConditions(&after.Conditions, o.session.Generation, o.now, accepted, programmed, reachable(o, readyCondition(accepted, programmed)),
		protectedCondition(o))
	return after
}

func acceptedCondition(o observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse}
	switch {
	case o.rival != nil:
		c.Reason = v1alpha1.ReasonSessionIDInUse
		c.Message = fmt.Sprintf("Session %q is older and has sessionID %q", o.rival.Name, naming.SessionID(o.session))
	case o.room.Pod != "":
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
	case !o.room.Known:
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
	case o.room.Generation >= o.session.Generation:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the media pod has applied this generation"
	case o.pod.State == fleet.Connecting && sameGeneration(o):
		// This leader is new and the pod about to say what it knows: what was said last still
		// holds.
		return *meta.FindStatusCondition(o.session.Status.Conditions, v1alpha1.ConditionProgrammed)
	case o.pod.State == fleet.Synced:
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
