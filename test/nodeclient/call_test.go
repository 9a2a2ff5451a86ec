//go:build e2e

package nodeclient

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

// user is a browser in a room that the application made.
type user struct {
	*browser.Participant
	t *testing.T
	// variable is the application's name of the user's connection.
	variable string
	joined   browser.Joined
	// streamID is what the user publishes.
	streamID string
}

// enter makes a connection, as an application's server does for each of its users, and lets a
// browser join with its token and publish.
func (a *application) enter(variable, properties string) *user {
	a.t.Helper()
	a.does(fmt.Sprintf("%s = await session.createConnection(%s)", variable, properties))
	u := &user{t: a.t, variable: variable, Participant: chromium.OpenParticipant(a.t, site, variable)}
	var err error
	if u.joined, err = u.Join(a.text(variable+".token"), "data of "+variable); err != nil {
		a.t.Fatalf("%s: joining: %v", variable, err)
	}
	if u.streamID, err = u.Publish("320x240"); err != nil {
		a.t.Fatalf("%s: publishing: %v", variable, err)
	}
	return u
}

// must ends the test when what a user does fails.
func (u *user) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatalf("%s: %v", u.variable, err)
	}
}

// gets waits for an event of the user's Session or Publisher.
func (u *user) gets(name string, match func(browser.Event) bool) {
	u.t.Helper()
	wait.For(u.t, patience, u.variable+" to get "+name, func() error {
		events, err := u.Events()
		if err != nil {
			return err
		}
		for _, event := range events {
			if event.Name == name && match(event) {
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(events))
	})
}

// shows waits until the status of a user's Connection is as it should be: then REST shows that,
// too.
func (a *application) shows(u *user, what string, holds func(v1alpha1.ConnectionStatus) bool) {
	a.t.Helper()
	wait.For(a.t, patience, "the status of "+u.variable+" to show "+what, func() error {
		var connections v1alpha1.ConnectionList
		if err := kube.Client.List(a.t.Context(), &connections, client.InNamespace(a.namespace)); err != nil {
			return err
		}
		for _, connection := range connections.Items {
			if connection.Status.ConnectionID == u.joined.ConnectionID {
				if !holds(connection.Status) {
					return fmt.Errorf("%+v", connection.Status)
				}
				return nil
			}
		}
		return fmt.Errorf("there is no Connection %s", u.joined.ConnectionID)
	})
}

// changed checks that both kinds of fetch() see that somebody else changed something, once.
func (a *application) changed() {
	a.t.Helper()
	a.gives("session.fetch()", "true")
	a.gives("session.fetch()", "false")
	a.gives("openvidu.fetch()", "false")
}

// unchanged checks that neither kind of fetch() sees that anybody else changed something.
func (a *application) unchanged() {
	a.t.Helper()
	a.gives("session.fetch()", "false")
	a.gives("openvidu.fetch()", "false")
}

// What an application sees of its users, and does to them.
func TestUsersInARoom(t *testing.T) {
	t.Parallel()
	cases.Shows(t, 74, 75, 79, 84, 85, 86, 156, 177)
	everywhere(t, func(t *testing.T, at place) {
		app := newApplication(t, at)
		app.does("session = await openvidu.createSession({ customSessionId: 'Lesson-1' })")
		app.gives("session.fetch()", "true")

		ada := app.enter("ada", "{ data: 'Ada', role: 'MODERATOR' }")
		ben := app.enter("ben", "{ data: 'Ben' }")
		for _, u := range []*user{ada, ben} {
			app.shows(u, "one stream sent and one received", func(status v1alpha1.ConnectionStatus) bool {
				return len(status.Publishers) == 1 && len(status.Subscribers) == 1
			})
			if u.joined.SessionID != "Lesson-1" {
				t.Errorf("%s is in session %q", u.variable, u.joined.SessionID)
			}
			app.gives(u.variable+".connectionId", fmt.Sprintf("%q", u.joined.ConnectionID))
		}
		app.changed()
		app.users(ada, ben)

		// The dashboard's way to ask needs each stream of each side in both of its answers.
		app.login("dashboard", app.password)
		app.gives("dashboard.fetchWebRtc().then(({ changes, sessionChanges }) => [changes, sessionChanges])", `[true,{"Lesson-1":true}]`)

		ada.must(ada.MuteVideo(true))
		app.shows(ada, "no picture", func(status v1alpha1.ConnectionStatus) bool { return !status.Publishers[0].VideoActive })
		app.changed()
		app.gives("session.activeConnections[0].publishers.map((p) => [p.hasVideo, p.videoActive, p.audioActive])", "[[true,false,true]]")

		ben.must(ben.Unsubscribe(ada.joined.ConnectionID))
		app.shows(ben, "nothing received", func(status v1alpha1.ConnectionStatus) bool { return len(status.Subscribers) == 0 })
		app.changed()
		app.gives("session.activeConnections.map((c) => c.subscribers.length)", "[1,0]")
		ben.must(ben.Subscribe(ada.joined.ConnectionID))
		app.shows(ben, "one stream received", func(status v1alpha1.ConnectionStatus) bool { return len(status.Subscribers) == 1 })
		app.changed()

		app.does("updated = await session.updateConnection(ada.connectionId, { role: 'PUBLISHER', record: false })")
		app.gives("[updated.connectionProperties.role, updated.connectionProperties.record, updated.status, updated.publishers.length]", `["PUBLISHER",false,"active",1]`)
		for property, value := range map[string]string{"role": `"PUBLISHER"`, "record": "false"} {
			ada.gets("connectionPropertyChanged", func(e browser.Event) bool { return e.Property == property && e.NewValue == value })
		}
		// The package's second copy of the role, as without users.
		app.changed()
		app.does("updated = await session.updateConnection(ada.connectionId, { role: 'PUBLISHER', record: false })")
		app.unchanged()

		app.does("await session.forceUnpublish(session.activeConnections[0].publishers[0])")
		app.gives("session.activeConnections.map((c) => [c.publishers.length, c.subscribers.length])", "[[0,1],[1,0]]")
		app.unchanged()
		for _, u := range []*user{ada, ben} {
			u.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == ada.streamID && e.Reason == "forceUnpublishByServer" })
		}
		app.fails(fmt.Sprintf("session.forceUnpublish(%q)", ada.streamID), "404")

		app.does("await session.forceDisconnect(ben)")
		app.gives("session.activeConnections.map((c) => [c.publishers.length, c.subscribers.length])", "[[0,0]]")
		app.unchanged()
		ben.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == "forceDisconnectByServer" })
		ada.gets("connectionDestroyed", func(e browser.Event) bool {
			return e.ConnectionID == ben.joined.ConnectionID && e.Reason == "forceDisconnectByServer"
		})

		// Who leaves is gone from the list, and who waits for nobody stays.
		cleo := app.enter("cleo", "{ data: 'Cleo' }")
		app.does("waiting = await session.createConnection()")
		app.shows(ada, "one stream received", func(status v1alpha1.ConnectionStatus) bool { return len(status.Subscribers) == 1 })
		app.gives("openvidu.fetch()", "true")
		app.gives("session.connections.map((c) => c.status)", `["active","active","pending"]`)
		cleo.must(cleo.Leave())
		ada.gets("connectionDestroyed", func(e browser.Event) bool { return e.ConnectionID == cleo.joined.ConnectionID })
		app.leaves("session.connections.map((c) => [c.status, c.serverData])", `[["active","Ada"],["pending",""]]`)

		app.does("await session.close()")
		app.gives("openvidu.activeSessions", "[]")
		app.gives("openvidu.fetch()", "false")
		app.fails("session.fetch()", "404")
		ada.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == "sessionClosedByServer" })
	})
}

// users checks what the package knows of two users who send and receive.
func (a *application) users(ada, ben *user) {
	a.t.Helper()
	a.gives("session.activeConnections.length", "2")
	a.gives("session.connections.map((c) => [c.status, c.serverData, c.clientData, c.role, c.location])",
		`[["active","Ada","data of ada","MODERATOR","unknown"],["active","Ben","data of ben","PUBLISHER","unknown"]]`)
	a.gives("session.connections.map((c) => [c.activeAt > c.createdAt, /^[0-9a-f.:]+$/.test(c.ip), /Chrome/.test(c.platform)])", "[[true,true,true],[true,true,true]]")
	a.gives("session.connections.map((c) => c.publishers.map((p) => p.streamId))", fmt.Sprintf(`[[%q],[%q]]`, ada.streamID, ben.streamID))
	a.gives("session.connections.map((c) => c.subscribers)", fmt.Sprintf(`[[%q],[%q]]`, ben.streamID, ada.streamID))
	a.gives("session.connections.map((c) => c.publishers[0]).map((p) => "+
		"[p.hasAudio, p.hasVideo, p.audioActive, p.videoActive, p.frameRate, p.typeOfVideo, JSON.parse(p.videoDimensions).width])",
		`[[true,true,true,true,15,"CAMERA",320],[true,true,true,true,15,"CAMERA",320]]`)
}

// leaves waits until an expression gives something after a fetch().
func (a *application) leaves(expression, want string) {
	a.t.Helper()
	wait.For(a.t, patience, expression+" to give "+want, func() error {
		var got string
		if err := a.Evaluate(fmt.Sprintf("session.fetch().then(() => JSON.stringify(%s))", expression), &got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("it gives %s", got)
		}
		return nil
	})
}
