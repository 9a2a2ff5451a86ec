// Package finalizer is the authority on how controllers add and remove their finalizers, and on
// since when a deletion waits. The list has other writers too, so each write holds only for the
// version of the object that was read. A write that lost a race is a conflict (RetryConflict).
package finalizer

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
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

// Remove removes a finalizer; with the last one a deleted object goes. An object that is gone is no
// error.
func Remove(ctx context.Context, c client.Client, owner client.FieldOwner, object client.Object, name string) error {
	err := Patch(ctx, c, owner, object, func() { controllerutil.RemoveFinalizer(object, name) })
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	return nil
}

// Patch writes what change does to an object, such as a finalizer together with an owner; nothing
// when it changes nothing.
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

// retry is when a pass is tried again that lost a race.
const retry = 50 * time.Millisecond

// RetryConflict takes what a pass gave. When somebody else wrote the object first, the pass is soon
// tried again, and that is no error: the watch brings what they wrote.
func RetryConflict(result ctrl.Result, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: retry}, nil
	}
	return result, err
}
