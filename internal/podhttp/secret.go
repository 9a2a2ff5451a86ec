package podhttp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// MaxSecretDigests bounds what is read of HeaderSecretDigests: a tenant has two secrets while it
// changes them.
const MaxSecretDigests = 16

// saltSize is the length of a salt, in bytes.
const saltSize = 16

// SecretDigest recognises a secret and does not tell it.
type SecretDigest struct {
	salt, mac []byte
}

// SecretDigests recognises any of several secrets.
type SecretDigests []SecretDigest

// NewSecretDigest returns what recognises a secret. No two calls return the same.
func NewSecretDigest(secret []byte) SecretDigest {
	return digestWith(newSalt(), secret)
}

// Matches reports whether it was made of this secret. How long it takes depends on the lengths
// only.
func (d SecretDigest) Matches(secret []byte) bool {
	return hmac.Equal(sum(d.salt, secret), d.mac)
}

// Match reports whether one of the digests was made of this secret, which is not empty. How long it
// takes does not depend on which one.
func (d SecretDigests) Match(secret string) bool {
	matches := false
	for _, digest := range d {
		if digest.Matches([]byte(secret)) {
			matches = true
		}
	}
	return matches && secret != ""
}

// FormatSecretDigests returns the digests of secrets as HeaderSecretDigests has them: separated by
// commas, each the hexadecimal salt, a colon and the hexadecimal HMAC-SHA-256 of the secret with
// the salt as the key. No two calls return the same; "" is for no secrets.
func FormatSecretDigests(secrets [][]byte) string {
	salt := newSalt()
	entries := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		entries = append(entries, digestWith(salt, secret).String())
	}
	return strings.Join(entries, ",")
}

// ParseSecretDigests reads a value of HeaderSecretDigests. An entry that is malformed recognises
// nothing.
func ParseSecretDigests(value string) SecretDigests {
	var digests SecretDigests
	for _, entry := range strings.SplitN(value, ",", MaxSecretDigests+1) {
		if len(digests) == MaxSecretDigests {
			break
		}
		salt, mac, _ := strings.Cut(strings.TrimSpace(entry), ":")
		digest := SecretDigest{}
		var saltErr, macErr error
		digest.salt, saltErr = hex.DecodeString(salt)
		digest.mac, macErr = hex.DecodeString(mac)
		if saltErr == nil && macErr == nil && len(digest.salt) > 0 && len(digest.mac) == sha256.Size {
			digests = append(digests, digest)
		}
	}
	return digests
}

// String returns the digest as an entry of HeaderSecretDigests.
func (d SecretDigest) String() string {
	return hex.EncodeToString(d.salt) + ":" + hex.EncodeToString(d.mac)
}

func digestWith(salt, secret []byte) SecretDigest {
	return SecretDigest{salt: salt, mac: sum(salt, secret)}
}

func newSalt() []byte {
	salt := make([]byte, saltSize)
	// Reading from crypto/rand does not fail (it ends the process when it can't work).
	_, _ = rand.Read(salt)
	return salt
}

func sum(salt, secret []byte) []byte {
	mac := hmac.New(sha256.New, salt)
	mac.Write(secret)
	return mac.Sum(nil)
}
