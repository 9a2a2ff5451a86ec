package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/operatortest"
)

// recordingPool makes a pool that records the sessions of this tenant alone.
func (w *world) recordingPool(access v1alpha1.RecordingAccess) *v1alpha1.MediaPool {
	w.Helper()
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "recording-"},
		Spec: v1alpha1.MediaPoolSpec{
			PublicURL: "https://rooms.example.org", Egress: &v1alpha1.Egress{Access: access},
			AllowedNamespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}},
		},
	}
	if err := w.Create(w.Context(), pool); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := w.Delete(context.Background(), pool); err != nil {
			w.Error(err)
		}
	})
	for gateway := range w.gateways {
		eventually(w.T, "the pool is known", func() bool { return w.callAt(gateway, "GET", "/config/openvidu-recording", "").body == "true" })
	}
	return pool
}

// observed writes what the operator would of a session: its pool, and whether it is recorded.
func (w *world) observed(id, pool string, active int32, recording bool) {
	w.Helper()
	session := w.held(id)
	before := session.DeepCopy()
	session.Status.PoolName, session.Status.ActiveConnections, session.Status.Recording = pool, active, recording
	if err := w.Status().Patch(w.Context(), session, client.MergeFrom(before)); err != nil {
		w.Fatal(err)
	}
}

// active makes a session that somebody is in.
func (w *world) active(id, more, pool string) {
	w.Helper()
	w.want(200, "POST", "/sessions", `{"customSessionId":"`+id+`"`+more+`}`)
	w.observed(id, pool, 1, false)
}

// keysOf returns how many members the body has.
func keysOf(t *testing.T, body string) int {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Fatalf("reading %s: %v", body, err)
	}
	return len(members)
}

// The numbers are those of section 9 of the REST reference.
func TestRecordings(t *testing.T) {
	w := newWorld(t)
	pool := w.recordingPool("").Name
	start := func(session, more string) string { return `{"session":"` + session + `"` + more + `}` }
	individual := `,"defaultRecordingProperties":{"outputMode":"INDIVIDUAL","hasVideo":true}`
	w.want(200, "POST", "/sessions", `{"customSessionId":"empty"`+individual+`}`)
	w.want(200, "POST", "/sessions", `{"customSessionId":"relayed","mediaMode":"RELAYED"}`)
	w.active("S", individual, pool)
	w.active("composed", "", pool)

	if got := w.want(200, "GET", "/recordings", ""); got.body != `{"count":0,"items":[]}` {
		t.Errorf("106 there are %s", got.body)
	}
	for _, test := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"100 nothing is named", "POST", "/recordings/start", `{}`, 400},
		{"101 an unknown session", "POST", "/recordings/start", start("NOT_EXISTS", ""), 404},
		{"102 an unknown session and a bad name", "POST", "/recordings/start", start("NOT_EXISTS", `,"name":999`), 404},
		{"103 nobody is there", "POST", "/recordings/start", start("empty", ""), 406},
		{"104 a relayed session", "POST", "/recordings/start", start("relayed", ""), 409},
		{"105 an unknown recording", "GET", "/recordings/NOT_EXISTS", "", 404},
		{"107 a session that is no text", "POST", "/recordings/start", `{"session":true}`, 400},
		{"108 a name that is no text", "POST", "/recordings/start", start("S", `,"name":999`), 400},
		{"109 a name with @", "POST", "/recordings/start", start("S", `,"name":"a@b"`), 400},
		{"110 an unknown mode", "POST", "/recordings/start", start("S", `,"outputMode":"NOT_EXISTS"`), 400},
		{"111 an unknown layout", "POST", "/recordings/start", start("composed", `,"recordingLayout":"NOT_EXISTS"`), 400},
		{"112 a resolution that is no text", "POST", "/recordings/start", start("S", `,"resolution":999`), 400},
		{"113 a rate that is no number", "POST", "/recordings/start", start("S", `,"frameRate":true`), 400},
		{"114 neither audio nor video", "POST", "/recordings/start", start("S", `,"hasAudio":false,"hasVideo":false,"name":"NAME~"`), 422},
		{"115 too high", "POST", "/recordings/start", start("composed", `,"resolution":"1920x2000"`), 422},
		{"116 too narrow", "POST", "/recordings/start", start("composed", `,"resolution":"99x1080"`), 422},
		{"117 no frames", "POST", "/recordings/start", start("composed", `,"frameRate":0`), 422},
		{"118 too many frames", "POST", "/recordings/start", start("composed", `,"frameRate":121`), 422},
		{"119 too little memory", "POST", "/recordings/start", start("composed", `,"shmSize":134217727`), 422},
		{"119 a node that is none", "POST", "/recordings/start", start("S", `,"mediaNode":{"id":false}`), 400},
		{"composed is not there yet", "POST", "/recordings/start", start("composed", ""), 501},
		{"122 no recording is named", "POST", "/recordings/stop", "", 403},
		{"123 an unknown one is stopped", "POST", "/recordings/stop/NOT_EXISTS", "", 404},
		{"127 all are deleted", "DELETE", "/recordings", "", 403},
		{"128 an unknown one is deleted", "DELETE", "/recordings/NOT_EXISTS", "", 404},
	} {
		if got := w.call(test.method, test.path, test.body); got.status != test.status {
			t.Errorf("%s: got %d %s, want %d", test.name, got.status, got.body, test.status)
		}
	}

	started := w.want(200, "POST", "/recordings/start", start("S", `,"name":"daily","hasAudio":false`))
	for _, want := range []string{
		`{"id":"S","object":"recording","name":"daily","outputMode":"INDIVIDUAL","sessionId":"S","createdAt":`, `,"size":0,"duration":0,"url":null,"hasAudio":false,"hasVideo":true,"status":"started"}`,
	} {
		if !strings.Contains(started.body, want) {
			t.Errorf("120 started is %s, want in it %s", started.body, want)
		}
	}
	if n := keysOf(t, started.body); n != 12 {
		t.Errorf("120 it has %d keys", n)
	}
	w.observed("S", pool, 1, true)
	if got := w.want(200, "GET", "/sessions/S", ""); !strings.Contains(got.body, `"recording":true`) {
		t.Errorf("the session is %s", got.body)
	}
	w.want(409, "POST", "/recordings/start", start("S", `,"name":999`)) // 121
	w.observed("S", pool, 1, false)
	w.want(409, "POST", "/recordings/start", start("S", "")) // before the session says so
	w.want(409, "DELETE", "/recordings/S", "")               // 124

	stopped := w.want(200, "POST", "/recordings/stop/S", "")
	if want := `"size":16,"duration":2.5,"url":"https://rooms.example.org/openvidu/recordings/S/daily.zip","hasAudio":false,"hasVideo":true,"status":"ready"}`; !strings.HasSuffix(stopped.body, want) {
		t.Errorf("125 stopped is %s, want %s", stopped.body, want)
	}
	if got := w.callAt(1, "GET", "/recordings/S", ""); got.body != stopped.body {
		t.Errorf("126 it is %s, want %s", got.body, stopped.body)
	}
	if got := w.want(200, "GET", "/recordings", ""); got.body != `{"count":1,"items":[`+stopped.body+`]}` {
		t.Errorf("126 there are %s", got.body)
	}
	w.want(404, "POST", "/recordings/stop/S", "") // 130

	second := w.want(200, "POST", "/recordings/start", start("S", ""))
	if !strings.HasPrefix(second.body, `{"id":"S~1","object":"recording","name":"S~1"`) {
		t.Errorf("131 the second one is %s", second.body)
	}
	w.want(200, "POST", "/recordings/stop/S~1", `{"ignored":true}`)
	w.want(204, "DELETE", "/recordings/S~1", "") // 129
	w.want(204, "DELETE", "/recordings/S", "")
	if got := w.want(200, "GET", "/recordings", ""); got.body != `{"count":0,"items":[]}` {
		t.Errorf("129 there are %s", got.body)
	}
	if config := w.want(200, "GET", "/config", "").body; keysOf(t, config) != 22 || !strings.Contains(config, `"OPENVIDU_RECORDING_NOTIFICATION":"publisher_moderator"`) {
		t.Errorf("the configuration is %s", config)
	}

	// One that can't start leaves nothing behind.
	w.operator.Behave(operatortest.Behaviour{Refuses: "RecordingFailed"})
	if got := w.want(500, "POST", "/recordings/start", start("S", "")); got.body != "Error starting recording: because" {
		t.Errorf("got %s", got.body)
	}
	eventually(t, "it is gone", func() bool {
		var list v1alpha1.RecordingList
		return w.List(t.Context(), &list, client.InNamespace(w.namespace)) == nil && len(list.Items) == 0
	})
}

// What a pool with a compositor makes. Only the operator knows how: the keys are those of composed
// recordings.
func TestComposedRecordings(t *testing.T) {
	w := newWorld(t)
	pool := w.recordingPool("")
	w.active("S", `,"defaultRecordingProperties":{"outputMode":"COMPOSED_QUICK_START","frameRate":30}`, pool.Name)
	refused := w.want(501, "POST", "/recordings/start", `{"session":"S"}`)
	if !strings.Contains(refused.body, "the session's media pool does not compose recordings") {
		t.Errorf("without a compositor: %s", refused.body)
	}
	before := pool.DeepCopy()
	pool.Spec.Egress.Compositor = &v1alpha1.Compositor{Image: "composes"}
	if err := w.Patch(t.Context(), pool, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the compositor is known", func() bool {
		got := w.call("POST", "/recordings/start", `{"session":"S","recordingLayout":"CUSTOM","customLayout":"mine"}`)
		return got.status == 501 && strings.Contains(got.body, "'recordingLayout' CUSTOM is not available yet")
	})
	started := w.want(200, "POST", "/recordings/start", `{"session":"S","outputMode":"COMPOSED","resolution":"640x480"}`)
	if n := keysOf(t, started.body); n != 15 || !strings.Contains(started.body, `"outputMode":"COMPOSED_QUICK_START","resolution":"640x480","frameRate":30,"recordingLayout":"BEST_FIT",`) {
		t.Errorf("120 started is %s, with %d keys", started.body, n)
	}
	w.want(200, "POST", "/recordings/stop/S", "")
	// Sound alone has no layout.
	sound := w.want(200, "POST", "/recordings/start", `{"session":"S","hasVideo":false,"recordingLayout":"CUSTOM","customLayout":"mine"}`)
	if n := keysOf(t, sound.body); n != 12 || !strings.Contains(sound.body, `"hasAudio":true,"hasVideo":false,`) {
		t.Errorf("137 sound is %s, with %d keys", sound.body, n)
	}
	w.want(200, "POST", "/recordings/stop/S~1", "")
}

// Files are for who has the tenant's password, unless the pool says otherwise.
func TestFilesOfRecordings(t *testing.T) {
	w := newWorld(t)
	pool := w.recordingPool("")
	w.active("S", `,"defaultRecordingProperties":{"outputMode":"INDIVIDUAL"}`, pool.Name)
	w.want(200, "POST", "/recordings/start", `{"session":"S"}`)
	w.want(200, "POST", "/recordings/stop/S", "")
	fetch := func(path, secret, header, value string) answer {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.gateways[0].URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if secret != "" {
			request.SetBasicAuth("OPENVIDUAPP", secret)
		}
		if header != "" {
			request.Header.Set(header, value)
		}
		return w.do(request)
	}
	const file = "/openvidu/recordings/S/S.zip"
	if got := fetch(file, password, "", ""); got.status != 200 || got.body != "0123456789abcdef" || got.header.Get("Content-Type") != "application/zip" {
		t.Errorf("got %d %s %v", got.status, got.body, got.header)
	}
	if got := fetch("/recordings/S/S.zip", password, "Range", "bytes=4-7"); got.status != 206 || got.body != "4567" || got.header.Get("Content-Range") != "bytes 4-7/16" {
		t.Errorf("a range: got %d %s %v", got.status, got.body, got.header)
	}
	for path, want := range map[string]int{
		file: 401, "/openvidu/recordings/NOT_EXISTS/S.zip": 401, "/openvidu/recordings/S/..%2fS.zip": 401,
	} {
		if got := fetch(path, "", "", ""); got.status != want {
			t.Errorf("GET %s without a password: got %d", path, got.status)
		}
	}
	if got := fetch(file, "WRONG", "", ""); got.status != 401 {
		t.Errorf("with a wrong password: got %d", got.status)
	}
	for _, path := range []string{"/openvidu/recordings/S/other.webm", "/openvidu/recordings/NOT_EXISTS/S.zip", "/openvidu/recordings/S/%2e%2e"} {
		if got := fetch(path, password, "", ""); got.status != 404 {
			t.Errorf("GET %s: got %d", path, got.status)
		}
	}
	w.files.mu.Lock()
	asked := strings.Join(w.files.asked, "\n")
	w.files.mu.Unlock()
	if strings.Count(asked, "\n") != 1 || !strings.HasPrefix(asked, pool.Name+" /recordings/") {
		t.Errorf("the recorder was asked for %s", asked)
	}

	before := pool.DeepCopy()
	pool.Spec.Egress.Access = v1alpha1.RecordingAccessPublic
	if err := w.Patch(t.Context(), pool, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the files are public", func() bool { return fetch(file, "", "", "").status == 200 })
	if got := fetch("/openvidu/recordings/NOT_EXISTS/S.zip", "", "", ""); got.status != 401 {
		t.Errorf("an unknown one, which could be anybody's: got %d", got.status)
	}
}
