package finalizer_test

import (
	"context"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/finalizer"
)

const (
	owner = client.FieldOwner("test")
	name  = "example.org/keep"
)

// newClient returns a client of a cluster with a MediaPool that has finalizers, and what counts its
// patches.
func newClient(t *testing.T, finalizers ...string) (client.Client, *v1alpha1.MediaPool, *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	patches := new(int)
	pool := &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "pool", Finalizers: finalizers}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, options ...client.PatchOption) error {
			*patches++
			return c.Patch(ctx, o, p, options...)
		},
	}).Build()
	var read v1alpha1.MediaPool
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), &read); err != nil {
		t.Fatal(err)
	}
	return c, &read, patches
}

func TestEnsureAndRemove(t *testing.T) {
	c, pool, patches := newClient(t, "example.org/other")
	for range 2 {
		if err := finalizer.Ensure(t.Context(), c, owner, pool, name); err != nil {
			t.Fatal(err)
		}
	}
	var read v1alpha1.MediaPool
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), &read); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.Finalizers, []string{"example.org/other", name}) || *patches != 1 {
		t.Errorf("after %d patches the finalizers are %v", *patches, read.Finalizers)
	}
	for range 2 {
		if err := finalizer.Remove(t.Context(), c, owner, pool, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), &read); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.Finalizers, []string{"example.org/other"}) || *patches != 2 {
		t.Errorf("after %d patches the finalizers are %v", *patches, read.Finalizers)
	}
}

// A finalizer that somebody else has added meanwhile must not be lost.
func TestALostRaceIsAConflict(t *testing.T) {
	c, pool, _ := newClient(t, name)
	other := pool.DeepCopy()
	if err := finalizer.Ensure(t.Context(), c, "other", other, "example.org/other"); err != nil {
		t.Fatal(err)
	}
	if err := finalizer.Remove(t.Context(), c, owner, pool, name); !apierrors.IsConflict(err) {
		t.Errorf("got %v, want a conflict", err)
	}
	if err := finalizer.Remove(t.Context(), c, owner, other, name); err != nil {
		t.Errorf("got %v with the version that was read last", err)
	}
}

func TestRemovingTheLastOneLetsTheObjectGo(t *testing.T) {
	c, pool, _ := newClient(t, name)
	if err := c.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
	if age := pool.DeletionTimestamp; age == nil || age.After(time.Now().Add(time.Minute)) {
		t.Fatalf("it is being deleted since %v", age)
	}
	again := pool.DeepCopy()
	for _, o := range []*v1alpha1.MediaPool{pool, again} {
		if err := finalizer.Remove(t.Context(), c, owner, o, name); err != nil {
			t.Errorf("removing the finalizer: %v", err)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); !apierrors.IsNotFound(err) {
		t.Errorf("reading it gives %v", err)
	}
}
