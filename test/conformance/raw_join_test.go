//go:build e2e

package conformance

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestJoinRoomTellsEverythingThatTheClientNeeds(t *testing.T) {
	t.Parallel()
	covers(t, "2.1-joinRoom", "9-4", "9-5", "9-11")
	r := newRoom(t, nil)
	connection := r.connection(t, func(spec *v1alpha1.ConnectionSpec) { spec.Role = v1alpha1.RoleModerator })
	m := dial(t, "a", connection.Status.Token)
	result := m.call("joinRoom", m.JoinParameters())

	for name, want := range map[string]any{
		"id": connection.Status.ConnectionID, "session": r.name, "role": "MODERATOR", "mediaServer": "mediasoup", "record": true,
		"metadata": "",
	} {
		if result[name] != want {
			t.Errorf("%s is %v, want %v", name, result[name], want)
		}
	}
	for name, pattern := range map[string]string{
		"sessionId": `^[0-9A-Za-z]{26}$`, "version": `^2\.32\.\d+$`, "finalUserId": `^[0-9A-F]{16}$`,
	} {
		if text, _ := result[name].(string); !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("%s is %v, want it to match %s", name, result[name], pattern)
		}
	}
	if others, isList := result["value"].([]any); !isList || len(others) != 0 {
		t.Errorf("value is %v, want an empty list", result["value"])
	}
	if created, _ := result["createdAt"].(float64); created < 1e12 {
		t.Errorf("createdAt is %v, want milliseconds", result["createdAt"])
	}
	if simulcast, given := result["videoSimulcast"]; given {
		if _, isFlag := simulcast.(bool); !isFlag {
			t.Errorf("videoSimulcast is %v", simulcast)
		}
	}
	for _, name := range []string{"recordingId", "recordingName", "dest"} {
		if value, given := result[name]; given {
			t.Errorf("%s is %v, want it absent", name, value)
		}
	}
	for name, value := range result {
		if value == nil {
			t.Errorf("%s is null", name)
		}
	}
}

func TestPingIsAnsweredBeforeAndAfterARefusedJoin(t *testing.T) {
	t.Parallel()
	covers(t, "1.6-pong", "2.17-ping", "9-1", "9-14", "9-18", "1.3-id")
	r := newRoom(t, nil)
	m := dial(t, "a", r.token(t, v1alpha1.RolePublisher))
	first := m.Messages()[0]
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(first.Raw, &answer); err != nil {
		t.Fatal(err)
	}
	if string(answer["id"]) != "0" || string(answer["result"]) != `{"value":"pong"}` || string(answer["jsonrpc"]) != `"2.0"` || len(answer) != 3 {
		t.Errorf("the first ping was answered with %s", first.Raw)
	}
	wrong := strings.Replace(m.token, "&token=tok_", "&token=tok_A", 1)
	parameters := m.JoinParameters()
	parameters["token"] = wrong
	m.refused("joinRoom", parameters, 401, "Unable to join session "+r.name+". Token "+wrong+" is not valid. Code: 401")
	if pong := m.call("ping", nil); pong["value"] != "pong" {
		t.Errorf("after a refused joinRoom ping gave %v", pong)
	}
	m.Joins()
	if pong := m.call("ping", nil); pong["value"] != "pong" {
		t.Errorf("after joinRoom ping gave %v", pong)
	}
}

func TestThoseWhoAreThereAreToldOfAJoinerBeforeItsOwnAnswer(t *testing.T) {
	t.Parallel()
	covers(t, "3.1-participantJoined", "9-6")
	r := newRoom(t, nil)
	a := r.join(t, "a", v1alpha1.RolePublisher)
	b := r.join(t, "b", v1alpha1.RoleModerator)
	told := a.Gets("participantJoined", map[string]any{"id": b.ID(), "metadata": "b"})
	if len(told) != 3 || told["createdAt"] != float64(b.Joined.CreatedAt) {
		t.Errorf("a was told %v, want id, metadata and createdAt %d only", told, b.Joined.CreatedAt)
	}
	if len(b.Joined.Value) != 1 || b.Joined.Value[0].ID != a.ID() {
		t.Errorf("b was told of %+v", b.Joined.Value)
	}
	if got := b.Notifications(); len(got) != 0 {
		t.Errorf("b was told %v", got)
	}
}
