package rest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/gateway/route"
)

// The numbers are those of section 9 of the REST reference.
func TestSignal(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"s1"}`)
	w.want(200, "POST", "/sessions", `{"customSessionId":"idle"}`)
	var ids []string
	for range 2 {
		ids = append(ids, w.want(200, "POST", "/sessions/s1/connection", "{}").id(t))
		w.join(ids[len(ids)-1])
	}
	for _, test := range []struct {
		name, body string
		status     int
		withBody   bool
		sent       string
	}{
		{"87 no session", `{}`, 400, true, ""},
		{"87 a session of null", `{"session":null}`, 400, true, ""},
		{"88 session of another type", `{"session":true}`, 400, true, ""},
		{"89 to of another type", `{"session":"s1","to":12}`, 400, true, ""},
		{"89 to of another type for an unknown session", `{"session":"NOT_EXISTS","to":12}`, 400, true, ""},
		{"90 data of another type", `{"session":"s1","data":false}`, 400, true, ""},
		{"91 type of another type", `{"session":"s1","type":true}`, 400, true, ""},
		{"92 unknown session", `{"session":"NOT_EXISTS"}`, 404, false, ""},
		{"93 session that is not active", `{"session":"idle"}`, 406, false, ""},
		{"93 session that is not active, to somebody", `{"session":"idle","to":["x"]}`, 406, false, ""},
		{"94 to nobody", `{"session":"s1","to":["wrong"]}`, 406, true, ""},
		{"95 to one and to nobody", fmt.Sprintf(`{"session":"s1","to":[%q,"wrong"]}`, ids[0]), 406, true, ""},
		{"95 to one and to null", fmt.Sprintf(`{"session":"s1","to":[%q,null]}`, ids[0]), 406, true, ""},
		{"96 to all", `{"session":"s1"}`, 200, false, `{}`},
		{"96 to all, all null", `{"session":"s1","to":null,"type":null,"data":null,"other":1}`, 200, false, `{}`},
		{"97 to all, with type and data", `{"session":"s1","to":[],"type":"server1","data":"d"}`, 200, false, `{"type":"server1","data":"d"}`},
		{"97 to all, with empty type and data", `{"session":"s1","type":"","data":""}`, 200, false, `{"type":"","data":""}`},
		{"98 to one, twice", fmt.Sprintf(`{"session":"s1","to":[%q,%q]}`, ids[1], ids[1]), 200, false, fmt.Sprintf(`{"to":[%q]}`, ids[1])},
		{"no body", "", 403, false, ""},
		{"no object", "[]", 403, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := w.call("POST", "/signal", test.body)
			if got.status != test.status || (got.body != "") != test.withBody {
				t.Errorf("got %d %q, want %d", got.status, got.body, test.status)
			}
			var want []string
			if test.sent != "" {
				want = []string{w.namespace + "/s1 " + test.sent}
			}
			if sent := w.rooms.take(); !slices.Equal(sent, want) {
				t.Errorf("sent %q, want %q", sent, want)
			}
		})
	}
	w.rooms.err = fmt.Errorf("testing: %w", route.ErrUnreachable)
	if got := w.want(503, "POST", "/signal", `{"session":"s1"}`); !strings.Contains(got.body, errRoomUnreachable.message) {
		t.Errorf("without a media pod: got %s", got.body)
	}
	w.rooms.err = route.ErrTooMuch
	if got := w.want(429, "POST", "/signal", `{"session":"s1"}`); !strings.Contains(got.body, errTooManySignals.message) {
		t.Errorf("too much: got %s", got.body)
	}
}
