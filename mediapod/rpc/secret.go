package rpc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// HeaderSecretDigests is by what the gateway lets a pod recognise the REST secrets of the tenant of the room in the socket's URL without telling them: a list, separated
// by commas, of hex(salt):hex(HMAC-SHA-256 with the salt as key and the secret as message). Without it nobody joins by a secret.
const HeaderSecretDigests = "X-Mediarooms-Secret-Digests"

// maxSecretDigests bounds what is read of the header: a tenant has two secrets while it changes them.
const maxSecretDigests = 16

// secretDigest recognises one secret.
type secretDigest struct {
	salt, mac []byte
}

// secretDigests reads the header. What is malformed recognises nothing.
func secretDigests(header http.Header) []secretDigest {
	var digests []secretDigest
	for _, entry := range strings.SplitN(header.Get(HeaderSecretDigests), ",", maxSecretDigests+1) {
		if len(digests) == maxSecretDigests {
			break
		}
		salt, mac, _ := strings.Cut(strings.TrimSpace(entry), ":")
		digest := secretDigest{}
		var saltErr, macErr error
		digest.salt, saltErr = hex.DecodeString(salt)
		digest.mac, macErr = hex.DecodeString(mac)
		if saltErr == nil && macErr == nil && len(digest.salt) > 0 && len(digest.mac) == sha256.Size {
			digests = append(digests, digest)
		}
	}
	return digests
}

// knows reports whether a secret is one of those that the gateway has told of. How long it takes does not depend on which one.
func (s *socket) knows(secret string) bool {
	known := false
	for _, digest := range s.handshake.secrets {
		mac := hmac.New(sha256.New, digest.salt)
		mac.Write([]byte(secret))
		if hmac.Equal(mac.Sum(nil), digest.mac) {
			known = true
		}
	}
	return known && secret != ""
}

// admission says how a client wants to join. A wrong secret does not count, so that the token decides (openvidu-rpc 7.3). A secret counts in the
// room that the socket's URL names, and nowhere else: the gateway tells of the secrets of that room's tenant.
func admission(c *call, session string) room.Admission {
	secret := c.params.optionalText("secret", maxToken)
	recorder, speechToText := c.params.optionalFlag("recorder", false), c.params.optionalFlag("stt", false)
	switch {
	case c.params.err != nil || session != c.socket.handshake.key || !c.socket.knows(secret):
		return room.ByToken
	case recorder:
		return room.BySecretAsRecorder
	case speechToText:
		return room.BySecretAsSpeechToText
	default:
		return room.BySecret
	}
}
