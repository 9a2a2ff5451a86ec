// Package webhook is the authority on the delivery of events to the endpoints of Webhooks (openvidu-rest 5.2): which Webhook is served and how,
// who may be called, what an answer means, when it is tried again, and what a Webhook's status says.
//
// Nothing waits for a delivery: events are queued per Webhook and Session, and what is not delivered holds up neither another endpoint, nor
// another Session, nor anything else that the operator does.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/controllers/trigger"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-webhook")

const (
	// look is how often a Webhook is looked at whatever happens: its counts go into the status then.
	look = 15 * time.Second
	// calm is the least time between two writes of one status.
	calm = 2 * time.Second
)

// Reconciler reconciles Webhooks.
type Reconciler struct {
	Client    client.Client
	Deliverer *Deliverer
	Guard     Guard
	Recorder  events.EventRecorder
	Clock     clock.PassiveClock
	// Trigger wakes this controller.
	Trigger *trigger.Trigger

	mu    sync.Mutex // guards wrote and lost
	wrote map[types.NamespacedName]time.Time
	lost  map[types.NamespacedName]int // events that an Event has told of
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.wrote, r.lost = make(map[types.NamespacedName]time.Time), make(map[types.NamespacedName]int)
	if err := mgr.Add(r.Deliverer); err != nil {
		return fmt.Errorf("adding the deliveries: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("webhook").
		For(&v1alpha1.Webhook{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret)).
		WatchesRawSource(r.Trigger.Source()).
		Complete(r)
}

// ofSecret returns the Webhooks that a Secret may concern.
func (r *Reconciler) ofSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	if secret.GetName() != v1alpha1.WebhookSecretName {
		return nil
	}
	var list v1alpha1.WebhookList
	if err := r.Client.List(ctx, &list, client.InNamespace(secret.GetNamespace())); err != nil {
		return nil // the cache fails only while it stops
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Seed takes in all Webhooks there are. It comes before the first event does, since an event that nobody takes is done with.
func (r *Reconciler) Seed(ctx context.Context) error {
	var list v1alpha1.WebhookList
	if err := r.Client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Webhooks: %w", err)
	}
	for i := range list.Items {
		if _, err := r.serve(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// Reconcile brings one Webhook up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var hook v1alpha1.Webhook
	if err := r.Client.Get(ctx, request.NamespacedName, &hook); apierrors.IsNotFound(err) {
		r.Deliverer.forget(request.NamespacedName)
		r.mu.Lock()
		delete(r.wrote, request.NamespacedName)
		delete(r.lost, request.NamespacedName)
		r.mu.Unlock()
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	problem, err := r.serve(ctx, &hook)
	if err != nil {
		return ctrl.Result{}, err
	}
	again, err := r.writeStatus(ctx, &hook, problem)
	return ctrl.Result{RequeueAfter: again}, err
}

// serve has a Webhook served as its spec says, and returns why it is not, if so.
func (r *Reconciler) serve(ctx context.Context, hook *v1alpha1.Webhook) (*refusal, error) {
	var peers v1alpha1.WebhookList
	if err := r.Client.List(ctx, &peers, client.InNamespace(hook.Namespace)); err != nil {
		return nil, fmt.Errorf("listing Webhooks: %w", err)
	}
	var secret corev1.Secret
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: hook.Namespace, Name: v1alpha1.WebhookSecretName}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", v1alpha1.WebhookSecretName, err)
	}
	s, err := prepare(hook, peers.Items, secret.Data, r.Guard)
	r.Deliverer.configure(client.ObjectKeyFromObject(hook), s)
	var refused *refusal
	if errors.As(err, &refused) {
		return refused, nil
	}
	return nil, err
}

// writeStatus writes the status if it has changed, now or later, and the Events that tell of it. It returns when to look again.
func (r *Reconciler) writeStatus(ctx context.Context, hook *v1alpha1.Webhook, problem *refusal) (time.Duration, error) {
	before, seen, now := hook.Status, r.Deliverer.observe(client.ObjectKeyFromObject(hook)), r.Clock.Now()
	r.tellLost(hook, seen.lost)
	after := makeStatus(hook, problem, seen, now)
	if equality.Semantic.DeepEqual(before, after) {
		return look, nil
	}
	if wait := r.delay(client.ObjectKeyFromObject(hook), pace.SameConditions(before.Conditions, after.Conditions), now); wait > 0 {
		return wait, nil
	}
	base := hook.DeepCopy()
	hook.Status = after
	if before.ObservedGeneration == 0 {
		base.Status.PendingEvents = -1 // a count of 0 is to be there, not just to be absent
	}
	if err := r.Client.Status().Patch(ctx, hook, client.MergeFrom(base), FieldOwner); err != nil {
		return 0, client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	r.mu.Lock()
	r.wrote[client.ObjectKeyFromObject(hook)] = now
	r.mu.Unlock()
	r.publish(hook, before, after)
	return look, nil
}

// delay returns how long a write has to wait: counts have more time than conditions.
func (r *Reconciler) delay(name types.NamespacedName, lazy bool, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	pause := calm
	if lazy {
		pause = look
	}
	return r.wrote[name].Add(pause).Sub(now)
}
