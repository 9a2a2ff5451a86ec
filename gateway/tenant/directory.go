// Package tenant is the single authority on who the tenants of the REST API are, how they prove it, and how a media pod can tell a tenant's
// secret without being told it.
//
// A tenant is a namespace with a Secret that is named SecretName. Its keys hold the password of the REST API: CurrentKey, and PreviousKey for
// as long as both the new and the old one are to be valid. Secrets are read at every request, so that a change needs no restart.
package tenant

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SecretName is the name of the Secret with a tenant's passwords, in the tenant's namespace. The name is fixed, so that the gateway needs rights on no
// other Secret.
const SecretName = "mediarooms-rest"

// Keys of a tenant's Secret.
const (
	// CurrentKey holds the password.
	CurrentKey = "secret"
	// PreviousKey, if any, holds the one before, which is as valid.
	PreviousKey = "previous-secret"
)

// DigestsHeader tells a media pod of the secrets that are valid in a room: one entry per secret, separated by commas. An entry is the hexadecimal
// salt, a colon and the hexadecimal HMAC-SHA-256 of the secret with the salt as the key. What a client sends under this name goes nowhere.
const DigestsHeader = "X-Mediarooms-Secret-Digests"

// MinPasswordBytes is the least length of a password. A shorter one lets nobody in: it could be found by trying.
const MinPasswordBytes = 8

// saltSize is the length of a salt, in bytes.
const saltSize = 16

// Directory knows the tenants. Safe for concurrent use.
type Directory struct {
	// Reader is a cache that holds the tenants' Secrets.
	Reader client.Reader

	// complained has the resource version of each Secret that a log line was written about: namespace/key -> version.
	complained sync.Map
}

// Holder returns the namespace whose tenant has a password; "" for none. Its time depends on the number of tenants only, never on what their passwords
// are. A password that two tenants have lets nobody in: it says not who asks.
func (d *Directory) Holder(ctx context.Context, password string) (namespace string, err error) {
	var secrets corev1.SecretList
	if err := d.Reader.List(ctx, &secrets, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("looking up the tenants: %w", err)
	}
	key := newSalt()
	given := digest(key, []byte(password))
	holders := 0
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		matches := false
		for _, value := range d.valid(ctx, secret) {
			if hmac.Equal(digest(key, value), given) {
				matches = true
			}
		}
		if matches {
			namespace = secret.Namespace
			holders++
		}
	}
	if holders != 1 {
		return "", nil
	}
	return namespace, nil
}

// Digests returns the value of DigestsHeader for a room of a namespace; "" when no secret is valid there. No two calls return the same.
func (d *Directory) Digests(ctx context.Context, namespace string) (string, error) {
	var secret corev1.Secret
	err := d.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: SecretName}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("looking up the secrets of a tenant: %w", err)
	}
	salt := newSalt()
	var entries []string
	for _, value := range d.valid(ctx, &secret) {
		entries = append(entries, hex.EncodeToString(salt)+":"+hex.EncodeToString(digest(salt, value)))
	}
	return strings.Join(entries, ","), nil
}

// valid returns the passwords in a Secret that are long enough.
func (d *Directory) valid(ctx context.Context, secret *corev1.Secret) [][]byte {
	if secret.Name != SecretName {
		return nil
	}
	var values [][]byte
	for _, key := range []string{CurrentKey, PreviousKey} {
		switch value := bytes.TrimSpace(secret.Data[key]); {
		case len(value) >= MinPasswordBytes:
			values = append(values, value)
		case len(value) > 0:
			d.complain(ctx, secret, key)
		}
	}
	return values
}

// complain says once per change of a Secret that a password in it is too short.
func (d *Directory) complain(ctx context.Context, secret *corev1.Secret, key string) {
	before, known := d.complained.Swap(secret.Namespace+"/"+key, secret.ResourceVersion)
	if known && before == secret.ResourceVersion {
		return
	}
	logr.FromContextOrDiscard(ctx).Info("A password of the REST API is too short and lets nobody in: give it a longer one",
		"namespace", secret.Namespace, "Secret", secret.Name, "key", key, "leastBytes", MinPasswordBytes)
}

func newSalt() []byte {
	salt := make([]byte, saltSize)
	// Reading from crypto/rand does not fail (it ends the process when it can't work).
	_, _ = rand.Read(salt)
	return salt
}

func digest(salt, value []byte) []byte {
	mac := hmac.New(sha256.New, salt)
	mac.Write(value)
	return mac.Sum(nil)
}
