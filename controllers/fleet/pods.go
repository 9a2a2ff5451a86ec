package fleet

import (
	"context"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// Pods tells the fleet which media pods there are.
type Pods struct {
	Client client.Client
	Fleet  *Fleet
}

// Setup adds the controller to the manager. The manager's cache holds no other pods than media
// pods.
func (p *Pods) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("fleet").For(&corev1.Pod{}).Complete(p)
}

// Reconcile takes in one pod.
func (p *Pods) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var pod corev1.Pod
	if err := p.Client.Get(ctx, request.NamespacedName, &pod); apierrors.IsNotFound(err) {
		p.Fleet.Forget(request.Name)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	p.Fleet.See(&pod)
	return ctrl.Result{}, nil
}

// See takes in a Pod object: one that runs and has an address is talked to, one that has finished
// is lost.
func (f *Fleet) See(pod *corev1.Pod) {
	if pod.Labels[v1alpha1.ComponentLabel] != podspec.Media.Component || pod.Status.PodIP == "" && !finished(pod) {
		return
	}
	f.Track(Pod{
		Name:    pod.Name,
		UID:     string(pod.UID),
		Pool:    pod.Labels[v1alpha1.PoolLabel],
		Node:    pod.Spec.NodeName,
		Address: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(podspec.PortOf(pod, podspec.ControlPort)))),
		Leaving: !pod.DeletionTimestamp.IsZero(), Ready: ready(pod.Status.Conditions),
	})
	if finished(pod) {
		f.Lose(pod.Name)
	}
}

// ready says whether its kubelet calls a pod ready.
func ready(conditions []corev1.PodCondition) bool {
	return slices.ContainsFunc(conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
