// Package status is the authority on how controllers write the statuses of their objects: as one
// field owner per controller, by server-side apply; at once when somebody waits for the change,
// else at most once in an interval.
//
// A controller derives the whole status from what it has observed and hands it to its Writer. The
// Writer owns every field of the status: what it no longer applies goes, whoever wrote it.
package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const (
	// DefaultInterval is the least time between two writes that nobody waits for.
	DefaultInterval = time.Second
	// Patience is how long a write waits for an answer that is about to come.
	Patience = 250 * time.Millisecond
)

// Urgency says how soon a changed status has to be written. A change of a condition, but for its
// message, is never Lazy.
type Urgency int

// Urgencies.
const (
	// Lazy: nobody waits for it.
	Lazy Urgency = iota
	// Awaiting: a media pod is about to answer, and its answer belongs into the same write.
	Awaiting
	// Urgent: somebody waits for it.
	Urgent
)

// Writer writes the statuses of the objects of one kind. Safe for concurrent use, for one object by
// one caller at a time.
type Writer[O client.Object, S any] struct {
	Client client.Client
	// Owner of the fields; no other writer uses it.
	Owner client.FieldOwner
	Clock clock.PassiveClock
	// Status returns where an object has its status, Conditions where a status has its conditions.
	Status     func(O) *S
	Conditions func(*S) *[]metav1.Condition
	// Interval is the least time between two writes that nobody waits for; 0 is DefaultInterval.
	Interval time.Duration
	// Pause is the least time between any two writes; 0 is none.
	Pause time.Duration

	mu     sync.Mutex // guards writes
	writes map[types.NamespacedName]times
}

// times are when a status was written last, and since when a write waits for an answer.
type times struct {
	written, awaiting time.Time
}

// Write gives an object a status. It says whether it wrote it, so that Events follow; if there is
// something to write and it is too early, it returns after which wait the caller has to come again.
// An object that is gone is no error.
func (w *Writer[O, S]) Write(ctx context.Context, object O, status S, urgency Urgency) (written bool, wait time.Duration, err error) {
	current := w.Status(object)
	if equality.Semantic.DeepEqual(*current, status) {
		return false, 0, nil
	}
	if urgency == Lazy && !sameConditions(*w.Conditions(current), *w.Conditions(&status)) {
		urgency = Urgent
	}
	name, now := client.ObjectKeyFromObject(object), w.Clock.Now()
	if wait := w.delay(name, urgency, now); wait > 0 {
		return false, wait, nil
	}
	before := *current
	*current = status
	if err := w.apply(ctx, object, status); err != nil {
		*current = before
		return false, 0, client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	w.wrote(name, now)
	return true, 0, nil
}

// Unobserved has the Ready condition of an object say that the object could not be observed, and
// leaves the rest of its status as it was seen last. It returns the cause, and with it what went
// wrong writing that.
func (w *Writer[O, S]) Unobserved(ctx context.Context, object O, cause error) error {
	seen, ok := object.DeepCopyObject().(O)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}
	status := w.Status(seen)
	SetConditions(w.Conditions(status), object.GetGeneration(), w.Clock.Now(), metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotObserved,
		Message: "the status is as it was seen last: " + cause.Error(),
	})
	_, _, err := w.Write(ctx, object, *status, Lazy)
	return errors.Join(cause, err)
}

// apply applies a status. A field that it no longer has stays when another owns it, too: an
// operator of before server-side apply, or somebody by hand. A field that is removed is nobody's.
func (w *Writer[O, S]) apply(ctx context.Context, object O, status S) error {
	wanted, err := json.Marshal(status)
	if err != nil {
		return err
	}
	kind, err := w.Client.GroupVersionKindFor(object)
	if err != nil {
		return err
	}
	version, name := kind.ToAPIVersionAndKind()
	data, err := json.Marshal(map[string]any{
		"apiVersion": version, "kind": name,
		"metadata": map[string]any{"namespace": object.GetNamespace(), "name": object.GetName()},
		"status":   json.RawMessage(wanted),
	})
	if err != nil {
		return err
	}
	patch := client.RawPatch(types.ApplyPatchType, data)
	if err := w.Client.Status().Patch(ctx, object, patch, w.Owner, client.ForceOwnership); err != nil {
		return err
	}
	if got, err := json.Marshal(w.Status(object)); err != nil || bytes.Equal(got, wanted) {
		return err
	}
	left, ok := object.DeepCopyObject().(O)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}
	*w.Status(object) = status
	return w.Client.Status().Patch(ctx, object, client.MergeFrom(left), w.Owner)
}

// delay returns how long a write has to wait; 0 is now.
func (w *Writer[O, S]) delay(name types.NamespacedName, urgency Urgency, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.writes[name]
	from := last.written.Add(w.Pause)
	switch urgency {
	case Lazy:
		from = last.written.Add(max(w.Pause, w.interval()))
	case Awaiting:
		if last.awaiting.IsZero() {
			last.awaiting = now
			w.set(name, last)
		}
		from = last.awaiting.Add(Patience)
	}
	return max(0, from.Sub(now))
}

func (w *Writer[O, S]) interval() time.Duration {
	if w.Interval == 0 {
		return DefaultInterval
	}
	return w.Interval
}

func (w *Writer[O, S]) wrote(name types.NamespacedName, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set(name, times{written: now})
}

// set remembers the times of an object. The Writer is locked.
func (w *Writer[O, S]) set(name types.NamespacedName, t times) {
	if w.writes == nil {
		w.writes = make(map[types.NamespacedName]times)
	}
	w.writes[name] = t
}

// Forget drops what is remembered of an object that is gone.
func (w *Writer[O, S]) Forget(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.writes, name)
}
