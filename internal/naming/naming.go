// Package naming is the single authority on what Sessions are called, which of several has a
// session id that all of them ask for, and which pool is meant by none.
package naming

import (
	"cmp"
	"slices"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/class"
)

// SessionID returns the identifier of a Session that clients see.
func SessionID(session *v1alpha1.Session) string {
	return cmp.Or(session.Spec.SessionID, session.Name)
}

// RoutingKey returns what clients put into sessionId= of the WebSocket's URL. It is unique over the
// cluster: the session id itself in the default namespace, NAMESPACE.SESSIONID in the others (a
// session id has no dot).
func RoutingKey(namespace, sessionID, defaultNamespace string) string {
	if namespace == defaultNamespace {
		return sessionID
	}
	return namespace + "." + sessionID
}

// RoutingKeyOf returns the routing key of a Session.
func RoutingKeyOf(session *v1alpha1.Session, defaultNamespace string) string {
	return RoutingKey(session.Namespace, SessionID(session), defaultNamespace)
}

// Holder returns which of the Sessions of one namespace with one session id has it: the oldest.
// Creation times are whole seconds: of equals the one that is placed on a media pod has it, else
// the first by UID. nil is for no Sessions. Whoever has no better knowledge of what is placed asks
// Placed.
func Holder(sessions []v1alpha1.Session, placed func(*v1alpha1.Session) bool) *v1alpha1.Session {
	var holder *v1alpha1.Session
	for i := range sessions {
		if other := &sessions[i]; holder == nil || before(other, holder, placed) {
			holder = other
		}
	}
	return holder
}

// Placed says whether a Session is placed on a media pod, by its status.
func Placed(session *v1alpha1.Session) bool { return session.Status.PodName != "" }

func before(a, b *v1alpha1.Session, placed func(*v1alpha1.Session) bool) bool {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c < 0
	}
	if p := placed(a); p != placed(b) {
		return p
	}
	return a.UID < b.UID
}

// PoolOf returns the pool that hosts a Session: the one that it names, or else the one that it was
// put on, or else the default pool. nil when there is none.
func PoolOf(session *v1alpha1.Session, pools []v1alpha1.MediaPool) *v1alpha1.MediaPool {
	name := cmp.Or(session.Spec.PoolName, session.Status.PoolName)
	i := slices.IndexFunc(pools, func(pool v1alpha1.MediaPool) bool { return pool.Name == name })
	switch {
	case i >= 0:
		return &pools[i]
	case session.Spec.PoolName != "":
		return nil
	}
	return DefaultPool(pools, "")
}

// DefaultPool returns the oldest pool of an installation that carries the annotation, of equals the
// first by name; nil when there is none.
func DefaultPool(pools []v1alpha1.MediaPool, installation class.Name) *v1alpha1.MediaPool {
	var found *v1alpha1.MediaPool
	for i := range pools {
		pool := &pools[i]
		if pool.Annotations[v1alpha1.DefaultPoolAnnotation] != "true" || !installation.OwnsPool(pool) {
			continue
		}
		if found == nil || cmp.Or(pool.CreationTimestamp.Compare(found.CreationTimestamp.Time), cmp.Compare(pool.Name, found.Name)) < 0 {
			found = pool
		}
	}
	return found
}
