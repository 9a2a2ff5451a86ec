package controllers_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
	cases "mediarooms.dev/mediarooms/test/rest"
)

// The operator under test collects once a second what is older than an hour.
func TestSessionsOfRESTThatNobodyHasJoinedAreCollected(t *testing.T) {
	cases.Shows(t, 40)
	w := newWorld(t)
	w.pool(nil)
	let := func(session *v1alpha1.Session) {
		before := session.DeepCopy()
		session.Finalizers = nil
		if err := client.IgnoreNotFound(w.Patch(context.Background(), session, client.MergeFrom(before))); err != nil {
			t.Error(err)
		}
	}
	sessionOf := func(name string, age time.Duration, whenEmpty v1alpha1.WhenEmpty) *v1alpha1.Session {
		session := &v1alpha1.Session{Spec: v1alpha1.SessionSpec{WhenEmpty: whenEmpty}}
		session.Namespace, session.Name = tenantNamespace, name
		if age >= 0 {
			session.Annotations = creation.Stamp(time.Now().Add(-age))
		}
		// It shows what is there when the operator is done with it.
		session.Finalizers = []string{"test/keep"}
		if err := w.Create(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { let(session) })
		return session
	}
	young := sessionOf("young", 0, v1alpha1.WhenEmptyDelete)
	kept := sessionOf("kept", 2*time.Hour, v1alpha1.WhenEmptyKeep)
	byHand := sessionOf("by-hand", -1, v1alpha1.WhenEmptyDelete)
	joined := sessionOf("joined", 0, v1alpha1.WhenEmptyDelete)
	guest := w.connection("guest", "joined", nil)
	w.ready(guest)
	w.join(w.host(joined), guest, "")
	w.state(guest, v1alpha1.ConnectionStateActive)
	// From here on it is old.
	w.change(joined, func() { joined.Annotations = creation.Stamp(time.Now().Add(-2 * time.Hour)) })

	old := sessionOf("old", 2*time.Hour, v1alpha1.WhenEmptyDelete)
	defer func() {
		for _, session := range []*v1alpha1.Session{young, kept, byHand, joined} {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
				t.Error(err)
				continue
			}
			if !session.DeletionTimestamp.IsZero() {
				t.Errorf("%s is being deleted", session.Name)
			}
		}
	}()
	w.eventually("the old Session to be collected", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(old), old); err != nil {
			return err
		}
		if old.DeletionTimestamp.IsZero() || len(old.Finalizers) > 1 {
			return errors.New("it is still there")
		}
		return nil
	})
	if old.Annotations[v1alpha1.CollectedAnnotation] != "true" {
		t.Errorf("nothing says that it was garbage: %v", old.Annotations)
	}
	let(old)
	w.gone(old)
	// Another one shows that there was another collection, which left the others alone.
	another := sessionOf("another", 2*time.Hour, v1alpha1.WhenEmptyDelete)
	let(another)
	w.gone(another)
}
