//go:build e2e

package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// changed is a connection's JSON with another role and record.
func changed(c connection, role string, record bool) string {
	text := strings.Replace(c.text, fmt.Sprintf(`"record":%v,"role":%q`, c.Record, *c.Role), fmt.Sprintf(`"record":%v,"role":%q`, record, role), 1)
	return text
}

func TestChangesOfConnectionsNobodyHasUsed(t *testing.T) {
	t.Parallel()
	Shows(t, 82, 175, 176, 179)
	s := shared.session(t, "")
	c := shared.connection(t, s, `{"role":"SUBSCRIBER","record":false,"data":"MY_DATA"}`)
	path := "/sessions/" + s + "/connection/" + c.ID
	patch := func(body, want string) {
		t.Helper()
		if got := shared.want(t, 200, "PATCH", path, body); got.body != want {
			t.Errorf("%s: got %s\nwant %s", body, got.body, want)
		}
		if got := shared.read(t, s, c.ID); got.text != want {
			t.Errorf("read after %s: got %s\nwant %s", body, got.text, want)
		}
	}
	shared.all(t, []row{
		{"PATCH", path, `{"role":false}`, 400},
		{"PATCH", path, `{"role":"NOT_EXISTS"}`, 400},
		{"PATCH", path, `{"record":123}`, 400},
		{"PATCH", path, `{"record":"WRONG"}`, 400},
		{"PATCH", path, `{"role":"PUBLISHER","record":"WRONG"}`, 400},
		{"PATCH", "/sessions/WRONG/connection/" + c.ID, `{"role":false}`, 404},
		{"PATCH", "/sessions/" + s + "/connection/WRONG", `{"role":"PUBLISHER"}`, 404},
	})
	patch("{}", c.text)
	patch(`{"role":"SUBSCRIBER","record":false}`, c.text)
	patch(`{"data":"OTHER_DATA"}`, c.text)
	patch(`{"role":"PUBLISHER"}`, changed(c, "PUBLISHER", false))
	patch(`{"record":true}`, changed(c, "PUBLISHER", true))
	patch(`{"role":null,"record":false}`, changed(c, "PUBLISHER", false))
	// What the Node and the Java client send: all that the caller gave, and all that the client
	// knows.
	patch(`{"role":"MODERATOR","record":true,"data":"OTHER_DATA"}`, changed(c, "MODERATOR", true))
	patch(fmt.Sprintf(`{"session":%q,"type":"WEBRTC","data":"OTHER_DATA","record":false,"role":"SUBSCRIBER","kurentoOptions":null,"customIceServers":[],"rtspUri":null,`+
		`"adaptativeBitrate":null,"onlyPlayWithSubscribers":null,"networkCache":null}`, s), c.text)
	// The changes hold for whoever uses the token now.
	patch(`{"role":"MODERATOR"}`, changed(c, "MODERATOR", false))
	client, err := roomclient.Dial(t.Context(), roomclient.Options{Token: *c.Token})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if joined, err := client.Join(t.Context(), ""); err != nil || joined.Role != "MODERATOR" {
		t.Errorf("joined as %+v, %v", joined, err)
	}
}

func TestChangesOfConnectionsInTheRoom(t *testing.T) {
	t.Parallel()
	Shows(t, 82, 175, 177, 178)
	s := shared.session(t, "")
	m := shared.join(t, s, "a", `{"role":"SUBSCRIBER"}`)
	c := shared.active(m)
	path := "/sessions/" + s + "/connection/" + c.ID
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var refusal *roomclient.Error
	p := m.Offers(rawclient.NewMedia(t), camera)
	if err := m.Call(ctx, "publishVideo", p.Parameters(), nil); !errors.As(err, &refusal) || refusal.Code != 401 {
		t.Errorf("a subscriber that publishes: %v", err)
	}
	shared.want(t, 400, "PATCH", path, `{"role":false}`)
	for _, step := range []struct {
		body, role string
		record     bool
	}{
		{"{}", "SUBSCRIBER", true},
		{`{"role":"SUBSCRIBER","record":true}`, "SUBSCRIBER", true},
		{`{"data":"OTHER"}`, "SUBSCRIBER", true},
		{`{"role":"PUBLISHER"}`, "PUBLISHER", true},
		{`{"record":false}`, "PUBLISHER", false},
		{`{"role":"PUBLISHER","record":true}`, "PUBLISHER", true},
	} {
		if got := shared.want(t, 200, "PATCH", path, step.body); got.body != changed(c, step.role, step.record) {
			t.Errorf("%s: got %s\nwant %s", step.body, got.body, changed(c, step.role, step.record))
		}
	}
	m.Gets("connectionPropertyChanged", map[string]any{"property": "record", "newValue": "true"})
	want := []string{`{"property":"role","newValue":"PUBLISHER"}`, `{"property":"record","newValue":"false"}`, `{"property":"record","newValue":"true"}`}
	if told := m.told("connectionPropertyChanged"); len(told) != len(want) {
		t.Errorf("told %v, want %v", told, want)
	}
	m.Publishes(rawclient.NewMedia(t), camera)
}

// A client that fetches compares what it gets with what it knows, to the byte.
func TestWhatFetchCompares(t *testing.T) {
	t.Parallel()
	Shows(t, 156, 157)
	n := newTenant(t)
	get := func(path string) string { return n.want(t, 200, "GET", path+"?pendingConnections=true", "").body }
	// changes says that a change made elsewhere shows at the next fetch, and at no other.
	known := get("/sessions")
	changes := func(what string, want bool) {
		t.Helper()
		now := get("/sessions")
		if (now != known) != want {
			t.Errorf("%s: fetch gives %v\nbefore %s\nnow    %s", what, now != known, known, now)
		}
		if again := get("/sessions"); again != now {
			t.Errorf("%s: a second fetch gives another answer:\nfirst  %s\nsecond %s", what, now, again)
		}
		known = now
	}
	changes("nothing", false)
	created := n.want(t, 200, "POST", "/sessions", `{"mediaMode":"ROUTED","recordingMode":"MANUAL","customSessionId":"S1","defaultRecordingProperties":{"name":"",`+
		`"hasAudio":true,"hasVideo":true,"outputMode":"COMPOSED","recordingLayout":"BEST_FIT","resolution":"1280x720","frameRate":25,"shmSize":536870912}}`)
	if known != emptyList || get("/sessions/S1") != created.body {
		t.Errorf("created %s, fetched %s", created.body, get("/sessions/S1"))
	}
	changes("a session", true)
	// The Node client sends all ten keys.
	c := n.connection(t, "S1", `{"type":"WEBRTC","data":null,"record":true,"role":"PUBLISHER","kurentoOptions":null,"customIceServers":null,"rtspUri":null,`+
		`"adaptativeBitrate":null,"onlyPlayWithSubscribers":null,"networkCache":null}`)
	if !slices.Equal(keys(t, c.text), connectionKeys) || c.Status != "pending" || string(c.CustomIceServers) != "[]" || c.ActiveAt != nil || c.Location != nil ||
		c.IP != nil || c.Platform != nil || c.ClientData != nil || c.Publishers != nil || c.Subscribers != nil {
		t.Errorf("got %s", c.text)
	}
	if want := strings.Replace(created.body, emptyList, `{"numberOfElements":1,"content":[`+c.text+`]}`, 1); get("/sessions/S1") != want {
		t.Errorf("got %s\nwant %s", get("/sessions/S1"), want)
	}
	changes("a connection", true)
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"S2"}`)
	changes("another session", true)
	one := get("/sessions/S1")
	n.connection(t, "S2", "")
	if get("/sessions/S1") != one {
		t.Errorf("a connection of another session changes %s to %s", one, get("/sessions/S1"))
	}
	changes("a connection of another session", true)
	a, b := enter(t, c, "a"), n.join(t, "S1", "b", "")
	n.active(a)
	n.active(b)
	changes("two have joined", true)
	m := rawclient.NewMedia(t)
	stream := a.Publishes(m, camera).StreamID
	n.shows(a, "the stream", func(c connection) bool { return len(c.Publishers) == 1 })
	changes("one publishes", true)
	b.Receives(m, stream)
	n.shows(b, "the subscription", func(c connection) bool { return len(c.Subscribers) == 1 })
	changes("one receives", true)
	if err := a.Call(t.Context(), "streamPropertyChanged", map[string]any{
		"streamId": stream, "property": "videoActive", "newValue": "false", "reason": "publishVideo",
	}, nil); err != nil {
		t.Fatal(err)
	}
	n.shows(a, "the change", func(c connection) bool {
		return strings.Contains(string(c.Publishers[0].MediaOptions), `"videoActive":false`)
	})
	changes("a property of the stream", true)
	if err := b.Call(t.Context(), "unsubscribeFromVideo", map[string]any{"sender": a.connection.ID}, nil); err != nil {
		t.Fatal(err)
	}
	n.shows(b, "the end of the subscription", func(c connection) bool { return len(c.Subscribers) == 0 })
	changes("one receives no more", true)
	n.want(t, 204, "DELETE", "/sessions/S1/stream/"+stream, "")
	changes("the stream was ended by REST", true)
	n.want(t, 200, "PATCH", "/sessions/S1/connection/"+b.connection.ID, `{"role":"MODERATOR"}`)
	changes("one has another role", true)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait.For(t, patience, "b to be gone", func() error {
		if got := n.call(t, "GET", "/sessions/S1/connection/"+b.connection.ID, ""); got.status != 404 {
			return fmt.Errorf("got %d", got.status)
		}
		return nil
	})
	changes("one has left", true)
	n.want(t, 204, "DELETE", "/sessions/S1", "")
	changes("the first session was closed", true)
	n.want(t, 204, "DELETE", "/sessions/S2", "")
	changes("the second session was closed", true)
	if known != emptyList {
		t.Errorf("in the end there is %s", known)
	}
}
