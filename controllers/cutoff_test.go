package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// nodeReady has the API server say whether a node is ready.
func (w *world) nodeReady(name string, status corev1.ConditionStatus) {
	w.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	patch := client.RawPatch(types.StrategicMergePatchType, []byte(fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q}]}}`, status)))
	if err := w.Status().Patch(context.Background(), node, patch); err != nil {
		w.Error(err)
	}
}

// A pod that is cut off keeps its Sessions and their users, and says so. New Sessions go elsewhere.
func TestCutOffPod(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(nil)
	session := w.session("demo", nil)
	active, pending := w.connection("active", "demo", nil), w.connection("pending", "demo", nil)
	w.ready(session)
	w.ready(active)
	w.ready(pending)
	first, pod := session.Status.PodName, w.host(session)
	w.join(pod, active, "")
	w.state(active, v1alpha1.ConnectionStateActive)

	pod.Cut(true)
	w.await(session, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPodUnreachable)
	other := w.session("other", nil)
	w.ready(other)
	if other.Status.PodName == first {
		t.Error("a new Session is on the pod that is cut off")
	}
	w.eventually("the pool says so", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if ready := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.ConditionReady); !strings.Contains(ready.Message, "1 pod is not reached") {
			return fmt.Errorf("it says %q", ready.Message)
		}
		return nil
	})
	// The token that is out works, whatever the operator knows, and who is to go has to wait.
	w.join(pod, pending, "")
	w.delete(active)
	w.gone(active)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
		t.Fatal(err)
	}
	if s := session.Status; s.PodName != first || len(pod.Closed()) != 0 || pod.Evicted(string(active.UID)) != "" {
		t.Errorf("during the cut the Session is on %q, closed are %v", s.PodName, pod.Closed())
	}

	pod.Cut(false)
	w.ready(session)
	w.state(pending, v1alpha1.ConnectionStateActive)
	w.eventually("who was to go is out", func() error {
		if pod.Evicted(string(active.UID)) == "" {
			return errors.New("it is there")
		}
		return nil
	})
	if w.host(session) != pod || len(pod.Closed()) != 0 || pod.Evicted(string(pending.UID)) != "" {
		t.Errorf("after the cut the Session is on %q, closed are %v", session.Status.PodName, pod.Closed())
	}
	w.eventually("both are told", func() error {
		if told := w.events(session); !slices.Contains(told, "PodUnreachable") || !slices.Contains(told, "PodReachable") {
			return fmt.Errorf("told was %q", told)
		}
		return nil
	})
}
