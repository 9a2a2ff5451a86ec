// Package recording is the authority on Recordings: whether one is accepted, when it begins and
// ends, and what its status says.
//
//	created --> accepted --> somebody is in the room: claimed --> Started --> Stopped --> Ready
//	               ^  |                                   |          |           |
//	               +--+ waits: no Session, no recorder,   +----------+-----------+--> Failed
//	                    another Recording of the Session
//
// Claiming is one write: the Recording has its Session's UID, its identifier and its pool from then
// on, whatever becomes of the Session. The pool's worker is told of it as a job, by package egress;
// what the worker says becomes status. The worker is told of a Recording until the object goes.
package recording

import (
	"context"
	"errors"
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
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/internal/class"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-recording")

// Workers is what this controller needs of the streams to the workers.
type Workers interface {
	Put(pool string, name types.NamespacedName, job *egressv1.Job)
	Remove(pool string, name types.NamespacedName, last *egressv1.Job) (told bool)
	Drop(recording types.UID)
	Settle(recording types.NamespacedName)
	View(pool string, recording types.UID) egress.View
}

// Rooms is what this controller needs of the rooms.
type Rooms interface {
	Wait(ctx context.Context) error
	Session(uid types.UID) rooms.View
}

// Fleet is what this controller needs of the media pods.
type Fleet interface {
	Pod(name string) fleet.PodView
}

// Events takes what is told of recordings.
type Events interface {
	// Tell adds an event of a room that no media pod tells of.
	Tell(room *controlv1.RoomIdentity, event *controlv1.RoomEvent)
}

// Reconciler reconciles Recordings.
type Reconciler struct {
	// Client reads what it has written of a Recording. Lists may lag behind.
	Client   client.Client
	Workers  Workers
	Rooms    Rooms
	Fleet    Fleet
	Events   Events
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// DefaultNamespace is the tenant whose recordings are in folders without a namespace.
	DefaultNamespace string
	// Class of the installation; others' Recordings are left alone.
	Class class.Name
	// Trigger wakes this controller.
	Trigger *trigger.Trigger

	statuses status.Writer[*v1alpha1.Recording, v1alpha1.RecordingStatus]
	waits    finalizer.Waits
	// claims are those that the cache may not show yet. One pass at a time touches them.
	claims map[types.UID]claim
}

// claim is what a Recording has taken.
type claim struct {
	namespace, recordingID string
	session                types.UID
	// room names the Session in events, also when it is gone.
	room *controlv1.RoomIdentity
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.begin()
	return ctrl.NewControllerManagedBy(mgr).Named("recording").
		For(&v1alpha1.Recording{}).
		Watches(&v1alpha1.Recording{}, handler.EnqueueRequestsFromMapFunc(r.rivals)).
		Watches(&v1alpha1.Session{}, handler.EnqueueRequestsFromMapFunc(r.ofSession)).
		Watches(&v1alpha1.MediaPool{}, handler.EnqueueRequestsFromMapFunc(r.unfinished), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Trigger.Source()).
		WithOptions(controller.Options{
			// Which identifier is free, and whether a Session is recorded, is decided one by one.
			MaxConcurrentReconciles: 1,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 30*time.Second),
		}).
		Complete(r)
}

// begin makes what is kept from pass to pass.
func (r *Reconciler) begin() {
	r.claims = make(map[types.UID]claim)
	r.statuses = status.Writer[*v1alpha1.Recording, v1alpha1.RecordingStatus]{
		Client: r.Client, Owner: FieldOwner, Clock: r.Clock,
		Status:     func(o *v1alpha1.Recording) *v1alpha1.RecordingStatus { return &o.Status },
		Conditions: func(s *v1alpha1.RecordingStatus) *[]metav1.Condition { return &s.Conditions },
	}
}

// rivals returns the Recordings that may wait for the end of one.
func (r *Reconciler) rivals(ctx context.Context, o client.Object) []reconcile.Request {
	recording, ok := o.(*v1alpha1.Recording)
	if !ok || runs(recording.Status.State) && recording.DeletionTimestamp.IsZero() {
		return nil
	}
	return r.waiting(ctx, client.InNamespace(recording.Namespace), client.MatchingFields{v1alpha1.SessionNameField: recording.Spec.SessionName})
}

// waiting returns those of some Recordings that have not begun.
func (r *Reconciler) waiting(ctx context.Context, of ...client.ListOption) []reconcile.Request {
	return r.list(ctx, func(s v1alpha1.RecordingStatus) bool { return s.SessionUID == "" && !final(s.State) }, of...)
}

// ofSession returns the Recordings that a Session may concern.
func (r *Reconciler) ofSession(ctx context.Context, session client.Object) []reconcile.Request {
	return r.list(ctx, func(s v1alpha1.RecordingStatus) bool { return !final(s.State) },
		client.InNamespace(session.GetNamespace()), client.MatchingFields{v1alpha1.SessionNameField: session.GetName()})
}

// unfinished returns all Recordings that are not over.
func (r *Reconciler) unfinished(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.list(ctx, func(s v1alpha1.RecordingStatus) bool { return !final(s.State) })
}

func (r *Reconciler) list(ctx context.Context, which func(v1alpha1.RecordingStatus) bool, of ...client.ListOption) []reconcile.Request {
	var list v1alpha1.RecordingList
	if err := r.Client.List(ctx, &list, append(of, client.DisableReadYourWritesConsistency)...); err != nil {
		return nil // the cache fails only while it stops
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if which(list.Items[i].Status) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// runs says that a Recording in a state has begun and not ended. The zero value has not.
func runs(state v1alpha1.RecordingState) bool {
	return state == v1alpha1.RecordingStateStarting || state == v1alpha1.RecordingStateStarted
}

// final says that nothing comes after a state.
func final(state v1alpha1.RecordingState) bool {
	return state == v1alpha1.RecordingStateReady || state == v1alpha1.RecordingStateFailed
}

// Reconcile brings one Recording forward.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return finalizer.RetryConflict(r.reconcile(ctx, request))
}

func (r *Reconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if err := r.Rooms.Wait(ctx); err != nil {
		return ctrl.Result{}, err
	}
	var recording v1alpha1.Recording
	if err := r.Client.Get(ctx, request.NamespacedName, &recording); apierrors.IsNotFound(err) {
		r.statuses.Forget(request.NamespacedName)
		r.waits.Forget(request.NamespacedName)
		r.Workers.Settle(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	o, err := r.observe(ctx, &recording)
	if err != nil {
		return ctrl.Result{}, r.statuses.Unobserved(ctx, &recording, err)
	}
	if !r.Class.OwnsRecording(&recording, o.session, o.pools) {
		r.Workers.Settle(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if !recording.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, o)
	}
	plan := makePlan(o)
	if err = r.apply(ctx, o, plan); err == nil {
		r.Workers.Settle(request.NamespacedName)
	}
	again, statusErr := r.writeStatus(ctx, o, plan, err)
	if again == 0 || plan.again > 0 && plan.again < again {
		again = plan.again
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(err, statusErr)
}
