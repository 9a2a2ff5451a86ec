package connection

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// evictionBound is how long a deletion waits for the media pod.
const evictionBound = 10 * time.Second

// finalize puts the user out of the room, and lets the Connection go when the pod has confirmed it, or the bound is reached.
func (r *Reconciler) finalize(ctx context.Context, o observed) (ctrl.Result, error) {
	c := o.connection
	if !controllerutil.ContainsFinalizer(c, v1alpha1.ConnectionFinalizer) {
		return ctrl.Result{}, nil
	}
	evicted := o.session == nil || r.Rooms.Evict(o.named())
	wait := r.pace.Begun(c.UID, o.now).Add(evictionBound).Sub(o.now)
	if err := r.writeEnd(ctx, &o, evicted || wait <= 0); err != nil {
		return ctrl.Result{}, err
	}
	if !evicted && wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	before := c.DeepCopy()
	controllerutil.RemoveFinalizer(c, v1alpha1.ConnectionFinalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, c, patch, FieldOwner); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	if !evicted {
		r.Recorder.Eventf(c, nil, corev1.EventTypeWarning, eventNotEvicted, actionEvicting, evictionBoundMsg, evictionBound)
	}
	r.Rooms.Release(client.ObjectKeyFromObject(c), c.UID)
	r.pace.Forget(c.UID)
	return ctrl.Result{}, nil
}

// writeEnd writes into the status of a Connection that is being deleted whether its user is in or out: whoever watches, and the event
// log, learn of the end before the object goes.
func (r *Reconciler) writeEnd(ctx context.Context, o *observed, out bool) error {
	c := o.connection
	after := participant.Fold(c.Status, o.room.Seen, o.now)
	if out {
		reason := reasons.ForceDisconnectByServer
		if o.session == nil || !o.session.DeletionTimestamp.IsZero() {
			reason = reasons.SessionClosedByServer
		}
		after = participant.Evict(after, reason, *c.DeletionTimestamp)
	}
	if c.Status.State == after.State || after.State == v1alpha1.ConnectionStatePending {
		return nil
	}
	return client.IgnoreNotFound(r.patchStatus(ctx, o, after))
}
