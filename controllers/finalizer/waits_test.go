package finalizer_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/finalizer"
)

func TestBegun(t *testing.T) {
	object := func(name string, uid types.UID) client.Object {
		return &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "tenant", UID: uid}}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := now.Add(time.Minute)
	var w finalizer.Waits
	a := object("a", "1")
	w.Begun(a, now)
	if begun := w.Begun(a, later); !begun.Equal(now) {
		t.Errorf("it begins anew at %s", begun)
	}
	if begun := w.Begun(object("b", "1"), later); !begun.Equal(later) {
		t.Error("another object begins with the first")
	}
	if begun := w.Begun(object("a", "2"), later); !begun.Equal(later) {
		t.Error("a later object of its name begins with the first")
	}
	w.Begun(a, now)
	w.Forget(client.ObjectKeyFromObject(a))
	if begun := w.Begun(a, later); !begun.Equal(later) {
		t.Error("an object that is gone is remembered")
	}
}
