package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/wait"
)

// pool returns the default pool, ready, after a change.
func (w *world) pool(change func(*v1alpha1.MediaPool)) *v1alpha1.MediaPool {
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{Name: "default", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}},
		Spec:       v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org", MaxPods: 4},
		Status: v1alpha1.MediaPoolStatus{
			Conditions: ready(v1alpha1.ReasonReady), Pods: 2, ReadyPods: 2, Sessions: 3, FreeSessions: 97,
		},
	}
	if change != nil {
		change(pool)
	}
	return pool
}

// mediaPod returns a media pod of the default pool.
func (w *world) mediaPod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.system, Name: name, Labels: map[string]string{
			v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod, v1alpha1.PoolLabel: "default",
		}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "mediapod", Image: "mediarooms.dev/mediarooms:dev"}}},
	}
}

// runs has a pod run and be ready, or not.
func (w *world) runs(pod *corev1.Pod, ready corev1.ConditionStatus) {
	w.Helper()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	w.writeStatus(pod)
}

// gone has a pod gone at once, as when its kubelet has ended it.
func (w *world) gone(pod *corev1.Pod) {
	w.Helper()
	if err := w.Delete(w.Context(), pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
}

func (w *world) hasFinalizer(connection string) {
	w.Helper()
	wait.For(w, patience, "the finalizer of "+connection, func() error {
		var found v1alpha1.Connection
		if err := w.Get(w.Context(), client.ObjectKey{Namespace: w.tenant, Name: connection}, &found); err != nil {
			return err
		}
		if len(found.Finalizers) == 0 {
			return errors.New("it has none")
		}
		return nil
	})
}

// completes returns what a shell is offered for the last word.
func (w *world) completes(words ...string) string {
	w.Helper()
	// start adds flags at the end, where the word to complete has to be.
	c := w.startExactly(slices.Concat([]string{"__complete", "-n", w.tenant, "--system-namespace", w.system}, words)...)
	c.end(0)
	lines := strings.Split(strings.TrimSpace(w.normal(c.out.String())), "\n")
	return strings.Join(lines[:len(lines)-1], " ")
}

func TestDrainAPod(t *testing.T) {
	w := newWorld(t)
	pod := w.mediaPod("mediapod-default-nbx8n", "node-1")
	demo := w.room("demo", 2, 1)
	w.create(w.pool(nil), pod, demo, w.room("idle", 0, 0))
	w.runs(pod, corev1.ConditionTrue)
	c := w.start("drain", pod.Name)
	c.says("mediapod-default-nbx8n drains; it goes at ")
	c.says("mediapod-default-nbx8n: 2 rooms, 2 users\n")
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	since, err := time.Parse(time.RFC3339, pod.Annotations[v1alpha1.DrainingAnnotation])
	if err != nil || w.now().Sub(since) > time.Minute {
		t.Errorf("it drains since %s: %v", since, err)
	}
	// What the operator would do: a room moves, the other ends, the pod goes.
	demo.Status.PodName = "mediapod-default-k2p7x"
	w.writeStatus(demo)
	c.says("mediapod-default-nbx8n: 1 room, 0 users\n")
	w.gone(pod)
	c.says("mediapod-default-nbx8n is gone\n")
	c.end(0)
}

// A drain that was begun keeps its time, and the command need not wait.
func TestDrainGoesOn(t *testing.T) {
	w := newWorld(t)
	pod := w.mediaPod("mediapod-default-nbx8n", "node-1")
	since := w.now().Add(-30 * time.Second).Format(time.RFC3339)
	pod.Annotations = map[string]string{v1alpha1.DrainingAnnotation: since}
	w.create(pod)
	w.run("drain", pod.Name, "--wait=false")
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || pod.Annotations[v1alpha1.DrainingAnnotation] != since {
		t.Errorf("it drains since %v, not %s: %v", pod.Annotations, since, err)
	}
}

func TestDrainANode(t *testing.T) {
	w := newWorld(t)
	first, second := w.mediaPod("mediapod-default-a", "node-1"), w.mediaPod("mediapod-default-b", "node-1")
	other := w.mediaPod("mediapod-default-c", "node-2")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	w.create(w.pool(nil), node, first, second, other)
	for _, pod := range []*corev1.Pod{first, second, other} {
		w.runs(pod, corev1.ConditionTrue)
	}
	c := w.start("drain", "node-1")
	c.says("node node-1 is cordoned; kubectl uncordon node-1 undoes it\n")
	c.says("mediapod-default-a: 0 rooms, 0 users\n")
	w.gone(first)
	c.says("mediapod-default-a is gone\n")
	c.says("mediapod-default-b: 0 rooms, 0 users\n")
	w.gone(second)
	c.end(0)
	if said := c.out.String(); strings.Contains(said, "mediapod-default-c") {
		t.Errorf("a pod of another node is drained: %s", said)
	}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(node), node); err != nil || !node.Spec.Unschedulable {
		t.Errorf("the node takes pods: %v", err)
	}
	if got := w.run("drain", "node-1"); got != "node node-1 was cordoned already\nnode node-1 has no media pods\n" {
		t.Errorf("got %q", got)
	}
	w.fails([]string{"drain", "node-9"}, `there is no node or media pod "node-9" in namespace system-xxxxx; there is mediapod-default-c`)
}

// An eviction waits until the budget allows it.
func TestDrainByEviction(t *testing.T) {
	w := newWorld(t)
	pod := w.mediaPod("mediapod-default-a", "node-1")
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.system, Name: "mediapod-default"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: ptr.To(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.PoolLabel: "default"}},
		},
	}
	w.create(pod, budget)
	w.runs(pod, corev1.ConditionTrue)
	budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: budget.Generation, ExpectedPods: 1, DesiredHealthy: 1, CurrentHealthy: 1}
	w.writeStatus(budget)
	c := w.start("drain", pod.Name, "--evict")
	c.says("mediapod-default-a waits: its PodDisruptionBudget allows no eviction now\n")
	budget.Status.DisruptionsAllowed, budget.Status.DesiredHealthy = 1, 0
	w.writeStatus(budget)
	c.says("mediapod-default-a is evicted\n")
	w.gone(pod)
	c.says("mediapod-default-a is gone\n")
	c.end(0)
}

// event makes an Event of an object, some minutes before noon.
func (w *world) event(name, kind, of, reason, message string, minutes int) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: w.tenant, Name: name},
		InvolvedObject: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Namespace: w.tenant, Name: of},
		Reason:         reason, Message: message, Type: corev1.EventTypeNormal, LastTimestamp: metav1.NewTime(w.now().Add(-time.Duration(minutes) * time.Minute)),
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.now = func() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }
	if got := w.run("events"); got != "There are no Events in namespace team-xxxxx.\n" {
		t.Errorf("got %q", got)
	}
	w.demo()
	lost := w.event("d", "Session", "demo", "PodLost", "Media pod mediapod-default-nbx8n was lost", 5)
	lost.Type = corev1.EventTypeWarning
	foreign := w.event("f", "Pod", "demo", "Killing", "Stopping", 1)
	foreign.InvolvedObject.APIVersion = "v1"
	w.create(
		&v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenant, Name: "monday"}, Spec: v1alpha1.RecordingSpec{SessionName: "demo"}},
		w.event("j", "Recording", "monday", "RecordingStarted", "Session demo is recorded as demo", 4),
		w.event("k", "Recording", "gone", "RecordingStarted", "Session other is recorded as other", 3),
		lost,
		w.event("b", "Session", "demo", "UserJoined", "Connection ann (con_ANN) is in the room", 8),
		w.event("c", "Connection", "ann", "Admitted", "Admitted to Session demo; the token can be used once", 9),
		w.event("e", "Connection", "max", "Admitted", "Admitted to Session other; the token can be used once", 2),
		w.event("a", "Session", "other", "Placed", "Placed on media pod mediapod-default-k2p7x", 3*24*60), foreign)
	w.golden("events-wide", w.run("events"))
	w.golden("events-of-a-room-wide", w.run("events", "demo"))
	if got := w.run("events", "nobody"); got != "There are no Events of room nobody in namespace team-xxxxx.\n" {
		t.Errorf("got %q", got)
	}
	if text := w.run("events", "demo", "-o", "yaml"); strings.Count(text, "kind: Event\n") != 4 {
		t.Errorf("got %s", text)
	}
	w.fails([]string{"events", "demo", "-A"}, "give either ROOM or --all-namespaces")

	c := w.start("events", "-f", "demo")
	c.says("was lost\n")
	w.create(w.guest("demo", "zoe", v1alpha1.ConnectionStatePending),
		w.event("g", "Connection", "zoe", "Admitted", "Zoe may come", 0),
		w.event("h", "Connection", "max", "Admitted", "Max may come again", 0),
		w.event("i", "Session", "demo", "UserJoined", "Zoe\x1b[2J is in the room", 0))
	c.says(`Zoe\x1b[2J is in the room`)
	c.stop()
	c.end(0)
	if said := c.out.String(); !strings.Contains(said, "Zoe may come") || strings.Contains(said, "Max may come again") || strings.Count(said, "was lost") != 1 {
		t.Errorf("it said %s", said)
	}
}

// Events that come while the API server has ended the watch are not lost.
func TestEventsAreFollowedByListsToo(t *testing.T) {
	w := newWorld(t)
	c := &cluster{WithWatch: &interrupted{WithWatch: w}, config: testCluster, namespace: w.tenant}
	out := &output{}
	s := newSettings("test", streams(out))
	s.now = w.now
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := &eventLog{settings: s, cluster: c, namespace: w.tenant, shown: &format{}}
	go func() { ended <- log.run(ctx, true) }()
	for i := range 3 {
		w.create(w.event(fmt.Sprint("e", i), "Session", "demo", "Placed", fmt.Sprint("Placed ", i), 0))
		wait.For(t, patience, "the Event", wait.True(func() bool { return strings.Contains(out.String(), fmt.Sprint("Placed ", i)) }))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("there are %d lines, want 3: %s", n, out.String())
	}
}
