package mediapool

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// recorderPod is a recorder as the recorder controller makes them.
func recorderPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pool-recorder", Labels: map[string]string{
		v1alpha1.ComponentLabel: podspec.Recorder.Component, v1alpha1.PoolLabel: "pool",
	}}}
}

func waitingFor(reason, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}}}
	}
}

func withCondition(kind corev1.PodConditionType, is corev1.ConditionStatus, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: kind, Status: is, Message: message}}
	}
}

func TestTheConditionOfARecorder(t *testing.T) {
	now := metav1.Now()
	for _, c := range []struct {
		name    string
		change  func(*corev1.Pod)
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		{"runs", withCondition(corev1.PodReady, corev1.ConditionTrue, ""), metav1.ConditionTrue, v1alpha1.ReasonReady, "the recorder runs"},
		{
			"no node", withCondition(corev1.PodScheduled, corev1.ConditionFalse, "0/2 nodes are available"),
			metav1.ConditionFalse, v1alpha1.ReasonStartFailed, "can't be scheduled: 0/2 nodes are available",
		},
		{
			"no image", waitingFor("ImagePullBackOff", "not found"),
			metav1.ConditionFalse, v1alpha1.ReasonStartFailed, "can't start: ImagePullBackOff: not found",
		},
		{
			"a Secret is missing", waitingFor("ContainerCreating", ""),
			metav1.ConditionFalse, v1alpha1.ReasonRollingOut, "the Events of Pod pool-recorder in ns say",
		},
		{"evicted", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }, metav1.ConditionFalse, v1alpha1.ReasonRollingOut, "is being replaced"},
		{"going", func(pod *corev1.Pod) { pod.DeletionTimestamp = &now }, metav1.ConditionFalse, v1alpha1.ReasonRollingOut, "is being replaced"},
	} {
		pod := recorderPod()
		c.change(pod)
		got := recorderCondition(pod)
		if got.Status != c.status || got.Reason != c.reason || !strings.Contains(got.Message, c.message) {
			t.Errorf("%s: it is %+v", c.name, got)
		}
	}
	if got := recorderCondition(nil); got.Status != metav1.ConditionFalse || got.Message != "the recorder is about to be made" {
		t.Errorf("without a pod it is %+v", got)
	}
}

// A pool that records says how its recorder is; one that does not says nothing of it.
func TestAPoolTellsOfItsRecorder(t *testing.T) {
	f := newFixture(t)
	condition := func(egress *v1alpha1.Egress) *metav1.Condition {
		t.Helper()
		var pool v1alpha1.MediaPool
		if err := f.Client.Get(t.Context(), client.ObjectKey{Name: "pool"}, &pool); err != nil {
			t.Fatal(err)
		}
		pool.Spec.Egress = egress
		if err := f.Client.Update(t.Context(), &pool); err != nil {
			t.Fatal(err)
		}
		after, _, err := f.pass(0)
		if err != nil {
			t.Fatal(err)
		}
		return meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionRecorderReady)
	}

	if c := condition(nil); c != nil {
		t.Errorf("a pool that does not record has %+v", c)
	}
	if c := condition(&v1alpha1.Egress{}); c == nil || c.Message != "the recorder is about to be made" {
		t.Errorf("before the recorder is made there is %+v", c)
	}
	pod := recorderPod()
	waitingFor("ImagePullBackOff", "")(pod)
	if err := f.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if c := condition(&v1alpha1.Egress{}); c == nil || c.Reason != v1alpha1.ReasonStartFailed {
		t.Errorf("while the recorder can't start there is %+v", c)
	}
	if c := condition(nil); c != nil {
		t.Errorf("a pool that does not record any more has %+v", c)
	}
}
