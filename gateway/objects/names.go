package objects

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"
)

const (
	// digestChars of base 32 are 130 bits of a SHA-256.
	digestChars = 26
	maxName     = 63
)

var (
	sessionIDs = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	label      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	digested   = regexp.MustCompile(`-x[0-9a-v]{26}$`)
	lowBase    = base32.HexEncoding.WithPadding(base32.NoPadding)
)

// Names returns the names that the Session object for a session id may have, the preferred
// one first.
//
// An id that is a DNS label is its own name, so that what kubectl and REST call "demo" is one
// thing. Any other id, such as "A", "a_b" or "-", gets a name made of what is readable of it and a
// digest of all of it. The two kinds of name never meet, because an id that looks like the second
// kind is digested as well. The digested name is also the way out for an id whose own name belongs
// to a Session with another id.
func Names(id string) []string {
	if label.MatchString(id) && !digested.MatchString(id) {
		return []string{id, digestedName(id)}
	}
	return []string{digestedName(id)}
}

func digestedName(id string) string {
	sum := sha256.Sum256([]byte(id))
	suffix := "-x" + strings.ToLower(lowBase.EncodeToString(sum[:]))[:digestChars]
	readable := strings.ToLower(strings.ReplaceAll(id, "_", "-"))
	if most := maxName - len(suffix); len(readable) > most {
		readable = readable[:most]
	}
	readable = strings.Trim(readable, "-")
	if readable == "" {
		readable = "session"
	}
	return readable + suffix
}

// newName returns a name for a Connection or a Recording of a Session object.
func newName(sessionName string) string {
	const suffix = 12
	readable := strings.TrimRight(sessionName[:min(len(sessionName), maxName-suffix-1)], "-")
	return readable + "-" + strings.ToLower(rand.Text()[:suffix])
}
