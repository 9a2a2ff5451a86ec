package tenant

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/internal/opentokid"
)

// ProjectSecretName is the name of the Secret with a tenant's OpenTok project, in the tenant's
// namespace.
const ProjectSecretName = "mediarooms-opentok"

// Keys of the Secret of a project.
const (
	// APIKeyKey holds the API key: 1 to 11 letters and digits.
	APIKeyKey = "apiKey"
	// APISecretKey holds the API secret.
	APISecretKey = "apiSecret"
	// PreviousAPISecretKey, if any, holds the one before, which is as valid.
	PreviousAPISecretKey = "previousApiSecret"
	// ApplicationIDKey, if any, holds the application id.
	ApplicationIDKey = "applicationID"
	// PublicKeyKey holds the application's public key, RSA, as PEM.
	PublicKeyKey = "publicKey"
	// PreviousPublicKeyKey, if any, holds the one before, which is as valid.
	PreviousPublicKeyKey = "previousPublicKey"
)

// minPublicKeyBits is the least size of a public key. The private key of a shorter one could be
// found.
const minPublicKeyBits = 2048

// Project is an OpenTok project, and whose it is.
type Project struct {
	credential.Project
	// Namespace is the tenant's.
	Namespace string
}

// Projects knows the OpenTok projects. Safe for concurrent use.
type Projects struct {
	// Reader is a cache that holds the projects' Secrets.
	Reader client.Reader

	// complained has the resource version of each Secret that a log line was written about:
	// namespace/key -> version.
	complained sync.Map
}

// Find returns the project with an API key or an application id; nil for none. Of two Secrets with
// the same one the older is served; the younger is not at all.
func (p *Projects) Find(ctx context.Context, name string) (*Project, error) {
	var secrets corev1.SecretList
	if err := p.Reader.List(ctx, &secrets, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("looking up the OpenTok projects: %w", err)
	}
	// It is looked up first: what all of them hold is parsed of one only.
	holder := p.holder(ctx, secrets.Items, name)
	if holder == nil {
		return nil, nil
	}
	for _, other := range []string{APIKeyKey, ApplicationIDKey} {
		if held := value(holder, other); held != "" && p.holder(ctx, secrets.Items, held) != holder {
			p.complain(ctx, holder, other, "An OpenTok project is not served: an older Secret has its API key or application id")
			return nil, nil
		}
	}
	return p.project(ctx, holder), nil
}

// holder returns the oldest Secret with an API key or an application id; nil for none.
func (p *Projects) holder(ctx context.Context, secrets []corev1.Secret, name string) *corev1.Secret {
	var holder *corev1.Secret
	for i := range secrets {
		secret := &secrets[i]
		named := value(secret, APIKeyKey) == name || value(secret, ApplicationIDKey) == name
		if name != "" && named && p.usable(ctx, secret) && (holder == nil || older(secret, holder)) {
			holder = secret
		}
	}
	return holder
}

// usable says whether a Secret holds a project.
func (p *Projects) usable(ctx context.Context, secret *corev1.Secret) bool {
	if secret.Name != ProjectSecretName {
		return false
	}
	if !opentokid.ValidAPIKey(value(secret, APIKeyKey)) {
		p.complain(ctx, secret, APIKeyKey, "An OpenTok project is not served: its API key must be 1 to 11 letters and digits")
		return false
	}
	return true
}

// project returns what is in a Secret. What is no secret or key is left out.
func (p *Projects) project(ctx context.Context, secret *corev1.Secret) *Project {
	project := &Project{Namespace: secret.Namespace}
	project.APIKey, project.ApplicationID = value(secret, APIKeyKey), value(secret, ApplicationIDKey)
	for _, key := range []string{APISecretKey, PreviousAPISecretKey} {
		switch held := value(secret, key); {
		case len(held) >= MinPasswordBytes:
			project.Secrets = append(project.Secrets, []byte(held))
		case held != "":
			p.complain(ctx, secret, key, "A secret of an OpenTok project is too short and lets nobody in: give it a longer one")
		}
	}
	for _, key := range []string{PublicKeyKey, PreviousPublicKeyKey} {
		held := value(secret, key)
		if held == "" {
			continue
		}
		public, err := jwt.ParseRSAPublicKeyFromPEM([]byte(held))
		if err != nil || public.Size()*8 < minPublicKeyBits {
			p.complain(ctx, secret, key, "A public key of an OpenTok project lets nobody in: it must be an RSA key of at least 2048 bits, as PEM")
			continue
		}
		project.PublicKeys = append(project.PublicKeys, public)
	}
	return project
}

// value returns what a key of a Secret holds, without white space around it; "" for none.
func value(secret *corev1.Secret, key string) string {
	return string(bytes.TrimSpace(secret.Data[key]))
}

// complain says once per change of a Secret what is wrong with a key of it.
func (p *Projects) complain(ctx context.Context, secret *corev1.Secret, key, what string) {
	before, known := p.complained.Swap(secret.Namespace+"/"+key, secret.ResourceVersion)
	if known && before == secret.ResourceVersion {
		return
	}
	logr.FromContextOrDiscard(ctx).Info(what, "namespace", secret.Namespace, "Secret", secret.Name, "key", key)
}
