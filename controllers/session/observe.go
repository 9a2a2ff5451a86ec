package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/internal/hosting"
	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/token"
)

// observed is everything that a pass over a Session knows.
type observed struct {
	session *v1alpha1.Session
	// pool that hosts it; nil when there is none.
	pool *v1alpha1.MediaPool
	// foreign says that the pool does not host the Sessions of this namespace.
	foreign bool
	// rival is the Session that has the same identifier; nil when there is none.
	rival *v1alpha1.Session
	// room is where its room is and what is known of it.
	room rooms.View
	// pod is how its pod stands, standby how the one stands that follows the room; Lost when there
	// is none.
	pod, standby fleet.PodView
	// candidates are the pods of the pool that can take rooms.
	candidates []placement.Candidate
	// begun says that the beginning of the Session was told of.
	begun bool
	// keys are the signing keys, identity what is derived by them of a Connection.
	keys     token.Keys
	identity func(*v1alpha1.Connection) desired.Identity
	// defaultNamespace is the tenant whose routing keys carry no namespace.
	defaultNamespace string
	// media is where no ICE server may be.
	media *desired.MediaAddresses
	// connections of the Session that are not being deleted; leaving are those that are. Those that
	// came too late for it are in neither. They are the cache's own and not to be changed.
	connections, leaving []*v1alpha1.Connection
	// recordings of the Session, by creation, as they are in the cache.
	recordings []*v1alpha1.Recording
	// due is from when on it is garbage unless somebody joins it; zero is never.
	due time.Time
	now time.Time
}

// observe reads everything: what is known of the room, and only then the cache, so that what is
// built of it meets every need that is known.
func (r *Reconciler) observe(ctx context.Context, session *v1alpha1.Session) (observed, error) {
	o := observed{
		session: session, now: r.Clock.Now(), due: r.Garbage.due(session), begun: r.Events.Known(session.UID),
		defaultNamespace: r.DefaultNamespace, media: r.Media,
	}
	r.look(&o)
	var err error
	if o.keys, err = r.Keys.SigningKeys(ctx); err != nil {
		return o, fmt.Errorf("reading the signing keys: %w", err)
	}
	o.identity = func(c *v1alpha1.Connection) desired.Identity { return r.Identities.Of(session.UID, o.keys, c) }
	var pools v1alpha1.MediaPoolList
	if err := r.Client.List(ctx, &pools, client.DisableReadYourWritesConsistency); err != nil {
		return o, fmt.Errorf("listing MediaPools: %w", err)
	}
	o.pool = naming.PoolOf(session, pools.Items)
	if o.foreign, err = r.foreign(ctx, session.Namespace, o.pool); err != nil {
		return o, err
	}
	same, err := r.sameID(ctx, session)
	if err != nil {
		return o, err
	}
	o.rival = rival(session, same, func(s *v1alpha1.Session) bool { return r.Rooms.IsAssigned(s.UID) })

	var connections v1alpha1.ConnectionList
	err = r.Client.List(ctx, &connections, client.InNamespace(session.Namespace), client.MatchingFields{v1alpha1.SessionNameField: session.Name},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return o, fmt.Errorf("listing Connections: %w", err)
	}
	for i := range connections.Items {
		switch c := &connections.Items[i]; {
		case late(session, c):
		case !c.DeletionTimestamp.IsZero():
			o.leaving = append(o.leaving, c)
		default:
			o.connections = append(o.connections, c)
		}
	}
	if o.recordings, err = r.recordings(ctx, session); err != nil {
		return o, err
	}
	if o.pool != nil && o.pool.DeletionTimestamp.IsZero() {
		for _, pod := range r.Fleet.Pods(o.pool.Name) {
			if pod.Usable {
				o.candidates = append(o.candidates, placement.Candidate{
					Pod: pod.Name, Node: pod.Node,
					MaxSessions: o.pool.Spec.Capacity.Sessions, MaxConnections: o.pool.Spec.Capacity.Connections,
				})
			}
		}
	}
	return o, nil
}

// foreign says whether a pool does not host the Sessions of a namespace. One that the cache has not
// seen yet has no labels.
func (r *Reconciler) foreign(ctx context.Context, name string, pool *v1alpha1.MediaPool) (bool, error) {
	if pool == nil || hosting.Open(pool) {
		return false, nil
	}
	var namespace corev1.Namespace
	if err := r.Client.Get(ctx, types.NamespacedName{Name: name}, &namespace); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading Namespace %s: %w", name, err)
	}
	return !hosting.Allows(pool, namespace.Labels), nil
}

// late says that a Connection was made when its Session was being deleted already. It waits for the
// next one with the name: if the deletion took it along, it would not end for as long as others
// come. Times are whole seconds, so one of the same second is not late.
func late(session *v1alpha1.Session, c *v1alpha1.Connection) bool {
	return !session.DeletionTimestamp.IsZero() && c.CreationTimestamp.After(session.DeletionTimestamp.Time)
}

// look reads what is known of the room and its pod now.
func (r *Reconciler) look(o *observed) {
	o.room = r.Rooms.Session(o.session.UID)
	o.pod, o.standby = r.view(o.room.Pod), r.view(o.room.Standby.Pod)
}

// view returns how a pod stands; "" is none.
func (r *Reconciler) view(pod string) fleet.PodView {
	if pod == "" {
		return fleet.PodView{State: fleet.Lost}
	}
	return r.Fleet.Pod(pod)
}

// sameID returns the Sessions of the namespace with the same identifier.
func (r *Reconciler) sameID(ctx context.Context, session *v1alpha1.Session) ([]v1alpha1.Session, error) {
	var list v1alpha1.SessionList
	err := r.Client.List(ctx, &list, client.InNamespace(session.Namespace), client.MatchingFields{IDField: naming.SessionID(session)},
		client.DisableReadYourWritesConsistency)
	if err != nil {
		return nil, fmt.Errorf("listing Sessions: %w", err)
	}
	return list.Items, nil
}

// rival returns the Session that has the identifier in place of this one; nil when there is none.
func rival(session *v1alpha1.Session, same []v1alpha1.Session, placed func(*v1alpha1.Session) bool) *v1alpha1.Session {
	holder := naming.Holder(append(same, *session), placed)
	if holder.UID == session.UID {
		return nil
	}
	return holder
}

// leaves says whether the Session's Connections have not all gone.
func (o observed) leaves() bool {
	return len(o.connections)+len(o.leaving) > 0
}

// finalizing says whether a Session carries the finalizer.
func (o observed) finalizing() bool {
	return slices.Contains(o.session.Finalizers, v1alpha1.SessionFinalizer)
}
