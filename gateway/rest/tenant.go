package rest

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// username is the only one there is (openvidu-rest 1.1).
const username = "OPENVIDUAPP"

// secretKey is the key of the password in its Secret.
const secretKey = "secret"

// SecretTenant is the one tenant whose password lies in the key "secret" of a Secret, and who acts in the namespace of that Secret. The Secret
// is read at every request, so that a change needs no restart. Safe for concurrent use.
type SecretTenant struct {
	// Reader is a cache that holds the Secret.
	Reader client.Reader
	// Secret is the Secret's namespace and name.
	Secret client.ObjectKey
}

// Authenticate implements Tenants. While there is no Secret nobody has valid credentials.
func (t *SecretTenant) Authenticate(r *http.Request) (namespace string, ok bool) {
	user, password, _ := r.BasicAuth()
	var secret corev1.Secret
	if err := t.Reader.Get(r.Context(), t.Secret, &secret); err != nil {
		// From a cache the only error is that it is not there.
		return "", false
	}
	wanted := bytes.TrimSpace(secret.Data[secretKey])
	matches := equal([]byte(user), []byte(username)) & equal([]byte(password), wanted)
	return t.Secret.Namespace, matches == 1 && len(wanted) > 0
}

// equal returns 1 when both are the same, in a time that depends on neither's content nor length.
func equal(a, b []byte) int {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:])
}
