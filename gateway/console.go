package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/console"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/internal/mtls"
)

// linkPurpose is what the key of the console's links is derived for.
const linkPurpose = "links to files of recordings"

// peopleTimeout bounds the wait for the Connections of a tenant whom nobody has asked for before.
const peopleTimeout = 3 * time.Second

// watched is a cache of what only the console shows. A gateway is ready without it: rooms must not
// depend on the console's rights.
type watched struct {
	cache.Cache
	recordings, events cache.Informer
}

// newWatched returns the cache, not started, of the Recordings of all namespaces and of the Events
// of this project's objects.
func newWatched(ctx context.Context, kubernetes *rest.Config, scheme *runtime.Scheme, mapper meta.RESTMapper) (*watched, error) {
	opened, err := cache.New(kubernetes, cache.Options{
		Scheme:           scheme,
		Mapper:           mapper,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Event{}: {
				Field:     fields.OneTermEqualSelector("involvedObject.apiVersion", v1alpha1.GroupVersion.String()),
				Transform: console.TrimEvent,
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("building the cache of the console: %w", err)
	}
	w := &watched{Cache: opened}
	if w.recordings, err = opened.GetInformer(ctx, &v1alpha1.Recording{}); err != nil {
		return nil, fmt.Errorf("watching Recordings: %w", err)
	}
	if w.events, err = opened.GetInformer(ctx, &corev1.Event{}); err != nil {
		return nil, fmt.Errorf("watching Events: %w", err)
	}
	return w, nil
}

// Recordings implements console.Watched.
func (w *watched) Recordings() bool { return w.recordings.HasSynced() }

// Events implements console.Watched.
func (w *watched) Events() bool { return w.events.HasSynced() }

// newConsole returns the console over what a gateway knows of the cluster.
func newConsole(c *cluster, config Config, wrong *failures.Counter, address func(*http.Request) netip.Prefix, files *recorders, identity *tls.Config,
	registry prometheus.Registerer,
) (*console.Console, error) {
	return console.New(console.Config{
		Tenants: c.tenants, Failures: wrong, Address: address, Live: c.live, Reader: c.cache, Watched: c.watched, People: c.people,
		Files: files, LinkKey: func() ([]byte, error) {
			certificate, err := identity.GetClientCertificate(nil)
			if err != nil {
				return nil, err
			}
			return mtls.DeriveKey(certificate, linkPurpose)
		},
		Namespace: config.Namespace, Class: config.Class, Registry: registry,
	})
}

// people returns the Connections of a tenant's namespace, from the cache. Elsewhere the gateway has
// no rights on them.
func (c *cluster) people(ctx context.Context, namespace string) ([]v1alpha1.Connection, error) {
	known := false
	for _, secrets := range []client.Reader{c.cache, c.projectSecrets} {
		var list corev1.SecretList
		if err := secrets.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("looking up the tenants: %w", err)
		}
		known = known || len(list.Items) > 0
	}
	if !known {
		return nil, console.ErrPeopleUnseen
	}
	ctx, cancel := context.WithTimeout(ctx, peopleTimeout)
	defer cancel()
	var connections v1alpha1.ConnectionList
	if err := c.objects.Cached.List(ctx, &connections, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading the Connections of a tenant: %w", err)
	}
	return connections.Items, nil
}
