// Package webhook is the authority on the delivery of events to the endpoints of Webhooks
// (openvidu-rest 5.2): which Webhook is served and how, who may be called, what an answer means,
// when it is tried again, and what a Webhook's status says.
//
// Nothing waits for a delivery: events are queued per Webhook and Session, and what is not
// delivered holds up neither another endpoint, nor another Session, nor anything else that the
// operator does.
package webhook

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	"mediarooms.dev/mediarooms/controllers/status"
	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/internal/class"
)

// FieldOwner of what this controller applies.
const FieldOwner = client.FieldOwner("mediarooms-webhook")

// Reconciler reconciles Webhooks.
type Reconciler struct {
	Client    client.Client
	Deliverer *Deliverer
	Guard     Guard
	Recorder  events.EventRecorder
	Clock     clock.PassiveClock
	// Class is whose Webhooks these are.
	Class class.Name
	// Trigger wakes this controller.
	Trigger *trigger.Trigger

	statuses *status.Writer[*v1alpha1.Webhook, v1alpha1.WebhookStatus]
	mu       sync.Mutex                   // guards lost
	lost     map[types.NamespacedName]int // events that an Event has told of
}

// Setup adds the controller to the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.lost = make(map[types.NamespacedName]int)
	r.statuses = &status.Writer[*v1alpha1.Webhook, v1alpha1.WebhookStatus]{
		Client: r.Client, Owner: FieldOwner, Clock: r.Clock, Interval: resync, Pause: pause,
		Status:     func(hook *v1alpha1.Webhook) *v1alpha1.WebhookStatus { return &hook.Status },
		Conditions: func(s *v1alpha1.WebhookStatus) *[]metav1.Condition { return &s.Conditions },
	}
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

// Seed takes in all Webhooks there are. It comes before the first event does, since an event that
// nobody takes is done with.
func (r *Reconciler) Seed(ctx context.Context) error {
	var list v1alpha1.WebhookList
	if err := r.Client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Webhooks: %w", err)
	}
	for i := range list.Items {
		if !r.Class.OwnsWebhook(&list.Items[i]) {
			continue
		}
		o, err := r.observe(ctx, &list.Items[i])
		if err != nil {
			return err
		}
		r.apply(o, makePlan(o, r.Guard))
	}
	return nil
}

// Reconcile brings one Webhook up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var hook v1alpha1.Webhook
	if err := r.Client.Get(ctx, request.NamespacedName, &hook); apierrors.IsNotFound(err) || err == nil && !r.Class.OwnsWebhook(&hook) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	o, err := r.observe(ctx, &hook)
	if err != nil {
		return ctrl.Result{}, r.statuses.Unobserved(ctx, &hook, err)
	}
	p := makePlan(o, r.Guard)
	r.apply(o, p)
	again, err := r.writeStatus(ctx, o, p)
	return ctrl.Result{RequeueAfter: again}, err
}

// forget drops what is held for a Webhook that is gone.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.Deliverer.forget(name)
	r.statuses.Forget(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lost, name)
}
