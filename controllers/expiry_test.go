package controllers_test

import (
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// A token that nobody uses frees its place: for who waits, at once, and for good.
func TestTokensExpire(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(nil)
	session := w.session("demo", func(s *v1alpha1.SessionSpec) {
		s.MaxConnections, s.WhenEmpty = ptr.To(int32(1)), v1alpha1.WhenEmptyDelete
	})
	unused := w.connection("unused", "demo", nil)
	w.ready(unused)
	waits := w.connection("waits", "demo", nil)
	w.refused(waits, v1alpha1.ReasonSessionFull)
	w.change(pool, func() { pool.Spec.PendingConnectionSeconds = 1 })
	w.await(unused, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTokenExpired)
	w.eventually("who waits was admitted", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(waits), waits); err != nil {
			return err
		}
		if waits.Status.Token == "" {
			return fmt.Errorf("there is no token: %+v", waits.Status.Conditions)
		}
		return nil
	})
	w.await(waits, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTokenExpired)
	if reasons := w.events(unused); !slices.Contains(reasons, "TokenExpired") {
		t.Errorf("Events about %s are %v", unused.GetName(), reasons)
	}
	w.ready(session) // nobody has left it
	removed := w.connection("removed", "demo", func(c *v1alpha1.ConnectionSpec) { c.WhenDisconnected = v1alpha1.WhenDisconnectedDelete })
	w.gone(removed)
}
