package credential

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxToken is beyond every token, in bytes: connection data of 1000 characters has at most
	// 16000, as T1.
	maxToken = 20 << 10
	// skew is how far the clocks of applications may be off.
	skew = time.Minute
	// usualLife is how long a connect token is valid that does not say so.
	usualLife = 24 * time.Hour
	// connectScope is the only scope of a connect token.
	connectScope = "session.connect"
)

// claims are those of all kinds of JWT. What only some have is nil when it is absent.
type claims struct {
	jwt.RegisteredClaims
	IssuerType    string          `json:"ist"`
	ApplicationID string          `json:"application_id"`
	SessionID     json.RawMessage `json:"session_id"`
	Role          json.RawMessage `json:"role"`
	Scope         json.RawMessage `json:"scope"`
	Data          string          `json:"connection_data"`
	LayoutClasses string          `json:"initial_layout_class_list"`
}

// Named returns the API key or the application id of the project whose token it says to be, not
// verified. It fails with ErrMalformed.
func Named(token string) (string, error) {
	if isT1(token) {
		t, err := parseT1(token)
		if err != nil {
			return "", err
		}
		return t.apiKey, nil
	}
	claims, err := unverified(token)
	if err != nil {
		return "", err
	}
	if claims.ApplicationID != "" {
		return claims.ApplicationID, nil
	}
	return claims.Issuer, nil
}

// VerifyREST returns nil for a token of REST that is valid now. It fails with ErrMalformed,
// ErrForeign, ErrForged, ErrExpired or ErrNoRESTToken.
//
// A connect token is signed with the same secret, and lives in browsers: it is not valid for REST.
func (p *Project) VerifyREST(token string, now time.Time) error {
	claims, err := p.verify(token, now)
	switch {
	case err != nil:
		return err
	case claims.SessionID != nil || claims.Role != nil || claims.Scope != nil:
		return ErrNoRESTToken
	case claims.ApplicationID == "" && claims.IssuerType != "project":
		return ErrNoRESTToken
	case claims.ExpiresAt == nil:
		return ErrExpired
	}
	return nil
}

// unverified returns the claims of a JWT as they are.
func unverified(token string) (*claims, error) {
	if len(token) > maxToken {
		return nil, ErrMalformed
	}
	claims := &claims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		return nil, ErrMalformed
	}
	return claims, nil
}

// verify returns the claims of a JWT of the project that has not expired; one without an end has
// not, either.
func (p *Project) verify(token string, now time.Time) (*claims, error) {
	named, err := unverified(token)
	if err != nil {
		return nil, err
	}
	keys, algorithm, err := p.verification(named)
	if err != nil {
		return nil, err
	}
	if len(keys.Keys) == 0 {
		return nil, ErrForged
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithLeeway(skew), jwt.WithTimeFunc(func() time.Time { return now }))
	verified := &claims{}
	_, err = parser.ParseWithClaims(token, verified, func(*jwt.Token) (any, error) { return keys, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenNotValidYet):
		return nil, ErrExpired
	case err != nil:
		return nil, ErrForged
	}
	return verified, nil
}

// text returns a claim that must be a string; ok is false for another one, and for none.
func text(claim json.RawMessage) (value string, ok bool) {
	ok = strings.HasPrefix(string(claim), `"`) && json.Unmarshal(claim, &value) == nil
	return value, ok
}
