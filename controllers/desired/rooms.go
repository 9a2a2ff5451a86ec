package desired

import (
	"context"
	"crypto/hmac"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/token"
)

// Admissions says who holds a place in a room.
type Admissions interface {
	IsAdmitted(session, connection types.UID) bool
}

// Keys holds the signing keys.
type Keys interface {
	// SigningKeys returns the keys; before they are known it waits.
	SigningKeys(ctx context.Context) (token.Keys, error)
}

// Rooms reads what Room needs from the cache. Safe for concurrent use.
type Rooms struct {
	// Reader is the cache; it has the index of Connections by v1alpha1.SessionNameField.
	Reader           client.Reader
	Admissions       Admissions
	Keys             Keys
	DefaultNamespace string
	Clock            clock.PassiveClock
	Media            *MediaAddresses

	identities identities
}

// Room returns the desired state of a Session's room now, and the name of each Connection in it by UID. nil means that there is none to
// be: the Session is gone or going. seen is how far each Connection has come on any pod, as the fleet knows.
func (r *Rooms) Room(ctx context.Context, room placement.Room, seen map[types.UID]*controlv1.ConnectionStatus,
) (*controlv1.Room, map[types.UID]types.NamespacedName, error) {
	name := room.Name
	var session v1alpha1.Session
	if err := r.Reader.Get(ctx, name, &session); apierrors.IsNotFound(err) {
		r.identities.forget(room.UID)
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading Session %s: %w", name, err)
	}
	if session.UID != room.UID || !session.DeletionTimestamp.IsZero() {
		r.identities.forget(room.UID)
		return nil, nil, nil
	}
	keys, err := r.Keys.SigningKeys(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the signing keys: %w", err)
	}
	var pool v1alpha1.MediaPool
	if err := r.Reader.Get(ctx, types.NamespacedName{Name: room.Pool}, &pool); client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading MediaPool %s: %w", room.Pool, err)
	}
	var list v1alpha1.ConnectionList
	err = r.Reader.List(ctx, &list, client.InNamespace(name.Namespace), client.MatchingFields{v1alpha1.SessionNameField: name.Name},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, nil, fmt.Errorf("listing Connections of Session %s: %w", name, err)
	}
	state := func(c *v1alpha1.Connection) v1alpha1.ConnectionState {
		return participant.State(c.Status.State, seen[c.UID])
	}
	var members []v1alpha1.Connection
	names := make(map[types.UID]types.NamespacedName, len(list.Items))
	for i := range list.Items {
		c := &list.Items[i]
		if !c.DeletionTimestamp.IsZero() || c.Spec.Type == v1alpha1.ConnectionTypeIPCam {
			continue
		}
		// Who has left holds no place any more, but the pod keeps knowing about it: a status that is lost can be rebuilt.
		if r.Admissions.IsAdmitted(room.UID, c.UID) || state(c) == v1alpha1.ConnectionStateDisconnected {
			members = append(members, *c)
			names[c.UID] = client.ObjectKeyFromObject(c)
		}
	}
	identify, done := r.identities.of(room.UID, keys)
	defer done()
	desired := Room(Input{
		Session:     &session,
		IceServers:  pool.Spec.IceServers,
		Media:       r.Media,
		Bandwidth:   pool.Spec.Bandwidth,
		Connections: members,
		Spent: func(c *v1alpha1.Connection) bool {
			return state(c) != v1alpha1.ConnectionStatePending
		},
		Identities: identify,
		Left: func(c *v1alpha1.Connection) bool {
			return state(c) == v1alpha1.ConnectionStateDisconnected
		},
		DefaultNamespace: r.DefaultNamespace,
		Now:              r.Clock.Now(),
	})
	desired.Proof = proof(keys.Current, RoomIdentity(&session))
	return desired, names, nil
}

// Vouches says, by its proof, whether a Room was made with an identity.
func (r *Rooms) Vouches(ctx context.Context, identity *controlv1.RoomIdentity) (bool, error) {
	keys, err := r.Keys.SigningKeys(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the signing keys: %w", err)
	}
	vouched := hmac.Equal(proof(keys.Current, identity), identity.GetProof())
	if keys.Previous != nil { // a pod that was not sent the Room again since the rotation
		vouched = hmac.Equal(proof(keys.Previous, identity), identity.GetProof()) || vouched
	}
	return vouched, nil
}

func proof(key []byte, i *controlv1.RoomIdentity) []byte {
	return token.RoomProof(key, i.GetUid(), i.GetTenant(), i.GetName(), i.GetSessionId(), i.GetCreatedUnixMs())
}
