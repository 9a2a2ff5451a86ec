package mediapool

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// errRange is a port range without room for a single pod.
var errRange = errors.New("exposure.portRange is too small for a pod in its node's network")

// apply carries the actions out. One that fails does not keep the others from being tried: a pod that can't be made must not keep
// another from getting its configuration.
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
	case exposePod:
		return r.exposePod(ctx, o, a)
	}
	return nil
}

// createPod makes a pod with a new name: a pod's name stands for its rooms, so it is never used again.
func (r *Reconciler) createPod(ctx context.Context, o observed, a createPod) error {
	if o.pool.Spec.Exposure.Type == v1alpha1.ExposureHostNetwork && a.port == 0 {
		return errRange
	}
	name := fmt.Sprintf("mediapod-%s-%s", o.pool.Name, rand.String(5))
	pod := buildPod(o.pool, r.Namespace, name, a.port, r.Image)
	avoidNodes(pod, o.pool, a.avoid)
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

// annotatePod applies the annotations that change in a pod's life. The UID keeps the apply from making a pod that is gone.
func (r *Reconciler) annotatePod(ctx context.Context, a annotatePod) error {
	pod := corev1ac.Pod(a.pod.Name, a.pod.Namespace).WithUID(a.pod.UID).WithAnnotations(a.annotations)
	if err := r.Client.Apply(ctx, pod, FieldOwner, client.ForceOwnership); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("annotating media pod %s: %w", a.pod.Name, err)
	}
	return nil
}

// exposePod makes the pod's Service. It goes with the pod.
func (r *Reconciler) exposePod(ctx context.Context, o observed, a exposePod) error {
	port := func(name string, protocol corev1.Protocol) *corev1ac.ServicePortApplyConfiguration {
		return corev1ac.ServicePort().WithName(name).WithProtocol(protocol).
			WithPort(mediaPort).WithTargetPort(intstr.FromString(name))
	}
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceType(o.pool.Spec.Exposure.Type)).
		WithSelector(map[string]string{podLabel: a.pod.Name}).
		// Packets must not take another hop, and the pod sees its clients' addresses.
		WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal).
		WithPorts(port("media-udp", corev1.ProtocolUDP))
	if o.pool.Spec.Exposure.Type == v1alpha1.ExposureNodePort {
		spec.WithPorts(port("media-tcp", corev1.ProtocolTCP))
	}
	service := corev1ac.Service(a.pod.Name, a.pod.Namespace).
		WithLabels(map[string]string{
			"app.kubernetes.io/name":       "mediarooms",
			"app.kubernetes.io/managed-by": "mediarooms",
			v1alpha1.ComponentLabel:        v1alpha1.ComponentMediaPod,
			v1alpha1.PoolLabel:             o.pool.Name,
		}).
		WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(a.pod.Name).WithUID(a.pod.UID).
			WithController(true).WithBlockOwnerDeletion(false)).
		WithSpec(spec)
	if err := r.Client.Apply(ctx, service, FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("applying the Service of media pod %s: %w", a.pod.Name, err)
	}
	return nil
}

// addFinalizer rewrites a list that others write too, so the resource version must be the one that was read.
func (r *Reconciler) addFinalizer(ctx context.Context, pool *v1alpha1.MediaPool) error {
	before := pool.DeepCopy()
	controllerutil.AddFinalizer(pool, v1alpha1.MediaPoolFinalizer)
	if err := r.Client.Patch(ctx, pool, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), FieldOwner); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	return nil
}
