package mediapool

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/rand"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/controllers/podspec"
)

// apply carries the actions out. One that fails does not keep the others from being tried: a pod
// that can't be made must not keep another from getting its configuration.
func (r *Reconciler) apply(ctx context.Context, o observed, actions []action) error {
	var errs []error
	for _, a := range actions {
		if err := r.applyOne(ctx, o, a); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *Reconciler) applyOne(ctx context.Context, o observed, a action) error {
	switch a := a.(type) {
	case createPod:
		return r.createPod(ctx, o, a)
	case deletePod:
		return r.deletePod(ctx, o, a)
	case configurePod:
		r.Fleet.Configure(a.pod, a.config)
	case annotatePod:
		return r.annotatePod(ctx, a)
	case applyBudget:
		return r.applyBudget(ctx, o, a)
	case exposePod:
		return r.exposePod(ctx, o, a)
	}
	return nil
}

// createPod makes a pod with a new name: a pod's name stands for its rooms, so it is never used
// again.
func (r *Reconciler) createPod(ctx context.Context, o observed, a createPod) error {
	if err := o.exposure.Check(a.port); err != nil {
		return fmt.Errorf("creating a media pod: %w", err)
	}
	name := fmt.Sprintf("%s-%s-%s", podspec.Media.Component, o.pool.Name, rand.String(5))
	pod := podSpec(o.pool, r.Namespace, name, r.Image, a).Pod()
	if err := r.Client.Create(ctx, pod, FieldOwner); err != nil {
		return fmt.Errorf("creating a media pod: %w", err)
	}
	log.FromContext(ctx).Info("Created a media pod", "Pod", name, "reason", a.why())
	r.created(o.pool, name, a.why())
	return nil
}

func (r *Reconciler) deletePod(ctx context.Context, o observed, a deletePod) error {
	name := a.pod.Name
	if a.retire && !r.Rooms.Cordon(name) {
		log.FromContext(ctx).V(1).Info("Not deleting a media pod: a room was placed on it", "Pod", name)
		return nil
	}
	options := []client.DeleteOption{client.Preconditions{UID: &a.pod.UID}}
	if a.graceSeconds != nil {
		options = append(options, client.GracePeriodSeconds(*a.graceSeconds))
	}
	if err := r.Client.Delete(ctx, a.pod, options...); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting media pod %s: %w", name, err)
	}
	if a.blame {
		r.Rooms.Failed(name, a.pod.Spec.NodeName)
	}
	if a.lose {
		r.Fleet.GiveUp(name)
	}
	log.FromContext(ctx).Info("Deleted a media pod", "Pod", name, "reason", a.why())
	r.deleted(o.pool, name, a)
	return nil
}

// annotatePod applies the annotations that change in a pod's life. The UID keeps the apply from
// making a pod that is gone.
func (r *Reconciler) annotatePod(ctx context.Context, a annotatePod) error {
	pod := corev1ac.Pod(a.pod.Name, a.pod.Namespace).WithUID(a.pod.UID).WithAnnotations(a.annotations)
	if err := r.Client.Apply(ctx, pod, FieldOwner, client.ForceOwnership); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("annotating media pod %s: %w", a.pod.Name, err)
	}
	return nil
}

// exposePod makes the pod's Services, or changes them. They go with the pod.
func (r *Reconciler) exposePod(ctx context.Context, o observed, a exposePod) error {
	for _, service := range o.exposure.Services(a.pod, podspec.ServiceLabels(a.pod)) {
		if err := r.Client.Apply(ctx, service, FieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("applying Service %s of media pod %s: %w", *service.Name, a.pod.Name, err)
		}
	}
	return nil
}
