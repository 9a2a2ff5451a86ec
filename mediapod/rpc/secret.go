package rpc

import (
	"mediarooms.dev/mediarooms/mediapod/room"
)

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

// admission says how a client wants to join. A wrong secret does not count, so that the token decides (openvidu-rpc 7.3). A secret counts in the
// room that the socket's URL names, and nowhere else: the gateway tells of the secrets of that room's tenant. Where too many were wrong the next one
// is ignored, right or wrong; then the error says so.
func (s *socket) admission(session string, shown credential) (room.Admission, *Error) {
	if shown.secret == "" {
		return room.ByToken, nil
	}
	refund, over := s.allowance.trySecret(s.guesses)
	if over != nil {
		s.guesses++
		return room.ByToken, over
	}
	if session != s.handshake.key || !s.handshake.secrets.Match(shown.secret) {
		s.guesses++
		s.server.observer.WrongSecret()
		if s.guesses == maxWrongSecrets {
			s.log.Info("Closing a socket that gave wrong secrets", "address", s.handshake.address.String(), "room", session, "secrets", s.guesses)
		}
		return room.ByToken, nil
	}
	refund()
	switch {
	case shown.recorder:
		return room.BySecretAsRecorder, nil
	case shown.speechToText:
		return room.BySecretAsSpeechToText, nil
	default:
		return room.BySecret, nil
	}
}

// endGuessing ends the socket, after the answer, of a client that has shown too many wrong secrets.
func (s *socket) endGuessing() {
	if s.guesses >= maxWrongSecrets {
		s.out.end(errGuessing)
	}
}
