package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// ask asks without the tenant's password unless it is given, for a whole path.
func (w *world) ask(method, path, secret string) answer {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.gateways[0].URL+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	if secret != "" {
		request.SetBasicAuth("OPENVIDUAPP", secret)
	}
	return w.do(request)
}

// The numbers are those of section 9 of the REST reference.
func TestWithoutCredentials(t *testing.T) {
	w := newWorld(t)
	for _, endpoint := range endpoints {
		path := prefix + strings.NewReplacer("{", "", "}", "").Replace(endpoint.pattern)
		got := w.ask(endpoint.method, path, "")
		switch {
		case endpoint.public && got.status != http.StatusOK:
			t.Errorf("11 %s %s is public: got %d", endpoint.method, path, got.status)
		case !endpoint.public && (got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ")):
			t.Errorf("3 %s %s: got %d", endpoint.method, path, got.status)
		}
	}
	for _, path := range []string{"/openvidu/api/config", "/config", "/cdr", "/api/sessions", "/openvidu/recordings/x", "/openvidu/layouts/x", "/openvidu/info", "/info"} {
		if got := w.ask("GET", path, ""); got.status != http.StatusUnauthorized {
			t.Errorf("2 GET %s: got %d", path, got.status)
		}
		if got := w.ask("GET", path, "WRONG"); got.status != http.StatusUnauthorized {
			t.Errorf("1 GET %s with a wrong secret: got %d", path, got.status)
		}
	}
}

// The numbers are those of section 9 of the REST reference.
func TestModulesThatAreSwitchedOff(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"99 start", "POST", "/recordings/start", `{}`, 501},
		{"99 start without a body", "POST", "/recordings/start", "", 501},
		{"99 stop", "POST", "/recordings/stop/x", "", 501},
		{"99 stop with a body", "POST", "/recordings/stop/x", "{}", 501},
		{"99 list", "GET", "/recordings", "", 501},
		{"99 read", "GET", "/recordings/x", "", 501},
		{"99 delete", "DELETE", "/recordings/x", "", 501},
		{"122 stop without an id", "POST", "/recordings/stop", "", 403},
		{"127 delete without an id", "DELETE", "/recordings", "", 403},
		{"181 broadcast", "POST", "/broadcast/start", `{}`, 403},
		{"181 end of a broadcast", "POST", "/broadcast/stop", `{}`, 403},
		{"183 speech to text", "POST", "/speech-to-text/load", `{}`, 501},
		{"183 end of speech to text", "POST", "/speech-to-text/unload", `{}`, 501},
		{"media nodes", "GET", "/media-nodes", "", 403},
		{"restart", "POST", "/restart", `{}`, 403},
		{"status", "GET", "/status", "", 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.call(test.method, test.path, test.body); got.status != test.status || got.body != "" {
				t.Errorf("got %d %q, want %d", got.status, got.body, test.status)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	w := newWorld(t)
	request, host := w.request(0, "GET", "/config", ""), strings.TrimPrefix(w.gateways[0].URL, "http://")
	request.SetBasicAuth("OPENVIDUAPP", password)
	want := func(domain, public string, port string, fromUsers, toUsers int) string {
		return fmt.Sprintf(`{"VERSION":"2.32.2","DOMAIN_OR_PUBLIC_IP":%q,"HTTPS_PORT":%s,"OPENVIDU_PUBLICURL":%q,"OPENVIDU_CDR":false,`+
			`"OPENVIDU_STREAMS_VIDEO_MAX_RECV_BANDWIDTH":%d,"OPENVIDU_STREAMS_VIDEO_MIN_RECV_BANDWIDTH":0,`+
			`"OPENVIDU_STREAMS_VIDEO_MAX_SEND_BANDWIDTH":%d,"OPENVIDU_STREAMS_VIDEO_MIN_SEND_BANDWIDTH":0,`+
			`"OPENVIDU_STREAMS_FORCED_VIDEO_CODEC":"MEDIA_SERVER_PREFERRED","OPENVIDU_STREAMS_ALLOW_TRANSCODING":false,"OPENVIDU_WEBRTC_SIMULCAST":false,`+
			`"OPENVIDU_SESSIONS_GARBAGE_INTERVAL":900,"OPENVIDU_SESSIONS_GARBAGE_THRESHOLD":3600,"OPENVIDU_RECORDING":false,"OPENVIDU_WEBHOOK":false}`,
			domain, port, public, fromUsers, toUsers)
	}
	domain, port, _ := strings.Cut(host, ":")
	if got := w.do(request); got.status != 200 || got.body != want(domain, "http://"+host, port, 0, 0) {
		t.Errorf("without a pool: got %d %s", got.status, got.body)
	}

	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pool-", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}},
		Spec: v1alpha1.MediaPoolSpec{
			PublicURL: "wss://rooms.example.org:443/", Bandwidth: v1alpha1.VideoBandwidth{VideoMaxSendKbps: ptr.To[int32](700), VideoMaxRecvKbps: ptr.To[int32](900)},
		},
	}
	if err := w.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Delete(context.Background(), pool); err != nil {
			t.Error(err)
		}
	})
	config := want("rooms.example.org", "https://rooms.example.org", "443", 700, 900)
	eventually(t, "the pool", func() bool { return w.call("GET", "/config", "").body == config })
	for path, want := range map[string]struct{ kind, body string }{
		"/openvidu/api/config":                         {"application/json", config},
		"/config":                                      {"application/json", config},
		"/openvidu/api/config/openvidu-version":        {"text/plain;charset=UTF-8", "2.32.2"},
		"/openvidu/api/config/openvidu-publicurl":      {"text/plain;charset=UTF-8", "https://rooms.example.org/"},
		"/config/openvidu-publicurl":                   {"text/plain;charset=UTF-8", "https://rooms.example.org/"},
		"/openvidu/api/config/openvidu-recording":      {"text/plain;charset=UTF-8", "false"},
		"/openvidu/api/config/openvidu-recording-path": {"text/plain;charset=UTF-8", "/opt/openvidu/recordings/"},
		"/openvidu/api/config/openvidu-cdr":            {"text/plain;charset=UTF-8", "false"},
		"/openvidu/cdr":                                {"application/json", "[]"},
		"/cdr":                                         {"application/json", "[]"},
		"/api/sessions":                                {"application/json", emptyList},
	} {
		if got := w.ask("GET", path, password); got.status != 200 || got.body != want.body || got.header.Get("Content-Type") != want.kind {
			t.Errorf("GET %s: got %d %s %s", path, got.status, got.header.Get("Content-Type"), got.body)
		}
	}
	if got := w.ask("HEAD", "/openvidu/api/config/openvidu-publicurl", ""); got.status != 200 || got.body != "" {
		t.Errorf("HEAD of the public URL: got %d %q", got.status, got.body)
	}
	if got := w.ask("GET", "/openvidu/cdr/CDR.log", password); got.status != 404 || got.body != "" {
		t.Errorf("a CDR file: got %d %q", got.status, got.body)
	}
	for _, path := range []string{"/openvidu/accept-certificate", "/accept-certificate"} {
		if got := w.ask("GET", path, ""); got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
			t.Errorf("GET %s: got %d %s", path, got.status, got.header.Get("Content-Type"))
		}
	}
}

func TestPublicURL(t *testing.T) {
	for given, want := range map[string]string{
		"https://rooms.example.org":       "https://rooms.example.org 443",
		"wss://rooms.example.org:8443/":   "https://rooms.example.org:8443 8443",
		"http://rooms.example.org":        "http://rooms.example.org 80",
		"ws://rooms.example.org:80":       "http://rooms.example.org 80",
		"http://localhost:4443":           "http://localhost:4443 4443",
		"":                                "http://gateway.example.org:4443 4443",
		"https://rooms.example.org:443/x": "https://rooms.example.org 443",
	} {
		pool := &v1alpha1.MediaPool{Spec: v1alpha1.MediaPoolSpec{PublicURL: given}}
		public := publicURL(pool, httptest.NewRequest(http.MethodGet, "http://gateway.example.org:4443/config", nil))
		if got := fmt.Sprintf("%s %d", public, portOf(public)); got != want {
			t.Errorf("%q: got %s, want %s", given, got, want)
		}
	}
}

// Case 185 of section 9 of the REST reference.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	if got := w.want(200, "GET", "/health", ""); got.body != `{"status":"UP","disconnectedMediaNodes":[]}` {
		t.Errorf("got %s", got.body)
	}
	w.rooms.mu.Lock()
	w.rooms.ready = nil
	w.rooms.mu.Unlock()
	if got := w.want(503, "GET", "/health", ""); got.body != `{"status":"DOWN","disconnectedMediaNodes":[]}` {
		t.Errorf("got %s", got.body)
	}
}

func TestOldPathsAreTheSameAsTheNewOnes(t *testing.T) {
	for before, now := range map[string]string{
		"/api/sessions": "/openvidu/api/sessions", "/api": "/api", "/apis/x": "/apis/x", "/config": "/openvidu/api/config", "/configs": "/configs",
		"/config/openvidu-publicurl": "/openvidu/api/config/openvidu-publicurl", "/cdr": "/openvidu/cdr", "/cdr/x.log": "/openvidu/cdr/x.log",
		"/recordings/x/y.mp4": "/openvidu/recordings/x/y.mp4", "/recordings": "/recordings", "/layouts/custom/a/index.html": "/openvidu/layouts/a/index.html",
		"/info": "/openvidu/info", "/information": "/information", "/accept-certificate": "/openvidu/accept-certificate",
		"/openvidu/api/sessions": "/openvidu/api/sessions", "/": "/", "/openvidu": "/openvidu",
	} {
		if got := rename(before); got != now {
			t.Errorf("%s: got %s, want %s", before, got, now)
		}
		if got := Serves(before); got != strings.HasPrefix(now, "/openvidu/") {
			t.Errorf("%s: served %v", before, got)
		}
	}
	w := newWorld(t)
	request, err := http.NewRequestWithContext(t.Context(), "POST", w.gateways[0].URL+"/api/sessions?x=1", strings.NewReader(`{"customSessionId":"old"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("OPENVIDUAPP", password)
	request.Header.Set("Content-Type", "application/json")
	if got := w.do(request); got.status != 200 || got.id(t) != "old" {
		t.Errorf("POST /api/sessions: got %d %s", got.status, got.body)
	}
	if got := w.ask("DELETE", "/api/sessions/old", password); got.status != 204 {
		t.Errorf("DELETE /api/sessions/old: got %d", got.status)
	}
}
