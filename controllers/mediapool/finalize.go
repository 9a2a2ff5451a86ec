package mediapool

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// removalBound is how long a pool waits, after the time to drain, until its pods are gone.
const removalBound = 30 * time.Second

// finalize removes all pods of a pool that is being deleted: those without rooms now, the others when their rooms are gone or the time to
// drain is over. Then the pool goes; at the latest when the bound is reached.
func (r *Reconciler) finalize(ctx context.Context, o observed) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(o.pool, v1alpha1.MediaPoolFinalizer) {
		return ctrl.Result{}, nil
	}
	plan := planRemoval(o)
	if err := r.apply(ctx, o, plan.actions); err != nil {
		return ctrl.Result{}, err
	}
	bound := o.pool.DeletionTimestamp.Add(time.Duration(o.pool.Spec.DrainSeconds)*time.Second + removalBound)
	if wait := bound.Sub(o.now); len(o.pods) > 0 && wait > 0 {
		return ctrl.Result{RequeueAfter: earliest(plan.again, wait)}, nil
	}
	before := o.pool.DeepCopy()
	controllerutil.RemoveFinalizer(o.pool, v1alpha1.MediaPoolFinalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, o.pool, patch, FieldOwner); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	if len(o.pods) > 0 {
		r.Recorder.Eventf(o.pool, nil, corev1.EventTypeWarning, eventRemovalGivenUp, actionRemoving,
			"%d media pods did not go in time; the pool was deleted anyway", len(o.pods))
	}
	r.pace.Forget(o.pool.UID)
	return ctrl.Result{}, nil
}

// planRemoval decides how the pods of a pool that is being deleted go. It is pure.
func planRemoval(o observed) plan {
	var p plan
	planDead(o, &p)
	deadline := o.pool.DeletionTimestamp.Add(time.Duration(o.pool.Spec.DrainSeconds) * time.Second)
	for _, pod := range o.pods {
		if pod.dead() || pod.going() {
			continue
		}
		wait := deadline.Sub(o.now)
		switch {
		case pod.load.Sessions == 0:
			p.add(deletePod{because: "the pool is being deleted", pod: pod.pod, graceSeconds: ptr.To(int64(enforcedGrace)), retire: true})
		case wait <= 0:
			p.add(deletePod{because: "the pool is being deleted and the time to drain is over", pod: pod.pod,
				graceSeconds: ptr.To(int64(enforcedGrace)), lose: true})
		default:
			p.lookAgain(wait)
		}
	}
	return p
}
