package connection

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/internal/token"
)

// reporter is who the Events of visits come from, as with the recorder's.
const reporter = "mediarooms"

// visit is the beginning or the end of a user's time in a room, as it goes into the Session's event
// log.
type visit struct {
	// reason and kind (Normal or Warning) of the Event.
	reason, kind string
	note         string
	at           time.Time
	part         part
}

// part says which end of a visit it is.
type part string

const (
	joined part = "joined"
	left   part = "left"
)

// visits returns what a change of status tells of a user's coming and going, in order. It is pure.
// The notes name the Connection and nothing that the user or the application has put into it. seen,
// what the pod says of it, may be nil: it only knows the time better.
func visits(c *v1alpha1.Connection, before, after v1alpha1.ConnectionStatus, seen *controlv1.ConnectionStatus) []visit {
	if before.State == after.State || before.State == v1alpha1.ConnectionStateDisconnected || hasExpired(after) {
		return nil
	}
	who := fmt.Sprintf("Connection %s (%s)", c.Name, token.ConnectionID(string(c.UID)))
	var found []visit
	if before.State != v1alpha1.ConnectionStateActive && after.ActiveTime != nil {
		found = append(found, visit{
			reason: eventUserJoined, kind: corev1.EventTypeNormal, note: who + " is in the room", part: joined,
			at: precisely(after.ActiveTime, seen.GetActiveUnixMs()),
		})
	}
	if after.State != v1alpha1.ConnectionStateDisconnected || after.DisconnectedTime == nil {
		return found
	}
	reason := reasons.ParseLeaving(after.DisconnectReason)
	end := visit{
		reason: string(reason.Cause()), kind: corev1.EventTypeNormal, note: fmt.Sprintf("%s has left: %s", who, reason),
		at: precisely(after.DisconnectedTime, seen.GetDisconnectedUnixMs()), part: left,
	}
	if after.ActiveTime != nil {
		end.note = fmt.Sprintf("%s has left after %s: %s", who, max(0, after.DisconnectedTime.Sub(after.ActiveTime.Time)), reason)
	}
	if reason == reasons.NodeCrashed {
		end.kind = corev1.EventTypeWarning
	}
	return append(found, end)
}

// precisely returns a time of the status, which is in whole seconds, in milliseconds if the pod
// still says so.
func precisely(inStatus *metav1.Time, unixMs int64) time.Time {
	if at := time.UnixMilli(unixMs); at.Truncate(time.Second).Equal(inStatus.Time) {
		return at
	}
	return inStatus.Time
}

// record writes the Events of visits. It comes before the write of the status: an operator that
// ends in between comes here again when it is back, and finds the Event by its name, which is
// always the same for the same visit. So each is there once. An Event that the API server refuses
// holds nothing up: the status says the same.
//
// The recorder would not do: it makes a series of the Events with one reason about one object,
// under the first one's note.
func (r *Reconciler) record(ctx context.Context, o *observed, visits []visit) {
	for _, v := range visits {
		err := r.Client.Create(ctx, visitEvent(o.connection, o.session, v), FieldOwner, client.DisableReadYourWritesConsistency)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			log.FromContext(ctx).Info("Not recording that a user came or went: the Event was refused", "event", v.reason, "reason", err.Error())
		}
	}
}

// visitEvent is the Event of a visit. It is about the Session, or about the Connection itself when
// that is all that is left. Names are in the order of time, as those of the recorder: kubectl
// describe shows Events by name.
func visitEvent(c *v1alpha1.Connection, session *v1alpha1.Session, v visit) *eventsv1.Event {
	connection := corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Connection", Namespace: c.Namespace, Name: c.Name, UID: c.UID,
	}
	event := &eventsv1.Event{
		EventTime: metav1.MicroTime{Time: v.at}, ReportingController: reporter, ReportingInstance: reporter,
		Action: actionObserving, Reason: v.reason, Type: v.kind, Note: v.note, Regarding: connection,
	}
	if session != nil {
		event.Regarding = corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Session", Namespace: session.Namespace, Name: session.Name, UID: session.UID,
		}
		event.Related = &connection
	}
	event.Namespace = c.Namespace
	event.Name = fmt.Sprintf("%s.%016x.%s.%s", event.Regarding.Name, v.at.UnixNano(), c.UID, v.part)
	return event
}
