package objects

import (
	"context"
	"slices"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lookAgain is how often somebody who waits looks without having been woken: the watch may be
// interrupted.
const lookAgain = time.Second

// changes wakes those who wait for a change of an object of one kind. The zero value works. Safe
// for concurrent use.
type changes struct {
	mu      sync.Mutex                             // guards waiting
	waiting map[client.ObjectKey][]chan<- struct{} // object -> who waits for it
}

// watch wakes on an informer's events.
func (c *changes) watch(informer interface {
	AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error)
}) error {
	_, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    c.notify,
		UpdateFunc: func(_, object any) { c.notify(object) },
		DeleteFunc: c.notify,
	})
	return err
}

func (c *changes) notify(object any) {
	if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	changed, ok := object.(client.Object)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, wake := range c.waiting[client.ObjectKeyFromObject(changed)] {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// await looks at once, after each change of an object and now and then, until look is done or
// fails: with nil, with the error of look, with ErrWaitedTooLong after a while, or with the
// context's error.
func (c *changes) await(ctx context.Context, atMost time.Duration, object client.ObjectKey, look func() (done bool, err error)) error {
	wake := make(chan struct{}, 1)
	c.enter(object, wake)
	defer c.leave(object, wake)

	deadline := time.NewTimer(atMost)
	defer deadline.Stop()
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-wake:
		case <-ticker.C:
		case <-deadline.C:
			return ErrWaitedTooLong
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *changes) enter(object client.ObjectKey, wake chan<- struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = map[client.ObjectKey][]chan<- struct{}{}
	}
	c.waiting[object] = append(c.waiting[object], wake)
}

func (c *changes) leave(object client.ObjectKey, wake chan<- struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[object] = slices.DeleteFunc(c.waiting[object], func(other chan<- struct{}) bool { return other == wake })
	if len(c.waiting[object]) == 0 {
		delete(c.waiting, object)
	}
}
