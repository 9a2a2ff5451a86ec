package rest

import (
	"fmt"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/gateway/objects"
)

// The numbers are those of section 9 of the REST reference.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	for _, test := range []struct {
		name, body string
		status     int
		withBody   bool
	}{
		{"45 nothing", `{}`, 400, true},
		{"46 session of another type", `{"session":true}`, 400, true},
		{"46 session of null", `{"session":null}`, 400, true},
		{"47 unknown role", `{"session":"S1","role":"NOT_EXISTS"}`, 400, true},
		{"48 data of another type", `{"session":"S1","data":999}`, 400, true},
		{"49 kurentoOptions of another type", `{"session":"S1","kurentoOptions":false}`, 400, true},
		{"50 filters of another type", `{"session":"S1","kurentoOptions":{"allowedFilters":"x"}}`, 400, true},
		{"50 an object for a filter", `{"session":"S1","kurentoOptions":{"allowedFilters":["x",{}]}}`, 400, true},
		{"51 unknown session", `{"session":"NOT_EXISTS"}`, 404, true},
		{"59 ICE server", `{"session":"S1","customIceServers":[{"url":"bad-ice-server"}]}`, 400, true},
		{"no body", ``, 403, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.call("POST", "/tokens", test.body); got.status != test.status || (got.body != "") != test.withBody {
				t.Errorf("got %d %s, want %d", got.status, got.body, test.status)
			}
		})
	}
	if got := w.want(200, "GET", "/sessions/S1/connection", ""); got.body != emptyList {
		t.Errorf("refused requests left %s", got.body)
	}

	got := w.want(200, "POST", "/tokens", `{"session":"S1","role":"MODERATOR","data":"d","kurentoOptions":{"videoMaxSendBandwidth":777,"allowedFilters":["A"]},"record":false,"type":"IPCAM"}`)
	object := w.only()
	want := fmt.Sprintf(`{"id":%q,"token":%q,"createdAt":%d,"connectionId":%q,"session":"S1","data":"d","role":"MODERATOR",`+
		`"kurentoOptions":{"videoMaxSendBandwidth":777,"allowedFilters":["A"]}}`, object.Status.Token, object.Status.Token, createdAt(object), objects.ConnectionID(object))
	if got.body != want {
		t.Errorf("52: got %s\nwant %s", got.body, want)
	}
	shown := w.want(200, "GET", "/sessions/S1/connection", "")
	if !strings.HasPrefix(shown.body, `{"numberOfElements":1,`) || !strings.Contains(shown.body, `"record":true`) || !strings.Contains(shown.body, objects.ConnectionID(object)) {
		t.Errorf("52: listed as %s", shown.body)
	}
	if got := w.want(200, "POST", "/tokens", `{"session":"S1","kurentoOptions":null}`); strings.Contains(got.body, "kurento") || !strings.Contains(got.body, `"data":"","role":"PUBLISHER"}`) {
		t.Errorf("52: without options: got %s", got.body)
	}
}
