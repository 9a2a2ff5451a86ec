package credential

import (
	"crypto/rsa"
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// Project is what the tokens of one project are verified with.
type Project struct {
	// APIKey names the project in tokens that are signed with one of Secrets.
	APIKey string
	// Secrets are the API secret and, after a change, the one before.
	Secrets [][]byte
	// ApplicationID names the project in tokens that are signed with a private key; "" when there
	// are none.
	ApplicationID string
	// PublicKeys belong to that key and, after a change, to the one before.
	PublicKeys []*rsa.PublicKey
}

// Is says whether a name is the project's API key or application id.
func (p *Project) Is(name string) bool {
	return name != "" && (name == p.APIKey || name == p.ApplicationID)
}

// Why a token lets nobody in. The texts are for the caller.
var (
	// ErrMalformed is for what is no token.
	ErrMalformed = errors.New("the token must be a JSON Web Token, or begin with T1==")
	// ErrForeign is for a token of another project.
	ErrForeign = errors.New("the token is one of another project")
	// ErrForged is for a token that the project's secret or key did not sign, with the algorithm
	// that belongs to it.
	ErrForged = errors.New("the token's signature is not one of the project's: HS256 or T1 by the API secret, RS256 by the application's private key")
	// ErrExpired is for a token whose time is over, or has no end.
	ErrExpired = errors.New("the token has expired, or says neither when it expires nor when it was made")
	// ErrOtherSession is for a connect token of another session.
	ErrOtherSession = errors.New("the token is one of another session")
	// ErrNoConnectToken is for a token that is not for joining.
	ErrNoConnectToken = errors.New("the token is not for joining: it must have a session_id, and the scope session.connect")
	// ErrNoRESTToken is for a token that is not for REST.
	ErrNoRESTToken = errors.New("the token is not for REST: it may have no session_id, role or scope, and its ist must be project")
	// ErrRole is for a role that does not exist.
	ErrRole = errors.New("the token's role must be subscriber, publisher, publisheronly or moderator")
)

// verification returns the keys that a token which names a project in some way may be signed with,
// and the algorithm.
func (p *Project) verification(claims *claims) (keys jwt.VerificationKeySet, algorithm string, err error) {
	if claims.ApplicationID != "" {
		if claims.ApplicationID != p.ApplicationID {
			return keys, "", ErrForeign
		}
		for _, key := range p.PublicKeys {
			keys.Keys = append(keys.Keys, key)
		}
		return keys, jwt.SigningMethodRS256.Alg(), nil
	}
	if claims.Issuer != p.APIKey {
		return keys, "", ErrForeign
	}
	for _, secret := range p.Secrets {
		keys.Keys = append(keys.Keys, secret)
	}
	return keys, jwt.SigningMethodHS256.Alg(), nil
}
