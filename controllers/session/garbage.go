package session

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/internal/creation"
)

// Garbage says when a Session that the REST API made, and that nobody has ever joined, is deleted
// (openvidu-rest 8.4). Sessions that a person or Git made stay.
type Garbage struct {
	// Interval is how often garbage is collected: at its multiples, counted from 1970, UTC. 0 is
	// never.
	Interval time.Duration
	// Threshold is the least age of garbage.
	Threshold time.Duration
}

// due returns from when on a Session that nobody joins is garbage that is collected; the zero time
// is never.
func (g Garbage) due(session *v1alpha1.Session) time.Time {
	_, byREST := session.Annotations[creation.Annotation]
	if g.Interval <= 0 || !byREST || session.Spec.WhenEmpty != v1alpha1.WhenEmptyDelete {
		return time.Time{}
	}
	return g.next(time.UnixMilli(creation.Milliseconds(session)).Add(g.Threshold))
}

// next returns the first collection at a time or after it.
func (g Garbage) next(from time.Time) time.Time {
	since := time.Duration(from.UnixNano())
	return time.Unix(0, int64((since + g.Interval - 1).Truncate(g.Interval)))
}

// waste says whether a Session is garbage now, provided that nobody has ever been in its room: that
// is what emptied is for.
func waste(o observed) bool {
	if o.due.IsZero() || o.now.Before(o.due) || count(o, v1alpha1.ConnectionStateActive) > 0 || leavingActive(o) {
		return false
	}
	// Only the pod knows whether somebody has come just now.
	return o.room.Pod == "" || o.pod.State == fleet.Synced
}

// untilCollection returns when to look again for garbage; 0 is never. One that is due but can't be
// collected now has another chance at the next collection.
func (r *Reconciler) untilCollection(o observed) time.Duration {
	switch {
	case o.due.IsZero() || o.room.Visited:
		return 0
	case o.now.Before(o.due):
		return o.due.Sub(o.now)
	}
	return r.Garbage.next(o.now.Add(1)).Sub(o.now)
}

// collect deletes a Session as garbage. First it is marked, so that nobody is told of its end,
// whoever finishes its deletion. Both writes need the Session to be as it was read.
func (r *Reconciler) collect(ctx context.Context, o *observed) error {
	if o.session.Annotations[v1alpha1.CollectedAnnotation] != "true" {
		before := o.session.DeepCopy()
		metav1.SetMetaDataAnnotation(&o.session.ObjectMeta, v1alpha1.CollectedAnnotation, "true")
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, o.session, patch, FieldOwner); err != nil {
			o.session = before
			return client.IgnoreNotFound(fmt.Errorf("marking the Session as garbage: %w", err))
		}
	}
	uid, version := o.session.UID, o.session.ResourceVersion
	err := r.Client.Delete(ctx, o.session, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the Session: %w", err)
	}
	return nil
}
