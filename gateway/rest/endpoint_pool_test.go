package rest

import (
	"context"
	"net/http/httptest"
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

// Sessions made by an installation with a class are in its own default pool, and in no pool of
// another installation.
func TestPoolsOfAnotherInstallation(t *testing.T) {
	w := newWorld(t)
	newPool := func(class string) *v1alpha1.MediaPool {
		pool := &v1alpha1.MediaPool{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "pool-", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}},
			Spec:       v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org", ClassName: class},
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
	// The older one is no default of the others.
	plain, others := newPool(""), newPool("other")
	plainGateway := w.gateways[0]
	otherGateway := startGateway(t, w.Client, w.namespace, w.rooms, &w.files, "other")
	for name, test := range map[string]struct {
		gateway *httptest.Server
		body    string
		want    string // the pool's name; "" when none is written
		refused bool
	}{
		"a default without a class is not written": {plainGateway, `{"customSessionId":"a"}`, "", false},
		"a default of a class is written":          {otherGateway, `{"customSessionId":"b"}`, others.Name, false},
		"a pool of the own class":                  {otherGateway, `{"customSessionId":"c","mediaNode":{"id":"` + others.Name + `"}}`, others.Name, false},
		"a pool of another class":                  {plainGateway, `{"customSessionId":"d","mediaNode":{"id":"` + others.Name + `"}}`, "", true},
		"a pool without a class":                   {otherGateway, `{"customSessionId":"e","mediaNode":{"id":"` + plain.Name + `"}}`, "", true},
	} {
		w.gateways[0] = test.gateway
		got := w.call("POST", "/sessions", test.body)
		if test.refused {
			if got.status != 400 || !strings.Contains(got.body, "belongs to another installation") {
				t.Errorf("%s: got %d %s", name, got.status, got.body)
			}
			continue
		}
		if got.status != 200 {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
			continue
		}
		_, id, _ := strings.Cut(test.body, `"customSessionId":"`)
		session := w.held(id[:1])
		if session.Spec.PoolName != test.want {
			t.Errorf("%s: poolName is %q, want %q", name, session.Spec.PoolName, test.want)
		}
	}
}
