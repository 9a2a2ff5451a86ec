//go:build e2e

package nodeclient

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

// What an application does with sessions and connections that nobody has joined yet. The results of
// fetch() are those with the original server (openvidu-rest 4.3).
func TestSessionsAndConnections(t *testing.T) {
	t.Parallel()
	cases.Shows(t, 12, 26, 33, 34, 83, 86, 99, 156, 157, 179)
	everywhere(t, func(t *testing.T, at place) {
		app := newApplication(t, at)
		app.gives("openvidu.activeSessions", "[]")

		// The package orders the properties of a new session differently from those of a fetched
		// one, once.
		app.does("session = await openvidu.createSession({ customSessionId: 'Room_A', recordingMode: 'ALWAYS', " +
			"defaultRecordingProperties: { outputMode: 'INDIVIDUAL', ignoreFailedStreams: true }, forcedVideoCodec: 'VP8', allowTranscoding: true })")
		app.gives("session.sessionId", `"Room_A"`)
		app.gives("session.fetch()", "true")
		app.gives("session.fetch()", "false")
		app.gives("openvidu.fetch()", "false")
		app.does("generated = await openvidu.createSession()")
		app.gives("/^ses_[A-Z][0-9A-Za-z]{9}$/.test(generated.sessionId)", "true")
		app.gives("generated.properties.customSessionId", `""`)
		app.gives("openvidu.fetch()", "true")
		app.gives("openvidu.fetch()", "false")
		app.gives("generated.fetch()", "false")
		app.gives("openvidu.activeSessions.map((s) => s.sessionId === generated.sessionId ? 'generated' : s.sessionId)", `["Room_A","generated"]`)

		// An id that is in use: the session is the stored one, whatever else is asked for.
		app.does("again = await openvidu.createSession({ customSessionId: 'Room_A', recordingMode: 'MANUAL' })")
		app.gives("[again.properties.recordingMode, again.properties.forcedVideoCodec, again.properties.defaultRecordingProperties.outputMode]", `["ALWAYS","VP8","INDIVIDUAL"]`)
		app.gives("again.createdAt === session.createdAt", "true")
		app.gives("again.fetch()", "false")
		// The package has the session twice now. It sheds the second when it learns that the id is
		// gone.
		app.does("openvidu.activeSessions.pop()")

		app.does("connection = await session.createConnection()")
		app.gives("[connection.status, connection.activeAt, connection.location, connection.ip, connection.platform, connection.clientData]",
			`["pending",null,null,null,null,null]`)
		app.gives("[connection.publishers.length, connection.subscribers.length]", "[0,0]")
		app.gives("connection.connectionProperties", `{"type":"WEBRTC","data":"","record":true,"role":"PUBLISHER","kurentoOptions":null,"rtspUri":null,`+
			`"adaptativeBitrate":null,"onlyPlayWithSubscribers":null,"networkCache":null,"customIceServers":[]}`)
		app.gives("session.fetch()", "false")
		app.gives("openvidu.fetch()", "false")

		app.does("moderator = await session.createConnection({ role: 'MODERATOR', record: false, data: 'the teacher', " +
			"kurentoOptions: { videoMaxSendBandwidth: 777, allowedFilters: ['GStreamerFilter'] }, " +
			"customIceServers: [{ url: 'stun:stun.example.com' }, { url: 'turn:10.0.0.1:3478?transport=tcp', username: 'u', credential: 'c' }] })")
		app.gives("moderator.connectionProperties", `{"type":"WEBRTC","data":"the teacher","record":false,"role":"MODERATOR",`+
			`"kurentoOptions":{"videoMaxSendBandwidth":777,"allowedFilters":["GStreamerFilter"]},"rtspUri":null,`+
			`"adaptativeBitrate":null,"onlyPlayWithSubscribers":null,"networkCache":null,`+
			`"customIceServers":[{"url":"stun:stun.example.com"},{"url":"turn:10.0.0.1:3478?transport=tcp","username":"u","credential":"c"}]}`)
		app.gives("session.fetch()", "false")
		app.gives("openvidu.fetch()", "false")

		// A change of the role: the package forgets its deprecated second copy of it, once.
		app.does("updated = await session.updateConnection(connection.connectionId, { role: 'SUBSCRIBER', record: false })")
		app.gives("[updated.connectionId === connection.connectionId, updated.connectionProperties.role, updated.connectionProperties.record, updated.status]",
			`[true,"SUBSCRIBER",false,"pending"]`)
		app.gives("session.fetch()", "true")
		app.gives("session.fetch()", "false")
		app.gives("openvidu.fetch()", "false")
		app.does("updated = await session.updateConnection(connection.connectionId, { role: 'SUBSCRIBER' })")
		app.gives("session.fetch()", "false")
		app.does("updated = await session.updateConnection(connection.connectionId, {})")
		app.gives("[updated.connectionProperties.role, updated.connectionProperties.record]", `["SUBSCRIBER",false]`)
		app.gives("openvidu.fetch()", "false")

		// A token is a connection that the package does not know of until it asks.
		app.gives("session.generateToken({ role: 'SUBSCRIBER', data: 'x' }).then((token) => /^wss?:.*[?]sessionId=[^&=]+Room_A&token=tok_[^&=]+$/.test(token))", "true")
		app.gives("session.connections.length", "2")
		app.gives("session.fetch()", "true")
		app.gives("session.fetch()", "false")
		app.gives("session.connections.map((c) => c.role)", `["SUBSCRIBER","MODERATOR","SUBSCRIBER"]`)
		app.gives("session.activeConnections", "[]")

		app.does("await session.forceDisconnect(connection.connectionId)")
		app.does("await session.forceDisconnect(session.connections[0])")
		app.gives("session.connections.length", "1")
		app.gives("session.fetch()", "false")
		app.gives("openvidu.fetch()", "false")

		app.refusals()
		app.colleaguesChanges()
		app.othersChanges()

		app.does("await session.close()")
		app.gives("openvidu.fetch()", "false")
		app.fails("session.fetch()", "404")
		app.fails("session.createConnection()", "404")
		app.does("session = await openvidu.createSession({ customSessionId: 'Room_A' })")
		app.gives("session.properties.recordingMode", `"MANUAL"`)
	})
}

// refusals checks that what the server refuses is rejected with the number of the status.
func (a *application) refusals() {
	a.t.Helper()
	a.fails("openvidu.createSession({ customSessionId: 'not allowed' })", "400")
	a.fails("openvidu.createSession({ mediaMode: 'NOT_EXISTS' })", "400")
	a.fails("session.createConnection({ role: 'NOT_EXISTS' })", "400")
	a.fails("session.createConnection({ customIceServers: [{ url: 'turn:10.0.0.1' }] })", "400")
	a.fails("session.createConnection({ type: 'IPCAM', rtspUri: 'rtsp://camera.example.com' })", "501")
	a.fails("session.generateToken({ role: 'NOT_EXISTS' })", "400")
	a.fails("session.forceDisconnect('con_wrong')", "404")
	a.fails("session.forceUnpublish('str_wrong')", "404")
	a.fails("session.updateConnection('con_wrong', { role: 'PUBLISHER' })", "404")
	a.fails("session.updateConnection(session.connections[0].connectionId, { role: 7 })", "400")
	// As a server with these modules switched off.
	a.fails("openvidu.startRecording(session.sessionId)", "501")
	a.fails("openvidu.startRecording(session.sessionId, { outputMode: 'INDIVIDUAL' })", "501")
	a.fails("openvidu.stopRecording('Room_A')", "501")
	a.fails("openvidu.getRecording('Room_A')", "501")
	a.fails("openvidu.listRecordings()", "501")
	a.fails("openvidu.deleteRecording('Room_A')", "501")
	a.fails("openvidu.startBroadcast(session.sessionId, 'rtmp://media.example.com/live')", "403")
	a.fails("openvidu.stopBroadcast(session.sessionId)", "403")
	a.gives("openvidu.fetch()", "false")
}

// colleaguesChanges checks that fetch() tells what another application of the tenant changed, once.
func (a *application) colleaguesChanges() {
	a.t.Helper()
	a.login("colleague", a.password)
	a.does("theirs = await colleague.createSession({ customSessionId: 'room_a' })")
	a.gives("session.fetch()", "false")
	a.gives("openvidu.fetch()", "true")
	a.gives("openvidu.fetch()", "false")
	a.does("await theirs.generateToken()")
	a.gives("session.fetch()", "false")
	a.gives("openvidu.fetch()", "true")
	a.gives("openvidu.fetch()", "false")
	a.does("await theirs.close()")
	a.gives("openvidu.fetch()", "true")
	a.gives("openvidu.fetch()", "false")

	// The colleague has the same session, and changes a connection that it has not heard of.
	a.does("shared = await colleague.createSession({ customSessionId: 'Room_A' })")
	a.does("unheard = await session.createConnection({ data: 'unheard' })")
	a.does("changed = await shared.updateConnection(unheard.connectionId, { record: false })")
	a.gives("[changed.status, changed.serverData, changed.connectionProperties.record, changed.token === unheard.token]", `["pending","unheard",false,true]`)
	a.gives("shared.fetch()", "false")
	a.gives("session.fetch()", "true")
	a.gives("session.fetch()", "false")
	a.does("await shared.forceDisconnect(unheard)")
	a.gives("session.fetch()", "true")
	a.gives("openvidu.fetch()", "false")
}

// othersChanges checks that fetch() tells what was changed with kubectl, once.
func (a *application) othersChanges() {
	a.t.Helper()
	session := kube.CreateSession(a.t, a.namespace, "from-git")
	a.gives("openvidu.fetch()", "true")
	a.gives("openvidu.fetch()", "false")
	a.gives("session.fetch()", "false")
	a.does("git = openvidu.activeSessions.find((s) => s.sessionId === 'from-git')")

	created := kube.CreateConnection(a.t, a.namespace, session.Name, "guest", func(spec *v1alpha1.ConnectionSpec) { spec.Data = "declared" })
	kube.WaitConnection(a.t, patience, a.namespace, created.Name)
	a.gives("session.fetch()", "false")
	a.gives("git.fetch()", "true")
	a.gives("git.fetch()", "false")
	a.gives("openvidu.fetch()", "false")
	a.gives("git.connections.map((c) => [c.status, c.serverData])", `[["pending","declared"]]`)
	var stored struct{ CreatedAt int64 }
	if err := a.Evaluate("git.connections[0]", &stored); err != nil {
		a.t.Fatal(err)
	}
	if at := metav1.NewTime(time.UnixMilli(stored.CreatedAt)); at.Sub(created.CreationTimestamp.Time).Abs() > 2*time.Second {
		a.t.Errorf("a Connection of %v was created at %v", created.CreationTimestamp, at)
	}

	if _, err := kube.Kubectl(a.t.Context(), "patch", "connection", "guest", "-n", a.namespace, "--type=merge", "-p", `{"spec":{"role":"Moderator"}}`); err != nil {
		a.t.Fatal(err)
	}
	a.gives("openvidu.fetch()", "true")
	a.gives("openvidu.fetch()", "false")
	a.gives("git.connections[0].role", `"MODERATOR"`)

	// What REST makes, kubectl shows.
	a.does("await git.createConnection({ data: 'from REST' })")
	wait.For(a.t, patience, "the Connection that REST made", func() error {
		_, err := kube.Kubectl(a.t.Context(), "wait", "--for=condition=Ready", "connections", "--all", "-n", a.namespace, "--timeout=5s")
		return err
	})
	if _, err := kube.Kubectl(a.t.Context(), "delete", "session", session.Name, "-n", a.namespace); err != nil {
		a.t.Fatal(err)
	}
	a.gives("openvidu.fetch()", "true")
	a.gives("openvidu.fetch()", "false")
	a.fails("git.fetch()", "404")
}
