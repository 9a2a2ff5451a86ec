package connection

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/internal/token"
)

// writeStatus writes the status if it has changed, now or later, and then the Events that tell of
// the change. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, o *observed, found *problem, failed error) (time.Duration, error) {
	before := o.connection.Status
	after := makeStatus(*o, found, failed == nil)
	written, wait, err := r.write(ctx, o, after, urgencyOf(before, after, *o))
	if written {
		observeLatency(before, o.connection, r.Clock.Now())
		r.publish(*o, before, after)
	}
	return wait, err
}

// write records who came and went, and writes the status.
func (r *Reconciler) write(ctx context.Context, o *observed, after v1alpha1.ConnectionStatus, urgency status.Urgency) (bool, time.Duration, error) {
	visits := visits(o.connection, o.connection.Status, after, o.room.Seen)
	r.record(ctx, o, visits)
	written, wait, err := r.statuses.Write(ctx, o.connection, after, urgency)
	if written {
		count(visits, after)
	}
	return written, wait, err
}

// urgencyOf says whether somebody waits for what has changed.
func urgencyOf(before, after v1alpha1.ConnectionStatus, o observed) status.Urgency {
	undecided := meta.IsStatusConditionPresentAndEqual(after.Conditions, v1alpha1.ConditionAccepted, metav1.ConditionUnknown)
	unprogrammed := meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionAccepted) &&
		!meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionProgrammed)
	switch {
	case undecided, unprogrammed && o.pod.State == fleet.Synced:
		return status.Awaiting
	case before.State != after.State, before.Token != after.Token, before.ConnectionID != after.ConnectionID,
		before.ObservedGeneration != after.ObservedGeneration:
		return status.Urgent
	}
	return status.Lazy
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, found *problem, succeeded bool) v1alpha1.ConnectionStatus {
	c := o.connection
	accepted := acceptedCondition(o, found)
	after := *c.Status.DeepCopy()
	if accepted.Status == metav1.ConditionTrue || after.State != "" {
		seen := o.room.Seen
		if lost(o) && participant.State(after.State, seen) == v1alpha1.ConnectionStateActive {
			// Nobody can come back to a room that no pod will have.
			seen = &controlv1.ConnectionStatus{State: controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED}
			if o.session == nil || !o.session.DeletionTimestamp.IsZero() {
				seen.DisconnectReason = string(reasons.SessionClosedByServer)
			}
		}
		if accepted.Status == metav1.ConditionTrue && expired(o) {
			seen = &controlv1.ConnectionStatus{
				State: controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED, DisconnectReason: string(reasons.TokenExpired),
			}
		}
		after = participant.Fold(after, seen, o.now)
		after.ConnectionID = token.ConnectionID(string(c.UID))
		after.CreatedTime = c.CreationTimestamp.DeepCopy()
		after.ServerData = c.Spec.Data
	}
	switch {
	case c.Spec.TokenSecretName != "":
		after.Token = ""
	case accepted.Status == metav1.ConditionTrue && o.tokenURL != "":
		after.Token = o.tokenURL
	}
	if succeeded && accepted.Status == metav1.ConditionTrue && (c.Spec.TokenSecretName == "" || secretWritten(o)) {
		after.TokenSecretName = c.Spec.TokenSecretName // by now the one before is gone
	}
	if succeeded {
		after.ObservedGeneration = c.Generation
	}
	programmed := programmedCondition(o, accepted, after)
	status.SetConditions(&after.Conditions, c.Generation, o.now, accepted, programmed, readyCondition(o, accepted, programmed, after))
	return after
}

// lost says that the room is on no pod that lives, and comes on no other: its Session is not
// accepted any more, is being deleted, or is gone.
func lost(o observed) bool {
	return o.session == nil || o.pod.State == fleet.Lost && (!o.session.DeletionTimestamp.IsZero() || !o.room.Known && refused(o) && !waits(o.session))
}

// waits says that a Session waits for a media pod.
func waits(session *v1alpha1.Session) bool {
	c := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionAccepted)
	return c != nil && c.Reason == v1alpha1.ReasonNoCapacity
}

// reconnecting says that the pod on which the user was is lost, and that the user has not come back
// on another one.
func reconnecting(o observed) bool {
	return o.room.Known && o.pod.State == fleet.Lost || o.room.Seen.GetRestored() || o.room.Seen != nil && !o.room.Held
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

func programmedCondition(o observed, accepted metav1.Condition, after v1alpha1.ConnectionStatus) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse}
	switch {
	case accepted.Status != metav1.ConditionTrue:
		c.Reason, c.Message = v1alpha1.ReasonNotAccepted, "nothing is programmed before the Connection is accepted"
		if accepted.Status == metav1.ConditionUnknown {
			c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonPending, "not decided yet"
		}
	case after.State == v1alpha1.ConnectionStateDisconnected:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the user is out, and the token is spent"
	case o.room.Programmed >= o.connection.Generation:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the media pod has applied this generation"
	case o.pod.State == fleet.Connecting && sameGeneration(o):
		// This leader is new and the pod about to say what it knows: what was said last still
		// holds.
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

// readyCondition sums up: Ready = Accepted and Programmed and not Disconnected, and nobody is away
// who was on a pod that is lost.
func readyCondition(o observed, accepted, programmed metav1.Condition, after v1alpha1.ConnectionStatus) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady}
	if after.State == v1alpha1.ConnectionStateActive && reconnecting(o) {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonReconnecting, "the media pod was lost; the user may come back on another one"
		return c
	}
	for _, other := range []metav1.Condition{accepted, programmed} {
		if other.Status != metav1.ConditionTrue {
			c.Status, c.Reason, c.Message = other.Status, other.Reason, other.Message
			return c
		}
	}
	switch {
	case hasExpired(after):
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonTokenExpired
		c.Message = "nobody has used the token in time (MediaPool.spec.pendingConnectionSeconds)"
	case after.State == v1alpha1.ConnectionStateActive:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonActive, "the user is in the room"
	case after.State == v1alpha1.ConnectionStateDisconnected:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonDisconnected, "the user has left: "+after.DisconnectReason
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
