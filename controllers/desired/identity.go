package desired

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/token"
)

// Keys holds the signing keys.
type Keys interface {
	// SigningKeys returns the keys; before they are known it waits.
	SigningKeys(ctx context.Context) (token.Keys, error)
}

// Identity is what is derived of a Connection by its signing key.
type Identity struct {
	// Token is the secret part of what its client takes.
	Token        string
	rotation     int32
	tokenDigest  [sha256.Size]byte
	connectionID string
	rpcSessionID string
}

// identify derives the identity of a Connection by its signing key.
func identify(keys token.Keys, c *v1alpha1.Connection) Identity {
	key, uid := keys.For(c.CreationTimestamp.Time), string(c.UID)
	secret := token.Derive(key, uid, c.Spec.TokenRotation)
	return Identity{
		Token:        secret,
		rotation:     c.Spec.TokenRotation,
		tokenDigest:  token.Digest(secret),
		connectionID: token.ConnectionID(uid),
		rpcSessionID: token.RPCSessionID(key, uid),
	}
}

// Identities derives the identity of each Connection once: a room is written anew for each
// Connection that comes, with all that there are. The zero value works. Safe for concurrent use.
type Identities struct {
	mu       sync.Mutex // guards what follows
	keys     token.Keys
	sessions map[types.UID]map[types.UID]Identity // Session -> Connection -> its identity
}

// Of returns the identity of a Connection of a Session.
func (i *Identities) Of(session types.UID, keys token.Keys, c *v1alpha1.Connection) Identity {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.keys.Equal(keys) || i.sessions == nil {
		i.keys, i.sessions = keys, make(map[types.UID]map[types.UID]Identity)
	}
	known := i.sessions[session]
	if identity, derived := known[c.UID]; derived && identity.rotation == c.Spec.TokenRotation {
		return identity
	}
	if known == nil {
		known = make(map[types.UID]Identity)
		i.sessions[session] = known
	}
	known[c.UID] = identify(keys, c)
	return known[c.UID]
}

// Keep drops the identities of a Session's Connections that are not among these. Without any, it
// drops all.
func (i *Identities) Keep(session types.UID, connections map[types.UID]types.NamespacedName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for uid := range i.sessions[session] {
		if _, kept := connections[uid]; !kept {
			delete(i.sessions[session], uid)
		}
	}
	if len(i.sessions[session]) == 0 {
		delete(i.sessions, session)
	}
}

// Proofs says whose rooms pods may tell of: a pod hands the proof back that it was given with a
// Room.
type Proofs struct {
	Keys Keys
}

// Vouches says, by its proof, whether a Room was made with an identity.
func (p Proofs) Vouches(ctx context.Context, identity *controlv1.RoomIdentity) (bool, error) {
	keys, err := p.Keys.SigningKeys(ctx)
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
