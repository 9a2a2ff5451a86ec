package opentokid

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// vectorSession is a session id of OpenTok's form, of the project 123456.
const vectorSession = "2_MX4xMjM0NTZ-fjE3MDAwMDAwMDAwMDB-QWJDZEVmMDEyMzQ1Njc4OX5-"

var made = time.UnixMilli(1700000000000)

func TestSessionIDsHaveTheFormOfOpenTok(t *testing.T) {
	for _, apiKey := range []string{"1", "46000001", "12345678901"} {
		id := NewSessionID(apiKey, made)
		if !WellFormed(id) || APIKeyOf(id) != apiKey || NewSessionID(apiKey, made) == id {
			t.Errorf("%s: got %s of %d characters", apiKey, id, len(id))
		}
	}
	if APIKeyOf(vectorSession) != "123456" || APIKeyOf("1"+vectorSession[1:]) != "123456" {
		t.Error("the id of the vector is of another project")
	}
	encoded := func(text string) string { return "2_" + base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, id := range map[string]string{
		"nothing": "", "a name": "demo", "another prefix": "3" + vectorSession[1:], "no base64": "2_a",
		"a newline": vectorSession[:10] + "\n" + vectorSession[10:], "a newline at the end": vectorSession + "\n",
		"few fields": encoded("1~123456~~5"), "another version": encoded("2~123456~~5~6"), "no key": encoded("1~~~5~6"),
		"a path": encoded("1~../..~~5~6"), "a long key": encoded("1~123456789012~~5~6"), "a zero": encoded("1~1\x00~~5~6"),
		"too long": encoded("1~123456~~5~" + strings.Repeat("6", 50)),
	} {
		if got := APIKeyOf(id); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for name, id := range map[string]string{"nothing": "", "a slash": "a/b", "a dot": "team.S1", "long": strings.Repeat("a", 65), "no ASCII": "ä"} {
		if WellFormed(id) {
			t.Errorf("%s is well-formed", name)
		}
	}
	if ValidAPIKey("") || ValidAPIKey("a-b") || !ValidAPIKey("46000001") {
		t.Error("an API key is 1 to 11 letters and digits")
	}
}

func TestSessionIDsSayWhetherTheyAreArchived(t *testing.T) {
	for _, want := range Resolutions {
		id := NewArchivedSessionID("12345678901", want, made)
		if got, always := ArchivedOf(id); got != want || !always || APIKeyOf(id) != "12345678901" || NewArchivedSessionID("12345678901", want, made) == id {
			t.Errorf("%s: got %q, %v of %s", want, got, always, id)
		}
	}
	encoded := func(text string) string { return "2_" + base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, id := range map[string]string{
		"nothing": "", "a name": "demo", "the vector": vectorSession, "a session by hand": NewSessionID("1", made),
		"no resolution": encoded("1~1~~5~6~a"), "an unknown one": encoded("1~1~~5~6~a9"), "a sign": encoded("1~1~~5~6~a+0"), "two digits": encoded("1~1~~5~6~a00"),
		"another field": encoded("1~1~~5~6~~a0"), "one more": encoded("1~1~~5~6~a0~"), "no key": encoded("1~~~5~6~a0"),
	} {
		if got, always := ArchivedOf(id); always || got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
