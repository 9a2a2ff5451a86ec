package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// syncTimeout bounds the wait for a tenant's cache to be filled.
const syncTimeout = 5 * time.Second

// members is caches of Connections, one per tenant: the gateway has rights on Connections, and so
// on tokens, in the namespaces of tenants only. A cache starts when it is first asked for. Safe for
// concurrent use.
type members struct {
	open    func(namespace string) (cache.Cache, error)
	changes *changes
	// running is what caches run under.
	running context.Context

	mu     sync.Mutex            // guards what follows
	caches map[string]*oneTenant // namespace -> its cache
	closed bool
}

type oneTenant struct {
	cache cache.Cache
	end   context.CancelFunc
	ended chan struct{}
}

// in returns the filled cache of a namespace.
func (m *members) in(ctx context.Context, namespace string) (cache.Cache, error) {
	tenant, err := m.of(namespace)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if !tenant.cache.WaitForCacheSync(ctx) {
		return nil, ErrTenantNotSeen
	}
	return tenant.cache, nil
}

func (m *members) of(namespace string) (*oneTenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tenant := m.caches[namespace]; tenant != nil {
		return tenant, nil
	}
	if m.closed {
		return nil, errors.New("the gateway has stopped")
	}
	opened, err := m.open(namespace)
	if err != nil {
		return nil, fmt.Errorf("building the cache of a tenant: %w", err)
	}
	running, end := context.WithCancel(m.running)
	if err := m.prepare(running, opened); err != nil {
		end()
		return nil, err
	}
	tenant := &oneTenant{cache: opened, end: end, ended: make(chan struct{})}
	go func() {
		defer close(tenant.ended)
		if err := opened.Start(running); err != nil && running.Err() == nil {
			logr.FromContextOrDiscard(running).Error(err, "Running the cache of a tenant", "namespace", namespace)
		}
	}()
	if m.caches == nil {
		m.caches = map[string]*oneTenant{}
	}
	m.caches[namespace] = tenant
	return tenant, nil
}

func (m *members) prepare(ctx context.Context, opened cache.Cache) error {
	if err := opened.IndexField(ctx, &v1alpha1.Connection{}, connectionIDIndex, indexConnection); err != nil {
		return fmt.Errorf("indexing Connections: %w", err)
	}
	informer, err := opened.GetInformer(ctx, &v1alpha1.Connection{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching Connections: %w", err)
	}
	if err := m.changes.watch(informer); err != nil {
		return fmt.Errorf("watching Connections: %w", err)
	}
	return nil
}

// forget ends the cache of a namespace.
func (m *members) forget(namespace string) {
	m.mu.Lock()
	tenant := m.caches[namespace]
	delete(m.caches, namespace)
	m.mu.Unlock()
	if tenant != nil {
		tenant.end()
	}
}

// close ends all caches, and returns when they have ended.
func (m *members) close() {
	m.mu.Lock()
	caches := m.caches
	m.caches, m.closed = nil, true
	m.mu.Unlock()
	for _, tenant := range caches {
		tenant.end()
	}
	for _, tenant := range caches {
		<-tenant.ended
	}
}

// cached reads what the gateway has in its caches: Connections from those of the tenants,
// everything else from one.
type cached struct {
	shared  client.Reader
	members *members
}

// Get implements client.Reader.
func (c cached) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*v1alpha1.Connection); !ok {
		return c.shared.Get(ctx, key, object, options...)
	}
	connections, err := c.members.in(ctx, key.Namespace)
	if err != nil {
		return err
	}
	return connections.Get(ctx, key, object, options...)
}

// List implements client.Reader. Connections are listed of one namespace only.
func (c cached) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.ConnectionList); !ok {
		return c.shared.List(ctx, list, options...)
	}
	connections, err := c.members.in(ctx, (&client.ListOptions{}).ApplyOptions(options).Namespace)
	if err != nil {
		return err
	}
	return connections.List(ctx, list, options...)
}
