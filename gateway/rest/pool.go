package rest

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/hosting"
)

// checkPool fails when a MediaPool is named that does not exist, or when the pool, also the one
// that a Session without a name gets, does not host the Sessions of the tenant: a request for a
// media node that can't be had is a bad one.
func (a *API) checkPool(ctx context.Context, tenant, name string) error {
	if name == "" {
		pool, err := a.objects.DefaultPool(ctx)
		if err != nil {
			return err
		}
		return a.checkTenant(ctx, tenant, pool, "no 'mediaNode.id', and the default MediaPool %q hosts no sessions of this tenant")
	}
	var pool v1alpha1.MediaPool
	if err := a.objects.Live.Get(ctx, client.ObjectKey{Name: name}, &pool); apierrors.IsNotFound(err) {
		return badRequest("'mediaNode.id': there is no MediaPool %q", name)
	} else if err != nil {
		return fmt.Errorf("reading MediaPool %s: %w", name, err)
	}
	if !a.objects.Class.OwnsPool(&pool) {
		return badRequest("'mediaNode.id': MediaPool %q belongs to another installation", name)
	}
	return a.checkTenant(ctx, tenant, &pool, "'mediaNode.id': MediaPool %q hosts no sessions of this tenant")
}

// checkTenant fails, with a sentence about the pool, when it does not host the Sessions of a
// tenant.
func (a *API) checkTenant(ctx context.Context, tenant string, pool *v1alpha1.MediaPool, sentence string) error {
	if hosting.Open(pool) {
		return nil
	}
	var namespace corev1.Namespace
	if err := a.objects.Live.Get(ctx, client.ObjectKey{Name: tenant}, &namespace); err != nil {
		return fmt.Errorf("reading Namespace %s: %w", tenant, err)
	}
	if !hosting.Allows(pool, namespace.Labels) {
		return badRequest(sentence, pool.Name)
	}
	return nil
}
