package controllers_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// A pod drains, too, because somebody has annotated it (kubectl mediarooms drain).
func TestAPersonDrainsAPod(t *testing.T) {
	w := newWorld(t)
	w.pool(func(s *v1alpha1.MediaPoolSpec) { s.DrainSeconds = 3600 })
	empty, busy := w.session("empty", nil), w.session("busy", nil)
	user := w.connection("user", "busy", nil)
	for _, o := range []client.Object{empty, busy, user} {
		w.ready(o)
	}
	first := w.host(busy)
	w.join(first, user, "")
	w.state(user, v1alpha1.ConnectionStateActive)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: busy.Status.PodName}}
	if err := w.Get(w.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	before := pod.DeepCopy()
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, v1alpha1.DrainingAnnotation, time.Now().UTC().Format(time.RFC3339))
	if err := w.Patch(w.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the empty room has moved", func() error {
		w.ready(empty)
		if empty.Status.PodName == pod.Name {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	w.ready(busy)
	if busy.Status.PodName != pod.Name {
		t.Error("the room with a user has moved")
	}
	w.leave(first, user, "disconnect")
	w.gone(pod)
	w.ready(busy)
}
