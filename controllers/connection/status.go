package connection

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/internal/token"
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of the change. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o *observed, found *problem, failed error) (time.Duration, error) {
	before := o.connection.Status
	after := makeStatus(*o, found, failed == nil)
	urgency := urgencyOf(before, after, *o)
	now := r.Clock.Now()
	if delay := r.pace.Delay(o.connection.UID, urgency, now); delay > 0 {
		return delay, nil
	}
	if urgency == pace.Unchanged {
		return 0, nil
	}
	if err := r.patchStatus(ctx, o, after); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.pace.Wrote(o.connection.UID, now)
	observeLatency(before, o.connection, now)
	r.publish(*o, before, after)
	return 0, nil
}

// patchStatus records who came and went, and writes the status.
func (r *Reconciler) patchStatus(ctx context.Context, o *observed, after v1alpha1.ConnectionStatus) error {
	visits := visits(o.connection, o.connection.Status, after, o.room.Seen)
	r.record(ctx, o, visits)
	base := o.connection.DeepCopy()
	o.connection.Status = after
	var err error
	if base.Status.ObservedGeneration == 0 {
		// Somebody waits for the first one, and the API server takes an update faster than a patch. If somebody has changed the object, it is for the next pass.
		err = r.Client.Status().Update(ctx, o.connection, FieldOwner)
	} else {
		// This controller is the only writer of this status, so a merge patch of what differs needs no lock.
		err = r.Client.Status().Patch(ctx, o.connection, client.MergeFrom(base), FieldOwner)
	}
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	r.pace.Changed(o.connection.UID, o.connection.ResourceVersion)
	count(visits, after)
	return nil
}

// urgencyOf says whether somebody waits for what has changed.
func urgencyOf(before, after v1alpha1.ConnectionStatus, o observed) pace.Urgency {
	if equality.Semantic.DeepEqual(before, after) {
		return pace.Unchanged
	}
	undecided := meta.IsStatusConditionPresentAndEqual(after.Conditions, v1alpha1.ConditionAccepted, metav1.ConditionUnknown)
	unprogrammed := meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionAccepted) &&
		!meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionProgrammed)
	switch {
	case undecided, unprogrammed && o.pod.State == fleet.Synced:
		return pace.Awaiting
	case before.State != after.State, before.Token != after.Token, before.ConnectionID != after.ConnectionID,
		before.ObservedGeneration != after.ObservedGeneration, !pace.SameConditions(before.Conditions, after.Conditions):
		return pace.Urgent
	}
	return pace.Lazy
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, found *problem, succeeded bool) v1alpha1.ConnectionStatus {
	c := o.connection
	accepted := acceptedCondition(o, found)
	status := *c.Status.DeepCopy()
	if accepted.Status == metav1.ConditionTrue || status.State != "" {
		seen := o.room.Seen
		if lost(o) && participant.State(status.State, seen) == v1alpha1.ConnectionStateActive {
			// Nobody is in a room that is on no pod. Carrying users over to another pod would begin here.
			seen = &controlv1.ConnectionStatus{State: controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED}
			if !o.session.DeletionTimestamp.IsZero() {
				seen.DisconnectReason = string(reasons.SessionClosedByServer)
			}
		}
		status = participant.Fold(status, seen, o.now)
		status.ConnectionID = token.ConnectionID(string(c.UID))
		status.CreatedTime = c.CreationTimestamp.DeepCopy()
		status.ServerData = c.Spec.Data
	}
	switch {
	case c.Spec.TokenSecretName != "":
		status.Token = ""
	case accepted.Status == metav1.ConditionTrue && o.tokenURL != "":
		status.Token = o.tokenURL
	}
	if succeeded && accepted.Status == metav1.ConditionTrue && (c.Spec.TokenSecretName == "" || secretWritten(o)) {
		status.TokenSecretName = c.Spec.TokenSecretName // by now the one before is gone
	}
	if succeeded {
		status.ObservedGeneration = c.Generation
	}
	programmed := programmedCondition(o, accepted, status)
	conditions := []metav1.Condition{accepted, programmed, readyCondition(accepted, programmed, status)}
	for _, condition := range conditions {
		condition.ObservedGeneration = c.Generation
		condition.LastTransitionTime = metav1.Time{Time: o.now}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

// lost says that the room is on no pod that lives: its pod is gone, or its Session is not accepted any more.
func lost(o observed) bool {
	return o.pod.State == fleet.Lost && (o.room.Known || refused(o))
}

// refused says that the Session is not accepted.
func refused(o observed) bool {
	return o.session != nil && meta.IsStatusConditionFalse(o.session.Status.Conditions, v1alpha1.ConditionAccepted)
}

func acceptedCondition(o observed, found *problem) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse}
	switch {
	case o.connection.Spec.Type == v1alpha1.ConnectionTypeIPCam:
		c.Reason, c.Message = v1alpha1.ReasonUnsupported, "IP cameras are not available yet"
	case o.session == nil:
		c.Reason, c.Message = v1alpha1.ReasonSessionNotFound, fmt.Sprintf("there is no Session %q in this namespace", o.connection.Spec.SessionName)
	case !o.session.DeletionTimestamp.IsZero():
		c.Reason, c.Message = v1alpha1.ReasonDeleting, fmt.Sprintf("Session %q is being deleted", o.session.Name)
	case o.admission == rooms.SessionFull:
		c.Reason, c.Message = v1alpha1.ReasonSessionFull, fmt.Sprintf("maxConnections of Session %q is reached", o.session.Name)
	case o.admission == rooms.PodFull:
		c.Reason, c.Message = v1alpha1.ReasonNoCapacity, "the media pod of the Session takes no more connections"
	case o.admission == rooms.SessionUnplaced && o.room.Known:
		c.Reason, c.Message = v1alpha1.ReasonSessionNotAccepted, fmt.Sprintf("Session %q waits for a media pod", o.session.Name)
	case o.admission == rooms.SessionUnplaced && refused(o):
		c.Reason, c.Message = v1alpha1.ReasonSessionNotAccepted, fmt.Sprintf("Session %q is not accepted", o.session.Name)
	case o.admission == rooms.SessionUnplaced:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonPending, fmt.Sprintf("Session %q was not decided on yet", o.session.Name)
	case secretInUse(o):
		c.Reason, c.Message = v1alpha1.ReasonTokenSecretInUse, fmt.Sprintf("Secret %q exists and belongs to something else", o.connection.Spec.TokenSecretName)
	case found != nil:
		c.Reason, c.Message = found.reason, found.message
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "admitted to the room"
		if o.ignored != "" {
			c.Message += "; " + o.ignored
		}
	}
	return c
}

func programmedCondition(o observed, accepted metav1.Condition, status v1alpha1.ConnectionStatus) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse}
	switch {
	case accepted.Status != metav1.ConditionTrue:
		c.Reason, c.Message = v1alpha1.ReasonNotAccepted, "nothing is programmed before the Connection is accepted"
		if accepted.Status == metav1.ConditionUnknown {
			c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonPending, "not decided yet"
		}
	case status.State == v1alpha1.ConnectionStateDisconnected:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the user is out, and the token is spent"
	case o.room.Programmed >= o.connection.Generation:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the media pod has applied this generation"
	case o.pod.State == fleet.Connecting && sameGeneration(o):
		// This leader is new and the pod about to say what it knows: what was said last still holds.
		return *meta.FindStatusCondition(o.connection.Status.Conditions, v1alpha1.ConditionProgrammed)
	case o.pod.State == fleet.Synced:
		c.Reason, c.Message = v1alpha1.ReasonWaitingForAck, "the media pod has not confirmed this generation yet"
	case o.pod.State == fleet.Lost:
		c.Reason, c.Message = v1alpha1.ReasonWaitingForPod, "the room is on no media pod"
	default:
		c.Reason, c.Message = v1alpha1.ReasonPodUnreachable, "the control stream to the media pod is down"
	}
	return c
}

// sameGeneration says whether Programmed was true of this very generation.
func sameGeneration(o observed) bool {
	before := meta.FindStatusCondition(o.connection.Status.Conditions, v1alpha1.ConditionProgrammed)
	return before != nil && before.Status == metav1.ConditionTrue && before.ObservedGeneration == o.connection.Generation
}

// readyCondition sums up: Ready = Accepted and Programmed and not Disconnected.
func readyCondition(accepted, programmed metav1.Condition, status v1alpha1.ConnectionStatus) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady}
	for _, other := range []metav1.Condition{accepted, programmed} {
		if other.Status != metav1.ConditionTrue {
			c.Status, c.Reason, c.Message = other.Status, other.Reason, other.Message
			return c
		}
	}
	switch status.State {
	case v1alpha1.ConnectionStateActive:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonActive, "the user is in the room"
	case v1alpha1.ConnectionStateDisconnected:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonDisconnected, "the user has left: "+status.DisconnectReason
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonReady, "the token can be used"
	}
	return c
}

// accepted returns a Session's Accepted as one value, to see whether it has changed.
func accepted(session *v1alpha1.Session) string {
	c := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionAccepted)
	if c == nil {
		return ""
	}
	return string(c.Status) + c.Reason
}
