package mediapool

import (
	"context"
	"fmt"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// This file holds the pool's PodDisruptionBudget: of its pods one at a time may be evicted. A pod
// that is evicted hands its rooms over, and they have the next standby when another pod is there.
//
// A budget for pods of no workload of Kubernetes' own can only say how many have to stay. These are
// all but one of those that are there, or come: one that goes counts until it is gone, and one that
// does not start in time counts no more, so that it keeps no node from being drained.

// budgetName is the name of a pool's PodDisruptionBudget.
func budgetName(pool string) string { return podspec.Media.Component + "-" + pool }

// minAvailable is how many pods have to stay.
func (o observed) minAvailable(p *plan) int32 {
	var there int32
	for _, pod := range o.pods {
		switch {
		case pod.dead():
		case pod.view.Usable, pod.cutOff(), pod.going(), !pod.drainingSince.IsZero():
			there++
		default:
			if wait := pod.pod.CreationTimestamp.Add(startBound).Sub(o.now); wait > 0 {
				there++
				p.lookAgain(wait)
			}
		}
	}
	return max(0, there-1)
}

func planBudget(o observed, p *plan) {
	if want := o.minAvailable(p); o.budget == nil || *o.budget != want {
		p.add(applyBudget{because: "one media pod at a time may be evicted", minAvailable: want})
	}
}

// budget reads how many pods have to stay by the budget that there is; nil when there is none.
func (r *Reconciler) budget(ctx context.Context, pool string) (*int32, error) {
	var found policyv1.PodDisruptionBudget
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: budgetName(pool)}, &found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the PodDisruptionBudget of pool %s: %w", pool, err)
	}
	if found.Spec.MinAvailable == nil || found.Spec.MinAvailable.Type != intstr.Int {
		return nil, nil
	}
	return ptr.To(found.Spec.MinAvailable.IntVal), nil
}

// applyBudget writes the pool's budget. It goes with the pool.
func (r *Reconciler) applyBudget(ctx context.Context, o observed, a applyBudget) error {
	selected := map[string]string{v1alpha1.ComponentLabel: podspec.Media.Component, v1alpha1.PoolLabel: o.pool.Name}
	budget := policyv1ac.PodDisruptionBudget(budgetName(o.pool.Name), r.Namespace).
		WithLabels(podspec.BudgetLabels(o.pool.Name)).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("MediaPool").WithName(o.pool.Name).WithUID(o.pool.UID).
			WithController(true).WithBlockOwnerDeletion(false)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMinAvailable(intstr.FromInt32(a.minAvailable)).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(selected)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow))
	if err := r.Client.Apply(ctx, budget, FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("applying the PodDisruptionBudget of pool %s: %w", o.pool.Name, err)
	}
	return nil
}
