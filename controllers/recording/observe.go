package recording

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/internal/naming"
)

// observed is everything that a pass over a Recording knows.
type observed struct {
	recording *v1alpha1.Recording
	// session is the one that is named now; nil when there is none.
	session *v1alpha1.Session
	// pool is the one that records it, or would; nil when there is none.
	pool  *v1alpha1.MediaPool
	pools []v1alpha1.MediaPool // all
	// rival is another Recording of the Session that runs; "" when there is none.
	rival string
	// taken are the identifiers of the namespace's other Recordings.
	taken map[string]bool
	// worker is what the worker has said.
	worker egress.View
	// pod is the media pod of the room; Lost when there is none.
	pod fleet.PodView
	// folder is what stands before the identifier in the name of the folder.
	folder string
	now    time.Time
}

// observe reads everything.
func (r *Reconciler) observe(ctx context.Context, recording *v1alpha1.Recording) (observed, error) {
	o := observed{recording: recording, taken: make(map[string]bool), pod: fleet.PodView{State: fleet.Lost}, now: r.Clock.Now()}
	if recording.Namespace != r.DefaultNamespace {
		o.folder = recording.Namespace + "."
	}
	var session v1alpha1.Session
	name := types.NamespacedName{Namespace: recording.Namespace, Name: recording.Spec.SessionName}
	if err := r.Client.Get(ctx, name, &session); client.IgnoreNotFound(err) != nil {
		return o, fmt.Errorf("reading Session %s: %w", name.Name, err)
	} else if !apierrors.IsNotFound(err) {
		o.session = &session
	}
	if err := r.observePool(ctx, &o); err != nil {
		return o, err
	}
	if err := r.observeOthers(ctx, &o); err != nil {
		return o, err
	}
	if o.session != nil {
		if room := r.Rooms.Session(o.session.UID); room.Pod != "" {
			o.pod = r.Fleet.Pod(room.Pod)
		}
	}
	if pool := recording.Status.PoolName; pool != "" {
		o.worker = r.Workers.View(pool, recording.UID)
	}
	return o, nil
}

// observePool finds the pool that records: once claimed always the same.
func (r *Reconciler) observePool(ctx context.Context, o *observed) error {
	var list v1alpha1.MediaPoolList
	if err := r.Client.List(ctx, &list, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("listing MediaPools: %w", err)
	}
	o.pools = list.Items
	name := o.recording.Status.PoolName
	if name == "" && o.session != nil {
		o.pool = naming.PoolOf(o.session, list.Items)
		return nil
	}
	for i := range list.Items {
		if list.Items[i].Name == name {
			o.pool = &list.Items[i]
		}
	}
	return nil
}

// observeOthers finds what the other Recordings of the namespace have taken, also those whose claim
// the cache does not show yet.
func (r *Reconciler) observeOthers(ctx context.Context, o *observed) error {
	var list v1alpha1.RecordingList
	err := r.Client.List(ctx, &list, client.InNamespace(o.recording.Namespace), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return fmt.Errorf("listing Recordings: %w", err)
	}
	there := make(map[types.UID]bool, len(list.Items))
	for i := range list.Items {
		other := &list.Items[i]
		there[other.UID] = true
		if other.UID == o.recording.UID {
			continue
		}
		id, session, over := other.Status.RecordingID, types.UID(other.Status.SessionUID), !runs(other.Status.State) && other.Status.State != ""
		if c, claimed := r.claims[other.UID]; claimed && id == "" {
			id, session, over = c.recordingID, c.session, false
		}
		if id != "" {
			o.taken[id] = true
		}
		if o.session != nil && session == o.session.UID && !over {
			o.rival = other.Name
		}
	}
	for uid, c := range r.claims {
		if c.namespace == o.recording.Namespace && !there[uid] && uid != o.recording.UID {
			delete(r.claims, uid)
		}
	}
	return nil
}
