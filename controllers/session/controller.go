// Package session is the authority on Sessions: whether one is accepted, on which media pod its
// room runs, what its status says, and when a Session that is being deleted may go.
//
//	created --> accepted --> placed on a pod --> programmed, Ready
//	                ^             |  ^
//	                |             |  +-- pod lost or drained, the standby goes on (standby.go)
//	                |      pod lost, users come back
//	                +-------------+                 deleted --> room closed --> Connections gone --> gone
package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/internal/class"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
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
}

// Events is what this controller needs of the events that are told.
type Events interface {
	// Known says whether the beginning of a Session was told of.
	Known(session types.UID) bool
	// GiveUp tells that everybody has left whose pod is lost and who can't come back.
	GiveUp(session types.UID)
	// Conclude tells of the end of a Session whose room is closed, unless a pod has.
	Conclude(eventlog.Conclusion)
}

// Rooms is what this controller needs of the rooms.
type Rooms interface {
	Wait(ctx context.Context) error
	Lookup(name types.NamespacedName) (types.UID, bool)
	IsAssigned(session types.UID) bool
	Session(uid types.UID) rooms.View
	Assign(session rooms.Session, candidates []placement.Candidate, policy v1alpha1.Placement) (string, bool)
	Move(session types.UID, before string, candidates []placement.Candidate, policy v1alpha1.Placement) (string, bool)
	HandOver(session types.UID, from string) (string, bool)
	Protect(session types.UID, host rooms.Host, candidates []placement.Candidate, keep bool) (string, bool)
	Unprotect(session types.UID)
	Unassign(session types.UID, pod string)
	GiveUp(session types.UID, users []types.UID)
	Send(pod string, room *controlv1.Room, names map[types.UID]types.NamespacedName, need uint64)
	Close(session types.UID, silent bool) bool
	Delete(session types.UID)
}

// Reconciler reconciles Sessions.
type Reconciler struct {
	// Client reads what it has written of a Session. Lists may lag behind.
	Client   client.Client
	Fleet    Fleet
	Rooms    Rooms
	Events   Events
	Keys     desired.Keys
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Identities gives what is derived of Connections.
	Identities *desired.Identities
	// DefaultNamespace is the tenant whose routing keys carry no namespace.
	DefaultNamespace string
	// Media is where no ICE server may be.
	Media *desired.MediaAddresses
	// Garbage says what is deleted although nobody was ever there.
	Garbage Garbage
	// Class is whose Sessions these are.
	Class class.Name
	// Trigger wakes this controller.
	Trigger *trigger.Trigger

	statuses status.Writer[*v1alpha1.Session, v1alpha1.SessionStatus]
	waits    finalizer.Waits
	orphans  orphans
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.statuses = status.Writer[*v1alpha1.Session, v1alpha1.SessionStatus]{
		Client: r.Client, Owner: FieldOwner, Clock: r.Clock,
		Status:     func(s *v1alpha1.Session) *v1alpha1.SessionStatus { return &s.Status },
		Conditions: func(s *v1alpha1.SessionStatus) *[]metav1.Condition { return &s.Conditions },
	}
	gone := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
	return ctrl.NewControllerManagedBy(mgr).Named("session").
		For(&v1alpha1.Session{}, builder.WithPredicates(r.orphans.watch())).
		Watches(&v1alpha1.Session{}, handler.EnqueueRequestsFromMapFunc(r.rivals), builder.WithPredicates(gone)).
		Watches(&v1alpha1.Connection{}, ofConnections()).
		Watches(&v1alpha1.Recording{}, handler.EnqueueRequestsFromMapFunc(ofRecording)).
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

// ofPool returns the Sessions that a MediaPool may concern: those that it hosts, and those that are
// nowhere.
func (r *Reconciler) ofPool(ctx context.Context, pool client.Object) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := r.Client.List(ctx, &list, client.DisableReadYourWritesConsistency); err != nil {
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

// ofNamespace returns the Sessions of a namespace that are nowhere: its labels may let them into a
// pool now.
func (r *Reconciler) ofNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace.GetName()), client.DisableReadYourWritesConsistency); err != nil {
		return nil
	}
	return requests(slices.DeleteFunc(list.Items, func(s v1alpha1.Session) bool { return s.Status.PodName != "" }))
}

// ofRecording returns the Session of a Recording.
func ofRecording(_ context.Context, o client.Object) []reconcile.Request {
	recording, ok := o.(*v1alpha1.Recording)
	if !ok || recording.Status.SessionUID == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: recording.Namespace, Name: recording.Spec.SessionName}}}
}

func requests(sessions []v1alpha1.Session) []reconcile.Request {
	out := make([]reconcile.Request, 0, len(sessions))
	for i := range sessions {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&sessions[i])})
	}
	return out
}

// countDelay is how long a Session waits to be told of Connections that wait for their users: many
// may come in a short time, and each pass reads all of them.
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
	return finalizer.RetryConflict(r.reconcile(ctx, request))
}

func (r *Reconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if err := r.Rooms.Wait(ctx); err != nil {
		return ctrl.Result{}, err
	}
	var session v1alpha1.Session
	if err := r.Client.Get(ctx, request.NamespacedName, &session); apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if uid, known := r.Rooms.Lookup(request.NamespacedName); known && uid != session.UID {
		// Another Session had this name; its end was missed.
		r.forget(request.NamespacedName)
	}
	if own, err := r.owns(ctx, &session); err != nil {
		return ctrl.Result{}, err
	} else if !own {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	observed, err := r.observe(ctx, &session)
	if err != nil {
		return ctrl.Result{}, r.statuses.Unobserved(ctx, &session, err)
	}
	if !session.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, observed)
	}
	plan := makePlan(observed)
	err = r.apply(ctx, &observed, plan.actions)
	again, statusErr := r.writeStatus(ctx, &observed, err)
	return ctrl.Result{RequeueAfter: soonest(again, plan.again, r.untilCollection(observed), untilStale(observed))}, errors.Join(err, statusErr)
}

// owns says whether a Session is this installation's.
func (r *Reconciler) owns(ctx context.Context, session *v1alpha1.Session) (bool, error) {
	var pools v1alpha1.MediaPoolList
	if err := r.Client.List(ctx, &pools, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return false, fmt.Errorf("listing MediaPools: %w", err)
	}
	return r.Class.OwnsSession(session, pools.Items), nil
}

// soonest returns the shortest of some waits; 0 is none.
func soonest(waits ...time.Duration) time.Duration {
	var soonest time.Duration
	for _, wait := range waits {
		if soonest == 0 || wait != 0 && wait < soonest {
			soonest = wait
		}
	}
	return soonest
}

// forget drops what is held for a Session that is gone, or that is another installation's. Its pod
// closes the room that it is no longer told of.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.statuses.Forget(name)
	r.waits.Forget(name)
	if uid, known := r.Rooms.Lookup(name); known {
		r.release(uid)
	}
}

// release gives up what is held for a Session.
func (r *Reconciler) release(uid types.UID) {
	r.Rooms.Delete(uid)
	r.Identities.Keep(uid, nil)
}
