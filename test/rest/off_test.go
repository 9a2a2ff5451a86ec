//go:build e2e

package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// start is a request to start a recording of a session, with more members of its body.
func start(session, more string, status int) row {
	return row{"POST", "/recordings/start", fmt.Sprintf(`{"session":%q%s}`, session, more), status}
}

// Whatever is asked of recordings, a server that has them switched off answers 501 before it looks
// at anything.
func TestRecordingsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	Shows(t, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119)
	Shows(t, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 159, 164)
	s, relayed := shared.session(t, ""), shared.session(t, `"mediaMode":"RELAYED"`)
	rows := []row{
		{"POST", "/recordings/start", "{}", 501},
		{"POST", "/recordings/start", "", 501},
		{"POST", "/recordings/start", `{"session":true}`, 501},
		start("NOT_EXISTS", "", 501), start("NOT_EXISTS", `,"name":999`, 501), start(relayed, "", 501),
		{"GET", "/recordings/NOT_EXISTS", "", 501},
		{"GET", "/recordings", "", 501},
		{"POST", "/recordings/stop", "", 403},
		{"POST", "/recordings/stop/NOT_EXISTS", "", 501},
		{"POST", "/recordings/stop/" + s, `{"ignored":true}`, 501},
		{"DELETE", "/recordings", "", 403},
		{"DELETE", "/recordings/NOT_EXISTS", "", 501},
		{"GET", "/recordings/" + s, "", 501},
		{"DELETE", "/recordings/" + s, "", 501},
	}
	for _, more := range []string{
		"", `,"name":999`, `,"name":"with@"`, `,"outputMode":"NOT_EXISTS"`, `,"recordingLayout":"NOT_EXISTS"`, `,"resolution":999`, `,"frameRate":true`,
		`,"hasAudio":false,"hasVideo":false,"name":"NAME~"`, `,"resolution":"1920x2000"`, `,"resolution":"99x1080"`, `,"frameRate":0`, `,"frameRate":121`,
		`,"shmSize":134217727`, `,"mediaNode":true`, `,"mediaNode":{}`, `,"mediaNode":{"id":false}`,
	} {
		rows = append(rows, start(s, more, 501))
	}
	shared.all(t, rows)
	// It is the same with somebody in the session, who publishes.
	shared.join(t, s, "a", "").Publishes(rawclient.NewMedia(t), camera)
	shared.all(t, []row{start(s, "", 501), start(s, `,"name":999`, 501)})
	if got := shared.want(t, 200, "GET", "/sessions/"+s, ""); !strings.Contains(got.body, `"recording":false`) {
		t.Errorf("got %s", got.body)
	}
}

// What a session says of its recordings is checked and shown all the same; what is 422 at the start
// of a recording is 400 here.
func TestRecordingPropertiesOfASession(t *testing.T) {
	t.Parallel()
	Shows(t, 119, 141, 160)
	n := newTenant(t)
	for _, bad := range []string{
		`"resolution":""`, `"resolution":"a"`, `"resolution":"123"`, `"resolution":"AxB"`, `"resolution":"12x"`, `"resolution":"x12"`, `"resolution":"0920x1080"`,
		`"resolution":"1080x0720"`, `"resolution":"720x2000"`, `"resolution":"99x720"`, `"resolution":"1920X1080"`, `"frameRate":-1`, `"frameRate":0`, `"frameRate":121`,
		`"frameRate":9999`, `"shmSize":134217727`, `"mediaNode":true`, `"mediaNode":{}`, `"mediaNode":{"id":false}`, `"hasAudio":false,"hasVideo":false`, `"name":"with@"`,
	} {
		n.want(t, 400, "POST", "/sessions", `{"customSessionId":"S1","defaultRecordingProperties":{`+bad+`}}`)
	}
	good := []string{
		`"resolution":"1920x1080"`, `"resolution":"1280x720"`, `"resolution":"100x1999"`, `"frameRate":1`, `"frameRate":25`, `"frameRate":120`, `"shmSize":134217728`,
		`"name":"1234abcABC_-~"`,
	}
	for _, properties := range good {
		created := n.want(t, 200, "POST", "/sessions", `{"customSessionId":"S1","defaultRecordingProperties":{`+properties+`}}`)
		if !strings.Contains(created.body, properties) {
			t.Errorf("%s is shown as %s", properties, created.body)
		}
		n.want(t, 204, "DELETE", "/sessions/S1", "")
	}
}

// A session that is to be recorded by itself is a session like any other where nothing can be.
func TestSessionsThatAreToBeRecordedAreNot(t *testing.T) {
	t.Parallel()
	Shows(t, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 180)
	m := rawclient.NewMedia(t)
	for _, properties := range []string{
		`{"outputMode":"INDIVIDUAL"}`, `{"outputMode":"COMPOSED_QUICK_START"}`, `{"hasVideo":false}`, `{"hasAudio":false}`,
		`{"recordingLayout":"CUSTOM","customLayout":"layout1"}`, `{"recordingLayout":"CUSTOM","customLayout":"https://example.org/layout"}`,
	} {
		s := shared.session(t, `"recordingMode":"ALWAYS","defaultRecordingProperties":`+properties)
		a := shared.join(t, s, "a", "")
		a.Publishes(m, camera)
		shared.active(a)
		for _, record := range []string{"false", "true"} {
			shared.want(t, 200, "PATCH", "/sessions/"+s+"/connection/"+a.connection.ID, `{"record":`+record+`}`)
		}
		shared.all(t, []row{
			start(s, `,"name":"custom"`, 501), start(s, "", 501), {"POST", "/recordings/stop/" + s, "", 501}, {"GET", "/recordings/" + s + "~1", "", 501},
			{"GET", "/recordings", "", 501},
		})
		if got := shared.want(t, 200, "GET", "/sessions/"+s, ""); !strings.Contains(got.body, `"recording":false`) {
			t.Errorf("%s: got %s", properties, got.body)
		}
		// Nothing keeps it once it is to end.
		shared.want(t, 204, "DELETE", "/sessions/"+s, "")
		shared.want(t, 404, "GET", "/sessions/"+s, "")
		for _, method := range []string{"recordingStarted", "recordingStopped"} {
			if told := a.told(method); len(told) > 0 {
				t.Errorf("%s: told %s %v", properties, method, told)
			}
		}
	}
}

func TestCamerasAreCheckedAndNotAvailable(t *testing.T) {
	t.Parallel()
	Shows(t, 145, 146, 147, 148, 149, 150, 151, 152, 153, 154, 155)
	s := shared.session(t, "")
	path := "/sessions/" + s + "/connection"
	camera := func(uri, more string, status int) row {
		return row{"POST", path, fmt.Sprintf(`{"type":"IPCAM","rtspUri":%q%s}`, uri, more), status}
	}
	shared.all(t, []row{
		{"POST", path, `{"type":"IPCAM"}`, 400},
		camera("NOT_A_URL", "", 400),
		camera("rtsp://dummy.com", `,"adaptativeBitrate":123`, 400),
		camera("rtsp://dummy.com", `,"onlyPlayWithSubscribers":"true"`, 400),
		camera("rtsp://dummy.com", `,"networkCache":"2000"`, 400),
		camera("filse:///opt/openvidu/recordings/x.mp4", "", 400),
		{"POST", "/tokens", fmt.Sprintf(`{"session":%q,"type":"IPCAM"}`, s), 200}, // tokens have no type
		camera("rtsp://dummy.com", `,"data":"SERVER","record":true,"adaptativeBitrate":true,"onlyPlayWithSubscribers":true,"networkCache":50`, 501),
		camera("rtsp://dummy.com", "", 501), camera("rtsps://dummy.com", "", 501), camera("http://dummy.com", "", 501), camera("https://dummy.com", "", 501),
		camera("file:///opt/openvidu/recordings/x.mp4", "", 501),
		{"DELETE", "/sessions/" + s + "/stream/str_IPC_A1B2_ipc_IPCAM_rtsp_A1B2_dummy_com", "", 404},
		{"DELETE", path + "/ipc_IPCAM_rtsp_A1B2_dummy_com", "", 404},
	})
	refusal := shared.call(t, "POST", path, `{"type":"IPCAM","rtspUri":"rtsp://dummy.com"}`)
	var problem struct{ Message string }
	if err := json.Unmarshal([]byte(refusal.body), &problem); err != nil || problem.Message == "" {
		t.Errorf("a camera is refused without a word: %s", refusal.body)
	}
	var listed connections
	shared.want(t, 200, "GET", path, "").decode(t, &listed)
	if len(listed.Content) != 1 || listed.Content[0].Type != "WEBRTC" {
		t.Errorf("there are %+v", listed.Content)
	}
}

func TestBroadcastsAndSpeechToTextAreSwitchedOff(t *testing.T) {
	t.Parallel()
	Shows(t, 181, 182, 183)
	s := shared.session(t, "")
	broadcast := fmt.Sprintf(`{"session":%q,"broadcastUrl":"rtmp://dummy.com/live"}`, s)
	rows := []row{
		{"POST", "/broadcast/start", broadcast, 403},
		{"POST", "/broadcast/start", `{"session":"NOT_EXISTS","broadcastUrl":"rtmp://dummy.com/live"}`, 403},
		{"POST", "/broadcast/start", "{}", 403},
		{"POST", "/broadcast/stop", fmt.Sprintf(`{"session":%q}`, s), 403},
	}
	for _, what := range []string{"load", "unload"} {
		for _, body := range []string{"{}", `{"lang":"en-US"}`, `{"lang":"en-US","mediaNode":{"id":"NOT_EXISTS"}}`, `{"lang":"en-US","mediaNode":{"id":"default"}}`} {
			rows = append(rows, row{"POST", "/speech-to-text/" + what, body, 501})
		}
	}
	shared.all(t, rows)
	if got := shared.want(t, 200, "GET", "/sessions/"+s, ""); !strings.Contains(got.body, `"broadcasting":false`) {
		t.Errorf("got %s", got.body)
	}
}

func TestConfigurationAndHealth(t *testing.T) {
	t.Parallel()
	Shows(t, 35, 184, 185)
	const want = "VERSION DOMAIN_OR_PUBLIC_IP HTTPS_PORT OPENVIDU_PUBLICURL OPENVIDU_CDR OPENVIDU_STREAMS_VIDEO_MAX_RECV_BANDWIDTH " +
		"OPENVIDU_STREAMS_VIDEO_MIN_RECV_BANDWIDTH OPENVIDU_STREAMS_VIDEO_MAX_SEND_BANDWIDTH OPENVIDU_STREAMS_VIDEO_MIN_SEND_BANDWIDTH " +
		"OPENVIDU_STREAMS_FORCED_VIDEO_CODEC OPENVIDU_STREAMS_ALLOW_TRANSCODING OPENVIDU_WEBRTC_SIMULCAST OPENVIDU_SESSIONS_GARBAGE_INTERVAL " +
		"OPENVIDU_SESSIONS_GARBAGE_THRESHOLD OPENVIDU_RECORDING OPENVIDU_WEBHOOK"
	got := shared.want(t, 200, "GET", "/config", "")
	if names := strings.Join(keys(t, got.body), " "); names != want {
		t.Errorf("the keys are %s, want %s", names, want)
	}
	if strings.Contains(got.body, shared.secret) || !strings.Contains(got.body, fmt.Sprintf(`"OPENVIDU_PUBLICURL":%q`, kube.GatewayURL)) {
		t.Errorf("got %s", got.body)
	}
	// It is DOWN until there is a media pod.
	wait.For(t, patience, "the deployment to be up", func() error {
		if health := shared.call(t, "GET", "/health", ""); health.status != http.StatusOK || health.body != `{"status":"UP","disconnectedMediaNodes":[]}` {
			return fmt.Errorf("got %d %s", health.status, health.body)
		}
		return nil
	})
	if cdr := shared.want(t, 200, "GET", "/openvidu/cdr", ""); cdr.body != "[]" {
		t.Errorf("the CDR files are %s", cdr.body)
	}
}
