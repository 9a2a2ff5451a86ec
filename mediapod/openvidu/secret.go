package openvidu

import (
	"errors"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// maxWrongSecrets in joinRoom end the socket.
const maxWrongSecrets = 3

var errGuessing = errors.New("too many wrong secrets")

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
func (s *conversation) claims(session string, shown credential) (*room.Claims, error) {
	if shown.secret == "" {
		return nil, nil
	}
	if s.guesses >= maxWrongSecrets {
		s.guesses++
		return nil, refuse(codeGeneric, "Too many wrong secrets: at most %d from one connection", maxWrongSecrets)
	}
	refund, over := s.client.SpendSecret()
	if over != nil {
		s.guesses++
		return nil, over
	}
	if session != s.key || !s.secrets.Match(shown.secret) {
		s.guesses++
		s.frontEnd.observer.WrongSecret()
		if s.guesses == maxWrongSecrets {
			s.frontEnd.log.Info("Closing a socket that gave wrong secrets",
				"address", s.client.Address().String(), "room", session, "secrets", s.guesses)
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
func (s *conversation) endGuessing() {
	if s.guesses >= maxWrongSecrets {
		s.client.Expel(errGuessing)
	}
}
