// Package token is the authority on the identifiers and secrets of a Connection: how they are
// derived, so that no store is needed, and how the routing key and the token URL that a client gets
// are written and read.
//
// Everything is derived from the UID of the Connection object. What must be secret is an
// HMAC-SHA-256 with a signing key that lives in a Secret of the operator.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MinKeySize is the least number of bytes of a signing key.
const MinKeySize = 32

const (
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnum  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	prefix = "tok_"
	// tokenChars gives 26 * 62^23, over 141 bits.
	tokenChars = 24
	// connectionIDChars is what OpenVidu uses: con_ and 10 characters.
	connectionIDChars = 10
	// rpcSessionIDChars gives 155 bits, more than the reference's 26 base-32 characters.
	rpcSessionIDChars = 26
)

// Keys are the signing key and, after a rotation, the one before it. What was derived by that one
// stays what it is.
type Keys struct {
	// Current is the key of Connections that are made at Since or later, and of all when there is
	// no Previous.
	Current []byte
	// Previous is the key of Connections that were made before Since; nil when there is none.
	Previous []byte
	Since    time.Time
}

// For returns the key of a Connection, by when it was made.
func (k Keys) For(created time.Time) []byte {
	if k.Previous != nil && created.Before(k.Since) {
		return k.Previous
	}
	return k.Current
}

// Equal says whether both give the same key for every Connection.
func (k Keys) Equal(other Keys) bool {
	return hmac.Equal(k.Current, other.Current) && hmac.Equal(k.Previous, other.Previous) && (k.Previous == nil || k.Since.Equal(other.Since))
}

// Derive returns the secret part of a Connection's token: tok_, an upper-case letter and 23 letters
// and digits. The rotation count makes a new one.
func Derive(key []byte, uid string, rotation int32) string {
	return prefix + encode(mac(key, "token", uid, strconv.Itoa(int(rotation))), tokenChars)
}

// RPCSessionID returns the private id that the client shows when it reconnects (openvidu-rpc 1.8).
// It is a secret.
func RPCSessionID(key []byte, uid string) string {
	return encode(mac(key, "rpc", uid), rpcSessionIDChars)
}

// ConnectionID returns the public id of a Connection: con_, an upper-case letter and 9 letters and
// digits.
func ConnectionID(uid string) string {
	sum := sha256.Sum256([]byte("connection\x00" + uid))
	return "con_" + encode(sum[:], connectionIDChars)
}

// Digest is what the operator tells a media pod of a token, so that it can recognise but not make
// one.
func Digest(token string) [sha256.Size]byte {
	return sha256.Sum256([]byte(token))
}

// URL returns what a client's Session.connect() takes. The base is a URL with the scheme ws or wss
// and no path.
func URL(base, sessionKey, token string) string {
	return base + "?sessionId=" + url.QueryEscape(sessionKey) + "&token=" + token
}

// FromURL returns the secret part of a token URL, or "" when there is none. Scheme, host and other
// parameters do not count, so that a client that reaches the gateway by another name can join.
func FromURL(raw string) string {
	_, query, found := strings.Cut(raw, "?")
	if !found {
		return ""
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get("token")
}

// RoomProof is by what the operator recognises whose room it is that a media pod tells of: the pod
// hands it back with the room's identity, and can't make one of a room that it was not given.
func RoomProof(key []byte, uid, tenant, name, sessionID string, createdUnixMs int64) []byte {
	return mac(key, "room", uid, tenant, name, sessionID, strconv.FormatInt(createdUnixMs, 10))
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// encode writes a digest as n characters, the first an upper-case letter, the others letters and
// digits.
func encode(digest []byte, n int) string {
	number := new(big.Int).SetBytes(digest)
	digit := new(big.Int)
	out := make([]byte, n)
	alphabet := upper
	for i := range out {
		number.DivMod(number, big.NewInt(int64(len(alphabet))), digit)
		out[i] = alphabet[digit.Int64()]
		alphabet = alnum
	}
	return string(out)
}
