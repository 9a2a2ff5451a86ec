package openvidu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/signalling"
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
		"more digests than are heard": {digestHeader(append(make([]string, podhttp.MaxSecretDigests), "one")...), "one", "true", "false", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, signalling.DefaultLimits(), "A")
			client := p.dial(podhttp.HeaderSecretDigests, c.header)
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
	p := newPod(t, signalling.DefaultLimits(), "A")
	params := strings.Replace(joinParams("wss://host:4443?sessionId=team.room&token=tok_A", "team.room"), `"secret":""`, `"secret":"wrong"`, 1)
	result := p.dial(podhttp.HeaderSecretDigests, digestHeader("one")).call("joinRoom", params)
	if got := unquote(t, result["id"]); got != "con_A" {
		t.Errorf("got %s", got)
	}
}

// A wrong secret is told apart from a right one, so it can be tried: only so often.
func TestWrongSecretsEndTheSocket(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A")
	client := p.dial(podhttp.HeaderSecretDigests, digestHeader("the right one"))
	client.refused("joinRoom", joinParams(wrongToken, "team.room")) // without any
	for i := range maxWrongSecrets {
		if refused := client.refused("joinRoom", secretParams(fmt.Sprint("guess", i), "true", "false")); refused.Code != http.StatusUnauthorized {
			t.Errorf("guess %d: %+v", i, refused)
		}
	}
	select {
	case ended := <-client.ended:
		if got := websocket.CloseStatus(ended); got != websocket.StatusPolicyViolation {
			t.Errorf("closed with %d", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the socket stays open")
	}
	if got := p.joins.wrongSecrets.Load(); got != maxWrongSecrets {
		t.Errorf("%d wrong secrets were counted", got)
	}
	// Nobody else at the address pays for it.
	p.dial(podhttp.HeaderSecretDigests, digestHeader("the right one")).call("joinRoom", secretParams("the right one", "true", "false"))
	p.join("A")
}

// What is asked before the socket is closed is no way round the limit.
func TestAfterTooManyWrongSecretsNoneIsLookedAt(t *testing.T) {
	s := &conversation{
		frontEnd: New(Config{Log: logr.Discard(), Observer: &counts{}}), client: &player{}, key: "team.room", secrets: podhttp.ParseSecretDigests(digestHeader("the right one")),
	}
	for i := range maxWrongSecrets {
		if claims, ignored := s.claims("team.room", credential{secret: fmt.Sprint("guess", i)}); claims != nil || ignored != nil {
			t.Errorf("guess %d: %v, %v", i, claims, ignored)
		}
	}
	claims, ignored := s.claims("team.room", credential{secret: "the right one"})
	if claims != nil || ignored == nil || ignored.Error() != "Too many wrong secrets: at most 3 from one connection. Code: 999" {
		t.Errorf("the right one: %v, %v", claims, ignored)
	}
}

func TestAnAddressHasOnlySoManyWrongSecrets(t *testing.T) {
	limits := signalling.DefaultLimits()
	limits.Address.WrongSecrets = scarce(4)
	p := newPod(t, limits, "A", "B")
	header := digestHeader("the right one")
	for i := range 2 {
		client := p.dial(podhttp.HeaderSecretDigests, header)
		client.refused("joinRoom", secretParams(fmt.Sprint("guess", i), "true", "false"))
		client.refused("joinRoom", secretParams(fmt.Sprint("again", i), "true", "false"))
	}
	const want = "Too many wrong secrets: at most 1e-09 per second from one address. Code: 999"
	for _, secret := range []string{"guess", "the right one"} { // nobody learns any more which one is right
		if refused := p.dial(podhttp.HeaderSecretDigests, header).refused("joinRoom", secretParams(secret, "true", "false")); refused.Message != want {
			t.Errorf("%s: got %+v", secret, refused)
		}
	}
	if got := p.joins.wrongSecrets.Load(); got != 4 {
		t.Errorf("%d wrong secrets were counted", got)
	}
	// Tokens are as good as ever, with a secret that nobody looks at, too.
	p.join("A")
	withSecret := strings.Replace(joinParams("wss://host?sessionId=team.room&token=tok_B", "team.room"), `"secret":""`, `"secret":"guess"`, 1)
	p.dial(podhttp.HeaderSecretDigests, header).call("joinRoom", withSecret)
	elsewhere := p.dial(podhttp.HeaderSecretDigests, header, podhttp.HeaderAddress, "192.0.2.2")
	elsewhere.call("joinRoom", secretParams("the right one", "true", "false"))
}

func TestRightSecretsCostNothing(t *testing.T) {
	limits := signalling.DefaultLimits()
	limits.Address.WrongSecrets = scarce(1)
	p := newPod(t, limits, "A")
	for range 5 {
		p.dial(podhttp.HeaderSecretDigests, digestHeader("one")).call("joinRoom", secretParams("one", "true", "false"))
	}
}
