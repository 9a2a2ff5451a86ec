// Package class is the authority on which of several installations in a cluster an object belongs
// to. An installation has a class, its name. A MediaPool and a Webhook name theirs; a Session goes
// with its pool, a Connection with its Session, and so does a Recording until a pool records it.
// What names no class, and a Session that names no pool, belongs to the installation without a
// class.
//
// It is pure, so all installations come to the same answer from the same objects. While their
// caches differ, for an instant after a pool was made, two may take a Session for theirs; the one
// that is wrong then writes no more than a status.
package class

import (
	"slices"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Name is the class of an installation; "" is the installation without one.
type Name string

// OwnsPool says whether a MediaPool is the installation's.
func (n Name) OwnsPool(pool *v1alpha1.MediaPool) bool { return pool.Spec.ClassName == string(n) }

// OwnsWebhook says whether a Webhook is the installation's.
func (n Name) OwnsWebhook(hook *v1alpha1.Webhook) bool { return hook.Spec.ClassName == string(n) }

// OwnsSession says whether a Session is the installation's, given all MediaPools. One whose pool
// does not exist belongs to the installation without a class. While it is being deleted it belongs
// to all: there are no rooms of a pool that is gone, and nobody may have to wait for an
// installation that is not there.
func (n Name) OwnsSession(session *v1alpha1.Session, pools []v1alpha1.MediaPool) bool {
	if session.Spec.PoolName == "" {
		return n == ""
	}
	i := slices.IndexFunc(pools, func(pool v1alpha1.MediaPool) bool { return pool.Name == session.Spec.PoolName })
	if i >= 0 {
		return n.OwnsPool(&pools[i])
	}
	return n == "" || !session.DeletionTimestamp.IsZero()
}

// OwnsConnection says whether a Connection is the installation's, given its Session, nil for none,
// and all MediaPools. What holds for a Session without a pool holds for a Connection without a
// Session.
func (n Name) OwnsConnection(connection *v1alpha1.Connection, session *v1alpha1.Session, pools []v1alpha1.MediaPool) bool {
	if session == nil {
		return n == "" || !connection.DeletionTimestamp.IsZero()
	}
	return n.OwnsSession(session, pools)
}

// OwnsRecording says whether a Recording is the installation's, given its Session, nil for none,
// and all MediaPools. Once a pool has begun to record it, it goes with that pool. What holds for a
// Session without a pool holds for a Recording without either.
func (n Name) OwnsRecording(recording *v1alpha1.Recording, session *v1alpha1.Session, pools []v1alpha1.MediaPool) bool {
	if recording.Status.PoolName == "" && session != nil {
		return n.OwnsSession(session, pools)
	}
	i := slices.IndexFunc(pools, func(pool v1alpha1.MediaPool) bool { return pool.Name == recording.Status.PoolName })
	if i >= 0 {
		return n.OwnsPool(&pools[i])
	}
	return n == "" || !recording.DeletionTimestamp.IsZero()
}
