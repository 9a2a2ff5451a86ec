package session

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// note lets every version of a Session through, and remembers those that carry the mark.
func (o *orphans) note() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(session client.Object) bool {
		if session.GetDeletionTimestamp() != nil && slices.Contains(session.GetFinalizers(), metav1.FinalizerOrphanDependents) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.sessions == nil {
				o.sessions = make(map[types.UID]struct{})
			}
			o.sessions[session.GetUID()] = struct{}{}
		}
		return true
	})
}

// has reports whether the Connections of a Session stay.
func (o *orphans) has(session types.UID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, found := o.sessions[session]
	return found
}

// forget forgets a Session that is gone.
func (o *orphans) forget(session types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sessions, session)
}
