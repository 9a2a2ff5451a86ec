// Package trigger is the authority on how a controller is woken for an object by something that is
// not a watch: what a media pod reported, or a decision of another controller.
package trigger

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Trigger wakes one controller. Waking never blocks, and the controller's queue makes one of
// several wake-ups. The zero value is ready to use; wake-ups before the controller has started are
// kept. Safe for concurrent use.
type Trigger struct {
	mu    sync.Mutex // guards what follows
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	early map[types.NamespacedName]struct{}
}

// Wake asks for a pass over the named object, now.
func (t *Trigger) Wake(name types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue != nil {
		t.queue.Add(reconcile.Request{NamespacedName: name})
		return
	}
	if t.early == nil {
		t.early = make(map[types.NamespacedName]struct{})
	}
	t.early[name] = struct{}{}
}

// WakeAfter asks for a pass over the named object after a while, or at once when the controller has
// not started.
func (t *Trigger) WakeAfter(name types.NamespacedName, after time.Duration) {
	t.mu.Lock()
	queue := t.queue
	t.mu.Unlock()
	if queue == nil {
		t.Wake(name)
		return
	}
	queue.AddAfter(reconcile.Request{NamespacedName: name}, after)
}

// Source is what the controller watches.
func (t *Trigger) Source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.queue = queue
		for name := range t.early {
			queue.Add(reconcile.Request{NamespacedName: name})
		}
		t.early = nil
		return nil
	})
}
