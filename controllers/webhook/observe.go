package webhook

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// observed is everything that a pass over a Webhook knows.
type observed struct {
	hook *v1alpha1.Webhook
	// peers are all Webhooks of the namespace that are this installation's.
	peers []v1alpha1.Webhook
	// secret holds the values of headers; nil when there is none.
	secret map[string][]byte
	// endpoint is what was seen of the deliveries.
	endpoint state
	now      time.Time
}

// observe reads everything, from the cache and the endpoint.
func (r *Reconciler) observe(ctx context.Context, hook *v1alpha1.Webhook) (observed, error) {
	o := observed{hook: hook, endpoint: r.Deliverer.observe(client.ObjectKeyFromObject(hook)), now: r.Clock.Now()}
	var peers v1alpha1.WebhookList
	if err := r.Client.List(ctx, &peers, client.InNamespace(hook.Namespace)); err != nil {
		return o, fmt.Errorf("listing Webhooks: %w", err)
	}
	o.peers = slices.DeleteFunc(peers.Items, func(peer v1alpha1.Webhook) bool { return !r.Class.OwnsWebhook(&peer) })
	var secret corev1.Secret
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: hook.Namespace, Name: v1alpha1.WebhookSecretName}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return o, fmt.Errorf("reading Secret %s: %w", v1alpha1.WebhookSecretName, err)
	}
	o.secret = secret.Data
	return o, nil
}
