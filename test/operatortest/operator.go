// Package operatortest is a stand-in for the operator, for tests of the gateway.
package operatortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/token"
)

// Operator does what the operator does as far as the gateway sees it: it adds finalizers, makes
// tokens, ends streams, records, and lets go what is deleted.
type Operator struct {
	live  client.Client
	queue workqueue.TypedInterface[client.Object]

	mu      sync.Mutex // guards the behaviour, while it reconciles too: a change holds for all that comes after it
	behaves Behaviour
}

// Behaviour is how an Operator is not as it should be.
type Behaviour struct {
	// Silent has it do nothing with what is there.
	Silent bool
	// Stubborn has it let nothing go.
	Stubborn bool
	// Refuses is why there is no place, a condition's reason; "" when there is one.
	Refuses string
	// Composing has it compose recordings that were stopped without an end.
	Composing bool
}

// Start starts one for a namespace, until the test ends.
func Start(t *testing.T, cluster *rest.Config, live client.Client, namespace string) *Operator {
	t.Helper()
	objects, err := cache.New(cluster, cache.Options{Scheme: live.Scheme(), DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	if err != nil {
		t.Fatal(err)
	}
	o := &Operator{live: live, queue: workqueue.NewTyped[client.Object]()}
	for _, kind := range []client.Object{&v1alpha1.Session{}, &v1alpha1.Connection{}, &v1alpha1.Recording{}} {
		informer, err := objects.GetInformer(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    o.enqueue,
			UpdateFunc: func(_, object any) { o.enqueue(object) },
		}); err != nil {
			t.Fatal(err)
		}
	}
	InBackground(t, objects.Start)
	InBackground(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, o.queue.ShutDown)()
		for {
			object, ended := o.queue.Get()
			if ended {
				return nil
			}
			if err := o.Reconcile(ctx, object); err != nil && ctx.Err() == nil {
				return fmt.Errorf("reconciling %T %s: %w", object, object.GetName(), err)
			}
			o.queue.Done(object)
		}
	})
	return o
}

func (o *Operator) enqueue(object any) {
	if object, ok := object.(client.Object); ok {
		o.queue.Add(object.DeepCopyObject().(client.Object))
	}
}

// Behave changes how it behaves.
func (o *Operator) Behave(behaves Behaviour) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.behaves = behaves
}

// Reconcile has it look at an object.
func (o *Operator) Reconcile(ctx context.Context, object client.Object) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	// The event may be older than what is there.
	if err := o.live.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return client.IgnoreNotFound(err)
	}
	if recording, ok := object.(*v1alpha1.Recording); ok {
		return o.record(ctx, recording)
	}
	finalizer := v1alpha1.SessionFinalizer
	connection, isConnection := object.(*v1alpha1.Connection)
	if isConnection {
		finalizer = v1alpha1.ConnectionFinalizer
	}
	before := object.DeepCopyObject().(client.Object)
	lock := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	switch {
	case !object.GetDeletionTimestamp().IsZero():
		if o.behaves.Stubborn || !controllerutil.RemoveFinalizer(object, finalizer) {
			return nil
		}
		if !isConnection {
			var members v1alpha1.ConnectionList
			if err := o.live.List(ctx, &members, client.InNamespace(object.GetNamespace()), client.MatchingFields{v1alpha1.SessionNameField: object.GetName()}); err != nil {
				return err
			}
			for i := range members.Items {
				if err := client.IgnoreNotFound(o.live.Delete(ctx, &members.Items[i])); err != nil {
					return err
				}
			}
		}
		return ignoreRace(o.live.Patch(ctx, object, lock))
	case controllerutil.AddFinalizer(object, finalizer):
		return ignoreRace(o.live.Patch(ctx, object, lock))
	case !isConnection || o.behaves.Silent:
		return nil
	}
	status := &connection.Status
	var session v1alpha1.Session
	err := o.live.Get(ctx, client.ObjectKey{Namespace: connection.Namespace, Name: connection.Spec.SessionName}, &session)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	switch {
	case err != nil:
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSessionNotFound,
		})
		return ignoreRace(o.live.Status().Patch(ctx, connection, client.MergeFrom(before)))
	case !session.DeletionTimestamp.IsZero():
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeleting,
		})
		return ignoreRace(o.live.Status().Patch(ctx, connection, client.MergeFrom(before)))
	}
	if status.Token == "" && o.behaves.Refuses != "" {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: o.behaves.Refuses, Message: "because",
		})
		return ignoreRace(o.live.Status().Patch(ctx, connection, client.MergeFrom(before)))
	}
	if status.Token == "" {
		status.State = v1alpha1.ConnectionStatePending
		status.ConnectionID = token.ConnectionID(string(connection.UID))
		status.Token = token.URL("ws://localhost:4443", connection.Spec.SessionName, "tok_"+connection.Name)
	}
	status.Publishers = slices.DeleteFunc(status.Publishers, func(publisher v1alpha1.PublisherStatus) bool {
		return slices.Contains(connection.Spec.Moderation.EndedStreamIDs, publisher.StreamID)
	})
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonProgrammed, ObservedGeneration: connection.Generation,
	})
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, ObservedGeneration: connection.Generation,
	})
	if equality.Semantic.DeepEqual(before, object) {
		return nil
	}
	return ignoreRace(o.live.Status().Patch(ctx, connection, client.MergeFrom(before)))
}

// ignoreRace drops errors after which another event comes.
func ignoreRace(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// InBackground runs something until the test ends.
func InBackground(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
