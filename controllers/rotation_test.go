package controllers_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/internal/token"
)

// A new signing key ends no call, and no token that was given out.
func TestTheSigningKeyIsRotatedWithoutAnOutage(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	inside, outside := w.connection("inside", "demo", nil), w.connection("outside", "demo", nil)
	w.ready(session)
	w.ready(inside)
	w.ready(outside)
	w.join(w.host(session), inside, "data")
	w.state(inside, v1alpha1.ConnectionStateActive)
	known := map[*v1alpha1.Connection]string{}
	for _, c := range []*v1alpha1.Connection{inside, outside} {
		known[c] = w.secrets(session, c)
	}

	var secret corev1.Secret
	read := func() {
		t.Helper()
		if err := w.Get(context.Background(), types.NamespacedName{Namespace: systemNamespace, Name: certs.SigningKeySecret}, &secret); err != nil {
			t.Fatal(err)
		}
	}
	read()
	before := secret.Data[certs.SigningKeyField]
	base := secret.DeepCopy()
	secret.Annotations = map[string]string{certs.RotateAnnotation: "now"}
	if err := w.Patch(t.Context(), &secret, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for the next rotation of a test
		read()
		delete(secret.Data, certs.PreviousKeyField)
		if err := w.Update(context.Background(), &secret); err != nil {
			t.Error(err)
		}
	})
	var since time.Time
	w.eventually("there is another key", func() (err error) {
		read()
		if bytes.Equal(secret.Data[certs.SigningKeyField], before) || !bytes.Equal(secret.Data[certs.PreviousKeyField], before) {
			return fmt.Errorf("its fields are %d and %d bytes long", len(secret.Data[certs.SigningKeyField]), len(secret.Data[certs.PreviousKeyField]))
		}
		since, err = time.Parse(time.RFC3339, string(secret.Data[certs.SinceField]))
		return err
	})

	// It holds for who comes from then on.
	w.eventually("it holds", func() error {
		if now := time.Now(); now.Before(since) {
			return fmt.Errorf("that takes another %v", since.Sub(now))
		}
		return nil
	})
	late := w.connection("late", "demo", nil)
	w.ready(late)
	if want := token.Derive(secret.Data[certs.SigningKeyField], string(late.UID), 0); !strings.HasSuffix(late.Status.Token, want) {
		t.Error("the token of who came later is not by the new key")
	}
	// The pod was told of the room again, with who came, and so of all others.
	for c, want := range known {
		if got := w.secrets(session, c); got != want {
			t.Errorf("what the pod knows of %s has changed", c.Name)
		}
	}

	// Another process, which has never seen the old key alone, derives the same.
	w.stop()
	w.startOperator()
	again := w.connection("again", "demo", nil)
	w.ready(again)
	for c, want := range known {
		if got := w.secrets(session, c); got != want {
			t.Errorf("by another process what the pod knows of %s has changed", c.Name)
		}
	}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(outside), outside); err != nil || !strings.HasSuffix(outside.Status.Token, token.Derive(before, string(outside.UID), 0)) {
		t.Errorf("the token that was given out is another: %v", err)
	}
}

// secrets returns what the pod of a Session recognises a Connection by.
func (w *world) secrets(session *v1alpha1.Session, c *v1alpha1.Connection) string {
	w.Helper()
	told := w.desired(session, c)
	if told == nil {
		w.Fatalf("the pod was not told of %s", c.Name)
	}
	return fmt.Sprintf("%x %s", told.TokenSha256, told.RpcSessionId)
}
