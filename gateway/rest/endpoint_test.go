package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/test/operatortest"
)

const emptyList = `{"numberOfElements":0,"content":[]}`

// Cases 1, 2 and 3.
func TestWhoAsks(t *testing.T) {
	w := newWorld(t)
	clients := netip.MustParseAddr("192.0.2.0")
	get := func(user, secret string) answer {
		request := w.request(0, http.MethodGet, "/sessions", "")
		clients = clients.Next()
		request.Header.Set(clientHeader, clients.String())
		if user != "" {
			request.SetBasicAuth(user, secret)
		}
		return w.do(request)
	}
	if got := get("OPENVIDUAPP", password); got.status != http.StatusOK || got.body != emptyList {
		t.Fatalf("with the password: got %d %s", got.status, got.body)
	}
	for name, credentials := range map[string][2]string{
		"without credentials": {},
		"wrong password":      {"OPENVIDUAPP", "WRONG"},
		"empty password":      {"OPENVIDUAPP", ""},
		"wrong user":          {"openviduapp", password},
		"longer password":     {"OPENVIDUAPP", password + "x"},
	} {
		got := get(credentials[0], credentials[1])
		if got.status != http.StatusUnauthorized || got.body != "" || got.header.Get("WWW-Authenticate") != `Basic realm="Realm"` {
			t.Errorf("%s: got %d %q and the challenge %q", name, got.status, got.body, got.header.Get("WWW-Authenticate"))
		}
	}
	for _, path := range []string{"/sessions/x", "/sessions/x/connection", "/signal", "/nothing", "//sessions", "/sessions/"} {
		if got := w.do(w.request(0, http.MethodPost, path, "{")); got.status != http.StatusUnauthorized {
			t.Errorf("POST %s without credentials: got %d, want 401 before anything else", path, got.status)
		}
	}

	w.setPassword("ANOTHER_SECRET")
	eventually(t, "the new password", func() bool { return get("OPENVIDUAPP", "ANOTHER_SECRET").status == http.StatusOK })
	if got := get("OPENVIDUAPP", password); got.status != http.StatusUnauthorized {
		t.Errorf("with the old password: got %d", got.status)
	}
	w.setPassword("")
	eventually(t, "no password", func() bool { return get("OPENVIDUAPP", "ANOTHER_SECRET").status == http.StatusUnauthorized })
	if got := get("OPENVIDUAPP", ""); got.status != http.StatusUnauthorized {
		t.Errorf("an empty Secret lets an empty password in: got %d", got.status)
	}
}

// Case 12.
func TestOtherOrigins(t *testing.T) {
	w := newWorld(t)
	preflight := w.request(0, http.MethodOptions, "/sessions/x/connection/y", "")
	preflight.Header.Set("Origin", "https://app.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "DELETE")
	preflight.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	got := w.do(preflight)
	if got.status != http.StatusOK || got.header.Get("Access-Control-Allow-Origin") != "*" ||
		got.header.Get("Access-Control-Allow-Methods") != "DELETE" || got.header.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
		t.Errorf("preflight: got %d %v", got.status, got.header)
	}
	if got.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("a browser's own credentials are allowed")
	}
	refused := w.request(0, http.MethodGet, "/sessions", "")
	refused.Header.Set("Origin", "https://app.example.com")
	if got := w.do(refused); got.status != http.StatusUnauthorized || got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a refusal: got %d %v", got.status, got.header)
	}
}

// The numbers are those of section 9 of the REST reference.
func TestStatusCodes(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		withBody                 bool
	}{
		{"13 unknown session", "GET", "/sessions/NOT_EXISTS", "", 404, false},
		{"an id that can't be one", "GET", "/sessions/a%2Fb", "", 403, false},
		{"an id with other characters", "GET", "/sessions/S1.", "", 404, false},
		{"29 delete without an id", "DELETE", "/sessions", "", 403, false},
		{"30 delete an unknown session", "DELETE", "/sessions/NOT_EXISTS", "", 404, false},
		{"25 an id that is in use", "POST", "/sessions", `{"customSessionId":"S1","recordingMode":"ALWAYS"}`, 409, false},
		{"15 media mode", "POST", "/sessions", `{"mediaMode":"NOT_EXISTS"}`, 400, true},
		{"16 recording mode of another type", "POST", "/sessions", `{"recordingMode":false}`, 400, true},
		{"17 recording mode", "POST", "/sessions", `{"recordingMode":"NOT_EXISTS"}`, 400, true},
		{"18 session id of another type", "POST", "/sessions", `{"customSessionId":999}`, 400, true},
		{"19 session id with another character", "POST", "/sessions", `{"customSessionId":"session#"}`, 400, true},
		{"37 media node as a string", "POST", "/sessions", `{"mediaNode":"node"}`, 400, true},
		{"37 media node without an id", "POST", "/sessions", `{"mediaNode":{}}`, 400, true},
		{"unknown media node", "POST", "/sessions", `{"mediaNode":{"id":"unknown"}}`, 400, true},
		{"20 recording properties of another type", "POST", "/sessions", `{"defaultRecordingProperties":"STR"}`, 400, true},
		{"21 recording's output mode", "POST", "/sessions", `{"defaultRecordingProperties":{"outputMode":"NOT_EXISTS"}}`, 400, true},
		{"22 recording's layout", "POST", "/sessions", `{"defaultRecordingProperties":{"recordingLayout":"NOT_EXISTS"}}`, 400, true},
		{"37 media node with another id", "POST", "/sessions", `{"mediaNode":{"id":123}}`, 400, true},
		{"bad JSON", "POST", "/sessions", `{`, 403, true},
		{"JSON that is no object", "POST", "/sessions", `[]`, 403, true},
		{"two JSON texts", "POST", "/sessions", `{}{}`, 403, true},
		{"too large", "POST", "/sessions", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, true},
		{"bad flag", "GET", "/sessions?pendingConnections=maybe", "", 403, false},

		{"41 connections of an unknown session", "GET", "/sessions/NOT_EXISTS/connection", "", 404, false},
		{"43 connection of an unknown session", "GET", "/sessions/NOT_EXISTS/connection/X", "", 400, false},
		{"44 unknown connection", "GET", "/sessions/S1/connection/X", "", 404, false},
		{"79 delete a connection of an unknown session", "DELETE", "/sessions/NOT_EXISTS/connection/X", "", 400, false},
		{"79 delete an unknown connection", "DELETE", "/sessions/S1/connection/X", "", 404, false},
		{"58 new connection of an unknown session", "POST", "/sessions/NOT_EXISTS/connection", `{"type":"IPCAM"}`, 404, false},
		{"58 unknown session comes before a bad body", "POST", "/sessions/NOT_EXISTS/connection", `{`, 404, false},
		{"53 type of another type", "POST", "/sessions/S1/connection", `{"type":false}`, 400, true},
		{"54 type", "POST", "/sessions/S1/connection", `{"type":"NOT_EXISTS"}`, 400, true},
		{"55 role of another type", "POST", "/sessions/S1/connection", `{"role":123}`, 400, true},
		{"56 data of another type", "POST", "/sessions/S1/connection", `{"data":true}`, 400, true},
		{"57 record of another type", "POST", "/sessions/S1/connection", `{"record":4000}`, 400, true},
		{"59 ICE server", "POST", "/sessions/S1/connection", `{"customIceServers":[{"url":"bad-ice-server"}]}`, 400, true},
		{"145 camera without an address", "POST", "/sessions/S1/connection", `{"type":"IPCAM"}`, 400, true},
		{"146 camera that is nowhere", "POST", "/sessions/S1/connection", `{"type":"IPCAM","rtspUri":"NOT_A_URL"}`, 400, true},
		{"147 camera with a flag of another type", "POST", "/sessions/S1/connection", `{"type":"IPCAM","rtspUri":"rtsp://c/x","adaptativeBitrate":123}`, 400, true},
		{"154 camera with another scheme", "POST", "/sessions/S1/connection", `{"type":"IPCAM","rtspUri":"filse://c/x"}`, 400, true},
		{"camera", "POST", "/sessions/S1/connection", `{"type":"IPCAM","rtspUri":"rtsp://camera.example.com/live"}`, 501, true},

		{"unknown endpoint", "GET", "/nothing", "", 403, false},
		{"other method", "PUT", "/sessions", `{}`, 403, false},
		{"a slash too many", "GET", "/sessions/", "", 403, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := w.call(test.method, test.path, test.body)
			if got.status != test.status || (got.body != "") != test.withBody {
				t.Errorf("%s %s: got %d %q, want %d", test.method, test.path, got.status, got.body, test.status)
			}
			if test.withBody && !strings.Contains(got.body, fmt.Sprintf(`"status":%d,"error":"%s","message":"`, test.status, http.StatusText(test.status))) {
				t.Errorf("the body is not structured: %s", got.body)
			}
		})
	}
	if got := w.want(200, "GET", "/sessions", ""); strings.Count(got.body, `"object":"session"`) != 1 {
		t.Errorf("refused requests left something: %s", got.body)
	}
	other := w.request(0, http.MethodPost, "/sessions", `{}`)
	other.SetBasicAuth("OPENVIDUAPP", password)
	other.Header.Set("Content-Type", "text/plain")
	if got := w.do(other); got.status != http.StatusForbidden {
		t.Errorf("a body of another type: got %d", got.status)
	}
}

// Cases 14, 23, 27, 28 and 35.
func TestSessionAsCreatedAndRead(t *testing.T) {
	w := newWorld(t)
	created := w.want(200, "POST", "/sessions", `{"customSessionId":"S1","mediaMode":null,"unknown":1}`)
	var session v1alpha1.Session
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: objects.Names("S1")[0]}, &session); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"id":"S1","object":"session","sessionId":"S1","createdAt":%d,"recording":false,"broadcasting":false,"mediaMode":"ROUTED",`+
		`"recordingMode":"MANUAL","defaultRecordingProperties":{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"COMPOSED",`+
		`"recordingLayout":"BEST_FIT","resolution":"1280x720","frameRate":25,"shmSize":536870912},"customSessionId":"S1",`+
		`"forcedVideoCodec":"MEDIA_SERVER_PREFERRED","allowTranscoding":false,"connections":`+emptyList+`}`, createdAt(&session))
	if created.body != want || created.header.Get("Content-Type") != "application/json" {
		t.Errorf("created: got %s %s\nwant %s", created.header.Get("Content-Type"), created.body, want)
	}
	for gateway := range w.gateways {
		if got := w.callAt(gateway, "GET", "/sessions/S1", ""); got.body != want {
			t.Errorf("read at gateway %d: got %s\nwant %s", gateway, got.body, want)
		}
		if got := w.callAt(gateway, "GET", "/sessions", ""); got.body != `{"numberOfElements":1,"content":[`+want+`]}` {
			t.Errorf("listed at gateway %d: got %s", gateway, got.body)
		}
	}
	if session.Spec.WhenEmpty != v1alpha1.WhenEmptyDelete {
		t.Errorf("whenEmpty is %s", session.Spec.WhenEmpty)
	}
	if head := w.call("HEAD", "/sessions/S1", ""); head.status != 200 || head.body != "" {
		t.Errorf("HEAD: got %d %q", head.status, head.body)
	}
}

// Case 24.
func TestGeneratedSessionID(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{"", "{}", `{"customSessionId":""}`, `{"customSessionId":null}`} {
		created := w.want(200, "POST", "/sessions", body)
		id := created.id(t)
		if !sessionIDPattern.MatchString(id) || !strings.Contains(created.body, `"customSessionId":""`) {
			t.Errorf("body %q: got %s", body, created.body)
		}
		if got := w.want(200, "GET", "/sessions/"+id, ""); got.body != created.body {
			t.Errorf("read: got %s\nwant %s", got.body, created.body)
		}
		w.want(204, "DELETE", "/sessions/"+id, "")
	}
	if got := w.want(200, "GET", "/sessions", ""); got.body != emptyList {
		t.Errorf("in the end: got %s", got.body)
	}
}

func TestSessionIDsThatDifferLittleAreDifferentSessions(t *testing.T) {
	w := newWorld(t)
	ids := []string{"A", "a", "a_b", "a-b", "A-B", "-", "_", "_-_", "0session10", strings.Repeat("x", 64), strings.Repeat("x", 63)}
	for _, id := range ids {
		w.want(200, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, id))
	}
	for _, id := range ids {
		if got := w.want(200, "GET", "/sessions/"+id, ""); got.id(t) != id {
			t.Errorf("GET %s: got %s", id, got.body)
		}
		w.want(409, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, id))
	}
	if got := w.want(200, "GET", "/sessions", ""); !strings.HasPrefix(got.body, fmt.Sprintf(`{"numberOfElements":%d,`, len(ids))) {
		t.Errorf("list: got %s", got.body)
	}
}

func TestSessionsThatKubectlMadeAreThere(t *testing.T) {
	w := newWorld(t)
	w.create(&v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "demo"}})
	w.create(&v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "team-room"}, Spec: v1alpha1.SessionSpec{SessionID: "Room_1"}})
	// Its name is what REST would have called another id.
	w.create(&v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "taken"}, Spec: v1alpha1.SessionSpec{SessionID: "other"}})

	w.want(200, "GET", "/sessions/demo", "")
	w.want(409, "POST", "/sessions", `{"customSessionId":"demo"}`)
	eventually(t, "the cache to know Room_1", func() bool { return w.call("GET", "/sessions/Room_1", "").status == 200 })
	w.want(409, "POST", "/sessions", `{"customSessionId":"Room_1"}`)
	w.want(404, "GET", "/sessions/team-room", "")
	w.want(404, "GET", "/sessions/taken", "")
	if got := w.want(200, "POST", "/sessions", `{"customSessionId":"taken"}`); got.id(t) != "taken" {
		t.Errorf("got %s", got.body)
	}
	w.want(200, "GET", "/sessions/taken", "")
	w.want(204, "DELETE", "/sessions/demo", "")
	w.want(404, "GET", "/sessions/demo", "")
}

// Case 38.
func TestOneOfConcurrentRequestsForAnIDWins(t *testing.T) {
	w := newWorld(t)
	const callers = 8
	statuses := make(chan int, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() { statuses <- w.callAt(i%2, "POST", "/sessions", `{"customSessionId":"S1"}`).status })
	}
	group.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	if count[200] != 1 || count[409] != callers-1 {
		t.Errorf("got %v, want one 200 and %d times 409", count, callers-1)
	}
}

// Cases 39, 67, 70, 72, 73, 74 and 75.
func TestConnectionAsCreatedReadAndJoined(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	created := w.want(200, "POST", "/sessions/S1/connection", `{"role":"MODERATOR","data":"<b>&","kurentoOptions":{"videoMaxSendBandwidth":777.0,"allowedFilters":["A"]},`+
		`"customIceServers":[{"url":"turn:hostname.com:9999?transport=tcp","username":"u","credential":"c"},{"url":"stun:1.2.3.4"}],"rtspUri":null,"networkCache":12}`)
	id := created.id(t)
	var list v1alpha1.ConnectionList
	if err := w.List(t.Context(), &list, client.InNamespace(w.namespace)); err != nil || len(list.Items) != 1 {
		t.Fatalf("got %d Connections, %v", len(list.Items), err)
	}
	object := list.Items[0]
	if object.Spec.WhenDisconnected != v1alpha1.WhenDisconnectedDelete {
		t.Errorf("whenDisconnected is %s", object.Spec.WhenDisconnected)
	}
	at := createdAt(&object)
	start := fmt.Sprintf(`"connectionId":%q,"sessionId":"S1","createdAt":%d,"type":"WEBRTC","record":true,"role":"MODERATOR",`+
		`"kurentoOptions":{"videoMaxSendBandwidth":777,"allowedFilters":["A"]},`+
		`"customIceServers":[{"url":"turn:hostname.com:9999?transport=tcp","username":"u","credential":"c"},{"url":"stun:1.2.3.4"}],`+
		`"rtspUri":null,"adaptativeBitrate":null,"onlyPlayWithSubscribers":null,"networkCache":null,"serverData":"<b>&","token":%q,`, id, at, object.Status.Token)
	want := fmt.Sprintf(`{"id":%q,"object":"connection","status":"pending",`, id) + start +
		`"activeAt":null,"location":null,"ip":null,"platform":null,"clientData":null,"publishers":null,"subscribers":null}`
	if created.body != want {
		t.Errorf("created: got %s\nwant %s", created.body, want)
	}
	for gateway := range w.gateways {
		for path, want := range map[string]string{
			"/sessions/S1/connection/" + id:                 want,
			"/sessions/S1/connection":                       `{"numberOfElements":1,"content":[` + want + `]}`,
			"/sessions/S1/connection?pendingConnections=no": emptyList,
		} {
			if got := w.callAt(gateway, "GET", path, ""); got.body != want {
				t.Errorf("GET %s at gateway %d: got %s\nwant %s", path, gateway, got.body, want)
			}
		}
	}
	if got := w.want(200, "GET", "/sessions/S1", ""); !strings.HasSuffix(got.body, `"connections":`+emptyList+`}`) {
		t.Errorf("a session shows pending connections unasked: %s", got.body)
	}
	if got := w.want(200, "GET", "/sessions?pendingConnections=true", ""); !strings.HasSuffix(got.body, `"connections":{"numberOfElements":1,"content":[`+want+`]}}]}`) {
		t.Errorf("the sessions with pending connections: %s", got.body)
	}

	w.join(id)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(&object), &object); err != nil {
		t.Fatal(err)
	}
	activeAt := milliseconds(object.Status.ActiveTime, at)
	want = fmt.Sprintf(`{"id":%q,"object":"connection","status":"active",`, id) + start +
		fmt.Sprintf(`"activeAt":%d,"location":"unknown","ip":"192.0.2.7","platform":"Chrome 150 on Linux","clientData":"{\"clientData\":\"<Ann>\"}",`, activeAt) +
		fmt.Sprintf(`"publishers":[{"createdAt":%d,"streamId":"str_CAM_A1b2_%s","mediaOptions":{"hasAudio":false,"hasVideo":true,"videoActive":true,`, activeAt, id) +
		`"typeOfVideo":"CAMERA","frameRate":30,"videoDimensions":"{\"width\":640,\"height\":480}","filter":{}}}],"subscribers":[]}`
	if got := w.want(200, "GET", "/sessions/S1/connection/"+id, ""); got.body != want {
		t.Errorf("joined: got %s\nwant %s", got.body, want)
	}
	if got := w.want(200, "GET", "/sessions/S1", ""); !strings.HasSuffix(got.body, `"connections":{"numberOfElements":1,"content":[`+want+`]}}`) {
		t.Errorf("the session with an active connection: %s", got.body)
	}
}

func TestConnectionsAreListedInTheOrderOfTheirCreation(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	var ids []string
	for range 5 {
		ids = append(ids, w.want(200, "POST", "/sessions/S1/connection", "").id(t))
	}
	got := w.want(200, "GET", "/sessions/S1/connection", "").body
	for i := range ids[1:] {
		if strings.Index(got, ids[i]) > strings.Index(got, ids[i+1]) {
			t.Fatalf("%s comes after %s in %s", ids[i], ids[i+1], got)
		}
	}
}

// Cases 31, 33, 42 and 79.
func TestReadYourWritesAtAnotherGateway(t *testing.T) {
	w := newWorld(t)
	for round := range 20 {
		session := w.callAt(round%2, "POST", "/sessions", "{}").id(t)
		path := "/sessions/" + session + "/connection"
		created := w.callAt((round+1)%2, "POST", path, "{}")
		id := created.id(t)
		if got := w.callAt(round%2, "GET", path+"/"+id, ""); got.body != created.body {
			t.Fatalf("GET at the other gateway: got %d %s\nwant %s", got.status, got.body, created.body)
		}
		changed := w.callAt(round%2, "PATCH", path+"/"+id, `{"role":"MODERATOR","record":false}`)
		if changed.status != 200 || !strings.Contains(changed.body, `"role":"MODERATOR"`) || !strings.Contains(changed.body, `"record":false`) {
			t.Fatalf("PATCH at the other gateway: got %d %s", changed.status, changed.body)
		}
		if got := w.callAt((round+1)%2, "GET", path+"/"+id, ""); got.body != changed.body {
			t.Fatalf("GET after PATCH: got %d %s\nwant %s", got.status, got.body, changed.body)
		}
		if got := w.callAt(round%2, "DELETE", path+"/"+id, ""); got.status != 204 {
			t.Fatalf("DELETE at the other gateway: got %d %s", got.status, got.body)
		}
		for gateway := range w.gateways {
			if got := w.callAt(gateway, "GET", path+"/"+id, ""); got.status != 404 {
				t.Fatalf("GET after DELETE: got %d", got.status)
			}
			if got := w.callAt(gateway, "DELETE", path+"/"+id, ""); got.status != 404 {
				t.Fatalf("second DELETE: got %d", got.status)
			}
			if got := w.callAt(gateway, "GET", path, ""); got.body != emptyList {
				t.Fatalf("list after DELETE: got %s", got.body)
			}
		}
		if got := w.callAt((round+1)%2, "DELETE", "/sessions/"+session, ""); got.status != 204 {
			t.Fatalf("DELETE of the session: got %d", got.status)
		}
		if got := w.callAt(round%2, "GET", "/sessions/"+session, ""); got.status != 404 {
			t.Fatalf("GET of the closed session: got %d", got.status)
		}
	}
}

// Case 32.
func TestAnIDCanBeReusedAtOnce(t *testing.T) {
	w := newWorld(t)
	first := w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	w.want(200, "POST", "/sessions/S1/connection", "{}")
	w.want(204, "DELETE", "/sessions/S1", "")
	second := w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	if first.body == second.body {
		t.Error("the new session has the instant of the old one")
	}
	if got := w.want(200, "GET", "/sessions/S1/connection", ""); got.body != emptyList {
		t.Errorf("the new session has connections of the old one: %s", got.body)
	}
}

func TestACreationWaitsForTheClosingOfTheSessionWithItsID(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	session := w.held("S1")
	w.operator.Behave(operatortest.Behaviour{Stubborn: true})
	if err := w.Delete(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	w.want(404, "GET", "/sessions/S1", "")
	w.want(404, "POST", "/sessions/S1/connection", "{}")
	w.want(404, "DELETE", "/sessions/S1", "")

	creation := make(chan answer, 1)
	go func() { creation <- w.call("POST", "/sessions", `{"customSessionId":"S1"}`) }()
	select {
	case got := <-creation:
		t.Fatalf("the creation did not wait: %d %s", got.status, got.body)
	case <-time.After(300 * time.Millisecond):
	}
	w.operator.Behave(operatortest.Behaviour{})
	// Anything that happens to the Session makes the operator look again.
	if err := w.operator.Reconcile(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-creation:
		if got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	case <-time.After(bound):
		t.Fatal("the creation waits for ever")
	}
}

func TestWithoutAnOperatorThereIsNoToken(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	w.operator.Behave(operatortest.Behaviour{Silent: true})
	started := time.Now()
	got := w.want(503, "POST", "/sessions/S1/connection", "{}")
	if took := time.Since(started); took < objects.TokenTimeout || took > objects.TokenTimeout+5*time.Second {
		t.Errorf("the answer took %s", took)
	}
	if !strings.Contains(got.body, errTokenNotMade.message) {
		t.Errorf("got %s", got.body)
	}
	if got := w.want(200, "GET", "/sessions/S1/connection", ""); got.body != emptyList {
		t.Errorf("the connection without a token is still there: %s", got.body)
	}
}

// Who has no place is told so at once, and whether it is of use to ask again.
func TestWhoHasNoPlaceIsToldSo(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	for reason, want := range map[string]struct {
		status     int
		retryAfter string
	}{
		v1alpha1.ReasonSessionFull: {409, ""},
		v1alpha1.ReasonNoCapacity:  {503, retryAfter},
	} {
		w.operator.Behave(operatortest.Behaviour{Refuses: reason})
		for path, body := range map[string]string{"/sessions/S1/connection": `{}`, "/tokens": `{"session":"S1"}`} {
			started := time.Now()
			got := w.want(want.status, "POST", path, body)
			if took := time.Since(started); took > objects.TokenTimeout/2 {
				t.Errorf("%s: the answer took %s", path, took)
			}
			if !strings.Contains(got.body, "because") || got.header.Get("Retry-After") != want.retryAfter {
				t.Errorf("%s: got %q and %s", path, got.header.Get("Retry-After"), got.body)
			}
		}
		if got := w.want(200, "GET", "/sessions/S1/connection", ""); got.body != emptyList {
			t.Errorf("there is %s", got.body)
		}
	}
}

// A Session for which there is no place waits for one, as long as its pool may get one.
func TestASessionWithoutAPlaceIsWaitedForOnlyIfItMayGetOne(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pool-"}, Spec: v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org", MaxPods: 2},
	}
	if err := w.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Delete(context.Background(), pool); err != nil {
			t.Error(err)
		}
	})
	ready := func(pods, free int32) {
		t.Helper()
		pool.Status.Pods, pool.Status.ReadyPods, pool.Status.FreeSessions = 2, pods, free
		if err := w.Status().Update(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	session := w.held("S1")
	before := session.DeepCopy()
	session.Status.PoolName = pool.Name
	session.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoCapacity, LastTransitionTime: metav1.Now(),
	}}
	if err := w.Status().Patch(t.Context(), session, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.operator.Behave(operatortest.Behaviour{Refuses: v1alpha1.ReasonSessionNotAccepted})

	ready(1, 0) // the second one starts
	creation := make(chan answer, 1)
	started := time.Now()
	go func() { creation <- w.call("POST", "/sessions/S1/connection", "{}") }()
	eventually(t, "the Connection to be refused", func() bool {
		var list v1alpha1.ConnectionList
		return w.List(t.Context(), &list, client.InNamespace(w.namespace)) == nil && len(list.Items) == 1 && len(list.Items[0].Status.Conditions) > 0
	})
	select {
	case got := <-creation:
		t.Fatalf("it was not waited for: %d %s after %s", got.status, got.body, time.Since(started))
	case <-time.After(time.Second):
	}
	ready(2, 0) // and has taken somebody else's room
	got := <-creation
	if got.status != 503 || got.header.Get("Retry-After") != retryAfter || !strings.Contains(got.body, "has all 2 media pods that it may have") {
		t.Errorf("got %d, %q, %s", got.status, got.header.Get("Retry-After"), got.body)
	}
	started = time.Now()
	w.want(503, "POST", "/tokens", `{"session":"S1"}`)
	if took := time.Since(started); took > objects.TokenTimeout/2 {
		t.Errorf("the answer took %s", took)
	}
	if got := w.want(200, "GET", "/sessions/S1/connection", ""); got.body != emptyList {
		t.Errorf("there is %s", got.body)
	}
}

func TestASessionThatClosesMeanwhileGivesNoToken(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	w.held("S1")
	w.operator.Behave(operatortest.Behaviour{Silent: true})
	creation := make(chan answer, 1)
	go func() { creation <- w.call("POST", "/sessions/S1/connection", "{}") }()
	eventually(t, "the Connection", func() bool {
		var list v1alpha1.ConnectionList
		return w.List(t.Context(), &list, client.InNamespace(w.namespace)) == nil && len(list.Items) == 1 && len(list.Items[0].Finalizers) > 0
	})
	w.want(204, "DELETE", "/sessions/S1", "")
	select {
	case got := <-creation:
		if got.status != 404 || !strings.Contains(got.body, errSessionClosing.message) {
			t.Errorf("got %d %s", got.status, got.body)
		}
	case <-time.After(bound):
		t.Fatal("the creation waits for ever")
	}
}

// The Session that admits somebody comes from the gateway's cache, which may be late.
func TestASessionThatIsGoneAdmitsNobodyHoweverLateTheCacheIs(t *testing.T) {
	w := newWorld(t)
	api, ok := w.gateways[0].Config.Handler.(*API)
	if !ok {
		t.Fatal("the gateway's handler is no API")
	}
	admit := func(session *v1alpha1.Session) (*v1alpha1.Connection, error) {
		spec := v1alpha1.ConnectionSpec{SessionName: session.Name, Type: v1alpha1.ConnectionTypeWebRTC}
		return api.admit(t.Context(), session, spec, echo{}, time.Now())
	}
	var before, after v1alpha1.Session
	key := client.ObjectKey{Namespace: w.namespace, Name: "s1"}
	w.want(200, "POST", "/sessions", `{"customSessionId":"s1"}`)
	if err := w.Get(t.Context(), key, &before); err != nil {
		t.Fatal(err)
	}
	w.want(204, "DELETE", "/sessions/s1", "")
	if _, err := admit(&before); !errors.Is(err, objects.ErrClosing) {
		t.Errorf("a Session that is gone: %v", err)
	}
	w.want(200, "POST", "/sessions", `{"customSessionId":"s1"}`)
	if err := w.Get(t.Context(), key, &after); err != nil {
		t.Fatal(err)
	}
	connection, err := admit(&before)
	if err != nil {
		t.Fatalf("a Session that was made anew: %v", err)
	}
	if len(connection.OwnerReferences) > 0 || connection.Status.Token == "" {
		t.Errorf("the connection of session %s, which nobody may own, is %v", after.UID, connection)
	}
	if got := w.want(200, "GET", "/sessions/s1/connection", ""); !strings.Contains(got.body, `"numberOfElements":1`) {
		t.Errorf("got %s, want 1 connection", got.body)
	}
}

func TestATenantSeesItsOwnNamespaceOnly(t *testing.T) {
	one, other := newWorld(t), newWorld(t)
	one.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	other.want(404, "GET", "/sessions/S1", "")
	other.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	other.want(204, "DELETE", "/sessions/S1", "")
	one.want(200, "GET", "/sessions/S1", "")
}

// Applications take the session id from a token, where that of a tenant other than the default one
// has its namespace in front.
func TestASessionIDMayStandAsInATokenOfTheTenant(t *testing.T) {
	one, other := newWorld(t), newWorld(t)
	asInToken := one.namespace + ".S1"
	created := one.want(200, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, asInToken))
	if !strings.Contains(created.body, `"sessionId":"S1"`) {
		t.Errorf("created %s", created.body)
	}
	one.want(409, "POST", "/sessions", `{"customSessionId":"S1"}`)
	one.want(200, "POST", "/sessions/"+asInToken+"/connection", "")
	one.want(200, "POST", "/tokens", fmt.Sprintf(`{"session":%q}`, asInToken))
	one.want(200, "GET", "/sessions/"+asInToken, "")
	one.want(200, "GET", "/sessions/"+asInToken+"/connection", "")
	one.want(406, "POST", "/signal", fmt.Sprintf(`{"session":%q,"data":"to nobody"}`, asInToken))
	other.want(404, "GET", "/sessions/"+asInToken, "")
	other.want(404, "DELETE", "/sessions/"+asInToken, "")
	other.want(404, "POST", "/sessions/"+asInToken+"/connection", "")
	other.want(400, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, asInToken))
	one.want(204, "DELETE", "/sessions/"+asInToken, "")
	one.want(404, "GET", "/sessions/S1", "")
}
