// Package mediapool is the authority on the media pods of MediaPools: how many there are, what they
// are made of, which ports and addresses they have, and when one is removed.
//
//	(created) --> starting --> usable --> hosts rooms <--> idle --> retired --> deleted
//	                               |            |                      ^
//	                               |   template changed, or others have places
//	                               |   for its rooms: draining --------+
//	                               +--- finished or lost: deleted and replaced
//	              +--- ended, or its port is taken: replaced with back-off
package mediapool

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
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
	"mediarooms.dev/mediarooms/controllers/exposure"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/internal/class"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-mediapool")

// Fleet is what this controller needs of the control streams.
type Fleet interface {
	Pod(name string) fleet.PodView
	Configure(name string, config *controlv1.PodConfig)
	GiveUp(name string)
}

// Rooms is what this controller needs of where rooms are.
type Rooms interface {
	Wait(ctx context.Context) error
	Loads() map[string]rooms.Load
	Waiting(pool string) int32
	Cordon(pod string) bool
	Failed(pod, node string)
	FailedLately(now time.Time) []string
	Forget(pod string)
	PoolChanged(pool string)
}

// Events is what this controller needs of what is told of rooms.
type Events interface {
	// Waiting counts the events of a pod's rooms that were not delivered.
	Waiting(pod string) int
}

// Reconciler reconciles MediaPools. It runs one pass at a time, over all pools: ports are given out
// in one place.
type Reconciler struct {
	// Client reads its own writes: a pod that was created in the pass before must not be created
	// again.
	Client   client.Client
	Fleet    Fleet
	Rooms    Rooms
	Events   Events
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Namespace of the media pods.
	Namespace string
	// Image of media pods whose pool names none.
	Image podspec.Image
	// CalmPeriod is how long a pod has no room before it is removed.
	CalmPeriod time.Duration
	// Media is told where the media pods are.
	Media *desired.MediaAddresses
	// Class is whose pools these are.
	Class class.Name
	// Trigger wakes this controller, by a pool's name.
	Trigger *trigger.Trigger

	statuses *status.Writer[*v1alpha1.MediaPool, v1alpha1.MediaPoolStatus]
	// idle is since when each pod has no room; only the one pass at a time touches it.
	idle map[string]time.Time
	// spare is since when each pool could do without a pod that hosts rooms.
	spare map[string]time.Time
	// hosts knows the names of load balancers.
	hosts *hosts
	// ports is what is remembered of the ports of nodes.
	ports portMemory
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.begin()
	byLabel := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		if pool := o.GetLabels()[v1alpha1.PoolLabel]; pool != "" {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: pool}}}
		}
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("mediapool").
		For(&v1alpha1.MediaPool{}).
		Watches(&corev1.Pod{}, byLabel).
		Watches(&corev1.Service{}, byLabel).
		Watches(&policyv1.PodDisruptionBudget{}, byLabel, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.onNode), builder.WithPredicates(addressChanges())).
		WatchesRawSource(r.Trigger.Source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 1,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 30*time.Second),
		}).
		Complete(r)
}

// begin makes what is kept from pass to pass.
func (r *Reconciler) begin() {
	r.idle, r.spare, r.ports = make(map[string]time.Time), make(map[string]time.Time), newPortMemory()
	r.hosts = newHosts(r.Trigger.WakeAfter)
	r.statuses = &status.Writer[*v1alpha1.MediaPool, v1alpha1.MediaPoolStatus]{
		Client: r.Client, Owner: FieldOwner, Clock: r.Clock,
		Status:     func(pool *v1alpha1.MediaPool) *v1alpha1.MediaPoolStatus { return &pool.Status },
		Conditions: func(s *v1alpha1.MediaPoolStatus) *[]metav1.Condition { return &s.Conditions },
	}
}

// onNode returns the pools that have a pod on a node.
func (r *Reconciler) onNode(ctx context.Context, node client.Object) []reconcile.Request {
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(r.Namespace), client.DisableReadYourWritesConsistency); err != nil {
		// The cache fails only while it stops.
		return nil
	}
	var out []reconcile.Request
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName == node.GetName() {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: pods.Items[i].Labels[v1alpha1.PoolLabel]}})
		}
	}
	return out
}

// addressChanges leaves out everything else that happens to a Node, such as heartbeats.
func addressChanges() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.Node)
		after, ok2 := e.ObjectNew.(*corev1.Node)
		if !ok || !ok2 {
			return true
		}
		return !exposure.SameAddresses(before, after)
	}}
}

// Reconcile brings one pool forward.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return finalizer.RetryConflict(r.reconcile(ctx, request))
}

func (r *Reconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if err := r.Rooms.Wait(ctx); err != nil {
		return ctrl.Result{}, err
	}
	var pool v1alpha1.MediaPool
	if err := r.Client.Get(ctx, request.NamespacedName, &pool); apierrors.IsNotFound(err) || err == nil && !r.Class.OwnsPool(&pool) {
		r.Media.Set(request.Name, nil, v1alpha1.PortRange{})
		r.statuses.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	beginCount(pool.Name)
	observed, err := r.observe(ctx, &pool)
	if err != nil {
		return ctrl.Result{}, r.statuses.Unobserved(ctx, &pool, err)
	}
	r.Media.Set(pool.Name, observed.addresses(), observed.exposure.NodePorts())
	observed.ignored = r.Media.Ignored("iceServers", pool.Spec.IceServers)
	if !pool.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, observed)
	}
	if err := finalizer.Ensure(ctx, r.Client, FieldOwner, &pool, v1alpha1.MediaPoolFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if pool.Generation != pool.Status.ObservedGeneration {
		r.Rooms.PoolChanged(pool.Name)
	}
	plan := makePlan(observed)
	err = r.apply(ctx, observed, plan.actions)
	again, statusErr := r.writeStatus(ctx, observed, err)
	return ctrl.Result{RequeueAfter: earliest(again, plan.again)}, errors.Join(err, statusErr)
}

// earliest returns the shorter of two waits; 0 is none.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
