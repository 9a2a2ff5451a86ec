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

// maxWrongSecrets in joinRoom end the socket.
const maxWrongSecrets = 3

// credential is what a client may show instead of a token, and what it then wants to be.
type credential struct {
	secret                 string
	recorder, speechToText bool
}

func readCredential(c *call) credential {
	return credential{
		secret:       c.params.optionalText("secret", maxToken),
		recorder:     c.params.optionalFlag("recorder", false),
		speechToText: c.params.optionalFlag("stt", false),
	}
}

// claims say as what a client wants to join that shows the server's secret; nil is one that does
// not. A wrong secret does not count, so that the token decides (openvidu-rpc 7.3). A secret counts
// in the room that the socket's URL names, and nowhere else: the gateway tells of the secrets of
// that room's tenant. Where too many were wrong the next one is ignored, right or wrong; then the
// error says so.
func (s *socket) claims(session string, shown credential) (*room.Claims, *Error) {
	if shown.secret == "" {
		return nil, nil
	}
	refund, over := s.allowance.trySecret(s.guesses)
	if over != nil {
		s.guesses++
		return nil, over
	}
	if session != s.handshake.key || !s.knows(shown.secret) {
		s.guesses++
		s.server.observer.WrongSecret()
		if s.guesses == maxWrongSecrets {
			s.log.Info("Closing a socket that gave wrong secrets",
				"address", s.handshake.address.String(), "room", session, "secrets", s.guesses)
		}
		return nil, nil
	}
	refund()
	// It is like a user with the role SUBSCRIBER, but may do everything.
	claims := &room.Claims{Role: room.Subscriber, Record: true, Privileged: true}
	switch {
	case shown.recorder:
		claims.ConnectionID, claims.Hidden = recorderID, true
	case shown.speechToText:
		claims.ConnectionID, claims.Hidden = speechToTextID, true
	default:
		claims.ConnectionID = newConnectionID()
	}
	return claims, nil
}

// endGuessing ends the socket, after the answer, of a client that has shown too many wrong secrets.
func (s *socket) endGuessing() {
	if s.guesses >= maxWrongSecrets {
		s.out.end(errGuessing)
	}
}
