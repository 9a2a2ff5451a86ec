package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // T1 is HMAC-SHA-1.
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mediarooms.dev/mediarooms/internal/opentokid"
)

// What npm opentok 2.23.2 and 2.19.0 made at the time made: a moderator's token of one session,
// with data and layout classes, for 29 days.
const (
	vectorSession = "2_MX4xMjM0NTZ-fjE3MDAwMDAwMDAwMDB-QWJDZEVmMDEyMzQ1Njc4OX5-"
	vectorData    = `{"u":"a b&c:d"}`
	newT1         = "T1==cGFydG5lcl9pZD0xMjM0NTYmc2lnPTg2ZmI4OWM1OWNjMWU2ZTU3ODA5MjRmYThkZDUxODE5YzhmYTcwOGI6c2Vzc2lvbl9pZD0yX01YNHhNak0wTlRaLWZqRTNNREF3TURBd01EQXdNREItUVdKRFpFVm1NREV5TXpRMU5qYzRPWDUtJmNyZWF0ZV90aW1lPTE3OTU5MzI1OTImbm9uY2U9MC44Mzg0MTY5NTM0NTE3NjA5JnJvbGU9bW9kZXJhdG9yJmV4cGlyZV90aW1lPTE3OTg0MzgxOTEmY29ubmVjdGlvbl9kYXRhPSU3QiUyMnUlMjIlM0ElMjJhJTIwYiUyNmMlM0FkJTIyJTdEJmluaXRpYWxfbGF5b3V0X2NsYXNzX2xpc3Q9Zm9jdXMlMjBtYWluJnNjb3BlPXNlc3Npb24uY29ubmVjdA=="
	oldT1         = "T1==cGFydG5lcl9pZD0xMjM0NTYmc2lnPTc0YzAzODExYjljMDE4NjIxNTA4NzFiNzcxN2RlZDNhYTZiYzI0MmY6c2Vzc2lvbl9pZD0yX01YNHhNak0wTlRaLWZqRTNNREF3TURBd01EQXdNREItUVdKRFpFVm1NREV5TXpRMU5qYzRPWDUtJmNyZWF0ZV90aW1lPTE3OTU5MzI1OTImbm9uY2U9MC4zMDEzMjUxMTIyNzk0MzY1JnJvbGU9bW9kZXJhdG9yJmV4cGlyZV90aW1lPTE3OTg0MzgxOTEmY29ubmVjdGlvbl9kYXRhPSU3QiUyMnUlMjIlM0ElMjJhJTIwYiUyNmMlM0FkJTIyJTdEJmluaXRpYWxfbGF5b3V0X2NsYXNzX2xpc3Q9Zm9jdXMlMjBtYWlu"
	newJWT        = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiIxMjM0NTYiLCJpc3QiOiJwcm9qZWN0IiwiaWF0IjoxNzk1OTMyNTkxLCJleHAiOjE3OTg0MzgxOTEsInNlc3Npb25faWQiOiIyX01YNHhNak0wTlRaLWZqRTNNREF3TURBd01EQXdNREItUVdKRFpFVm1NREV5TXpRMU5qYzRPWDUtIiwiY3JlYXRlX3RpbWUiOjE3OTU5MzI1OTIsIm5vbmNlIjowLjY0Mzk4MDk5MzY2MTE3NjIsInJvbGUiOiJtb2RlcmF0b3IiLCJleHBpcmVfdGltZSI6MTc5ODQzODE5MSwiY29ubmVjdGlvbl9kYXRhIjoie1widVwiOlwiYSBiJmM6ZFwifSIsImluaXRpYWxfbGF5b3V0X2NsYXNzX2xpc3QiOiJmb2N1cyBtYWluIiwic2NvcGUiOiJzZXNzaW9uLmNvbm5lY3QifQ.BW0FGJQ31HCkYsxOYf3iEltSS6P4gxHET2fBqf0qe6o"
)

var (
	made    = time.Unix(1795932600, 0)
	secret  = []byte("1234567890abcdef1234567890abcdef1234567890")
	key     = newKey()
	project = &Project{
		APIKey: "123456", Secrets: [][]byte{secret, []byte("the secret before")},
		ApplicationID: "78d335fa-323d-0114-9c3d-d6f0d48968cf", PublicKeys: []*rsa.PublicKey{&key.PublicKey},
	}
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func TestTokensOfTheServerLibraryLetTheirBearersIn(t *testing.T) {
	want := Connect{SessionID: vectorSession, Role: RoleModerator, Data: vectorData, LayoutClasses: []string{"focus", "main"}}
	for name, token := range map[string]string{"T1 of 2.23.2": newT1, "T1 of 2.19.0": oldT1, "JWT of 2.23.2": newJWT} {
		got, err := project.VerifyConnect(token, vectorSession, made)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v and %v", name, got, err)
		}
		if named, err := Named(token); named != "123456" || err != nil {
			t.Errorf("%s: it names %q, %v", name, named, err)
		}
	}
}

// signedT1 returns a T1 token with data that is signed as it is.
func signedT1(head, data string, secret []byte) string {
	mac := hmac.New(sha1.New, secret)
	_, _ = mac.Write([]byte(data))
	return t1Prefix + base64.StdEncoding.EncodeToString([]byte(head+"&sig="+hex.EncodeToString(mac.Sum(nil))+":"+data))
}

// joining are the claims of a connect token of a project, with changes; a nil one takes a claim
// away.
func joining(changes jwt.MapClaims) jwt.MapClaims {
	claims := jwt.MapClaims{
		"iss": "123456", "ist": "project", "iat": made.Unix(), "exp": made.Add(time.Hour).Unix(),
		"session_id": vectorSession, "role": "publisher", "scope": "session.connect", "nonce": 0.25, "initial_layout_class_list": "",
	}
	return changed(claims, changes)
}

// asking are the claims of a REST token of a project, with changes.
func asking(changes jwt.MapClaims) jwt.MapClaims {
	return changed(jwt.MapClaims{"iss": "123456", "ist": "project", "iat": made.Unix(), "exp": made.Add(5 * time.Minute).Unix()}, changes)
}

// ofApplication are changes that make a token one of the application.
func ofApplication(more jwt.MapClaims) jwt.MapClaims {
	return changed(jwt.MapClaims{"iss": nil, "ist": nil, "application_id": project.ApplicationID, "jti": "1"}, more)
}

func changed(claims, changes jwt.MapClaims) jwt.MapClaims {
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func signed(t *testing.T, method jwt.SigningMethod, claims jwt.MapClaims, key any) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// keptAsNil signs claims of which one is JSON null.
func keptAsNil(t *testing.T, claims jwt.MapClaims, name string) string {
	t.Helper()
	claims[name] = nil
	return signed(t, jwt.SigningMethodHS256, claims, secret)
}

func publicPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestConnectTokens(t *testing.T) {
	hs, rs := jwt.SigningMethodHS256, jwt.SigningMethodRS256
	head := "partner_id=123456"
	session := "session_id=" + vectorSession
	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"a JWT":                          {signed(t, hs, joining(nil), secret), nil},
		"one by the secret before":       {signed(t, hs, joining(nil), project.Secrets[1]), nil},
		"one without an end":             {signed(t, hs, joining(jwt.MapClaims{"exp": nil}), secret), nil},
		"one without a role":             {signed(t, hs, joining(jwt.MapClaims{"role": nil}), secret), nil},
		"one that is a second ahead":     {signed(t, hs, joining(jwt.MapClaims{"iat": made.Unix() + 1}), secret), nil},
		"one of the application":         {signed(t, rs, joining(ofApplication(jwt.MapClaims{"sub": "video"})), key), nil},
		"T1 without an end":              {signedT1(head, session+"&create_time=1795932000", secret), nil},
		"T1 with more in its head":       {signedT1("a=b&"+head+"&c", session+"&expire_time=1795936000.5", secret), nil},
		"T1 with plus signs for spaces":  {signedT1(head, session+"&expire_time=1795936000&connection_data=a+b&role=subscriber", secret), nil},
		"expired":                        {signed(t, hs, joining(jwt.MapClaims{"exp": made.Add(-2 * time.Minute).Unix()}), secret), ErrExpired},
		"expired after its usual life":   {signed(t, hs, joining(jwt.MapClaims{"exp": nil, "iat": made.Add(-25 * time.Hour).Unix()}), secret), ErrExpired},
		"neither made nor ended":         {signed(t, hs, joining(jwt.MapClaims{"exp": nil, "iat": nil}), secret), ErrExpired},
		"T1 that has expired":            {signedT1(head, session+"&expire_time=1795932000", secret), ErrExpired},
		"T1 of yesterday":                {signedT1(head, session+"&create_time=1795800000", secret), ErrExpired},
		"T1 without any time":            {signedT1(head, session, secret), ErrExpired},
		"T1 that ends at no number":      {signedT1(head, session+"&expire_time=NaN", secret), ErrExpired},
		"T1 that never ends":             {signedT1(head, session+"&expire_time=Inf", secret), ErrExpired},
		"by another secret":              {signed(t, hs, joining(nil), []byte("another secret")), ErrForged},
		"T1 by another secret":           {signedT1(head, session+"&expire_time=1795936000", []byte("another secret")), ErrForged},
		"T1 that was changed":            {strings.Replace(signedT1(head, session+"&role=subscriber", secret), "==", "==", 1)[:40] + "AAAA", ErrMalformed},
		"not signed":                     {signed(t, jwt.SigningMethodNone, joining(nil), jwt.UnsafeAllowNoneSignatureType), ErrForged},
		"by another algorithm":           {signed(t, jwt.SigningMethodHS512, joining(nil), secret), ErrForged},
		"by RS256 for the API key":       {signed(t, rs, joining(nil), key), ErrForged},
		"by HS256 for the application":   {signed(t, hs, joining(ofApplication(nil)), secret), ErrForged},
		"by the public key as a secret":  {signed(t, hs, joining(ofApplication(nil)), publicPEM(t)), ErrForged},
		"by another private key":         {signed(t, rs, joining(ofApplication(nil)), newKey()), ErrForged},
		"of another API key":             {signed(t, hs, joining(jwt.MapClaims{"iss": "654321"}), secret), ErrForeign},
		"of another application":         {signed(t, rs, joining(ofApplication(jwt.MapClaims{"application_id": "other"})), key), ErrForeign},
		"T1 of another API key":          {signedT1("partner_id=654321", session+"&expire_time=1795936000", secret), ErrForeign},
		"of nobody":                      {signed(t, hs, joining(jwt.MapClaims{"iss": nil}), secret), ErrForeign},
		"of another session":             {signed(t, hs, joining(jwt.MapClaims{"session_id": "2_other"}), secret), ErrOtherSession},
		"T1 of another session":          {signedT1(head, "session_id=other&expire_time=1795936000", secret), ErrOtherSession},
		"a REST token":                   {signed(t, hs, asking(nil), secret), ErrNoConnectToken},
		"a REST token of an application": {signed(t, rs, asking(ofApplication(nil)), key), ErrNoConnectToken},
		"without a scope":                {signed(t, hs, joining(jwt.MapClaims{"scope": nil}), secret), ErrNoConnectToken},
		"with another scope":             {signed(t, hs, joining(jwt.MapClaims{"scope": "session.connect session.rest"}), secret), ErrNoConnectToken},
		"for a session that is a number": {signed(t, hs, joining(jwt.MapClaims{"session_id": 5}), secret), ErrNoConnectToken},
		"T1 with another scope":          {signedT1(head, session+"&expire_time=1795936000&scope=rest", secret), ErrNoConnectToken},
		"T1 without a session":           {signedT1(head, "expire_time=1795936000", secret), ErrNoConnectToken},
		"with a role that is none":       {signed(t, hs, joining(jwt.MapClaims{"role": "admin"}), secret), ErrRole},
		"with a role that is no text":    {signed(t, hs, joining(jwt.MapClaims{"role": []string{"moderator"}}), secret), ErrRole},
		"T1 with a role that is none":    {signedT1(head, session+"&expire_time=1795936000&role=Moderator", secret), ErrRole},
		"with data that is no text":      {signed(t, hs, joining(jwt.MapClaims{"connection_data": map[string]int{"a": 1}}), secret), ErrMalformed},
		"T1 whose data is no query":      {signedT1(head, session+"&expire_time=1795936000&connection_data=%zz", secret), ErrMalformed},
		"nothing":                        {"", ErrMalformed},
		"T1 of nothing":                  {"T1==", ErrMalformed},
		"T1 without data":                {t1Prefix + base64.StdEncoding.EncodeToString([]byte(head)), ErrMalformed},
		"any text":                       {"moderator", ErrMalformed},
		"three dots":                     {"...", ErrMalformed},
		"too long":                       {signedT1(head, session+"&expire_time=1795936000&connection_data="+strings.Repeat("a", maxToken), secret), ErrMalformed},
		"a JWT that is too long":         {signed(t, hs, joining(jwt.MapClaims{"connection_data": strings.Repeat("a", maxToken)}), secret), ErrMalformed},
	} {
		if _, err := project.VerifyConnect(test.token, vectorSession, made); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestWhatAConnectTokenSays(t *testing.T) {
	for name, test := range map[string]struct {
		token string
		want  Connect
	}{
		"little": {
			signed(t, jwt.SigningMethodHS256, joining(jwt.MapClaims{"role": nil}), secret),
			Connect{SessionID: vectorSession, Role: RolePublisher},
		},
		"the least of T1": {
			signedT1("partner_id=123456", "session_id="+vectorSession+"&create_time=1795932000", secret),
			Connect{SessionID: vectorSession, Role: RolePublisher},
		},
		"much": {
			signed(t, jwt.SigningMethodRS256, joining(ofApplication(jwt.MapClaims{
				"role": "publisheronly", "connection_data": "ä 1", "initial_layout_class_list": " a  b ",
			})), key),
			Connect{SessionID: vectorSession, Role: RolePublisherOnly, Data: "ä 1", LayoutClasses: []string{"a", "b"}},
		},
		"plus signs for spaces": {
			signedT1("partner_id=123456", url.Values{
				"session_id": {vectorSession}, "expire_time": {"1795936000"}, "role": {"subscriber"}, "connection_data": {"a b+c"},
			}.Encode(), secret),
			Connect{SessionID: vectorSession, Role: RoleSubscriber, Data: "a b+c"},
		},
	} {
		got, err := project.VerifyConnect(test.token, vectorSession, made)
		if len(got.LayoutClasses) == 0 {
			got.LayoutClasses = nil
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v and %v", name, got, err)
		}
	}
}

func TestTokensOfREST(t *testing.T) {
	hs, rs := jwt.SigningMethodHS256, jwt.SigningMethodRS256
	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"a token":                      {signed(t, hs, asking(jwt.MapClaims{"jti": "1"}), secret), nil},
		"one for a day":                {signed(t, hs, asking(jwt.MapClaims{"exp": made.Add(24 * time.Hour).Unix()}), secret), nil},
		"one by the secret before":     {signed(t, hs, asking(nil), project.Secrets[1]), nil},
		"one of the application":       {signed(t, rs, asking(ofApplication(nil)), key), nil},
		"expired":                      {signed(t, hs, asking(jwt.MapClaims{"exp": made.Add(-2 * time.Minute).Unix()}), secret), ErrExpired},
		"without an end":               {signed(t, hs, asking(jwt.MapClaims{"exp": nil}), secret), ErrExpired},
		"of an account":                {signed(t, hs, asking(jwt.MapClaims{"ist": "account"}), secret), ErrNoRESTToken},
		"a connect token":              {signed(t, hs, joining(nil), secret), ErrNoRESTToken},
		"one of the application's":     {signed(t, rs, joining(ofApplication(nil)), key), ErrNoRESTToken},
		"with a session":               {signed(t, hs, asking(jwt.MapClaims{"session_id": vectorSession}), secret), ErrNoRESTToken},
		"with a role":                  {signed(t, hs, asking(jwt.MapClaims{"role": "moderator"}), secret), ErrNoRESTToken},
		"with a scope":                 {signed(t, hs, asking(jwt.MapClaims{"scope": "session.connect"}), secret), ErrNoRESTToken},
		"with a scope that is null":    {keptAsNil(t, asking(nil), "scope"), ErrNoRESTToken},
		"T1":                           {newT1, ErrMalformed},
		"by another secret":            {signed(t, hs, asking(nil), []byte("another secret")), ErrForged},
		"not signed":                   {signed(t, jwt.SigningMethodNone, asking(nil), jwt.UnsafeAllowNoneSignatureType), ErrForged},
		"by another algorithm":         {signed(t, jwt.SigningMethodHS384, asking(nil), secret), ErrForged},
		"by HS256 for the application": {signed(t, hs, asking(ofApplication(nil)), publicPEM(t)), ErrForged},
		"of another project":           {signed(t, hs, asking(jwt.MapClaims{"iss": "654321"}), secret), ErrForeign},
	} {
		if err := project.VerifyREST(test.token, made); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestAProjectWithoutSecretsLetsNobodyIn(t *testing.T) {
	empty := &Project{APIKey: "123456"}
	for name, token := range map[string]string{
		"T1": newT1, "JWT": newJWT, "an empty secret": signed(t, jwt.SigningMethodHS256, joining(nil), []byte{}),
		"no application": signed(t, jwt.SigningMethodRS256, joining(jwt.MapClaims{"application_id": ""}), key),
	} {
		if _, err := empty.VerifyConnect(token, vectorSession, made); !errors.Is(err, ErrForged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if empty.Is("") || !empty.Is("123456") {
		t.Error("no application id is one")
	}
}

// FuzzToken lets in nobody by a token that the seeds do not contain.
func FuzzToken(f *testing.F) {
	seeds := map[string]bool{}
	for _, seed := range []string{newT1, oldT1, newJWT, "", "T1==", "a.b.c", t1Prefix + base64.StdEncoding.EncodeToString([]byte("partner_id=123456&sig=:a"))} {
		seeds[seed] = true
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, _ = Named(token)
		_ = opentokid.APIKeyOf(token)
		said, err := project.VerifyConnect(token, vectorSession, made)
		if err == nil && !sameToken(seeds, token) {
			t.Errorf("%q gets in, as %+v", token, said)
		}
		if project.VerifyREST(token, made) == nil {
			t.Errorf("%q is a token of REST", token)
		}
	})
}

// sameToken says whether what is signed of a token is what is signed of a seed: base64 has more
// than one form, and the head of T1 is not signed.
func sameToken(seeds map[string]bool, token string) bool {
	said := whatIsSigned(token)
	for seed := range seeds {
		if said != "" && whatIsSigned(seed) == said {
			return true
		}
	}
	return false
}

func whatIsSigned(token string) string {
	if isT1(token) {
		given, _ := parseT1(token)
		return given.data
	}
	return token[:max(0, strings.LastIndex(token, "."))]
}
