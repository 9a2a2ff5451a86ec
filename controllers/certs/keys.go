package certs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/internal/token"
)

// What SigningKeySecret holds.
const (
	// SigningKeyField is the key that tokens are derived from.
	SigningKeyField = "key"
	// PreviousKeyField is the one before, for Connections that were made before the time in
	// SinceField (RFC 3339).
	PreviousKeyField = "previous-key"
	SinceField       = "since"
	// RotateAnnotation, with any value, asks for another key (ADR 23). It is taken off when that is
	// done.
	RotateAnnotation = "mediarooms.dev/rotate"
)

// lead is how long a new signing key is known before the first Connection is made that it counts
// for: far longer than it takes to write it and to take it up, so that no token is ever derived by
// one key and then by the other.
const lead = 10 * time.Second

var (
	errShortKey  = errors.New("the signing key is too short")
	errWithoutIt = errors.New("there is a previous key, and not since when it is one")
)

// Keys holds the signing keys. The zero value is not ready; use NewKeys. Safe for concurrent use.
type Keys struct {
	ready chan struct{}
	mu    sync.Mutex // guards keys
	keys  token.Keys
}

// NewKeys returns a holder without a key.
func NewKeys() *Keys { return &Keys{ready: make(chan struct{})} }

// SigningKeys returns the keys; before they are known it waits.
func (k *Keys) SigningKeys(ctx context.Context) (token.Keys, error) {
	select {
	case <-k.ready:
	case <-ctx.Done():
		return token.Keys{}, ctx.Err()
	}
	return k.held(), nil
}

// Set sets the keys, and says whether it did. As long as the process lives the key that it has
// stays one of them: without it every token would be worthless at once.
func (k *Keys) Set(keys token.Keys) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys.Current == nil {
		k.keys = keys
		close(k.ready)
		return true
	}
	if !bytes.Equal(keys.Current, k.keys.Current) && !bytes.Equal(keys.Previous, k.keys.Current) {
		return false
	}
	k.keys = keys
	return true
}

// held returns the keys; there is no current one before there is any.
func (k *Keys) held() token.Keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys
}

// signingKeys makes the signing key once, and another when it is asked to. One that exists is never
// replaced otherwise; one that was deleted is restored from memory.
func (c *Controller) signingKeys(ctx context.Context, now time.Time) error {
	secret, err := c.read(ctx, SigningKeySecret)
	if err != nil {
		return err
	}
	if secret == nil {
		return c.restoreKeys(ctx)
	}
	keys, err := parseKeys(secret.Data)
	if err != nil {
		return fmt.Errorf("reading Secret %s: %w", SigningKeySecret, err)
	}
	if _, asked := secret.Annotations[RotateAnnotation]; asked {
		if keys, err = c.rotate(ctx, secret, keys, now); err != nil {
			return err
		}
	}
	if !c.Keys.Set(keys) {
		log.FromContext(ctx).Info("The signing key was replaced by one that this operator does not know; it takes effect at the next start", "Secret", SigningKeySecret)
	}
	return nil
}

// restoreKeys writes the keys that are held, or the first one.
func (c *Controller) restoreKeys(ctx context.Context) error {
	keys := c.Keys.held()
	if keys.Current == nil {
		var err error
		if keys.Current, err = newKey(); err != nil {
			return err
		}
	}
	if err := c.create(ctx, SigningKeySecret, keysData(keys)); err != nil {
		return err
	}
	c.Keys.Set(keys)
	return nil
}

// rotate writes another key. The one before is kept for the Connections that there are: not until
// they are gone, and it was taken out of the Secret, there can be another rotation.
func (c *Controller) rotate(ctx context.Context, secret *corev1.Secret, keys token.Keys, now time.Time) (token.Keys, error) {
	logger := log.FromContext(ctx)
	secret = secret.DeepCopy()
	delete(secret.Annotations, RotateAnnotation)
	if keys.Previous != nil {
		logger.Info("Not rotating the signing key: there is a previous one, by which Connections may still be known. Remove it first", "Secret", SigningKeySecret, "key", PreviousKeyField)
	} else {
		key, err := newKey()
		if err != nil {
			return keys, err
		}
		keys = token.Keys{Current: key, Previous: keys.Current, Since: now.Add(lead).UTC().Truncate(time.Second)}
		secret.Data = keysData(keys)
		logger.Info("Rotating the signing key", "Secret", SigningKeySecret, "since", keys.Since)
	}
	if err := c.Client.Update(ctx, secret); err != nil {
		return keys, fmt.Errorf("updating Secret %s: %w", SigningKeySecret, err)
	}
	return keys, nil
}

func newKey() ([]byte, error) {
	key := make([]byte, token.MinKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return key, nil
}

func parseKeys(data map[string][]byte) (token.Keys, error) {
	keys := token.Keys{Current: data[SigningKeyField], Previous: data[PreviousKeyField]}
	if len(keys.Previous) == 0 {
		keys.Previous = nil
	}
	if len(keys.Current) < token.MinKeySize || keys.Previous != nil && len(keys.Previous) < token.MinKeySize {
		return token.Keys{}, fmt.Errorf("%w: at least %d bytes are needed", errShortKey, token.MinKeySize)
	}
	if keys.Previous == nil {
		return keys, nil
	}
	since, err := time.Parse(time.RFC3339, string(bytes.TrimSpace(data[SinceField])))
	if err != nil {
		return token.Keys{}, fmt.Errorf("reading %q: %w", SinceField, errors.Join(errWithoutIt, err))
	}
	keys.Since = since
	return keys, nil
}

func keysData(keys token.Keys) map[string][]byte {
	data := map[string][]byte{SigningKeyField: keys.Current}
	if keys.Previous != nil {
		data[PreviousKeyField], data[SinceField] = keys.Previous, []byte(keys.Since.Format(time.RFC3339))
	}
	return data
}
