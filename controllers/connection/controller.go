// Package connection is the authority on Connections: who is admitted to a room and by which token,
// what status says of a participant, and when a Connection that is being deleted may go.
//
//	created --> admitted, token --> Active --> Disconnected
//	   |             |                |             |
//	   +-------------+---- deleted ---+-------------+--> put out of the room --> gone
package connection

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/internal/class"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-connection")

// workers reconcile at the same time. A pass waits for the API server most of its time, so there
// are far more than cores.
const workers = 32

// secretRetry is when a token's Secret is tried again that could not be written.
const secretRetry = 30 * time.Second

// Fleet is what this controller needs of the media pods.
type Fleet interface {
	Pod(name string) fleet.PodView
}

// Rooms is what this controller needs of the rooms.
type Rooms interface {
	Wait(ctx context.Context) error
	Connection(session, connection types.UID) rooms.ConnectionView
	Admit(c rooms.Connection, maxConnections *int32, podConnections int32) rooms.Admission
	Require(session, connection types.UID, generation int64)
	Evict(c rooms.Connection) bool
	Release(name types.NamespacedName, uid types.UID)
	Remove(name types.NamespacedName)
}

// Reconciler reconciles Connections.
type Reconciler struct {
	// Client reads what it has written of a Connection, from the cache; nothing else waits for
	// that. Live reads from the API server.
	Client   client.Client
	Live     client.Reader
	Fleet    Fleet
	Rooms    Rooms
	Keys     desired.Keys
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Identities gives what is derived of Connections.
	Identities *desired.Identities
	// DefaultNamespace is the tenant whose routing keys carry no namespace.
	DefaultNamespace string
	// Media is where no ICE server may be.
	Media *desired.MediaAddresses
	// Class is whose Connections these are.
	Class class.Name
	// Trigger wakes this controller.
	Trigger *trigger.Trigger

	statuses status.Writer[*v1alpha1.Connection, v1alpha1.ConnectionStatus]
	waits    finalizer.Waits
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.statuses = status.Writer[*v1alpha1.Connection, v1alpha1.ConnectionStatus]{
		Client: r.Client, Owner: FieldOwner, Clock: r.Clock,
		Status:     func(c *v1alpha1.Connection) *v1alpha1.ConnectionStatus { return &c.Status },
		Conditions: func(s *v1alpha1.ConnectionStatus) *[]metav1.Condition { return &s.Conditions },
	}
	return ctrl.NewControllerManagedBy(mgr).Named("connection").
		For(&v1alpha1.Connection{}).
		Watches(&v1alpha1.Session{}, handler.EnqueueRequestsFromMapFunc(r.ofSession), builder.WithPredicates(sessionConcernsConnections())).
		Watches(&v1alpha1.MediaPool{}, handler.EnqueueRequestsFromMapFunc(r.pending), builder.WithPredicates(expiryChanges())).
		WatchesRawSource(r.Trigger.Source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 30*time.Second),
		}).
		Complete(r)
}

// ofSession returns the Connections of a Session.
func (r *Reconciler) ofSession(ctx context.Context, session client.Object) []reconcile.Request {
	var list v1alpha1.ConnectionList
	err := r.Client.List(ctx, &list, client.InNamespace(session.GetNamespace()), client.MatchingFields{v1alpha1.SessionNameField: session.GetName()},
		client.DisableReadYourWritesConsistency)
	if err != nil {
		// The cache fails only while it stops.
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// sessionConcernsConnections leaves out what changes all the time in a Session and means nothing to
// its Connections, such as counts.
func sessionConcernsConnections() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.Session)
			after, ok2 := e.ObjectNew.(*v1alpha1.Session)
			if !ok || !ok2 {
				return true
			}
			return before.Generation != after.Generation ||
				before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
				before.Status.PodName != after.Status.PodName ||
				before.Status.URL != after.Status.URL ||
				accepted(before) != accepted(after)
		},
	}
}

// Reconcile brings one Connection forward.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return finalizer.RetryConflict(r.reconcile(ctx, request))
}

func (r *Reconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if err := r.Rooms.Wait(ctx); err != nil {
		return ctrl.Result{}, err
	}
	var connection v1alpha1.Connection
	if err := r.Client.Get(ctx, request.NamespacedName, &connection); apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	session, own, err := r.session(ctx, &connection)
	switch {
	case err != nil:
		return ctrl.Result{}, r.statuses.Unobserved(ctx, &connection, err)
	case !own:
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	observed, err := r.observe(ctx, &connection, session)
	if err != nil {
		return ctrl.Result{}, r.statuses.Unobserved(ctx, &connection, err)
	}
	if !connection.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, observed)
	}
	plan := makePlan(observed)
	problem, err := r.apply(ctx, &observed, plan.first)
	again, statusErr := r.writeStatus(ctx, &observed, problem, err)
	if err == nil && statusErr == nil && again == 0 {
		_, err = r.apply(ctx, &observed, plan.then)
	}
	if again == 0 && (problem != nil || secretInUse(observed)) {
		again = secretRetry // no watch tells when that is over
	}
	if wait := untilExpiry(observed); wait > 0 && (again == 0 || wait < again) {
		again = wait
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(err, statusErr)
}

// forget drops what is held for a Connection that is gone, or another installation's.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.Rooms.Remove(name)
	r.statuses.Forget(name)
	r.waits.Forget(name)
}

// session returns the Session of a Connection, nil when there is none, and whether the Connection
// is this installation's.
func (r *Reconciler) session(ctx context.Context, connection *v1alpha1.Connection) (session *v1alpha1.Session, own bool, err error) {
	session = &v1alpha1.Session{}
	name := types.NamespacedName{Namespace: connection.Namespace, Name: connection.Spec.SessionName}
	if err := r.Client.Get(ctx, name, session, client.DisableReadYourWritesConsistency); apierrors.IsNotFound(err) {
		session = nil
	} else if err != nil {
		return nil, false, fmt.Errorf("reading Session %s: %w", name.Name, err)
	}
	var pools v1alpha1.MediaPoolList
	if err := r.Client.List(ctx, &pools, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil, false, fmt.Errorf("listing MediaPools: %w", err)
	}
	return session, r.Class.OwnsConnection(connection, session, pools.Items), nil
}
