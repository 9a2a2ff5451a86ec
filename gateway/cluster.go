package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/gateway/tenant"
)

// cluster is what a gateway knows of the cluster: caches of all Sessions, of the media pods, of the
// tenants' secrets, and a way to those of each tenant's Connections.
type cluster struct {
	cache cache.Cache
	// projectSecrets is a cache of its own: a cache selects the objects of a kind by one name.
	projectSecrets cache.Cache
	objects        *objects.Store
	rooms          *route.Directory
	tenants        *tenant.Directory
	projects       *tenant.Projects
	notices        *tenant.Notices
	live           client.Client
	// watched is what only the console needs; nil without one.
	watched *watched
	synced  atomic.Bool
}

func newCluster(ctx context.Context, kubernetes *rest.Config, config Config) (*cluster, error) {
	// The API server's own priority and fairness is what bounds us, not a bucket of the client's.
	kubernetes = rest.CopyConfig(kubernetes)
	kubernetes.QPS = -1

	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	// The kinds are known: nothing needs to be asked before the API server can be reached.
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, known := range []struct {
		kind  schema.GroupVersionKind
		scope meta.RESTScope
	}{
		{v1alpha1.GroupVersion.WithKind("Session"), meta.RESTScopeNamespace},
		{v1alpha1.GroupVersion.WithKind("Connection"), meta.RESTScopeNamespace},
		{v1alpha1.GroupVersion.WithKind("MediaPool"), meta.RESTScopeRoot},
		{v1alpha1.GroupVersion.WithKind("Recording"), meta.RESTScopeNamespace},
		{v1alpha1.GroupVersion.WithKind("Webhook"), meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot},
		{corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion.WithKind("Event"), meta.RESTScopeNamespace},
		{authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), meta.RESTScopeRoot},
		{authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), meta.RESTScopeRoot},
	} {
		mapper.Add(known.kind, known.scope)
		// A cache of some namespaces only looks up the scope of lists by their own kind.
		mapper.Add(known.kind.GroupVersion().WithKind(known.kind.Kind+"List"), known.scope)
	}

	component, err := labels.NewRequirement(v1alpha1.ComponentLabel, selection.In, []string{v1alpha1.ComponentMediaPod, v1alpha1.ComponentRecorder})
	if err != nil {
		return nil, fmt.Errorf("selecting pods: %w", err)
	}
	ours := labels.NewSelector().Add(*component)
	cached, err := cache.New(kubernetes, cache.Options{
		Scheme:           scheme,
		Mapper:           mapper,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Namespaces: map[string]cache.Config{
				config.Namespace: {LabelSelector: ours},
			}},
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("metadata.name", tenant.SecretName)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("building the cache: %w", err)
	}
	projectSecrets, err := cache.New(kubernetes, cache.Options{
		Scheme:           scheme,
		Mapper:           mapper,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("metadata.name", tenant.ProjectSecretName)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("building the cache of OpenTok projects: %w", err)
	}
	live, err := client.New(kubernetes, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	rooms, err := route.NewDirectory(ctx, cached, config.Namespace, config.DefaultTenantNamespace)
	if err != nil {
		return nil, err
	}
	store, err := objects.New(ctx, cached, func(namespace string) (cache.Cache, error) {
		return cache.New(kubernetes, cache.Options{
			Scheme: scheme, Mapper: mapper, DefaultTransform: cache.TransformStripManagedFields(), DefaultNamespaces: map[string]cache.Config{namespace: {}},
		})
	}, live)
	if err != nil {
		return nil, err
	}
	store.Class = config.Class
	tenants := &tenant.Directory{Reader: cached}
	c := &cluster{
		cache: cached, projectSecrets: projectSecrets, objects: store, rooms: rooms,
		tenants: tenants, projects: &tenant.Projects{Reader: projectSecrets}, notices: tenant.NewNotices(tenants, live), live: live,
	}
	if config.Console {
		if c.watched, err = newWatched(ctx, kubernetes, scheme, mapper); err != nil {
			return nil, err
		}
	}
	return c, c.watchTenants(ctx)
}

// watchTenants notes the end of tenants, and passwords that can't be used. The Secrets are there
// before the first request, since their informers are asked for now.
func (c *cluster) watchTenants(ctx context.Context) error {
	err := watchSecrets(ctx, c.cache, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.notices.Changed() },
		UpdateFunc: func(any, any) { c.notices.Changed() },
		DeleteFunc: func(object any) {
			c.forget(object)
			c.notices.Changed()
		},
	})
	if err != nil {
		return fmt.Errorf("watching the REST secrets: %w", err)
	}
	if err := watchSecrets(ctx, c.projectSecrets, toolscache.ResourceEventHandlerFuncs{DeleteFunc: c.forget}); err != nil {
		return fmt.Errorf("watching the OpenTok projects: %w", err)
	}
	return nil
}

func watchSecrets(ctx context.Context, secrets cache.Cache, handler toolscache.ResourceEventHandler) error {
	informer, err := secrets.GetInformer(ctx, &corev1.Secret{})
	if err == nil {
		_, err = informer.AddEventHandler(handler)
	}
	return err
}

// forget drops what is kept for the tenant of a Secret that is gone. If the tenant has another one,
// it is read again.
func (c *cluster) forget(object any) {
	if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	if secret, ok := object.(*corev1.Secret); ok {
		c.objects.Forget(secret.Namespace)
	}
}

// run fills the caches until the context ends.
func (c *cluster) run(ctx context.Context) error {
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return c.cache.Start(ctx) })
	running.Go(func() error { return c.projectSecrets.Start(ctx) })
	if c.watched != nil {
		running.Go(func() error { return c.watched.Start(ctx) })
	}
	if err := running.Wait(); err != nil {
		return fmt.Errorf("running the caches: %w", err)
	}
	return nil
}

// waitForSync returns true when the caches are filled, false when either context ended before.
func (c *cluster) waitForSync(told, serving context.Context) bool {
	both, cancel := context.WithCancel(serving)
	defer cancel()
	defer context.AfterFunc(told, cancel)()
	synced := c.cache.WaitForCacheSync(both) && c.projectSecrets.WaitForCacheSync(both)
	c.synced.Store(synced)
	return synced
}
