//go:build e2e

package nodeclient

import (
	"net/http"
	"testing"
)

// An application goes on while its password is changed, as docs/install.md says how: both are valid
// for a while. Another tenant notices nothing of it.
func TestAPasswordThatIsChangedWhileTheApplicationRuns(t *testing.T) {
	t.Parallel()
	app := newApplication(t, startNode(t))
	other := newApplication(t, startNode(t))
	for _, a := range []*application{app, other} {
		a.does("session = await openvidu.createSession({ customSessionId: 'same-id' })")
		a.does("connection = await session.createConnection()")
	}
	fresh := "the-new_" + app.password
	app.setSecret(map[string]string{currentSecret: fresh, previousSecret: app.password})
	app.answers(fresh, http.StatusOK, inARow)
	app.login("late", fresh)
	// The application that still has the old one goes on, and sees what the other does.
	app.gives("session.fetch()", "true")
	app.gives("session.fetch()", "false")
	app.gives("openvidu.fetch()", "false")
	app.does("await late.createSession({ customSessionId: 'by-the-new-one' })")
	app.gives("openvidu.fetch()", "true")
	app.gives("openvidu.activeSessions.map((s) => s.sessionId)", `["same-id","by-the-new-one"]`)

	app.setSecret(map[string]string{currentSecret: fresh})
	app.answers(app.password, http.StatusUnauthorized, 4)
	app.fails("session.fetch()", "401")
	app.gives("late.fetch()", "true")
	app.gives("late.fetch()", "false")
	app.gives("late.activeSessions.length", "2")

	other.gives("openvidu.activeSessions.map((s) => [s.sessionId, s.connections.length])", `[["same-id",1]]`)
	other.gives("session.fetch()", "true")
	other.gives("openvidu.fetch()", "false")
	other.gives("session.connections.length", "1")
}
