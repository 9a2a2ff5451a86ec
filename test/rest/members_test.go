//go:build e2e

package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// camera is what most publishers send.
var camera = roomclient.Stream{VideoFrameRate: 15, Video: roomclient.Fixed(1, 200), AudioPacketBytes: 40}

// member is a raw client in a room, until the end of the test.
type member struct {
	*rawclient.Client
	// connection is what REST said when it was made.
	connection connection
}

// join makes a connection and joins with its token. The client's data is its name.
func (n *tenant) join(t *testing.T, session, name, body string) *member {
	t.Helper()
	return enter(t, n.connection(t, session, body), name)
}

// enter joins with a connection's token.
func enter(t *testing.T, c connection, name string) *member {
	t.Helper()
	client := rawclient.Dial(t, name, patience, roomclient.Options{Token: *c.Token})
	client.Joins()
	if client.ID() != c.ID {
		t.Errorf("%s has joined as %s, REST announced %s", name, client.ID(), c.ID)
	}
	return &member{Client: client, connection: c}
}

// active waits until REST shows the member in the room.
func (n *tenant) active(m *member) connection {
	m.T.Helper()
	return n.shows(m, "the connection to be active", func(c connection) bool { return c.Status == "active" })
}

// shows waits until REST shows a member as it should be.
func (n *tenant) shows(m *member, what string, holds func(connection) bool) connection {
	m.T.Helper()
	return n.until(m.T, m.connection, what, holds)
}

// until waits until REST shows a connection as it should be.
func (n *tenant) until(t *testing.T, before connection, what string, holds func(connection) bool) (now connection) {
	t.Helper()
	wait.For(t, patience, what, func() error {
		if now = n.read(t, before.SessionID, before.ID); !holds(now) {
			return errors.New(now.text)
		}
		return nil
	})
	return now
}

// told are the parameters of the notifications of a method that came so far, as JSON.
func (m *member) told(method string) []string {
	var all []string
	for _, n := range m.Notifications() {
		if n.Method == method {
			all = append(all, string(n.Params))
		}
	}
	return all
}

func TestConnectionsWhoseUsersAreInTheRoom(t *testing.T) {
	t.Parallel()
	Shows(t, 74, 75, 76, 77, 78, 81, 84, 186)
	s := shared.session(t, "")
	path := "/sessions/" + s
	created := []connection{
		shared.connection(t, s, `{"role":"MODERATOR","data":"MOD_SERVER_DATA"}`), shared.connection(t, s, `{"role":"SUBSCRIBER","data":"SUB_SERVER_DATA"}`),
	}
	session := shared.want(t, 200, "GET", path, "")
	moderator, subscriber := enter(t, created[0], "MOD_CLIENT_DATA"), enter(t, created[1], "SUB_CLIENT_DATA")
	for _, m := range []*member{moderator, subscriber} {
		before, now := m.connection, shared.active(m)
		if !slices.Equal(keys(t, now.text), connectionKeys) || now.ID != before.ID || *now.Token != *before.Token || *now.Role != *before.Role ||
			now.ServerData != before.ServerData || !now.Record || now.CreatedAt != before.CreatedAt {
			t.Errorf("joined: %s\nwas %s", now.text, before.text)
		}
		if *now.ActiveAt <= now.CreatedAt || *now.ClientData == "" || *now.Platform == "" || *now.Location != "unknown" || *now.IP == "" {
			t.Errorf("joined: %s", now.text)
		}
	}
	m := rawclient.NewMedia(t)
	quiet := camera
	quiet.AudioMuted = true
	publisher := moderator.Offers(m, quiet)
	parameters := publisher.Parameters()
	parameters["frameRate"] = 30
	var published struct{ ID, SDPAnswer string }
	if err := moderator.Call(t.Context(), "publishVideo", parameters, &published); err != nil {
		t.Fatal(err)
	}
	first := published.ID
	moderator.Starts(publisher, published.SDPAnswer)
	subscriber.Receives(m, first)
	now := shared.shows(moderator, "the stream", func(c connection) bool { return len(c.Publishers) == 1 })
	const options = `{"hasAudio":true,"audioActive":false,"hasVideo":true,"videoActive":true,"typeOfVideo":"CAMERA","frameRate":30,` +
		`"videoDimensions":"{\"width\":640,\"height\":480}","filter":{}}`
	if p := now.Publishers[0]; p.StreamID != first || string(p.MediaOptions) != options || p.CreatedAt < *now.ActiveAt {
		t.Errorf("publishing a camera: %s", now.text)
	}
	other := shared.shows(subscriber, "the subscription", func(c connection) bool { return len(c.Subscribers) == 1 })
	if other.Subscribers[0].StreamID != first || len(other.Publishers) != 0 {
		t.Errorf("receiving: %s", other.text)
	}
	all := shared.want(t, 200, "GET", path, "")
	want := strings.TrimSuffix(session.body, emptyList+"}") + `{"numberOfElements":2,"content":[` + now.text + "," + other.text + `]}}`
	if all.body != want || !slices.Equal(keys(t, all.body), sessionKeys) {
		t.Errorf("the session: got %s\nwant %s", all.body, want)
	}
	if err := moderator.Call(t.Context(), "unpublishVideo", map[string]any{}, nil); err != nil {
		t.Fatal(err)
	}
	subscriber.Gets("participantUnpublished", map[string]any{"connectionId": moderator.connection.ID})
	screen := camera
	screen.AudioPacketBytes, screen.TypeOfVideo = 0, "SCREEN"
	second := moderator.Publishes(m, screen).StreamID
	now = shared.shows(moderator, "the other stream", func(c connection) bool { return len(c.Publishers) == 1 && c.Publishers[0].StreamID == second })
	members := keys(t, string(now.Publishers[0].MediaOptions))
	if !slices.Equal(members, []string{"hasAudio", "hasVideo", "videoActive", "typeOfVideo", "frameRate", "videoDimensions", "filter"}) ||
		!strings.Contains(now.text, `"mediaOptions":{"hasAudio":false,"hasVideo":true,"videoActive":true,"typeOfVideo":"SCREEN"`) {
		t.Errorf("publishing a screen: %s", now.text)
	}
}

func TestTwoWhoPublishAndReceive(t *testing.T) {
	t.Parallel()
	Shows(t, 84)
	s := shared.session(t, "")
	m := rawclient.NewMedia(t)
	a, b := shared.join(t, s, "a", ""), shared.join(t, s, "b", "")
	ofA, ofB := a.Publishes(m, camera).StreamID, b.Publishes(m, camera).StreamID
	a.Receives(m, ofB)
	b.Receives(m, ofA)
	for who, streams := range map[*member][2]string{a: {ofA, ofB}, b: {ofB, ofA}} {
		c := shared.shows(who, "both streams", func(c connection) bool { return len(c.Publishers) == 1 && len(c.Subscribers) == 1 })
		if c.Publishers[0].StreamID != streams[0] || c.Subscribers[0].StreamID != streams[1] {
			t.Errorf("got %s", c.text)
		}
	}
	// What nobody changes stays the same to the byte, in every view.
	one := shared.want(t, 200, "GET", "/sessions/"+s+"?pendingConnections=true", "").body
	list := shared.want(t, 200, "GET", "/sessions/"+s+"/connection", "").body
	if got := shared.want(t, 200, "GET", "/sessions/"+s, "").body; got != one || !strings.HasSuffix(got, `"connections":`+list+"}") {
		t.Errorf("the session: %s\nwith pending connections: %s\nits connections: %s", got, one, list)
	}
}

func TestConnectionsThatAreDeleted(t *testing.T) {
	t.Parallel()
	Shows(t, 79, 80, 81, 86)
	s := shared.session(t, "")
	path := "/sessions/" + s + "/connection/"
	deleted, kept := shared.connection(t, s, `{"role":"MODERATOR"}`), shared.connection(t, s, "")
	shared.all(t, []row{
		{"DELETE", "/sessions/NOT_EXISTS/connection/" + kept.ID, "", 400},
		{"DELETE", path + "NOT_EXISTS", "", 404},
		{"DELETE", path + deleted.ID, "", 204},
		{"DELETE", path + deleted.ID, "", 404},
		{"GET", path + deleted.ID, "", 404},
	})
	client, err := roomclient.Dial(t.Context(), roomclient.Options{Token: *deleted.Token})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var refusal *roomclient.Error
	if _, err := client.Join(t.Context(), "late"); !errors.As(err, &refusal) || !strings.Contains(refusal.Message, "Token "+*deleted.Token+" is not valid") {
		t.Errorf("joining with the token of a deleted connection: %v", err)
	}
	witness, evicted := shared.join(t, s, "witness", ""), enter(t, kept, "kept")
	shared.active(evicted)
	shared.want(t, 204, "DELETE", path+kept.ID, "")
	evicted.Gets("participantEvicted", map[string]any{"connectionId": kept.ID, "reason": "forceDisconnectByServer"})
	witness.Gets("participantLeft", map[string]any{"connectionId": kept.ID, "reason": "forceDisconnectByServer"})
	shared.want(t, 404, "GET", path+kept.ID, "")
	// With the last user goes the session.
	shared.active(witness)
	shared.want(t, 204, "DELETE", path+witness.connection.ID, "")
	wait.For(t, patience, "the session to be gone", func() error {
		if got := shared.call(t, "GET", "/sessions/"+s, ""); got.status != 404 {
			return fmt.Errorf("got %d", got.status)
		}
		return nil
	})
}

func TestStreamsThatAreDeleted(t *testing.T) {
	t.Parallel()
	Shows(t, 85, 86)
	s := shared.session(t, "")
	path := "/sessions/" + s + "/stream/"
	shared.all(t, []row{
		{"DELETE", "/sessions/NOT_EXISTS/stream/X", "", 400},
		{"DELETE", path + "str_CAM_A1b2_con_A1b2C3d4E5", "", 404},
	})
	a, b := shared.join(t, s, "a", ""), shared.join(t, s, "b", "")
	stream := a.Publishes(rawclient.NewMedia(t), camera).StreamID
	shared.want(t, 404, "DELETE", path+"NOT_EXISTS", "")
	shared.want(t, 204, "DELETE", path+stream, "")
	for _, m := range []*member{a, b} {
		m.Gets("participantUnpublished", map[string]any{"connectionId": a.connection.ID, "reason": "forceUnpublishByServer"})
	}
	if now := shared.read(t, s, a.connection.ID); now.Status != "active" || len(now.Publishers) != 0 {
		t.Errorf("after that: %s", now.text)
	}
	shared.want(t, 404, "DELETE", path+stream, "")
}

func TestSignalsOfTheServer(t *testing.T) {
	t.Parallel()
	Shows(t, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98)
	s := shared.session(t, "")
	send := func(status int, members string) {
		t.Helper()
		if got := shared.want(t, status, "POST", "/signal", fmt.Sprintf(`{"session":%q,%s}`, s, members)); status == 200 && got.body != "" {
			t.Errorf("%s: got the body %s", members, got.body)
		}
	}
	shared.all(t, []row{
		{"POST", "/signal", "{}", 400},
		{"POST", "/signal", `{"session":true}`, 400},
		{"POST", "/signal", `{"session":"NOT_EXISTS","to":12}`, 400},
		{"POST", "/signal", `{"session":"NOT_EXISTS","data":false}`, 400},
		{"POST", "/signal", `{"session":"NOT_EXISTS","type":true}`, 400},
		{"POST", "/signal", `{"session":"NOT_EXISTS"}`, 404},
	})
	send(406, `"data":"nobody"`)
	a, b := shared.join(t, s, "a", ""), shared.join(t, s, "b", "")
	send(406, `"to":["wrong"],"data":"lost"`)
	send(406, fmt.Sprintf(`"to":[%q,"wrong"],"data":"lost"`, a.connection.ID))
	send(406, `"to":[null],"data":"lost"`)
	send(200, `"data":"1"`)
	send(200, `"to":[],"type":"server1","data":"2"`)
	send(200, fmt.Sprintf(`"to":[%q],"type":"server2","data":"3"`, b.connection.ID))
	send(200, `"type":"signal:end","data":"4"`)
	for m, want := range map[*member][]map[string]any{
		a: {{"data": "1"}, {"type": "signal:server1", "data": "2"}, {"type": "signal:end", "data": "4"}},
		b: {{"data": "1"}, {"type": "signal:server1", "data": "2"}, {"type": "signal:server2", "data": "3"}, {"type": "signal:end", "data": "4"}},
	} {
		m.Gets("sendMessage", map[string]any{"type": "signal:end"})
		var got []map[string]any
		for _, text := range m.told("sendMessage") {
			var params map[string]any
			if err := json.Unmarshal([]byte(text), &params); err != nil {
				t.Fatal(err)
			}
			got = append(got, params)
		}
		if !slices.EqualFunc(got, want, maps.Equal[map[string]any, map[string]any]) {
			t.Errorf("%s got %v, want %v", m.connection.ID, got, want)
		}
	}
}
