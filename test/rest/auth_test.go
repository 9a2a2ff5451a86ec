//go:build e2e

package rest

import (
	"net/http"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/test/openapi"
)

// challenge is what a client without credentials must be told, or the Java client never sends any.
const challenge = `Basic realm="Realm"`

// refused checks that an answer is a 401 with the challenge and nothing else.
func refused(t *testing.T, what string, got answer) {
	t.Helper()
	if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != challenge || got.body != "" {
		t.Errorf("%s: got %d %q, challenge %q", what, got.status, got.body, got.header.Get("WWW-Authenticate"))
	}
}

func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	Shows(t, 1, 2, 7)
	refused(t, "wrong secret", ask(t, "GET", "/config", "", as("WRONG")))
	refused(t, "no header", ask(t, "GET", "/config", "", nil))
	refused(t, "the secret of nobody, as a client sets it by itself", ask(t, "GET", "/sessions", "", func(r *http.Request) {
		r.Header.Set("Authorization", "Basic RFVNTVk6RFVNTVk=")
	}))
	shared.want(t, 200, "GET", "/config", "")
}

func TestEveryEndpointAsksWhoItIsBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	Shows(t, 3)
	session := shared.session(t, "")
	for _, endpoint := range openapi.Served().Endpoints() {
		if endpoint.Public {
			continue
		}
		for _, id := range []string{session, "NOT_EXISTS"} {
			path := strings.NewReplacer("{session}", id, "{connection}", "X", "{stream}", "X", "{recording}", "X", "{file}", "X").Replace(endpoint.Path)
			for _, body := range []string{"", "{", `{"customSessionId":false}`} {
				refused(t, endpoint.Method+" "+path, ask(t, endpoint.Method, path, body, nil))
			}
		}
	}
	for _, path := range []string{"/openvidu/api/none", "/openvidu/api/sessions/", "/openvidu/recordings/x", "/openvidu/info"} {
		refused(t, path, ask(t, "GET", path, "", nil))
	}
}

// The Java client sends each request without credentials, and once more with them when it was told
// which ones are wanted; an Authorization that the application gives goes with the first.
func TestTheRequestsOfTheJavaClient(t *testing.T) {
	t.Parallel()
	Shows(t, 4, 5, 6, 7, 8, 9)
	body := `{"customSessionId":"` + unique("java") + `","forcedVideoCodec":"MEDIA_SERVER_PREFERRED","allowTranscoding":false}`
	refused(t, "the first request", ask(t, "POST", "/sessions", body, nil))
	created := ask(t, "POST", "/sessions", body, as(shared.secret))
	if created.status != 200 {
		t.Fatalf("the same with the secret: got %d %s", created.status, created.body)
	}
	var session struct{ ID string }
	created.decode(t, &session)
	shared.want(t, 204, "DELETE", "/sessions/"+session.ID, "")

	refused(t, "without a secret and with a wrong header", ask(t, "GET", "/sessions", "", as("WRONG_HEADER")))
	refused(t, "with a wrong secret, first", ask(t, "GET", "/sessions", "", nil))
	refused(t, "with a wrong secret, then", ask(t, "GET", "/sessions", "", as("WRONG_SECRET")))
	// A right header is enough: the secret, whatever it is, is never asked for.
	if got := ask(t, "GET", "/sessions", "", as(shared.secret)); got.status != 200 {
		t.Errorf("with a right header: got %d", got.status)
	}
	// A wrong header gets the challenge, and so the secret is sent.
	refused(t, "with a wrong header, first", ask(t, "GET", "/sessions", "", as("WRONG_HEADER")))
	if got := ask(t, "GET", "/sessions", "", as(shared.secret)); got.status != 200 {
		t.Errorf("with a wrong header, then: got %d", got.status)
	}
}

func TestThePublicURLIsPublic(t *testing.T) {
	t.Parallel()
	Shows(t, 11)
	got := ask(t, "GET", "/config/openvidu-publicurl", "", nil)
	if got.status != 200 || got.body != kube.GatewayURL+"/" {
		t.Errorf("got %d %s, want %s/", got.status, got.body, kube.GatewayURL)
	}
	if head := ask(t, "HEAD", "/config/openvidu-publicurl", "", nil); head.status != 200 {
		t.Errorf("HEAD: got %d", head.status)
	}
}

func TestPagesOfOtherOriginsMayAsk(t *testing.T) {
	t.Parallel()
	Shows(t, 12)
	session := shared.session(t, "")
	for _, endpoint := range openapi.Served().Endpoints() {
		path := strings.NewReplacer("{session}", session, "{connection}", "X", "{stream}", "X", "{recording}", "X", "{file}", "X").Replace(endpoint.Path)
		preflight := ask(t, http.MethodOptions, path, "", func(r *http.Request) {
			r.Header.Set("Origin", "https://app.example.org")
			r.Header.Set("Access-Control-Request-Method", endpoint.Method)
			r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
		})
		for name, want := range map[string]string{
			"Origin": "*", "Methods": endpoint.Method, "Headers": "authorization,content-type", "Credentials": "",
		} {
			if value := preflight.header.Get("Access-Control-Allow-" + name); preflight.status != 200 || value != want {
				t.Errorf("OPTIONS %s for %s: got %d, Access-Control-Allow-%s: %q, want %q", path, endpoint.Method, preflight.status, name, value, want)
			}
		}
		if refusal := ask(t, endpoint.Method, path, "", origin); refusal.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: got %d %v", endpoint.Method, path, refusal.status, refusal.header)
		}
	}
	for _, r := range []row{{"GET", "/sessions/" + session, "", 200}, {"GET", "/sessions/NOT_EXISTS", "", 404}, {"POST", "/sessions", "{", 403}, {"PUT", "/none", "", 403}} {
		got := ask(t, r.method, r.path, r.body, func(q *http.Request) { origin(q); as(shared.secret)(q) })
		if got.status != r.status || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: got %d %v", r.method, r.path, got.status, got.header)
		}
	}
}

func origin(r *http.Request) { r.Header.Set("Origin", "https://app.example.org") }
