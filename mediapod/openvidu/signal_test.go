package openvidu

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// post sends a signal of the server and returns the status.
func (p *pod) post(key, body string) int {
	p.t.Helper()
	answer := httptest.NewRecorder()
	p.handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/rooms/"+url.PathEscape(key)+"/signal", strings.NewReader(body)))
	return answer.Code
}

func TestServerSignals(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B")
	if got := p.post("team.room", `{}`); got != http.StatusNotAcceptable {
		t.Errorf("to an empty room: %d", got)
	}
	a, b := p.join("A"), p.join("B")
	a.notification()
	for name, c := range map[string]struct {
		body string
		a, b string
	}{
		"to all": {
			`{"to":[],"type":"signal:chat","data":"hello"}`,
			`sendMessage {"data":"hello","type":"signal:chat"}`, `sendMessage {"data":"hello","type":"signal:chat"}`,
		},
		"to one, whose type lacks the prefix": {`{"to":["con_B","con_B"],"type":"chat","data":"hello"}`, "", `sendMessage {"data":"hello","type":"signal:chat"}`},
		"without anything":                    {`{}`, `sendMessage {}`, `sendMessage {}`},
		"with nulls":                          {`{"to":null,"type":null,"data":null}`, `sendMessage {}`, `sendMessage {}`},
	} {
		if got := p.post("team.room", c.body); got != http.StatusNoContent {
			t.Fatalf("%s: %d", name, got)
		}
		if c.a != "" {
			a.expect(c.a)
		}
		b.expect(c.b)
	}
	for name, c := range map[string]struct {
		key, body string
		want      int
	}{
		"another room":             {"room", `{}`, http.StatusNotFound},
		"a key that needs escapes": {"a/b c", `{}`, http.StatusNotFound},
		"somebody unknown":         {"team.room", `{"to":["con_A","con_X"]}`, http.StatusNotAcceptable},
		"no JSON":                  {"team.room", `{`, http.StatusBadRequest},
		"no object":                {"team.room", `null`, http.StatusBadRequest},
		"nothing":                  {"team.room", ``, http.StatusBadRequest},
		"a type that is no text":   {"team.room", `{"type":1}`, http.StatusBadRequest},
		"recipients in no list":    {"team.room", `{"to":"con_A"}`, http.StatusBadRequest},
		"too deep":                 {"team.room", `{"x":` + strings.Repeat("[", 100), http.StatusBadRequest},
		"too big":                  {"team.room", `{"data":"` + strings.Repeat("x", maxSignal) + `"}`, http.StatusBadRequest},
	} {
		if got := p.post(c.key, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	a.call("echo", `{}`) // nothing came before its answer
	p.rooms.Stop()
	if got := p.post("team.room", `{}`); got != http.StatusNotFound {
		t.Errorf("to a closed room: %d", got)
	}
}

func TestTheServerMaySayOnlySoMuchInARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes
		names := []string{"A", "B", "C", "D", "E", "F", "G", "H"}
		p := newPod(t, signalling.DefaultLimits(), names...)
		for _, name := range names {
			p.join(name)
		}
		body := `{"data":"` + strings.Repeat("x", maxSignal-1000) + `"}`
		for i := range 8 { // to each of eight: 64 MiB
			if got := p.post("team.room", body); got != http.StatusNoContent {
				t.Fatalf("signal %d: %d", i, got)
			}
		}
		if got := p.post("team.room", body); got != http.StatusTooManyRequests {
			t.Errorf("too much: %d", got)
		}
	})
}
