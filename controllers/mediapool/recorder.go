package mediapool

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// This file says how the recorder of a pool is. It is made and replaced by package recorder; the
// pool's status tells of it, since people look there when nothing is recorded.

// recorder returns the recorder pod of a pool; nil when there is none.
func (r *Reconciler) recorder(ctx context.Context, pool string) (*corev1.Pod, error) {
	var pods corev1.PodList
	of := client.MatchingLabels{v1alpha1.ComponentLabel: podspec.Recorder.Component, v1alpha1.PoolLabel: pool}
	if err := r.Client.List(ctx, &pods, client.InNamespace(r.Namespace), of); err != nil {
		return nil, fmt.Errorf("listing recorders: %w", err)
	}
	if len(pods.Items) == 0 {
		return nil, nil
	}
	return &pods.Items[0], nil
}

// recorderCondition says whether the pool's recorder runs, and what keeps it from that. It is pure.
func recorderCondition(pod *corev1.Pod) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionRecorderReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRollingOut}
	switch {
	case pod == nil:
		c.Message = "the recorder is about to be made"
	case !pod.DeletionTimestamp.IsZero(), finished(pod):
		c.Message = "the recorder is being replaced"
	case unschedulable(pod) != "":
		c.Reason, c.Message = v1alpha1.ReasonStartFailed, "the recorder can't be scheduled"+said(unschedulable(pod))
	case podReady(pod):
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonReady, "the recorder runs"
	case waiting(pod) != nil:
		w := waiting(pod)
		c.Reason, c.Message = v1alpha1.ReasonStartFailed, "the recorder can't start: "+w.Reason+said(w.Message)
	default:
		c.Message = "the recorder starts; the Events of Pod " + pod.Name + " in " + pod.Namespace + " say what it waits for"
	}
	return c
}

// waiting returns what a container waits for that is not just being made; nil for nothing.
func waiting(pod *corev1.Pod) *corev1.ContainerStateWaiting {
	for _, container := range pod.Status.ContainerStatuses {
		if w := container.State.Waiting; w != nil && cmp.Or(w.Reason, "ContainerCreating") != "ContainerCreating" {
			return w
		}
	}
	return nil
}

func podReady(pod *corev1.Pod) bool {
	ready := podCondition(pod, corev1.PodReady)
	return ready != nil && ready.Status == corev1.ConditionTrue
}
