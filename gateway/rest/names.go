package rest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"math/big"
	"regexp"
	"strings"
)

const (
	upper    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnum    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	lowAlnum = "0123456789abcdefghijklmnopqrstuvwxyz"

	// digestChars of base 32 are 130 bits of a SHA-256.
	digestChars = 26
	maxName     = 63
)

var (
	label    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	digested = regexp.MustCompile(`-x[0-9a-v]{26}$`)
	lowBase  = base32.HexEncoding.WithPadding(base32.NoPadding)
)

// objectNames returns the names that the Session object for a session id may have, the preferred
// one first.
//
// An id that is a DNS label is its own name, so that what kubectl and REST call "demo" is one
// thing. Any other id, such as "A", "a_b" or "-", gets a name made of what is readable of it and a
// digest of all of it. The two kinds of name never meet, because an id that looks like the second
// kind is digested as well. The digested name is also the way out for an id whose own name belongs
// to a Session with another id.
func objectNames(id string) []string {
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

// newSessionID returns an id as the reference generates them: ses_, an upper-case letter and 9
// letters and digits.
func newSessionID() string {
	return "ses_" + random(upper, 1) + random(alnum, 9)
}

// newConnectionName returns a name for a Connection object of a Session object.
func newConnectionName(sessionName string) string {
	const suffix = 12
	return strings.TrimRight(sessionName[:min(len(sessionName), maxName-suffix-1)], "-") + "-" + random(lowAlnum, suffix)
}

func random(alphabet string, n int) string {
	out := make([]byte, n)
	for i := range out {
		// Reading from crypto/rand does not fail (it ends the process when it can't work).
		digit, _ := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		out[i] = alphabet[digit.Int64()]
	}
	return string(out)
}
