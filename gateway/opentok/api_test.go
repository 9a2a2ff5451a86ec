package opentok

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/internal/opentokid"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// create makes a session as the Node library does.
func (w *world) create(form string) answer {
	w.Helper()
	request := w.request(http.MethodPost, createPath, form)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(request)
}

// newSession returns the id of a new session.
func (w *world) newSession() string {
	w.Helper()
	got := w.create("archiveMode=manual&p2p.preference=disabled")
	var sessions []sessionJSON
	if err := json.Unmarshal([]byte(got.body), &sessions); err != nil || len(sessions) != 1 {
		w.Fatalf("got %d %s", got.status, got.body)
	}
	return sessions[0].SessionID
}

const below = "/v2/project/" + apiKey

func TestCreateSession(t *testing.T) {
	w := newWorld(t)
	id := w.newSession()
	if opentokid.APIKeyOf(id) != apiKey || w.newSession() == id {
		t.Errorf("the session is %s", id)
	}
	for form, want := range map[string]int{
		"": 200, "p2p.preference=enabled&location=192.0.2.1&archiveName=x": 200, "e2ee=false": 200,
		"archiveMode=always&p2p.preference=disabled": 501, "archiveMode=always&archiveResolution=1x1": 400, "e2ee=true": 501, "archiveMode=never": 400, "p2p.preference=maybe": 400, "a=%zz": 400,
	} {
		if got := w.create(form); got.status != want {
			t.Errorf("%q: got %d %s, want %d", form, got.status, got.body, want)
		}
	}
	request := w.request(http.MethodPost, createPath, "")
	request.Header.Set("Accept", "*/*")
	got := w.do(request)
	var sessions sessionsXML
	if err := xml.Unmarshal([]byte(got.body), &sessions); err != nil || opentokid.APIKeyOf(sessions.Session.SessionID) != apiKey ||
		!strings.HasPrefix(got.header.Get("Content-Type"), "application/xml") {
		t.Errorf("without JSON: got %v %s", got.header, got.body)
	}
	w.want(400, http.MethodPost, createPath, "{}") // no form
}

func TestWhoAsks(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	for name, test := range map[string]struct {
		header, token string
		want          int
	}{
		"nobody":                      {authHeader, "", 401},
		"a REST token":                {authHeader, restTokenOf(t, nil), 200},
		"as a bearer":                 {"Authorization", "Bearer " + restTokenOf(t, nil), 200},
		"a connect token":             {authHeader, connectToken(t, session, nil), 403},
		"a connect token as a bearer": {"Authorization", "Bearer " + connectToken(t, session, nil), 403},
		"a password":                  {"Authorization", "Basic T1BFTlZJRFVBUFA6TVlfU0VDUkVU", 401},
		"another project":             {authHeader, sign(t, jwt.MapClaims{"iss": "5", "ist": "project", "exp": 1 << 40}, apiSecret), 403},
		"another secret":              {authHeader, sign(t, jwt.MapClaims{"iss": apiKey, "ist": "project", "exp": 1 << 40}, "ANOTHER_SECRET"), 403},
		"expired":                     {authHeader, restTokenOf(t, jwt.MapClaims{"exp": 1}), 403},
		"any text":                    {authHeader, "x", 403},
	} {
		request := w.request(http.MethodGet, below+"/session/"+session+"/stream", "")
		request.Header.Del(authHeader)
		request.Header.Set(test.header, test.token)
		if got := w.do(request); got.status != test.want {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, test.want)
		}
	}
	w.want(403, http.MethodGet, "/v2/project/5/session/"+session+"/stream", "")
}

func TestStreamsAndTheirLayoutClasses(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	streams := below + "/session/" + session + "/stream"
	if got := w.want(200, http.MethodGet, streams, ""); got.body != `{"count":0,"items":[]}` {
		t.Errorf("nobody is there: %s", got.body)
	}
	connection := w.enter(session, jwt.MapClaims{"initial_layout_class_list": "focus main"})
	id := connection.Status.Publishers[0].StreamID
	stream := `{"id":"` + id + `","videoType":"camera","name":"","layoutClassList":["focus","main"]}`
	if got := w.want(200, http.MethodGet, streams, ""); got.body != `{"count":1,"items":[`+stream+`]}` || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %s", got.header.Get("Content-Type"), got.body)
	}
	// The Node library parses it twice.
	if got := w.want(200, http.MethodGet, streams+"/"+id, ""); got.body != stream || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("in Node: got %s %s", got.header.Get("Content-Type"), got.body)
	}
	request := w.request(http.MethodGet, streams+"/"+id, "")
	request.Header.Set("User-Agent", "OpenTok-Ruby-SDK/4")
	if got := w.do(request); got.body != stream || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("in Ruby: got %s %s", got.header.Get("Content-Type"), got.body)
	}
	if got := w.want(200, http.MethodPut, streams, `{"items":[{"id":"`+id+`","layoutClassList":[]}]}`); !strings.Contains(got.body, `"layoutClassList":[]`) {
		t.Errorf("without classes: got %s", got.body)
	}
	w.want(200, http.MethodPut, streams, `{"items":[{"id":"`+id+`","layoutClassList":["full"]}]}`)
	if got := w.want(200, http.MethodGet, streams, ""); !strings.Contains(got.body, `"layoutClassList":["full"]`) {
		t.Errorf("got %s", got.body)
	}
	for body, want := range map[string]int{
		`{}`: 400, `{"items":[]}`: 400, `{"items":5}`: 400, `[]`: 400, `{"items":[{"id":"other","layoutClassList":["a"]}]}`: 404,
		`{"items":[{"id":"` + id + `","layoutClassList":["a b"]}]}`:                                               400,
		`{"items":[{"id":"` + id + `","layoutClassList":["` + strings.Repeat("a", maxLayoutClass+1) + `"]}]}`:     400,
		`{"items":[{"id":"` + id + `","layoutClassList":["a"` + strings.Repeat(`,"a"`, maxLayoutClasses) + `]}]}`: 400,
		`{"items":[{"id":"` + id + `","layoutClassList":["b"]},{"id":"other","layoutClassList":["b"]}]}`:          404,
		`{"items":[{"id":"` + id + `","layoutClassList":["` + strings.Repeat("a", maxBody) + `"]}]}`:              413,
		`{"items":[{"id":"` + strings.Repeat("../", 100) + `","layoutClassList":["a"]}]}`:                         404,
		strings.Repeat(`{"items":`, 5000): 400,
	} {
		w.want(want, http.MethodPut, streams, body)
	}
	if got := w.want(200, http.MethodGet, streams, ""); !strings.Contains(got.body, `"layoutClassList":["full"]`) {
		t.Errorf("a request that failed has changed something: %s", got.body)
	}
	w.want(404, http.MethodGet, streams+"/other", "")
}

func TestSignals(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	at := below + "/session/" + session
	w.want(404, http.MethodPost, at+"/signal", `{"type":"chat","data":"hi"}`)
	connection := objects.ConnectionID(w.enter(session, nil))
	w.want(204, http.MethodPost, at+"/signal", `{"type":"chat","data":"hi"}`)
	w.want(204, http.MethodPost, at+"/connection/"+connection+"/signal", `{"data":""}`)
	w.want(204, http.MethodPost, at+"/signal", "")
	want := []string{`{"type":"chat","data":"hi"}`, `{"to":["` + connection + `"],"data":""}`, `{}`}
	if got := w.rooms.take(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("sent: %q", got)
	}
	for body, want := range map[string]int{
		`{"type":"a b"}`: 400, `{"type":5}`: 400, `{"data":{"a":1}}`: 400, `{"type":"` + strings.Repeat("a", maxServerSignalType+1) + `"}`: 413,
		`{"data":"` + strings.Repeat("a", maxServerSignalData+1) + `"}`: 413, `{"type":"` + strings.Repeat("a", maxServerSignalType) + `"}`: 204,
		`null`: 400, `{} {}`: 400, `{`: 400,
	} {
		w.want(want, http.MethodPost, at+"/signal", body)
	}
	w.want(404, http.MethodPost, at+"/connection/con_Other00000/signal", `{}`)
	w.rooms.fail(route.ErrUnreachable)
	if got := w.want(503, http.MethodPost, at+"/signal", `{}`); got.header.Get("Retry-After") == "" {
		t.Error("it is not said when to come again")
	}
	w.rooms.fail(route.ErrTooMuch)
	w.want(429, http.MethodPost, at+"/signal", `{}`)
	w.rooms.fail(errors.New("of another kind"))
	w.want(500, http.MethodPost, at+"/signal", `{}`)
}

func TestForceMute(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	at := below + "/session/" + session
	w.want(404, http.MethodPost, at+"/mute", `{"active":true}`)
	w.want(404, http.MethodPost, at+"/stream/str_here/mute", "")
	w.enter(session, nil)
	w.rooms.take()
	for _, test := range []struct {
		path, body string
		want       int
	}{
		{"/stream/str_here/mute", "", 200},
		{"/stream/str_here/mute", "{}", 200},
		{"/mute", `{"active":true,"excludedStreamIds":["str_here","other"]}`, 200},
		{"/mute", `{"active":false,"excludedStreamIds":["str_here"]}`, 200},
		{"/stream/str_gone/mute", "{}", 404},
		{"/mute", "", 400},
		{"/mute", `{"active":"yes"}`, 400},
		{"/mute", `{"active":true,"excludedStreamIds":"str_here"}`, 400},
		{"/mute", `{"active":true,"excludedStreamIds":["` + strings.Repeat(`","`, podhttp.MaxExcluded) + `"]}`, 400},
	} {
		if got := w.want(test.want, http.MethodPost, at+test.path, test.body); test.want == 200 && got.body != "{}" {
			t.Errorf("%s %s: got %s", test.path, test.body, got.body)
		}
	}
	want := `{"stream":"str_here"} {"stream":"str_here"} {"all":true,"excluded":["str_here","other"]} {}`
	if got := strings.Join(w.rooms.take(), " "); got != want {
		t.Errorf("the room was told %s", got)
	}
	w.rooms.fail(route.ErrTooMuch)
	w.want(429, http.MethodPost, at+"/mute", `{"active":true}`)
}

func TestConnections(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	at := below + "/session/" + session + "/connection"
	w.want(404, http.MethodDelete, at+"/con_Other00000", "")
	first, second := objects.ConnectionID(w.enter(session, nil)), objects.ConnectionID(w.enter(session, nil))
	got := w.want(200, http.MethodGet, at, "")
	var list connectionsJSON
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || list.Count != 2 || list.ProjectID != apiKey || list.SessionID != session ||
		list.Items[0].ID != first || list.Items[1].ID != second || list.Items[0].State != "Connected" || list.Items[0].CreatedAt == 0 {
		t.Errorf("got %s", got.body)
	}
	w.want(204, http.MethodDelete, at+"/"+first, "")
	w.want(404, http.MethodDelete, at+"/"+first, "")
	if got := w.want(200, http.MethodGet, at, ""); strings.Contains(got.body, first) || !strings.Contains(got.body, second) {
		t.Errorf("afterwards: %s", got.body)
	}
}

func TestWhatIsNotThereSaysSo(t *testing.T) {
	w := newWorld(t)
	session := "/session/" + w.newSession()
	for request, want := range map[string]int{
		"PATCH /archive/a/streams": 400, "PUT /archive/a/layout": 404, "PUT /archive/a": 405, "GET /archive/a/other": 404,
		"POST /broadcast": 501, "PUT /broadcast/b/layout": 501, "POST /captions": 501, "POST /render": 501, "PUT /callback": 405, "GET /callback/a": 405, "DELETE /callback/a": 404, "POST /dial": 501,
		"POST /connect": 501, "POST " + session + "/play-dtmf": 501, "POST " + session + "/connection/c/play-dtmf": 501,
		"GET /other": 404, "GET /": 404, "GET " + session: 404, "DELETE " + session + "/stream": 405, "GET " + session + "/signal": 405,
		"GET " + session + "//stream": 404, "GET /session//stream": 404, "GET /session/a.b/stream": 400, "GET /session/%2e%2e/stream": 400,
		"GET /session/demo/stream": 404, "GET /session/" + opentokid.NewSessionID("5", w.now()) + "/stream": 400,
		"GET /session/" + strings.Repeat("a", 65) + "/stream": 400, "GET /session/" + strings.Repeat("a", maxPath) + "/stream": 414,
		"GET " + session + "/stream?" + url.QueryEscape(strings.Repeat("a", maxQuery+1)): 414,
	} {
		method, path, _ := strings.Cut(request, " ")
		w.want(want, method, below+path, "")
	}
	for _, path := range []string{JoinPath, createPath} {
		w.want(405, http.MethodGet, path, "")
	}
}

func TestServes(t *testing.T) {
	for path, want := range map[string]bool{
		"/opentok/join": true, "/session/create": true, "/v2/project/1/archive": true, "/v2/project/": true,
		"/opentok": false, "/": false, "/session": false, "/v2/js/opentok.min.js": false, "/openvidu/api/sessions": false,
	} {
		if got := Serves(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}
