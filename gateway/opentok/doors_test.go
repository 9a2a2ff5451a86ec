package opentok

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/opentokid"
)

const applicationID = "78d335fa-323d-0114-9c3d-d6f0d48968cf"

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signT1 returns a T1 token for a session, which is good for a long time.
func signT1(apiKey, sessionID, more, secret string) string {
	data := "session_id=" + sessionID + "&expire_time=4000000000" + more
	mac := hmac.New(sha1.New, []byte(secret))
	_, _ = mac.Write([]byte(data))
	return "T1==" + base64.StdEncoding.EncodeToString([]byte("partner_id="+apiKey+"&sig="+hex.EncodeToString(mac.Sum(nil))+":"+data))
}

// doors is a world whose project has an application, too: all ways to get in.
type doors struct {
	*world
	key *rsa.PrivateKey
}

func newDoors(t *testing.T) *doors {
	t.Helper()
	d := &doors{world: newWorld(t), key: newKey(t)}
	d.project.ApplicationID, d.project.PublicKeys = applicationID, []*rsa.PublicKey{&d.key.PublicKey}
	return d
}

// signedBy returns a token with claims of the project that something else has signed.
func (d *doors) signedBy(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	d.Helper()
	all := jwt.MapClaims{"iss": apiKey, "ist": "project", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.NewWithClaims(method, all).SignedString(key)
	if err != nil {
		d.Fatal(err)
	}
	return token
}

// wrong returns tokens with some claims that no door takes, by what is wrong with them.
func (d *doors) wrong(claims jwt.MapClaims) map[string]string {
	d.Helper()
	with := func(more jwt.MapClaims) jwt.MapClaims {
		for name, value := range claims {
			if more[name] == nil {
				more[name] = value
			}
		}
		return more
	}
	public, err := x509.MarshalPKIXPublicKey(&d.key.PublicKey)
	if err != nil {
		d.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	ofApplication := with(jwt.MapClaims{"application_id": applicationID, "iss": applicationID})
	right := d.signedBy(jwt.SigningMethodHS256, []byte(apiSecret), claims)
	parts := strings.Split(right, ".")
	link, err := download.Link{Recording: "uid", File: "a.zip"}.Sign(apiKey, []byte(apiSecret), time.Now().Add(time.Hour))
	if err != nil {
		d.Fatal(err)
	}
	return map[string]string{
		"any text":                       "token",
		"expired":                        d.signedBy(jwt.SigningMethodHS256, []byte(apiSecret), with(jwt.MapClaims{"exp": 1})),
		"forged":                         d.signedBy(jwt.SigningMethodHS256, []byte("ANOTHER_SECRET"), claims),
		"without its signature":          parts[0] + "." + parts[1] + ".",
		"with claims of another":         parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+apiKey+`","ist":"project","exp":4000000000}`)) + "." + parts[2],
		"of the algorithm none":          d.signedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims),
		"of another HMAC":                d.signedBy(jwt.SigningMethodHS512, []byte(apiSecret), claims),
		"of RSA for the API key":         d.signedBy(jwt.SigningMethodRS256, d.key, claims),
		"of HMAC by the public key":      d.signedBy(jwt.SigningMethodHS256, publicPEM, ofApplication),
		"of HMAC for the application":    d.signedBy(jwt.SigningMethodHS256, []byte(apiSecret), ofApplication),
		"of another RSA":                 d.signedBy(jwt.SigningMethodPS256, d.key, ofApplication),
		"by another private key":         d.signedBy(jwt.SigningMethodRS256, newKey(d.T), ofApplication),
		"of another project":             d.signedBy(jwt.SigningMethodHS256, []byte(apiSecret), with(jwt.MapClaims{"iss": "5"})),
		"of another application":         d.signedBy(jwt.SigningMethodRS256, d.key, with(jwt.MapClaims{"application_id": "other", "iss": "other"})),
		"of an account":                  d.signedBy(jwt.SigningMethodHS256, []byte("account"), with(jwt.MapClaims{"ist": "account"})),
		"of a link to an archive":        link,
		"two in one":                     right + "." + right,
		"a password of the other API":    "OPENVIDUAPP:MY_SECRET",
		"T1 without anything in it":      "T1==",
		"T1 by another secret":           signT1(apiKey, "any", "", "ANOTHER_SECRET"),
		"T1 of another project":          signT1("5", "any", "", apiSecret),
		"T1 without a project":           signT1("", "any", "", apiSecret),
		"T1 that is not of this session": signT1(apiKey, "any", "", apiSecret),
	}
}

func TestWrongTokensLetNobodyJoin(t *testing.T) {
	d := newDoors(t)
	session, other := d.newSession(), d.newSession()
	claims := jwt.MapClaims{"session_id": session, "role": "moderator", "scope": "session.connect"}
	tokens := d.wrong(claims)
	tokens["of another session"] = connectToken(t, other, nil)
	tokens["T1 of another session"] = signT1(apiKey, other, "", apiSecret)
	tokens["T1 with another scope"] = signT1(apiKey, session, "&scope=session.rest", apiSecret)
	tokens["T1 with a role that there is not"] = signT1(apiKey, session, "&role=admin", apiSecret)
	tokens["a REST token"] = restTokenOf(t, nil)
	tokens["a REST token of the application"] = d.signedBy(jwt.SigningMethodRS256, d.key, jwt.MapClaims{"application_id": applicationID, "iss": applicationID})
	tokens["a REST token with the session"] = restTokenOf(t, jwt.MapClaims{"session_id": session})
	for name, token := range tokens {
		got := d.askFrom(name, session, token)
		var problem problemJSON
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status != http.StatusUnauthorized || problem.Name != nameAuthentication {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
	if made := d.sessions(); len(made) != 0 {
		t.Errorf("there are %d Sessions", len(made))
	}
	for name, token := range map[string]string{
		"a JWT": connectToken(t, session, nil), "T1": signT1(apiKey, session, "", apiSecret),
		"of the application": d.signedBy(jwt.SigningMethodRS256, d.key, jwt.MapClaims{
			"application_id": applicationID, "iss": applicationID, "session_id": session, "scope": "session.connect",
		}),
	} {
		if got := d.askFrom(name, session, token); got.status != http.StatusOK {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
}

// No endpoint does anything for a token that is not one of REST.
func TestWrongTokensMoveNoEndpoint(t *testing.T) {
	d := newDoors(t)
	session := d.newSession()
	connection := d.enter(session, nil)
	d.rooms.take()
	tokens := d.wrong(jwt.MapClaims{})
	tokens["a connect token"] = connectToken(t, session, jwt.MapClaims{"role": "moderator"})
	tokens["T1"] = signT1(apiKey, session, "&role=moderator", apiSecret)
	ids := strings.NewReplacer("{project}", apiKey, "{session}", session, "{connection}", objects.ConnectionID(connection),
		"{stream}", connection.Status.Publishers[0].StreamID, "{archive}", session, "{callback}", "a")
	asked := 0
	for _, endpoint := range endpoints {
		if endpoint.pattern == JoinPath {
			continue
		}
		for name, token := range tokens {
			asked++
			request := d.request(endpoint.method, ids.Replace(endpoint.pattern), `{"sessionId":"`+session+`","group":"stream","event":"created","url":"https://a.example"}`)
			request.Header.Set(addressHeader, name+endpoint.label())
			request.Header.Set(authHeader, token)
			if got := d.do(request); got.status != http.StatusForbidden {
				t.Errorf("%s with %s: got %d %s", endpoint.label(), name, got.status, got.body)
			}
		}
		request := d.request(endpoint.method, ids.Replace(endpoint.pattern), "")
		request.Header.Del(authHeader)
		if got := d.do(request); got.status != http.StatusUnauthorized {
			t.Errorf("%s without any: got %d %s", endpoint.label(), got.status, got.body)
		}
		if got := d.do(d.request(endpoint.method, strings.Replace(ids.Replace(endpoint.pattern), apiKey, "5", 1), "")); endpoint.pattern != createPath && got.status != http.StatusForbidden {
			t.Errorf("%s of another project: got %d %s", endpoint.label(), got.status, got.body)
		}
	}
	if asked < 500 {
		t.Errorf("only %d have asked", asked)
	}
	if sent := d.rooms.take(); len(sent) != 0 || len(d.recordings()) != 0 || len(d.webhooks()) != 0 || len(d.sessions()) != 1 {
		t.Errorf("they have sent %q, and made %v and %v", sent, d.recordings(), d.webhooks())
	}
	if got := d.want(200, http.MethodGet, below+"/session/"+session+"/connection", ""); !strings.Contains(got.body, objects.ConnectionID(connection)) {
		t.Errorf("who is in the room: %s", got.body)
	}
}

// Ids that are none get nobody in, whatever the token says.
func TestSessionIDsThatAreNone(t *testing.T) {
	w := newWorld(t)
	encoded := func(text string) string { return "2_" + base64.RawURLEncoding.EncodeToString([]byte(text)) }
	foreign := opentokid.NewSessionID("5", w.now())
	for i, id := range []string{
		" ", ".", "..", "../other", "a/b", "a.b", w.project.Namespace + ".demo", "a b", "a\nb", "a\x00b", "ä", "a%2fb", "a?b", "a#b", "$(id)", `{"a":1}`, "'; DROP",
		strings.Repeat("a", 65), foreign, encoded("1~5~~1~2~a0"), foreign + "=",
	} {
		got := w.askFrom(id, id, connectToken(t, id, nil))
		var problem problemJSON
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status != http.StatusBadRequest || problem.Name != nameInvalidSessionID {
			t.Errorf("%d: joining %q: got %d %s", i, id, got.status, got.body)
		}
		body, err := json.Marshal(startArchiveJSON{SessionID: id, OutputMode: individual})
		if err != nil {
			t.Fatal(err)
		}
		w.want(400, http.MethodPost, below+"/archive", string(body))
	}
	// These have a form that is allowed, and are nobody's.
	for _, id := range []string{"demo", "-", "_", "1_", "2_AAAA", encoded("1~" + apiKey + "x~~1"), encoded("2~" + apiKey + "~~1~2~")} {
		if got := w.askFrom(id, id, connectToken(t, id, nil)); got.status != http.StatusNotFound {
			t.Errorf("joining %q: got %d %s", id, got.status, got.body)
		}
	}
	if made := w.sessions(); len(made) != 0 {
		t.Errorf("there are %d Sessions", len(made))
	}
}
