package rest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
)

// decode returns a body as readBody does.
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	body, err := readBody(httptest.NewRecorder(), request)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestRecordingPropertiesAsGivenAndShown(t *testing.T) {
	for _, test := range []struct{ name, given, shown string }{
		{
			"none", `null`,
			`{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"COMPOSED","recordingLayout":"BEST_FIT","resolution":"1280x720","frameRate":25,"shmSize":536870912}`,
		},
		{
			"all of them", `{"name":"a~b","hasAudio":false,"hasVideo":true,"outputMode":"COMPOSED_QUICK_START","recordingLayout":"CUSTOM","customLayout":"mine",` +
				`"resolution":"640x480","frameRate":30.9,"shmSize":134217728,"ignoreFailedStreams":true,"mediaNode":"x"}`,
			`{"name":"a~b","hasAudio":false,"hasVideo":true,"outputMode":"COMPOSED_QUICK_START","recordingLayout":"CUSTOM","resolution":"640x480","frameRate":30,` +
				`"shmSize":134217728,"customLayout":"mine"}`,
		},
		{"individual", `{"outputMode":"INDIVIDUAL","resolution":"640x480","frameRate":-1}`, `{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"INDIVIDUAL","ignoreFailedStreams":false}`},
		{"individual, tolerant", `{"outputMode":"INDIVIDUAL","ignoreFailedStreams":true}`, `{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"INDIVIDUAL","ignoreFailedStreams":true}`},
		{"audio only", `{"hasVideo":false,"resolution":"640x480"}`, `{"name":"","hasAudio":true,"hasVideo":false,"outputMode":"COMPOSED"}`},
		{
			"a custom layout without the layout for it", `{"customLayout":"mine"}`,
			`{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"COMPOSED","recordingLayout":"BEST_FIT","resolution":"1280x720","frameRate":25,"shmSize":536870912}`,
		},
		{
			"the custom layout without a path", `{"recordingLayout":"CUSTOM"}`,
			`{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"COMPOSED","recordingLayout":"CUSTOM","resolution":"1280x720","frameRate":25,"shmSize":536870912,"customLayout":""}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec, remembered, err := parseSession(decode(t, `{"defaultRecordingProperties":`+test.given+`}`))
			if err != nil {
				t.Fatal(err)
			}
			shown, err := json.Marshal(projectRecordingProperties(spec.DefaultRecordingProperties, remembered.ShmSize))
			if err != nil || string(shown) != test.shown {
				t.Errorf("got %s, %v\nwant %s", shown, err, test.shown)
			}
		})
	}
}

func TestBadRecordingProperties(t *testing.T) {
	for _, given := range []string{
		`{"name":999}`, `{"name":"a b"}`, `{"hasAudio":"true"}`, `{"hasVideo":1}`, `{"hasAudio":false,"hasVideo":false}`,
		`{"outputMode":"WRONG"}`, `{"outputMode":false}`, `{"recordingLayout":"WRONG"}`, `{"recordingLayout":""}`, `{"recordingLayout":1}`, `{"customLayout":1}`,
		`{"resolution":"99x100"}`, `{"resolution":"1280X720"}`, `{"resolution":"01280x720"}`, `{"resolution":"2000x100"}`, `{"resolution":""}`, `{"resolution":1280}`,
		`{"frameRate":0}`, `{"frameRate":121}`, `{"frameRate":"25"}`, `{"shmSize":134217727}`, `{"shmSize":"x"}`, `{"shmSize":1e300}`,
		`{"ignoreFailedStreams":"x"}`, `{"mediaNode":1}`, `{"mediaNode":{}}`, `{"mediaNode":{"id":1}}`, `{"outputMode":"INDIVIDUAL","frameRate":"25"}`,
	} {
		_, _, err := parseSession(decode(t, `{"defaultRecordingProperties":`+given+`}`))
		if problem, _ := asProblem(err); err == nil || problem.status != http.StatusBadRequest || problem.message == "" {
			t.Errorf("%s: got %v, want 400 with a message", given, err)
		}
	}
}

// Case 19 of section 9 of the REST reference.
func TestSessionIDs(t *testing.T) {
	for _, id := range []string{
		"session#", "session!", "sess(ion", "session:session", "session@session", "ses=sion", "session,", "/session", "session?", "session%", "[session]", "session.",
		"session~1", `\session`, "$", "+", "ä", "a\n", strings.Repeat("x", 65),
	} {
		text, err := json.Marshal(map[string]string{"customSessionId": id})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := parseSession(decode(t, string(text))); err == nil {
			t.Errorf("%q is taken for a session id", id)
		}
	}
	for _, id := range []string{"s", "S", "1", "-", "_", "_-_", "0session10", "123_session-1", "a-", "-a", strings.Repeat("x", 64)} {
		if spec, _, err := parseSession(decode(t, fmt.Sprintf(`{"customSessionId":%q}`, id))); err != nil || spec.SessionID != id {
			t.Errorf("%q: got %q, %v", id, spec.SessionID, err)
		}
	}
}

// Cases 59 to 66 and 68 of section 9 of the REST reference.
func TestIceServers(t *testing.T) {
	const account = `,"username":"u","credential":"c"`
	for _, test := range []struct {
		url, more string
		good      bool
	}{
		{"stun:hostname.com", "", true}, {"stuns:hostname.com:9999", "", true}, {"stun:1.2.3.4", "", true}, {"stun:1.2.3.4:1234", "", true},
		{"stun:[1:2:3:4:5:6:7:8]", "", true}, {"stuns:[1:2:3:4:5:6:7:8]:4321", "", true}, {"stun:known", "", true},
		{"stun:Host.Example.COM", "", true}, {"stun:turn.duckdns.org", "", true}, {"stun:host.example.np", "", true}, {"stun:host.no-such-tld", "", false},
		{"turn:hostname.com", account, true}, {"turns:hostname.com:1?transport=tcp", account, true}, {"turn:1.2.3.4?transport=udp", account, true},
		{"turn:hostname.com", `,"staticAuthSecret":"s"`, true},

		{"bad-ice-server", "", false}, {"turn:bad-ice-server", account, false}, {"bad-prefix:host", "", false}, {"turn:hostname.com", "", false},
		{"turn:hostname.com", `,"username":"u"`, false}, {"stun:hostname.com", account, false}, {"stun:hostname.com", `,"username":"u"`, false},
		{"turn:hostname.com", account + `,"staticAuthSecret":"s"`, false}, {"stun:hostname.com", `,"staticAuthSecret":"s"`, false},
		{"stun:hostname.com?transport=tcp", "", false}, {"turn:hostname.com?transport=invalid", account, false}, {"turn:hostname.com?transport=", account, false},
		{"turn:hostname.com?=", account, false}, {"turn:hostname.com?", account, false},
		{"stun:hostname.com:-1", "", false}, {"stun:hostname.com:99a99", "", false}, {"stun:hostname.com:", "", false}, {"stun:hostname.com:1:2", "", false},
		{"stun:hostname.com:0", "", false}, {"stun:hostname.com:65536", "", false}, {"turnss:hostname.com", account, false}, {"anything:hostname.com", "", false},
		{":", "", false}, {"", "", false}, {"stun:", "", false}, {"stun::5555", "", false}, {"stun:/hostname.com", "", false}, {"stun:#hostname.com", "", false},
		{"stun:[notvalid:]:1000", "", false}, {"stun:[1:2:3:4:5:6:7:8]junk:1000", "", false}, {"stun:1:2:3:4:5:6:7:8", "", false}, {"stun:[1:2:3:4:5:6:7:8", "", false},
		{"STUN:hostname.com", "", false}, {"stun:com", "", false}, {"stun:host..com", "", false},
	} {
		body := decode(t, fmt.Sprintf(`{"customIceServers":[{"url":%q%s}]}`, test.url, test.more))
		_, _, err := parseConnection(t.Context(), body, "s", oneHost("known"), time.Unix(1700000000, 0))
		if (err == nil) != test.good {
			t.Errorf("%s%s: got %v", test.url, test.more, err)
		}
	}
	for _, list := range []string{`{}`, `["x"]`, `[null]`, `[{"url":1}]`, `[{}]`, `[` + strings.Repeat(`{"url":"stun:1.2.3.4"},`, 16) + `{"url":"stun:1.2.3.4"}]`} {
		if _, _, err := parseConnection(t.Context(), decode(t, `{"customIceServers":`+list+`}`), "s", oneHost(""), time.Now()); err == nil {
			t.Errorf("%s is taken for ICE servers", list)
		}
	}
}

// Case 69 of section 9 of the REST reference.
func TestAStaticAuthSecretBecomesCredentials(t *testing.T) {
	now := time.Unix(1700000000, 0)
	spec, _, err := parseConnection(t.Context(), decode(t, `{"customIceServers":[{"url":"turn:hostname.com","staticAuthSecret":"very secret"}]}`), "s", oneHost(""), now)
	if err != nil {
		t.Fatal(err)
	}
	server := spec.CustomIceServers[0]
	until, name, _ := strings.Cut(server.Username, ":")
	if until != strconv.Itoa(1700000000+86400) || len(name) != 8 {
		t.Errorf("the user name is %s", server.Username)
	}
	if mac, err := base64.StdEncoding.DecodeString(server.Credential); err != nil || len(mac) != 20 {
		t.Errorf("the credential is %s", server.Credential)
	}
	if server.StaticAuthSecret != "" {
		t.Error("the secret is kept")
	}
}

func TestKurentoOptions(t *testing.T) {
	for given, shown := range map[string]string{
		`null`: `null`,
		`{}`:   `{}`,
		`{"videoMinSendBandwidth":1,"videoMaxSendBandwidth":2,"videoMinRecvBandwidth":0,"videoMaxRecvBandwidth":4,"allowedFilters":[]}`: `{"videoMaxRecvBandwidth":4,` +
			`"videoMinRecvBandwidth":0,"videoMaxSendBandwidth":2,"videoMinSendBandwidth":1}`,
		`{"allowedFilters":["a","b"],"other":1}`: `{"allowedFilters":["a","b"]}`,
	} {
		spec, remembered, err := parseConnection(t.Context(), decode(t, `{"kurentoOptions":`+given+`}`), "s", oneHost(""), time.Now())
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		connection := &v1alpha1.Connection{Spec: spec}
		remembered.write(connection)
		if got, err := json.Marshal(projectKurentoOptions(connection)); err != nil || string(got) != shown {
			t.Errorf("%s: got %s, %v, want %s", given, got, err, shown)
		}
	}
	for _, bad := range []string{`false`, `{"videoMaxRecvBandwidth":"1"}`, `{"videoMaxRecvBandwidth":-1}`, `{"allowedFilters":"a"}`, `{"allowedFilters":["a",{}]}`} {
		if _, _, err := parseConnection(t.Context(), decode(t, `{"kurentoOptions":`+bad+`}`), "s", oneHost(""), time.Now()); err == nil {
			t.Errorf("%s is taken for kurentoOptions", bad)
		}
	}
}

func TestAnAnnotationThatSomebodyElseWroteIsIgnored(t *testing.T) {
	connection := &v1alpha1.Connection{Spec: v1alpha1.ConnectionSpec{
		Bandwidth: v1alpha1.VideoBandwidth{VideoMaxSendKbps: ptr.To[int32](7)},
	}}
	connection.Annotations = map[string]string{echoAnnotation: `{"kurentoOptions":{"allowedFilters":"x"}}`}
	got, err := json.Marshal(projectKurentoOptions(connection))
	if want := `{"videoMaxSendBandwidth":7}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	session := &v1alpha1.Session{}
	session.Annotations = map[string]string{echoAnnotation: `{"mediaMode":"OTHER","shmSize":-1}`}
	if got := projectSession(session, nil).MediaMode; got != "ROUTED" {
		t.Errorf("the media mode is %s", got)
	}
}

func TestCamerasAreChecked(t *testing.T) {
	for uri, good := range map[string]bool{
		"rtsp://camera.example.com/live": true, "https://camera.example.com": true, "file:///video.mp4": true,
		"": false, "camera": false, "ftp://camera.example.com": false, "rtsp://[": false,
	} {
		spec, _, err := parseConnection(t.Context(), decode(t, fmt.Sprintf(`{"type":"IPCAM","rtspUri":%q,"networkCache":1.5,"role":7}`, uri)), "s", oneHost(""), time.Now())
		if (err == nil) != good {
			t.Errorf("%q: got %v", uri, err)
		}
		if good && *spec.IPCam.NetworkCacheMilliseconds != 1 {
			t.Errorf("networkCache is %d", *spec.IPCam.NetworkCacheMilliseconds)
		}
	}
}

func TestMediaOptionsAreAbsentNullOrThere(t *testing.T) {
	for _, test := range []struct {
		name      string
		publisher v1alpha1.PublisherStatus
		want      string
	}{
		{
			"audio and video", v1alpha1.PublisherStatus{HasAudio: true, AudioActive: true, HasVideo: true, TypeOfVideo: "SCREEN", FrameRate: 25, VideoDimensions: `{"width":1,"height":2}`},
			`{"hasAudio":true,"audioActive":true,"hasVideo":true,"videoActive":false,"typeOfVideo":"SCREEN","frameRate":25,"videoDimensions":"{\"width\":1,\"height\":2}","filter":{}}`,
		},
		{"audio only", v1alpha1.PublisherStatus{HasAudio: true}, `{"hasAudio":true,"audioActive":false,"hasVideo":false,"filter":{}}`},
		{
			"video of unknown size", v1alpha1.PublisherStatus{HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA"},
			`{"hasAudio":false,"hasVideo":true,"videoActive":true,"typeOfVideo":"CAMERA","frameRate":null,"videoDimensions":null,"filter":{}}`,
		},
	} {
		got, err := json.Marshal(projectPublishers([]v1alpha1.PublisherStatus{test.publisher}, 1)[0].MediaOptions)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s, %v\nwant %s", test.name, got, err, test.want)
		}
	}
}

func TestInstantsNeverChange(t *testing.T) {
	second := metav1.NewTime(time.Unix(1700000000, 0))
	byHand := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: types.UID("a"), CreationTimestamp: second}}
	if at := createdAt(&byHand); at < 1700000000000 || at > 1700000000999 || at != createdAt(byHand.DeepCopy()) {
		t.Errorf("created at %d", at)
	}
	byREST := byHand.DeepCopy()
	byREST.Annotations = creation.Stamp(time.UnixMilli(1700000000123))
	if at := createdAt(byREST); at != 1700000000123 {
		t.Errorf("created at %d", at)
	}
	byREST.Annotations[creation.Annotation] = "x"
	if createdAt(byREST) != createdAt(&byHand) {
		t.Error("an annotation that is no number counts")
	}
	if at := milliseconds(&second, 1700000000123); at != 1700000000124 {
		t.Errorf("a user is active at %d, not after the creation", at)
	}
}

func FuzzBodies(f *testing.F) {
	f.Add(`{"customSessionId":"S1","defaultRecordingProperties":{"frameRate":1e3},"mediaNode":{"id":"x"}}`)
	f.Add(`{"session":"s","to":["con_A","con_A",1],"type":"signal:\ud800","data":"x"}`)
	f.Add(`{"role":"MODERATOR","record":false}`)
	f.Add(`{"type":"IPCAM","rtspUri":"rtsp://x","networkCache":-1}`)
	f.Add(`{"customIceServers":[{"url":"turn:[::1]:1?transport=tcp","username":"u","credential":"c"}],"kurentoOptions":{"allowedFilters":["x"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
		request.Header.Set("Content-Type", "application/json")
		body, err := readBody(httptest.NewRecorder(), request)
		if err == nil {
			_, _, err = parseSession(body)
		}
		if err != nil && !errors.As(err, new(*problem)) {
			t.Errorf("session: %v", err)
		}
		if _, _, err := parseConnection(t.Context(), body, "s", oneHost(""), time.Now()); err != nil && !errors.As(err, new(*problem)) {
			t.Errorf("connection: %v", err)
		}
		if signal, err := parseSignal(body); err != nil && !errors.As(err, new(*problem)) || len(signal.signal.To) > maxRecipients {
			t.Errorf("signal: %v", err)
		}
		if _, err := parseUpdate(body); err != nil && !errors.As(err, new(*problem)) {
			t.Errorf("update: %v", err)
		}
	})
}

// FuzzRequests tries the door: paths, queries and headers of whoever has no right to anything.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/openvidu/api/sessions", "pendingConnections=true", "Basic T1BFTlZJRFVBUFA6eA==", "")
	f.Add("OPTIONS", "/api//config/%2e", "a=%&;", "Basic :", "https://example.org")
	f.Fuzz(func(t *testing.T, method, path, query, authorization, origin string) {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Method, request.URL.Path, request.URL.RawQuery = method, path, query
		request.Header.Set("Authorization", authorization)
		request.Header.Set("Origin", origin)
		request.Header.Set("Access-Control-Request-Method", method)
		api := door(t)
		api.tenants = gate{opened}
		response := httptest.NewRecorder()
		if endpoint, _ := find(current(request)); endpoint != nil && endpoint.public {
			return
		}
		api.ServeHTTP(response, request)
		preflight := method == http.MethodOptions && origin != ""
		if want := http.StatusUnauthorized; response.Code != want && !preflight {
			t.Errorf("got %d", response.Code)
		}
		_, _ = viewOf(request, true)
	})
}

// opened is for a gate that is open.
var opened = func() chan struct{} {
	open := make(chan struct{})
	close(open)
	return open
}()
