// Package tenant is the single authority on who the tenants of the REST APIs are, how they prove
// it, and how a media pod can tell a tenant's secret without being told it.
//
// A tenant of OpenVidu's API is a namespace with a Secret that is named SecretName. Its keys hold
// the password: CurrentKey, and PreviousKey for as long as both the new and the old one are to be
// valid. A tenant of OpenTok's has one that is named ProjectSecretName, and may be a tenant of
// both. Secrets are read at every request, so that a change needs no restart.
package tenant

import (
	"bytes"
	"context"
	"crypto/hmac"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// SecretName is the name of the Secret with a tenant's passwords, in the tenant's namespace. The
// name is fixed, so that the gateway needs rights on no other Secret.
const SecretName = "mediarooms-rest"

// Keys of a tenant's Secret.
const (
	// CurrentKey holds the password.
	CurrentKey = "secret"
	// PreviousKey, if any, holds the one before, which is as valid.
	PreviousKey = "previous-secret"
)

// passwordKeys are those of a tenant's Secret that hold passwords.
var passwordKeys = []string{CurrentKey, PreviousKey}

// MinPasswordBytes is the least length of a password. A shorter one lets nobody in: it could be
// found by trying.
const MinPasswordBytes = 8

// Directory knows the tenants. Safe for concurrent use.
type Directory struct {
	// Reader is a cache that holds the tenants' Secrets.
	Reader client.Reader

	// complained has the resource version of each Secret that a log line was written about:
	// namespace/key -> version.
	complained sync.Map
}

// Holder returns the namespace whose tenant has a password; "" for none. Its time depends on the
// number of tenants only, never on what their passwords are. A password that two tenants have is
// that of the older Secret: see Notices.
func (d *Directory) Holder(ctx context.Context, password string) (namespace string, err error) {
	secrets, err := d.secrets(ctx)
	if err != nil {
		return "", err
	}
	given := podhttp.NewSecretDigest([]byte(password))
	var holder *corev1.Secret
	for i := range secrets {
		for _, value := range d.valid(ctx, &secrets[i]) {
			if given.Matches(value) && (holder == nil || older(&secrets[i], holder)) {
				holder = &secrets[i]
			}
		}
	}
	if holder == nil {
		return "", nil
	}
	return holder.Namespace, nil
}

// Digests returns the value of podhttp.HeaderSecretDigests for a room of a namespace; "" when no
// secret is valid there. No two calls return the same.
func (d *Directory) Digests(ctx context.Context, namespace string) (string, error) {
	secrets, err := d.secrets(ctx)
	if err != nil {
		return "", err
	}
	var held [][]byte
	for i := range secrets {
		if secrets[i].Namespace != namespace {
			continue
		}
		for _, value := range d.valid(ctx, &secrets[i]) {
			if d.holds(ctx, secrets, &secrets[i], value) {
				held = append(held, value)
			}
		}
	}
	return podhttp.FormatSecretDigests(held), nil
}

// secrets returns the tenants' Secrets, which are the cache's own: they must not be changed.
func (d *Directory) secrets(ctx context.Context) ([]corev1.Secret, error) {
	var secrets corev1.SecretList
	if err := d.Reader.List(ctx, &secrets, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("looking up the tenants: %w", err)
	}
	return secrets.Items, nil
}

// holds says whether a password in a Secret is in none that is older.
func (d *Directory) holds(ctx context.Context, secrets []corev1.Secret, secret *corev1.Secret, value []byte) bool {
	held := true
	for i := range secrets {
		if !older(&secrets[i], secret) {
			continue
		}
		for _, other := range d.valid(ctx, &secrets[i]) {
			if hmac.Equal(other, value) {
				held = false
			}
		}
	}
	return held
}

// older says whose a password is that both Secrets have: the first one's if true. Of two from the
// same second it is that of the first namespace by name.
func older(a, b *corev1.Secret) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Namespace < b.Namespace
}

// valid returns the passwords in a Secret that are long enough.
func (d *Directory) valid(ctx context.Context, secret *corev1.Secret) [][]byte {
	if secret.Name != SecretName {
		return nil
	}
	var values [][]byte
	for _, key := range passwordKeys {
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
