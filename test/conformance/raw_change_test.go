//go:build e2e

package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// patch changes the spec of a member's Connection by kubectl.
func (m *member) patch(spec map[string]any) {
	m.T.Helper()
	text, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		m.T.Fatal(err)
	}
	if _, err := kube.Kubectl(m.T.Context(), "patch", "connection", m.connection, "-n", cluster.DefaultTenant, "--type=merge", "-p", string(text)); err != nil {
		m.T.Fatal(err)
	}
}

// changes are the changes of its own connection that a member was told, as "property=value".
func (m *member) changes() []string {
	m.T.Helper()
	var told []string
	for _, n := range m.Notifications() {
		if n.Method != "connectionPropertyChanged" {
			continue
		}
		var params map[string]any
		if err := json.Unmarshal(n.Params, &params); err != nil {
			m.T.Fatal(err)
		}
		value, isText := params["newValue"].(string)
		if len(params) != 2 || !isText {
			m.T.Errorf("%s was told %s", m.Name, n.Params)
		}
		told = append(told, fmt.Sprint(params["property"], "=", value))
	}
	return told
}

func TestANewRoleHoldsAtOnce(t *testing.T) {
	t.Parallel()
	covers(t, "8.2-role", "8.2-demoted", "3.14-connectionPropertyChanged", "7.1-publishVideo", "5.2-forceUnpublishByServer")
	s, a, b, c := threeClients(t)
	media := rawclient.NewMedia(t)
	c.refused("publishVideo", c.Offers(media, camera).Parameters(), 401, mayNotPublish)
	c.patch(map[string]any{"role": "Publisher"})
	c.Gets("connectionPropertyChanged", map[string]any{"property": "role", "newValue": "PUBLISHER"})
	c.Publishes(media, camera)
	a.Gets("participantPublished", map[string]any{"id": c.ID()})
	c.refused("forceDisconnect", map[string]any{"connectionId": b.ID()}, 401, mayNotForceDisconnect)
	s.forget()
	s.step("c, which publishes, becomes a subscriber", func() {
		c.patch(map[string]any{"role": "Subscriber"})
		c.Gets("participantUnpublished", nil)
	})
	s.golden("demotion")
	c.refused("publishVideo", c.Offers(media, camera).Parameters(), 401, mayNotPublish)
	c.patch(map[string]any{"role": "Moderator"})
	c.Gets("connectionPropertyChanged", map[string]any{"property": "role", "newValue": "MODERATOR"})
	c.call("forceDisconnect", map[string]any{"connectionId": b.ID()})
	if others := a.changes(); len(others) != 0 {
		t.Errorf("a was told of c's changes: %v", others)
	}
}

func TestChangesOfAConnectionAreToldOneByOneAsTexts(t *testing.T) {
	t.Parallel()
	covers(t, "8.2-record", "8.2-both", "9-23", "3.14-connectionPropertyChanged")
	r := newRoom(t, nil)
	m := r.join(t, "a", v1alpha1.RolePublisher)
	path := "/sessions/" + r.name + "/connection/" + m.ID()
	m.patch(map[string]any{"record": false})
	m.Gets("connectionPropertyChanged", map[string]any{"property": "record", "newValue": "false"})
	if status, body := rest(t, http.MethodPatch, path, map[string]any{"record": false, "role": "PUBLISHER"}); status != http.StatusOK {
		t.Fatalf("a change to what it is: %d %s", status, body)
	}
	if status, body := rest(t, http.MethodPatch, path, map[string]any{"record": true, "role": "MODERATOR"}); status != http.StatusOK {
		t.Fatalf("a change of both: %d %s", status, body)
	}
	m.Gets("connectionPropertyChanged", map[string]any{"property": "role", "newValue": "MODERATOR"})
	m.Gets("connectionPropertyChanged", map[string]any{"property": "record", "newValue": "true"})
	m.patch(map[string]any{"record": true, "role": "Moderator"})
	m.patch(map[string]any{"record": false})
	want := "[record=false role=MODERATOR record=true record=false]"
	wait.For(t, patience, "four changes to be told", func() error {
		if told := fmt.Sprint(m.changes()); told != want {
			return fmt.Errorf("it was told %s, want %s", told, want)
		}
		return nil
	})
}

func TestStreamsAreEndedByTheServer(t *testing.T) {
	t.Parallel()
	covers(t, "5.2-forceUnpublishByServer", "3.3-participantUnpublished")
	s, a, b, _ := threeClients(t)
	media := rawclient.NewMedia(t)
	first := b.Publishes(media, camera).StreamID
	s.forget()
	s.step("b's stream is ended by kubectl", func() {
		b.patch(map[string]any{"moderation": map[string]any{"endedStreamIDs": []string{first}}})
		b.Gets("participantUnpublished", map[string]any{"reason": "forceUnpublishByServer"})
	})
	second := b.Publishes(media, camera).StreamID
	s.forget()
	s.step("b's second stream is ended by REST", func() {
		if status, body := rest(t, http.MethodDelete, "/sessions/"+s.room.name+"/stream/"+second, nil); status != http.StatusNoContent {
			t.Errorf("DELETE gave %d %s", status, body)
		}
		s.untilToldTwice(a, "participantUnpublished")
	})
	b.Publishes(media, camera)
	s.forget()
	s.step("b may publish no more than audio", func() {
		before := len(b.Notifications())
		b.patch(map[string]any{"moderation": map[string]any{"publish": []string{"Audio"}}})
		wait.For(t, patience, "b to be told", func() error {
			if len(b.Notifications()) == before {
				return fmt.Errorf("it was told nothing")
			}
			return nil
		})
		b.refused("publishVideo", b.Offers(media, camera).Parameters(), 401, mayNotPublish)
	})
	s.golden("moderation")
	b.Publishes(media, roomclient.Stream{AudioPacketBytes: 40})
	b.patch(map[string]any{"moderation": nil})
	b.call("unpublishVideo", map[string]any{})
	wait.For(t, patience, "b to be allowed to publish video again", func() error {
		p := b.Offers(media, camera)
		return b.Call(t.Context(), "publishVideo", p.Parameters(), nil)
	})
	if len(b.changes()) != 0 {
		t.Errorf("b was told of changes of its connection: %v", b.changes())
	}
}

// untilToldTwice waits until a member was told something a second time.
func (s *scene) untilToldTwice(m *member, method string) {
	s.t.Helper()
	wait.For(s.t, patience, m.Name+" to be told "+method+" twice", func() error {
		count := 0
		for _, n := range m.Notifications() {
			if n.Method == method {
				count++
			}
		}
		if count < 2 {
			return fmt.Errorf("%d times", count)
		}
		return nil
	})
}
