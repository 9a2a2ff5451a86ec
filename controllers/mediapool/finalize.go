package mediapool

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/finalizer"
)

// finalize removes all pods of a pool that is being deleted, and says in its status what that waits
// for. Then the pool goes; at the latest when the bound is reached.
func (r *Reconciler) finalize(ctx context.Context, o observed) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(o.pool, v1alpha1.MediaPoolFinalizer) {
		return ctrl.Result{}, nil
	}
	plan := planRemoval(o)
	err := r.apply(ctx, o, plan.actions)
	if wait := o.removalEnd().Sub(o.now); err != nil || len(o.pods) > 0 && wait > 0 {
		again, statusErr := r.writeStatus(ctx, o, err)
		return ctrl.Result{RequeueAfter: earliest(again, earliest(plan.again, wait))}, errors.Join(err, statusErr)
	}
	if err := finalizer.Remove(ctx, r.Client, FieldOwner, o.pool, v1alpha1.MediaPoolFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if len(o.pods) > 0 {
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventRemovalGivenUp, actionRemoving,
			"%d media pods did not go in time; the pool was deleted anyway", len(o.pods))
	}
	return ctrl.Result{}, nil
}
