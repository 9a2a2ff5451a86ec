package rpc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func digestHeader(secrets ...string) string {
	entries := make([]string, 0, len(secrets))
	for i, secret := range secrets {
		salt := []byte(fmt.Sprintf("salt of %d bytes ", i))
		mac := hmac.New(sha256.New, salt)
		mac.Write([]byte(secret))
		entries = append(entries, hex.EncodeToString(salt)+":"+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(entries, ", ")
}

func secretParams(secret, recorder, stt string) string {
	return fmt.Sprintf(`{"token":"wss://host:4443?sessionId=team.room&secret=%s","session":"team.room","platform":"x","sdkVersion":"2.32.2","metadata":"","secret":%q,"recorder":%s,"stt":%s}`,
		secret, secret, recorder, stt)
}

func TestJoiningBySecret(t *testing.T) {
	for name, c := range map[string]struct {
		header, secret, recorder, stt string
		id                            string // of who got in; "" is nobody
	}{
		"a user":                      {digestHeader("one"), "one", "false", "false", "con_"},
		"a recorder":                  {digestHeader("one"), "one", "true", "false", "RECORDER"},
		"speech to text":              {digestHeader("one"), "one", "false", "true", "SPEECH_TO_TEXT"},
		"the second of two secrets":   {digestHeader("one", "two"), "two", "true", "false", "RECORDER"},
		"a wrong secret":              {digestHeader("one", "two"), "three", "true", "false", ""},
		"no secret":                   {digestHeader("one"), "", "true", "false", ""},
		"the empty secret":            {digestHeader(""), "", "true", "false", ""},
		"no digests":                  {"", "one", "true", "false", ""},
		"malformed digests":           {"x,:,zz:zz," + strings.Repeat(",", 100), "one", "true", "false", ""},
		"a digest without a salt":     {":" + strings.Repeat("00", 32), "one", "true", "false", ""},
		"more digests than are heard": {digestHeader(append(make([]string, maxSecretDigests), "one")...), "one", "true", "false", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, DefaultLimits(), "A")
			client := p.dial(HeaderSecretDigests, c.header)
			if c.id == "" {
				refused := client.refused("joinRoom", secretParams(c.secret, c.recorder, c.stt))
				if refused.Code != http.StatusUnauthorized {
					t.Errorf("got %+v", refused)
				}
				return
			}
			result := client.call("joinRoom", secretParams(c.secret, c.recorder, c.stt))
			if id := unquote(t, result["id"]); !strings.HasPrefix(id, c.id) {
				t.Errorf("its id is %s", id)
			}
			if role := unquote(t, result["role"]); role != "SUBSCRIBER" {
				t.Errorf("its role is %s", role)
			}
			if private := unquote(t, result["sessionId"]); len(private) < 26 {
				t.Errorf("its private id has %d characters", len(private))
			}
		})
	}
}

func TestAWrongSecretLetsTheTokenDecide(t *testing.T) {
	p := newPod(t, DefaultLimits(), "A")
	params := strings.Replace(joinParams("wss://host:4443?sessionId=team.room&token=tok_A", "team.room"), `"secret":""`, `"secret":"wrong"`, 1)
	result := p.dial(HeaderSecretDigests, digestHeader("one")).call("joinRoom", params)
	if got := unquote(t, result["id"]); got != "con_A" {
		t.Errorf("got %s", got)
	}
}
