package desired

import (
	"crypto/sha256"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/token"
)

// Identity is what is derived of a Connection for its pod.
type Identity struct {
	rotation     int32
	tokenDigest  [sha256.Size]byte
	connectionID string
	rpcSessionID string
}

// Identify derives the identity of a Connection by its signing key.
func Identify(keys token.Keys, c *v1alpha1.Connection) Identity {
	key, uid := keys.For(c.CreationTimestamp.Time), string(c.UID)
	return Identity{
		rotation:     c.Spec.TokenRotation,
		tokenDigest:  token.Digest(token.Derive(key, uid, c.Spec.TokenRotation)),
		connectionID: token.ConnectionID(uid),
		rpcSessionID: token.RPCSessionID(key, uid),
	}
}

// identities remembers what was derived for the last Room of each Session: a room is written anew for each Connection that comes, with all that there are. The zero
// value works. Safe for concurrent use.
type identities struct {
	mu    sync.Mutex // guards what follows
	keys  token.Keys
	rooms map[types.UID]map[types.UID]Identity // Session -> Connection -> its identity
}

// of returns what gives the identities for one Room of a Session, to be used by one goroutine; done keeps those that it gave, and no others.
func (i *identities) of(session types.UID, keys token.Keys) (give func(*v1alpha1.Connection) Identity, done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.keys.Equal(keys) || i.rooms == nil {
		i.keys, i.rooms = keys, make(map[types.UID]map[types.UID]Identity)
	}
	before := i.rooms[session]
	given := make(map[types.UID]Identity, len(before)+1)
	give = func(c *v1alpha1.Connection) Identity {
		identity, known := before[c.UID]
		if !known || identity.rotation != c.Spec.TokenRotation {
			identity = Identify(keys, c)
		}
		given[c.UID] = identity
		return identity
	}
	return give, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.keys.Equal(keys) {
			i.rooms[session] = given
		}
	}
}

// forget drops a Session that has no room.
func (i *identities) forget(session types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.rooms, session)
}
