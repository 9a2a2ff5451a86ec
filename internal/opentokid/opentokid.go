// Package opentokid is the authority on the ids of OpenTok's projects and sessions: which texts are
// some, which project a session is of, and whether it is always archived. Session ids need no
// store: all of that is in them.
package opentokid

import (
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"slices"
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
	// archivedRandomBytes are the same for a session that is always archived, whose id says more.
	archivedRandomBytes = 9
	// archived begins the last field of the id of such a session. A digit follows: the place of the
	// resolution in Resolutions.
	archived = "a"
)

// Resolutions are those that a composed archive may have, as WIDTHxHEIGHT in pixels. The first is
// the usual one. Session ids have their places: others come at the end, and there are up to ten.
var Resolutions = []string{"640x480", "480x640", "1280x720", "720x1280", "1920x1080", "1080x1920"}

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
	return newSessionID(apiKey, randomBytes, "", now)
}

// NewArchivedSessionID returns the id of a session of a project that is archived whenever somebody
// publishes. The API key is a valid one, and the resolution one of Resolutions.
func NewArchivedSessionID(apiKey, resolution string, now time.Time) string {
	return newSessionID(apiKey, archivedRandomBytes, archived+strconv.Itoa(slices.Index(Resolutions, resolution)), now)
}

func newSessionID(apiKey string, randomness int, more string, now time.Time) string {
	random := make([]byte, randomness)
	// Reading from crypto/rand does not fail (it ends the process when it can't work).
	_, _ = rand.Read(random)
	fields := []string{"1", apiKey, "", strconv.FormatInt(now.UnixMilli(), 10), base64.RawURLEncoding.EncodeToString(random), more}
	return "2_" + base64.RawURLEncoding.EncodeToString([]byte(strings.Join(fields, "~")))
}

// WellFormed says whether a text can be the id of a Session: 1 to 64 letters, digits, _ and -.
func WellFormed(sessionID string) bool {
	return len(sessionID) <= maxSessionID && sessionIDs.MatchString(sessionID)
}

// APIKeyOf returns the API key in a session id that has the form of OpenTok's; else "".
func APIKeyOf(sessionID string) string {
	fields := fieldsOf(sessionID)
	if fields == nil {
		return ""
	}
	return fields[1]
}

// ArchivedOf says whether a session is archived whenever somebody publishes, by its id, and with
// which resolution.
func ArchivedOf(sessionID string) (resolution string, always bool) {
	fields := fieldsOf(sessionID)
	if len(fields) != 6 {
		return "", false
	}
	place, found := strings.CutPrefix(fields[5], archived)
	for i, resolution := range Resolutions {
		if found && place == strconv.Itoa(i) {
			return resolution, true
		}
	}
	return "", false
}

// fieldsOf returns the fields of a session id that has the form of OpenTok's, at least five; else
// nil.
func fieldsOf(sessionID string) []string {
	if !WellFormed(sessionID) || !strings.HasPrefix(sessionID, "1_") && !strings.HasPrefix(sessionID, "2_") {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(sessionID[2:])
	if err != nil {
		return nil
	}
	fields := strings.Split(string(text), "~")
	if len(fields) < 5 || fields[0] != "1" || !ValidAPIKey(fields[1]) {
		return nil
	}
	return fields
}
