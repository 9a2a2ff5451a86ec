package connection

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// evictionBound is how long a deletion waits for the media pod.
const evictionBound = 10 * time.Second

// finalize puts the user out of the room, and lets the Connection go when the pod has confirmed it,
// or the bound is reached.
func (r *Reconciler) finalize(ctx context.Context, o observed) (ctrl.Result, error) {
	c := o.connection
	if !controllerutil.ContainsFinalizer(c, v1alpha1.ConnectionFinalizer) {
		return ctrl.Result{}, nil
	}
	evicted := o.session == nil || r.Rooms.Evict(o.named())
	wait := r.waits.Begun(c, o.now).Add(evictionBound).Sub(o.now)
	again, err := r.writeEnd(ctx, &o, evicted || wait <= 0)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !evicted && wait > 0 {
		if again > 0 {
			wait = min(wait, again)
		}
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if err := finalizer.Remove(ctx, r.Client, FieldOwner, c, v1alpha1.ConnectionFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if !evicted {
		r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventNotEvicted, actionEvicting, evictionBoundMsg, evictionBound)
	}
	r.Rooms.Release(client.ObjectKeyFromObject(c), c.UID)
	r.waits.Forget(client.ObjectKeyFromObject(c))
	return ctrl.Result{}, nil
}

// writeEnd writes into the status of a Connection that is being deleted whether its user is in or
// out: whoever watches, and the event log, learn of the end before the object goes. That it waits
// for its pod is written unless it goes at once.
func (r *Reconciler) writeEnd(ctx context.Context, o *observed, out bool) (time.Duration, error) {
	c := o.connection
	after := participant.Fold(c.Status, o.room.Seen, o.now)
	if out {
		reason := reasons.ForceDisconnectByServer
		if o.session == nil || !o.session.DeletionTimestamp.IsZero() {
			reason = reasons.SessionClosedByServer
		}
		after = participant.Evict(after, reason, *c.DeletionTimestamp)
	} else {
		status.SetConditions(&after.Conditions, c.Generation, o.now, status.Deleting("the media pod has confirmed that the user is out"))
	}
	urgency := status.Awaiting
	switch {
	case c.Status.State != after.State && after.State != v1alpha1.ConnectionStatePending:
		urgency = status.Urgent
	case out:
		return 0, nil
	}
	_, wait, err := r.write(ctx, o, after, urgency)
	return wait, err
}
