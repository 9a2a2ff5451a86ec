package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const otherNamespace = "mediarooms-other"

// writes remembers which custom resources an operator has written.
type writes struct {
	mu    sync.Mutex // guards paths
	paths map[string]bool
}

// of returns a configuration whose writes are remembered.
func (s *writes) of(config *rest.Config) *rest.Config {
	s.paths = make(map[string]bool)
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if _, path, custom := strings.Cut(r.URL.Path, "/apis/mediarooms.dev/v1alpha1/"); custom && r.Method != http.MethodGet {
				s.mu.Lock()
				s.paths[strings.TrimSuffix(path, "/status")] = true
				s.mu.Unlock()
			}
			return next.RoundTrip(r)
		})
	})
	return config
}

// all returns the objects that were written, in order.
func (s *writes) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for path := range s.paths {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTwoInstallations runs an operator without a class and one with a class in one cluster. Each
// serves its own, and writes to nothing of the other's, also while the other is away.
func TestTwoInstallations(t *testing.T) {
	w := newWorld(t)
	w.stop()
	// It is there before the operators are, so that their caches know it. Its age and its
	// annotation make it the default of its own installation only.
	w.ensure(&v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{Name: "others", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}},
		Spec:       v1alpha1.MediaPoolSpec{ClassName: "other", PublicURL: "https://other.example.org", DrainSeconds: 1},
	})
	var first, second writes
	w.stop = w.run(first.of(operator), systemNamespace, "")
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: otherNamespace}})
	startKubelet(t, w.Client, otherNamespace, 2)
	other := second.of(cluster)
	stop := w.run(other, otherNamespace, "other")
	t.Cleanup(func() { stop() })
	t.Cleanup(w.clear) // before either is stopped

	w.pool(nil)
	for name, pool := range map[string]string{"one": "", "two": "others", "three": "missing"} {
		w.session(name, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool })
		w.connection(name, name, nil)
	}
	for _, name := range []string{"one", "two"} {
		w.await(&v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: name}}, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
		w.await(&v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: name}}, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	}
	lost := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "three"}}
	w.await(lost, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonPoolNotFound)
	if err := podsOf(w, otherNamespace, "others"); err != nil {
		t.Error(err)
	}
	if err := podsOf(w, systemNamespace, "standard"); err != nil {
		t.Error(err)
	}

	// While the other operator is away, nobody lets its Session go.
	stop()
	deleted := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "two"}}
	if err := w.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	mine := w.session("four", nil)
	w.await(mine, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if err := w.Delete(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	w.gone(mine)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(deleted), deleted); err != nil {
		t.Errorf("the Session of the operator that is away: %v", err)
	}
	stop = w.run(other, otherNamespace, "other")
	w.gone(deleted)

	of := func(name string) []string {
		return []string{
			"namespaces/" + tenantNamespace + "/connections/" + name, "namespaces/" + tenantNamespace + "/sessions/" + name,
		}
	}
	for _, path := range slices.Concat(of("one"), of("three"), of("four")[1:], []string{"mediapools/standard"}) {
		if !slices.Contains(first.all(), path) {
			t.Errorf("the operator without a class has not written %s", path)
		}
		if slices.Contains(second.all(), path) {
			t.Errorf("the operator with a class has written %s", path)
		}
	}
	for _, path := range append(of("two"), "mediapools/others") {
		if !slices.Contains(second.all(), path) {
			t.Errorf("the operator with a class has not written %s", path)
		}
		if slices.Contains(first.all(), path) {
			t.Errorf("the operator without a class has written %s", path)
		}
	}
}

// podsOf fails unless a namespace has media pods of a pool and of no other.
func podsOf(w *world, namespace, pool string) error {
	var pods corev1.PodList
	if err := w.List(context.Background(), &pods, client.InNamespace(namespace)); err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("there are no pods in %s", namespace)
	}
	for i := range pods.Items {
		if of := pods.Items[i].Labels[v1alpha1.PoolLabel]; of != pool {
			return fmt.Errorf("pod %s in %s is of pool %s", pods.Items[i].Name, namespace, of)
		}
	}
	return nil
}
