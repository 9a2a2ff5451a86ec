// Package session is the authority on Sessions: whether one is accepted, on which media pod its room runs, what its status says, and
// when a Session that is being deleted may go.
//
//	created --> accepted --> placed on a pod --> programmed, Ready
//	                ^             |
//	                |         pod lost
//	                +-------------+                 deleted --> room closed --> Connections gone --> gone
package session

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/trigger"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-session")

// IDField is the index of Sessions by the identifier that clients see.
const IDField = "sessionID"

// workers reconcile at the same time.
const workers = 8

// Fleet is what this controller needs of the media pods.
type Fleet interface {
	Pods(pool string) []fleet.PodView
	Pod(name string) fleet.PodView
	Room(session types.UID) fleet.RoomView
	Assign(room placement.Room, pod string)
	TellRoom(session types.UID, generation int64)
	Close(session types.UID) bool
	Abandon(session types.UID)
	Drop(session types.UID)
	Silence(session types.UID)
}

// Events is what this controller needs of the events that are told.
type Events interface {
	// Conclude tells of the end of a Session whose room is closed, unless a pod has.
	Conclude(eventlog.Conclusion)
}

// Ledger is what this controller needs of the reservations.
type Ledger interface {
	Wait(ctx context.Context) error
	Pod(session types.UID) (pod string, known bool)
	Place(room placement.Room, candidates []placement.Candidate, policy v1alpha1.Placement, now time.Time) (string, bool)
	Move(session types.UID, candidates []placement.Candidate, policy v1alpha1.Placement, now time.Time) (string, bool)
	Displace(session types.UID, pod string)
	Vacate(session types.UID)
	UID(name types.NamespacedName) (types.UID, bool)
	IsAdmitted(session, connection types.UID) bool
	WakeGuests(session types.UID)
}

// Reconciler reconciles Sessions.
type Reconciler struct {
	Client   client.Client
	Fleet    Fleet
	Ledger   Ledger
	Events   Events
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Garbage says what is deleted although nobody was ever there.
	Garbage Garbage
	// Trigger wakes this controller.
	Trigger *trigger.Trigger

	pace pace.Pace
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	gone := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
	return ctrl.NewControllerManagedBy(mgr).Named("session").
		For(&v1alpha1.Session{}).
		Watches(&v1alpha1.Session{}, handler.EnqueueRequestsFromMapFunc(r.rivals), builder.WithPredicates(gone)).
		Watches(&v1alpha1.Connection{}, ofConnections()).
		Watches(&v1alpha1.MediaPool{}, handler.EnqueueRequestsFromMapFunc(r.ofPool), builder.WithPredicates(
			predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(r.Trigger.Source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 30*time.Second),
		}).
		Complete(r)
}

// rivals returns the Sessions with the identifier of one that is gone: one of them may have it now.
func (r *Reconciler) rivals(ctx context.Context, gone client.Object) []reconcile.Request {
	session, ok := gone.(*v1alpha1.Session)
	if !ok {
		return nil
	}
	same, err := r.sameID(ctx, session)
	if err != nil {
		// The cache fails only while it stops.
		return nil
	}
	return requests(same)
}

// ofPool returns the Sessions that a MediaPool may concern: those that it hosts, and those that are nowhere.
func (r *Reconciler) ofPool(ctx context.Context, pool client.Object) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil
	}
	var concerned []v1alpha1.Session
	for _, session := range list.Items {
		if session.Status.PoolName == pool.GetName() || session.Status.PodName == "" {
			concerned = append(concerned, session)
		}
	}
	return requests(concerned)
}

// ofNamespace returns the Sessions of a namespace that are nowhere: its labels may let them into a pool now.
func (r *Reconciler) ofNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace.GetName())); err != nil {
		return nil
	}
	return requests(slices.DeleteFunc(list.Items, func(s v1alpha1.Session) bool { return s.Status.PodName != "" }))
}

func requests(sessions []v1alpha1.Session) []reconcile.Request {
	out := make([]reconcile.Request, 0, len(sessions))
	for i := range sessions {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&sessions[i])})
	}
	return out
}

// countDelay is how long a Session waits to be told of Connections that wait for their users: many may come in a short time, and each pass reads all of them.
const countDelay = 250 * time.Millisecond

// ofConnections wakes a Session for what may change its counts, or end its deletion.
func ofConnections() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	ofConnection := func(o client.Object) (reconcile.Request, bool) {
		connection, ok := o.(*v1alpha1.Connection)
		if !ok {
			return reconcile.Request{}, false
		}
		return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: connection.Namespace, Name: connection.Spec.SessionName}}, true
	}
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			before, ok := e.ObjectOld.(*v1alpha1.Connection)
			after, ok2 := e.ObjectNew.(*v1alpha1.Connection)
			if !ok || !ok2 {
				return
			}
			session, _ := ofConnection(after)
			switch {
			case before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero():
				q.Add(session)
			case before.Status.State == after.Status.State:
			case after.Status.State == v1alpha1.ConnectionStatePending:
				q.AddAfter(session, countDelay)
			default:
				q.Add(session)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			if session, ok := ofConnection(e.Object); ok {
				q.Add(session)
			}
		},
	}
}

// Reconcile brings one Session forward.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return pace.AfterConflict(r.reconcile(ctx, request))
}

func (r *Reconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if err := r.Ledger.Wait(ctx); err != nil {
		return ctrl.Result{}, err
	}
	var session v1alpha1.Session
	if err := r.Client.Get(ctx, request.NamespacedName, &session); apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if uid, known := r.Ledger.UID(request.NamespacedName); known && uid != session.UID {
		// Another Session had this name; its end was missed.
		r.forget(request.NamespacedName)
	}
	if r.pace.Stale(session.UID, session.ResourceVersion) {
		return ctrl.Result{}, nil
	}
	observed, err := r.observe(ctx, &session)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !session.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, observed)
	}
	err = r.apply(ctx, &observed, makePlan(observed))
	again, statusErr := r.writeStatus(ctx, &observed, err)
	if later := r.untilCollection(observed); again == 0 || later != 0 && later < again {
		again = later
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(err, statusErr)
}

// forget drops what is held for a Session that is gone. Its pod closes the room that it is no longer told of.
func (r *Reconciler) forget(name types.NamespacedName) {
	uid, known := r.Ledger.UID(name)
	if !known {
		return
	}
	r.Fleet.Abandon(uid)
	r.Ledger.Vacate(uid)
	r.pace.Forget(uid)
}
