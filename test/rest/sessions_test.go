//go:build e2e

package rest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sessionKeys are the members of a session without a media node, in their order.
var sessionKeys = []string{
	"id", "object", "sessionId", "createdAt", "recording", "broadcasting", "mediaMode", "recordingMode", "defaultRecordingProperties", "customSessionId",
	"forcedVideoCodec", "allowTranscoding", "connections",
}

// defaults are the recording properties of a session that was given none.
const defaults = `{"name":"","hasAudio":true,"hasVideo":true,"outputMode":"COMPOSED","recordingLayout":"BEST_FIT","resolution":"1280x720","frameRate":25,"shmSize":536870912}`

func TestSessionsThatAreRefused(t *testing.T) {
	t.Parallel()
	Shows(t, 13, 15, 16, 17, 18, 19, 20, 21, 22, 25, 29, 30, 33, 37)
	n := newTenant(t)
	n.all(t, []row{
		{"GET", "/sessions/NOT_EXISTS", "", 404},
		{"POST", "/sessions", `{"mediaMode":"NOT_EXISTS"}`, 400},
		{"POST", "/sessions", `{"recordingMode":false}`, 400},
		{"POST", "/sessions", `{"recordingMode":"NOT_EXISTS"}`, 400},
		{"POST", "/sessions", `{"customSessionId":999}`, 400},
		{"POST", "/sessions", `{"defaultRecordingProperties":"STR"}`, 400},
		{"POST", "/sessions", `{"defaultRecordingProperties":{"outputMode":"NOT_EXISTS"}}`, 400},
		{"POST", "/sessions", `{"defaultRecordingProperties":{"recordingLayout":"NOT_EXISTS"}}`, 400},
		{"DELETE", "/sessions", "", 403},
		{"DELETE", "/sessions/NOT_EXISTS", "", 404},
		{"POST", "/sessions", `{"mediaNode":"some"}`, 400},
		{"POST", "/sessions", `{"mediaNode":{}}`, 400},
		{"POST", "/sessions", `{"mediaNode":{"id":123}}`, 400},
		{"POST", "/sessions", `{"mediaNode":{"id":"no-pool-of-this-name"}}`, 400},
	})
	for _, id := range []string{
		"session#", "session!", "sess(ion", "session:session", "session@session", "ses=sion", "session,", "/session", "session?", "session%", "[session]", "session.",
		"session~1", `\session`, "$", "+",
	} {
		body, err := json.Marshal(map[string]string{"customSessionId": id})
		if err != nil {
			t.Fatal(err)
		}
		n.want(t, 400, "POST", "/sessions", string(body))
	}
	for _, id := range []string{"s", "1", "-", "_", "_-_", "0session10", "123_session-1"} {
		created := n.want(t, 200, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, id))
		n.want(t, 409, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q,"recordingMode":"ALWAYS"}`, id))
		if got := n.want(t, 200, "GET", "/sessions/"+id, ""); got.body != created.body {
			t.Errorf("after a second creation: got %s\nwant %s", got.body, created.body)
		}
		n.want(t, 204, "DELETE", "/sessions/"+id, "")
		n.want(t, 404, "GET", "/sessions/"+id, "")
	}
	if got := n.want(t, 200, "GET", "/sessions", ""); got.body != emptyList {
		t.Errorf("what was refused has left %s", got.body)
	}
}

func TestASessionFromItsCreationToItsEnd(t *testing.T) {
	t.Parallel()
	Shows(t, 14, 23, 24, 25, 27, 28, 31, 32, 33, 35)
	n := newTenant(t)
	if got := n.want(t, 200, "GET", "/sessions", ""); got.body != emptyList {
		t.Fatalf("a new tenant has %s", got.body)
	}
	const properties = `{"customSessionId":"S1","defaultRecordingProperties":{"outputMode":"COMPOSED","recordingLayout":"BEST_FIT"}}`
	created := n.want(t, 200, "POST", "/sessions", properties)
	if got := keys(t, created.body); !slices.Equal(got, sessionKeys) {
		t.Errorf("the keys are %v, want %v", got, sessionKeys)
	}
	const codec = `"forcedVideoCodec":"MEDIA_SERVER_PREFERRED","allowTranscoding":false`
	if !strings.Contains(created.body, `"defaultRecordingProperties":`+defaults+`,"customSessionId":"S1",`+codec+`,"connections":`+emptyList) {
		t.Errorf("got %s", created.body)
	}
	same := func() {
		t.Helper()
		if got := n.want(t, 200, "GET", "/sessions/S1", ""); got.body != created.body {
			t.Errorf("read: got %s\nwant %s", got.body, created.body)
		}
		if got := n.want(t, 200, "GET", "/sessions", ""); got.body != `{"numberOfElements":1,"content":[`+created.body+`]}` {
			t.Errorf("listed: got %s\nwant one of %s", got.body, created.body)
		}
	}
	same()
	n.want(t, 409, "POST", "/sessions", `{"customSessionId":"S1"}`)
	same()
	n.want(t, 204, "DELETE", "/sessions/S1", "")
	n.want(t, 404, "GET", "/sessions/S1", "")
	if got := n.want(t, 200, "GET", "/sessions", ""); got.body != emptyList {
		t.Errorf("after the end: got %s", got.body)
	}
	first := created
	created = n.want(t, 200, "POST", "/sessions", properties)
	if created.body == first.body {
		t.Error("the second session with the id is as old as the first")
	}
	same()
	n.want(t, 204, "DELETE", "/sessions/S1", "")

	generated := n.want(t, 200, "POST", "/sessions", "{}")
	var session struct{ ID string }
	generated.decode(t, &session)
	if got := keys(t, generated.body); !slices.Equal(got, sessionKeys) || !strings.Contains(generated.body, `"customSessionId":""`) {
		t.Errorf("got %s", generated.body)
	}
	if !regexp.MustCompile(`^ses_[A-Z][0-9A-Za-z]{9}$`).MatchString(session.ID) {
		t.Errorf("the generated id is %s", session.ID)
	}
	n.want(t, 204, "DELETE", "/sessions/"+session.ID, "")
}

func TestAnIDThatIsInUseKeepsItsSession(t *testing.T) {
	t.Parallel()
	Shows(t, 26)
	session := shared.session(t, `"recordingMode":"ALWAYS","defaultRecordingProperties":{"name":"mine"}`)
	before := shared.want(t, 200, "GET", "/sessions/"+session+"?pendingConnections=true", "")
	// What createSession of the clients does with an id that is in use: the second request, after a
	// 409, gives the session as it is.
	shared.want(t, 409, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q,"recordingMode":"MANUAL"}`, session))
	after := shared.want(t, 200, "GET", "/sessions/"+session+"?pendingConnections=true", "")
	if after.body != before.body || !strings.Contains(after.body, `"recordingMode":"ALWAYS","defaultRecordingProperties":{"name":"mine",`) {
		t.Errorf("got %s\nwant %s", after.body, before.body)
	}
}

func TestCodecsAreShownAsTheyWereAskedFor(t *testing.T) {
	t.Parallel()
	Shows(t, 34, 35, 36)
	n := newTenant(t)
	list := func() string { return n.want(t, 200, "GET", "/sessions", "").body }
	for _, c := range []struct{ given, shown string }{
		{`"forcedVideoCodec":"H264","allowTranscoding":true`, `"forcedVideoCodec":"H264","allowTranscoding":true`},
		{`"forcedVideoCodec":"VP9","allowTranscoding":true`, `"forcedVideoCodec":"VP9","allowTranscoding":true`},
		{`"forcedVideoCodec":"MEDIA_SERVER_PREFERRED","allowTranscoding":false`, `"forcedVideoCodec":"MEDIA_SERVER_PREFERRED","allowTranscoding":false`},
		{`"forcedVideoCodec":"NONE"`, `"forcedVideoCodec":"NONE","allowTranscoding":false`},
		{`"forcedVideoCodec":null,"allowTranscoding":null`, `"forcedVideoCodec":"MEDIA_SERVER_PREFERRED","allowTranscoding":false`},
	} {
		created := n.want(t, 200, "POST", "/sessions", `{"customSessionId":"S1",`+c.given+`}`)
		if !strings.Contains(created.body, c.shown) || list() != `{"numberOfElements":1,"content":[`+created.body+`]}` {
			t.Errorf("%s: created %s\nlisted %s", c.given, created.body, list())
		}
		n.want(t, 204, "DELETE", "/sessions/S1", "")
	}
}

func TestOnlyOneOfTwoConcurrentCreationsSucceeds(t *testing.T) {
	t.Parallel()
	Shows(t, 38)
	for range 5 {
		id := unique("race")
		var statuses [2]int
		var group sync.WaitGroup
		for i := range statuses {
			group.Go(func() {
				made, err := request("POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, id))
				if err != nil {
					t.Error(err)
					return
				}
				as(shared.secret)(made)
				made.Close = true // a socket of its own, maybe to another gateway
				got, err := send(t.Context(), made)
				if err != nil {
					t.Error(err)
				}
				statuses[i] = got.status
			})
		}
		group.Wait()
		slices.Sort(statuses[:])
		if statuses != [2]int{200, 409} {
			t.Errorf("got %v", statuses)
		}
		shared.want(t, 204, "DELETE", "/sessions/"+id, "")
	}
}

func TestPendingConnectionsAreShownOnDemand(t *testing.T) {
	t.Parallel()
	Shows(t, 39)
	session := shared.session(t, "")
	for range 3 {
		shared.connection(t, session, "")
	}
	for query, want := range map[string]int{"": 0, "?pendingConnections=false": 0, "?pendingConnections=true": 3, "?pendingConnections=true&webRtcStats=true": 3} {
		var got struct{ Connections connections }
		shared.want(t, 200, "GET", "/sessions/"+session+query, "").decode(t, &got)
		if len(got.Connections.Content) != want || got.Connections.NumberOfElements != want {
			t.Errorf("%q: got %d connections, want %d", query, len(got.Connections.Content), want)
		}
	}
}
