// Package finalizer is the authority on how controllers add and remove their finalizers: the list has other writers too, so each
// write holds only for the version of the object that was read. A write that lost a race is a conflict, which the caller retries.
package finalizer

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// Ensure adds a finalizer to an object that lacks it.
func Ensure(ctx context.Context, c client.Client, owner client.FieldOwner, object client.Object, name string) error {
	err := Patch(ctx, c, owner, object, func() { controllerutil.AddFinalizer(object, name) })
	if err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	return nil
}

// Remove removes a finalizer; with the last one a deleted object goes. An object that is gone is no error.
func Remove(ctx context.Context, c client.Client, owner client.FieldOwner, object client.Object, name string) error {
	err := Patch(ctx, c, owner, object, func() { controllerutil.RemoveFinalizer(object, name) })
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	return nil
}

// Patch writes what change does to an object, such as a finalizer together with an owner; nothing when it changes nothing.
func Patch(ctx context.Context, c client.Client, owner client.FieldOwner, object client.Object, change func()) error {
	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}
	change()
	if equality.Semantic.DeepEqual(before, object) {
		return nil
	}
	return c.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), owner)
}
