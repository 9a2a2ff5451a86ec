package controllers_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/session"
	"mediarooms.dev/mediarooms/controllers/status"
)

// Operators of before wrote statuses by merge patch under the same name. What they and others have
// written must not linger.
func TestStatusesWrittenBeforeServerSideApplyAreTakenOver(t *testing.T) {
	admin, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(operator, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, Name: "old"}}
	if err := admin.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), s); err != nil {
			t.Error(err)
		}
	})
	for owner, change := range map[client.FieldOwner]func(){
		session.FieldOwner: func() { s.Status.PoolName, s.Status.PodName, s.Status.Publishers = "pool", "pod", 2 },
		"somebody":         func() { s.Status.NodeName = "node" },
	} {
		before := s.DeepCopy()
		change()
		if err := admin.Status().Patch(t.Context(), s, client.MergeFrom(before), owner); err != nil {
			t.Fatal(err)
		}
	}
	conditions := s.Status.Conditions

	statuses := status.Writer[*v1alpha1.Session, v1alpha1.SessionStatus]{
		Client: c, Owner: session.FieldOwner, Clock: clock.RealClock{},
		Status:     func(s *v1alpha1.Session) *v1alpha1.SessionStatus { return &s.Status },
		Conditions: func(s *v1alpha1.SessionStatus) *[]metav1.Condition { return &s.Conditions },
	}
	for _, pool := range []string{"other", ""} {
		after := v1alpha1.SessionStatus{PoolName: pool, Conditions: conditions}
		if written, _, err := statuses.Write(t.Context(), s, after, status.Urgent); err != nil || !written {
			t.Fatalf("written is %t, the error %v", written, err)
		}
		var read v1alpha1.Session
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(s), &read); err != nil {
			t.Fatal(err)
		}
		got := read.Status
		if got.PoolName != pool || got.PodName != "" || got.NodeName != "" || got.Publishers != 0 || len(got.Conditions) != len(conditions) {
			t.Errorf("the status is %+v", got)
		}
	}
}
