package session

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// orphans remembers which Sessions are deleted with the wish that their Connections stay (kubectl
// delete --cascade=orphan). The API server marks such a Session by a finalizer, which Kubernetes'
// garbage collector removes at once: nothing owns the Connections that it would have to release. A
// deletion that begins and loses its mark while no operator runs takes the Connections along. The
// zero value remembers none. Safe for concurrent use.
type orphans struct {
	mu       sync.Mutex // guards sessions
	sessions map[types.UID]struct{}
}

// watch lets everything through that happens to Sessions. It remembers those that carry the mark,
// until they are gone.
func (o *orphans) watch() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return o.note(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return o.note(e.ObjectNew) },
		DeleteFunc: func(e event.DeleteEvent) bool { return o.forget(e.Object) },
	}
}

func (o *orphans) note(session client.Object) bool {
	if session.GetDeletionTimestamp() != nil && slices.Contains(session.GetFinalizers(), metav1.FinalizerOrphanDependents) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.sessions == nil {
			o.sessions = make(map[types.UID]struct{})
		}
		o.sessions[session.GetUID()] = struct{}{}
	}
	return true
}

func (o *orphans) forget(session client.Object) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sessions, session.GetUID())
	return true
}

// has reports whether the Connections of a Session stay.
func (o *orphans) has(session types.UID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, found := o.sessions[session]
	return found
}
