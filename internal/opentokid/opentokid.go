// Package opentokid is the authority on the ids of OpenTok's projects and sessions: which texts are
// some, and which project a session is of. Session ids need no store: the project is in them.
package opentokid

import (
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSessionID is that of a Session's spec.sessionID, in characters.
	maxSessionID = 64
	// maxAPIKey is the length of an API key with which a session id has maxSessionID characters.
	maxAPIKey = 11
	// randomBytes are what make a session id another one than all others of the same millisecond.
	randomBytes = 12
)

var (
	sessionIDs = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	apiKeys    = regexp.MustCompile(`^[A-Za-z0-9]+$`)
)

// ValidAPIKey says whether a text can be the API key of a project: 1 to 11 letters and digits.
func ValidAPIKey(text string) bool {
	return len(text) <= maxAPIKey && apiKeys.MatchString(text)
}

// NewSessionID returns a session id of a project (opentok-rest 2). The API key is a valid one.
func NewSessionID(apiKey string, now time.Time) string {
	random := make([]byte, randomBytes)
	// Reading from crypto/rand does not fail (it ends the process when it can't work).
	_, _ = rand.Read(random)
	fields := []string{"1", apiKey, "", strconv.FormatInt(now.UnixMilli(), 10), base64.RawURLEncoding.EncodeToString(random), ""}
	return "2_" + base64.RawURLEncoding.EncodeToString([]byte(strings.Join(fields, "~")))
}

// WellFormed says whether a text can be the id of a Session: 1 to 64 letters, digits, _ and -.
func WellFormed(sessionID string) bool {
	return len(sessionID) <= maxSessionID && sessionIDs.MatchString(sessionID)
}

// APIKeyOf returns the API key in a session id that has the form of OpenTok's; else "".
func APIKeyOf(sessionID string) string {
	if !WellFormed(sessionID) || !strings.HasPrefix(sessionID, "1_") && !strings.HasPrefix(sessionID, "2_") {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(sessionID[2:])
	if err != nil {
		return ""
	}
	fields := strings.Split(string(text), "~")
	if len(fields) < 5 || fields[0] != "1" || !ValidAPIKey(fields[1]) {
		return ""
	}
	return fields[1]
}
