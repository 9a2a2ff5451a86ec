package webhook

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/controllers/eventlog"
)

// Log is where the events come from.
type Log interface {
	Add(tenant string, recipient eventlog.Recipient)
	Remove(tenant string, recipient eventlog.Recipient)
	Done(entry *eventlog.Entry, recipient eventlog.Recipient)
}

// Deliverer holds the endpoints of all Webhooks. Safe for concurrent use.
type Deliverer struct {
	log    Log
	logger logr.Logger
	pauses pauses
	wake   func(types.NamespacedName)
	ctx    context.Context //nolint:containedctx // the life of all attempts, which begin whenever an event comes
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu        sync.Mutex // guards endpoints
	endpoints map[types.NamespacedName]*endpoint
}

// NewDeliverer returns one without endpoints. wake is called when a Webhook's status has to be
// looked at; it must not block.
func NewDeliverer(from Log, wake func(types.NamespacedName)) *Deliverer {
	ctx, cancel := context.WithCancel(context.Background())
	return &Deliverer{
		log: from, logger: log.Log.WithName("webhook"), pauses: usualPauses, wake: wake, ctx: ctx, cancel: cancel,
		endpoints: make(map[types.NamespacedName]*endpoint),
	}
}

// Start waits until the context ends, and then until nothing is on its way any more.
func (d *Deliverer) Start(ctx context.Context) error {
	<-ctx.Done()
	d.stop()
	return nil
}

// stop begins nothing any more, and returns when nothing is on its way.
func (d *Deliverer) stop() {
	d.cancel()
	d.mu.Lock()
	for _, e := range d.endpoints {
		e.close()
	}
	d.mu.Unlock()
	d.group.Wait()
}

// configure sets how a Webhook is served; one that is not known gets events from now on.
func (d *Deliverer) configure(name types.NamespacedName, s settings) {
	d.mu.Lock()
	e, known := d.endpoints[name]
	if !known {
		e = &endpoint{
			name: name, done: d.log.Done, wake: d.wake, log: d.logger.WithValues("Webhook", name), pauses: d.pauses,
			ctx: d.ctx,
		}
		e.begin(&d.group)
		d.endpoints[name] = e
	}
	e.configure(s)
	d.mu.Unlock()
	if !known {
		d.log.Add(name.Namespace, e)
	}
}

// forget ends a Webhook. The events that wait for it are given up.
func (d *Deliverer) forget(name types.NamespacedName) {
	d.mu.Lock()
	e, known := d.endpoints[name]
	delete(d.endpoints, name)
	d.mu.Unlock()
	if known {
		d.log.Remove(name.Namespace, e)
		e.close()
	}
}

// observe returns what is seen of a Webhook's endpoint.
func (d *Deliverer) observe(name types.NamespacedName) state {
	d.mu.Lock()
	e, known := d.endpoints[name]
	d.mu.Unlock()
	if !known {
		return state{}
	}
	return e.observe()
}
