package download

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apimachinery/pkg/types"
)

// linkAudience makes a token one of a link, and of nothing else.
const linkAudience = "mediarooms-recording"

// Link is to a file of a Recording. Whoever has its token may fetch the file for a while, with
// nothing else to prove: browsers' players and download managers send no credentials.
type Link struct {
	// Recording is the uid of the Recording.
	Recording types.UID
	// File is the name of the file.
	File string
}

// linkClaims are a Link as a token (RFC 7519) says it.
type linkClaims struct {
	jwt.RegisteredClaims

	File string `json:"file"`
}

// Sign returns the token of a link that is good until a time. The issuer says whose key it is.
func (l Link) Sign(issuer string, key []byte, until time.Time) (string, error) {
	claims := linkClaims{File: l.File, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{linkAudience}, Subject: string(l.Recording), ExpiresAt: jwt.NewNumericDate(until),
	}}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("signing a link: %w", err)
	}
	return token, nil
}

// ReadLink returns what the token of a link is to; false when none of an issuer's keys has signed
// it, or it has ended.
func ReadLink(token, issuer string, keys ...[]byte) (Link, bool) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithAudience(linkAudience), jwt.WithIssuer(issuer))
	for _, key := range keys {
		claims := &linkClaims{}
		if _, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
			return Link{types.UID(claims.Subject), claims.File}, true
		}
	}
	return Link{}, false
}
