package rest

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// A pool that does not host the tenant's sessions is refused at once, with the reason, whether it
// is named or the default.
func TestPoolsOfOthers(t *testing.T) {
	w := newWorld(t)
	newPool := func(standard string, allowed *metav1.LabelSelector) *v1alpha1.MediaPool {
		pool := &v1alpha1.MediaPool{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "pool-", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: standard}},
			Spec:       v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org", AllowedNamespaces: allowed},
		}
		if err := w.Create(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.Delete(context.Background(), pool); err != nil {
				t.Error(err)
			}
		})
		return pool
	}
	vip := &metav1.LabelSelector{MatchLabels: map[string]string{"plan": "vip"}}
	open, others := newPool("false", nil), newPool("false", vip)
	standard := newPool("true", vip)
	name := func(pool *v1alpha1.MediaPool) string { return `{"mediaNode":{"id":"` + pool.Name + `"}}` }
	says := func(got answer, pool *v1alpha1.MediaPool) bool {
		return got.status == 400 && strings.Contains(got.body, pool.Name) && strings.Contains(got.body, "hosts no sessions of this tenant")
	}

	eventually(t, "the default pool is known", func() bool { return says(w.call("POST", "/sessions", "{}"), standard) })
	if got := w.call("POST", "/sessions", name(others)); !says(got, others) {
		t.Errorf("a pool of others: got %d %s", got.status, got.body)
	}
	if got := w.call("POST", "/sessions", name(open)); got.status != 200 {
		t.Errorf("a pool for all: got %d %s", got.status, got.body)
	}

	var namespace corev1.Namespace
	if err := w.Get(t.Context(), client.ObjectKey{Name: w.namespace}, &namespace); err != nil {
		t.Fatal(err)
	}
	namespace.Labels["plan"] = "vip"
	if err := w.Update(t.Context(), &namespace); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"{}", name(others)} {
		if got := w.call("POST", "/sessions", body); got.status != 200 {
			t.Errorf("%s with the label: got %d %s", body, got.status, got.body)
		}
	}
}
