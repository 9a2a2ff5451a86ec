// Package uninstall is the authority on the way out when the operator has gone before what it had
// to let go: it takes the operator's finalizers off, so that deletions end. Rooms of media pods
// that still run stay open until the pods go.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/class"
)

// fieldOwner of what this package patches.
const fieldOwner = client.FieldOwner("mediarooms-uninstall")

// Report counts the objects that a finalizer was taken off.
type Report struct {
	Connections, Recordings, Sessions, MediaPools int
}

// Idle fails while an operator holds the Lease: it would add its finalizers again. The Lease of one
// that was killed holds until its duration is over.
func Idle(ctx context.Context, reader client.Reader, lease types.NamespacedName, now time.Time) error {
	var held coordinationv1.Lease
	if err := reader.Get(ctx, lease, &held); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Lease %s: %w", lease, err)
	} else if err != nil {
		return nil
	}
	spec := held.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return nil
	}
	if end := spec.RenewTime.Add(time.Duration(*spec.LeaseDurationSeconds) * time.Second); now.Before(end) {
		return fmt.Errorf("the operator runs: %s holds the Lease %s. Delete its Deployment first, or let the operator end the rooms itself", *spec.HolderIdentity, lease)
	}
	return nil
}

// ReleaseFinalizers takes the operator's finalizers off all objects of an installation, those that
// are not being deleted too, and leaves the finalizers of others. It goes on after an error, and
// returns all of them.
func ReleaseFinalizers(ctx context.Context, c client.Client, installation class.Name) (Report, error) {
	var report Report
	var pools v1alpha1.MediaPoolList
	var sessions v1alpha1.SessionList
	var connections v1alpha1.ConnectionList
	var recordings v1alpha1.RecordingList
	for _, list := range []client.ObjectList{&pools, &sessions, &connections, &recordings} {
		if err := c.List(ctx, list); err != nil {
			return report, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	named := make(map[types.NamespacedName]*v1alpha1.Session, len(sessions.Items))
	for i := range sessions.Items {
		named[client.ObjectKeyFromObject(&sessions.Items[i])] = &sessions.Items[i]
	}
	var problems []error
	release := func(object client.Object, finalizer string, count *int) {
		released, err := remove(ctx, c, object, finalizer)
		if released {
			*count++
		}
		problems = append(problems, err)
	}
	// In the order in which the operator lets them go.
	for i := range connections.Items {
		connection := &connections.Items[i]
		session := named[types.NamespacedName{Namespace: connection.Namespace, Name: connection.Spec.SessionName}]
		if installation.OwnsConnection(connection, session, pools.Items) {
			release(connection, v1alpha1.ConnectionFinalizer, &report.Connections)
		}
	}
	for i := range recordings.Items {
		recording := &recordings.Items[i]
		session := named[types.NamespacedName{Namespace: recording.Namespace, Name: recording.Spec.SessionName}]
		if installation.OwnsRecording(recording, session, pools.Items) {
			release(recording, v1alpha1.RecordingFinalizer, &report.Recordings)
		}
	}
	for i := range sessions.Items {
		if installation.OwnsSession(&sessions.Items[i], pools.Items) {
			release(&sessions.Items[i], v1alpha1.SessionFinalizer, &report.Sessions)
		}
	}
	for i := range pools.Items {
		if installation.OwnsPool(&pools.Items[i]) {
			release(&pools.Items[i], v1alpha1.MediaPoolFinalizer, &report.MediaPools)
		}
	}
	return report, errors.Join(problems...)
}

// remove takes a finalizer off an object. When others write the object meanwhile, that is an error:
// the next run takes it off. One that is gone is none.
func remove(ctx context.Context, c client.Client, object client.Object, finalizer string) (bool, error) {
	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return false, fmt.Errorf("%T is no object", object)
	}
	if !controllerutil.RemoveFinalizer(object, finalizer) {
		return false, nil
	}
	err := c.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), fieldOwner)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("taking the finalizer off %T %s/%s: %w", object, object.GetNamespace(), object.GetName(), err)
	}
	return err == nil, nil
}
