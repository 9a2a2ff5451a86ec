package session

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/placement"
)

// apply carries the actions out, up to the first error, and leaves in o what has come of them.
func (r *Reconciler) apply(ctx context.Context, o *observed, actions []action) error {
	logger := log.FromContext(ctx)
	for _, a := range actions {
		logger.V(1).Info("Applying", "action", string(a.kind), "reason", a.reason)
		var err error
		switch a.kind {
		case addFinalizer:
			err = r.addFinalizer(ctx, o)
		case displace:
			logger.Info("Taking the room off its pod", "pod", o.pod, "reason", a.reason)
			r.Ledger.Displace(o.session.UID, o.pod)
		case place:
			r.place(ctx, o)
		case move:
			r.move(ctx, o, a.reason)
		case tell:
			r.Fleet.TellRoom(o.session.UID, o.session.Generation)
		case vacate:
			r.Fleet.Abandon(o.session.UID)
			r.Ledger.Vacate(o.session.UID)
		case remove:
			logger.Info("Deleting the Session", "reason", a.reason)
			err = client.IgnoreNotFound(r.Client.Delete(ctx, o.session, client.Preconditions{UID: &o.session.UID}))
		case collect:
			logger.Info("Deleting the Session", "reason", a.reason)
			err = r.collect(ctx, o)
		}
		if err != nil {
			return err
		}
	}
	r.look(o)
	return nil
}

// addFinalizer rewrites a list that others write too, so the resource version must be the one that was read.
func (r *Reconciler) addFinalizer(ctx context.Context, o *observed) error {
	before := o.session.DeepCopy()
	controllerutil.AddFinalizer(o.session, v1alpha1.SessionFinalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, o.session, patch, FieldOwner); err != nil {
		o.session = before
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	r.pace.Changed(o.session.UID, o.session.ResourceVersion)
	return nil
}

// place reserves capacity and puts the room there. Connections that wait for it, and those that are in the room, are woken.
func (r *Reconciler) place(ctx context.Context, o *observed) {
	room := placement.Room{UID: o.session.UID, Name: client.ObjectKeyFromObject(o.session), Pool: o.pool.Name}
	pod, placed := r.Ledger.Place(room, o.candidates, o.pool.Spec.Placement, o.now)
	if !placed {
		placementFailures.Inc()
		return
	}
	r.Fleet.Assign(room, pod)
	r.Ledger.WakeGuests(o.session.UID)
	log.FromContext(ctx).Info("Placed the room", "pod", pod, "pool", o.pool.Name)
}

// move reserves capacity on another pod and puts the room there; the pod before closes it.
func (r *Reconciler) move(ctx context.Context, o *observed, reason string) {
	before := o.pod
	pod, found := r.Ledger.Move(o.session.UID, o.candidates, o.pool.Spec.Placement, o.now)
	if !found {
		return
	}
	r.Fleet.Assign(placement.Room{UID: o.session.UID, Name: client.ObjectKeyFromObject(o.session), Pool: o.pool.Name}, pod)
	log.FromContext(ctx).Info("Moved the room", "from", before, "to", pod, "reason", reason)
}
