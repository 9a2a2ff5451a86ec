//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/rawclient"
	cases "mediarooms.dev/mediarooms/test/rest"
)

// What the reference says to those who may not.
const (
	mayNotPublish         = "Unable to publish video. The user does not have a valid token. Code: 401"
	mayNotForceUnpublish  = "Unable to force unpublish. The user does not have a valid token. Code: 401"
	mayNotForceDisconnect = "Unable to force disconnect. The user does not have a valid token. Code: 401"
	noSpeechToText        = "Speech To Text requires OpenVidu Pro/Enterprise edition. Code: 997"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	covers(t, "7.1-everybody", "7.1-receiving", "7.1-publishVideo", "7.1-own-stream", "7.1-force", "7.1-applyFilter", "7.1-filters",
		"7.1-speech-to-text", "9-44", "6-401", "6-997", "2.13-applyFilter", "2.14-removeFilter", "2.15-execFilterMethod", "2.16-addFilterEventListener",
		"2.16-removeFilterEventListener", "2.21-subscribeToSpeechToText", "2.21-unsubscribeFromSpeechToText", "8.3-absent")
	cases.Shows(t, 168)
	for _, c := range []struct {
		role                       v1alpha1.Role
		wire                       string
		mayPublish, mayForceOthers bool
	}{
		{v1alpha1.RoleSubscriber, "SUBSCRIBER", false, false},
		{v1alpha1.RolePublisher, "PUBLISHER", true, false},
		{v1alpha1.RoleModerator, "MODERATOR", true, true},
	} {
		t.Run(c.wire, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, nil)
			media := rawclient.NewMedia(t)
			other := r.join(t, "other", v1alpha1.RolePublisher)
			stream := other.Publishes(media, camera).StreamID
			m := r.join(t, "a", c.role)
			if m.Joined.Role != c.wire {
				t.Errorf("the role is %s", m.Joined.Role)
			}
			// What everybody may.
			m.call("ping", nil)
			m.call("echo", map[string]any{})
			m.call("videoData", everyMethod["videoData"])
			m.call("sendMessage", everyMethod["sendMessage"])
			m.call("onIceCandidate", map[string]any{"endpointName": other.ID(), "candidate": "", "sdpMid": "0", "sdpMLineIndex": 0})
			m.Receives(media, stream)
			m.resubscribe(media, stream)
			m.call("unsubscribeFromVideo", map[string]any{"sender": other.ID()})

			// Filters and speech to text are as on a server without them, on the own stream too.
			if c.mayPublish {
				stream = m.Publishes(media, camera).StreamID
				m.republish(media, stream)
				m.call("streamPropertyChanged", map[string]any{"streamId": stream, "property": "audioActive", "newValue": false, "reason": "publishAudio"})
			} else {
				publisher := m.Offers(media, camera)
				m.refused("publishVideo", publisher.Parameters(), 401, mayNotPublish)
				m.refused("unpublishVideo", map[string]any{}, 105, "Participant '"+m.ID()+"' is not streaming media. Code: 105")
			}
			for method, what := range map[string]string{
				"applyFilter": "apply filter", "removeFilter": "remove filter", "execFilterMethod": "execute filter method",
				"addFilterEventListener": "add filter event listener", "removeFilterEventListener": "remove filter event listener",
			} {
				m.refused(method, map[string]any{
					"streamId": stream, "type": "GStreamerFilter", "options": `{"command":"videoflip"}`, "method": "x", "params": "{}", "eventType": "x",
				}, 401, fmt.Sprintf("Unable to %s. The user does not have a valid token. Code: 401", what))
			}
			for _, method := range []string{"subscribeToSpeechToText", "unsubscribeFromSpeechToText"} {
				m.refused(method, map[string]any{"connectionId": other.ID(), "lang": "en-US"}, 997, noSpeechToText)
			}
			if c.mayPublish {
				m.call("unpublishVideo", map[string]any{})
			}

			// What only moderators may.
			stream = other.joinedStream(t, r)
			if !c.mayForceOthers {
				m.refused("forceUnpublish", map[string]any{"streamId": stream}, 401, mayNotForceUnpublish)
				m.refused("forceDisconnect", map[string]any{"connectionId": other.ID()}, 401, mayNotForceDisconnect)
				m.refused("forceDisconnect", map[string]any{"connectionId": m.ID()}, 401, mayNotForceDisconnect)
				other.call("echo", map[string]any{})
				m.call("leaveRoom", map[string]any{})
				return
			}
			m.call("forceUnpublish", map[string]any{"streamId": stream})
			own := m.Publishes(media, camera).StreamID
			m.call("forceUnpublish", map[string]any{"streamId": own})
			m.call("forceDisconnect", map[string]any{"connectionId": other.ID()})
			other.Gets("participantEvicted", map[string]any{"reason": "forceDisconnectByUser"})
			m.call("forceDisconnect", map[string]any{"connectionId": m.ID()})
			m.Gets("participantEvicted", map[string]any{"connectionId": m.ID(), "reason": "forceDisconnectByUser"})
		})
	}
}

// joinedStream is the one stream of a member, as somebody who joins now is told.
func (m *member) joinedStream(t *testing.T, r *room) string {
	t.Helper()
	for _, other := range r.join(t, "witness", v1alpha1.RoleSubscriber).Joined.Value {
		if other.ID == m.ID() && len(other.Streams) == 1 {
			return other.Streams[0].ID
		}
	}
	t.Fatalf("%s has no stream", m.Name)
	return ""
}

// republish gives the own stream another peer connection.
func (m *member) republish(media *roomclient.Media, streamID string) *roomclient.Publisher {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), 2*patience)
	defer cancel()
	p := m.Offers(media, camera)
	p.StreamID = streamID
	again, err := m.Republish(ctx, media, p)
	if err != nil {
		m.T.Fatalf("%s: %v", m.Name, err)
	}
	m.T.Cleanup(func() { _ = again.Close() }) // the test is over
	return again
}

// resubscribe receives a stream by another peer connection.
func (m *member) resubscribe(media *roomclient.Media, streamID string) *roomclient.Subscriber {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), 2*patience)
	defer cancel()
	s, err := m.Resubscribe(ctx, media, streamID)
	if err != nil {
		m.T.Fatalf("%s: %v", m.Name, err)
	}
	m.T.Cleanup(func() { _ = s.Close() }) // the test is over
	return s
}

func TestAConnectionWithoutARoleIsAPublisher(t *testing.T) {
	t.Parallel()
	covers(t, "7.1-default")
	r := newRoom(t, nil)
	if m := r.joinWith(t, "a", nil); m.Joined.Role != "PUBLISHER" {
		t.Errorf("the role is %s", m.Joined.Role)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	covers(t, "7.2-connection-id", "7.2-single-use", "7.2-deleted", "1.1-whole-url", "9-12", "2.1-errors", "6-202", "2.1-metadata")
	r := newRoom(t, nil)

	// The connection id is that of the status, and the token works whatever its host, port, path
	// and parameters.
	connection := r.connection(t, func(spec *v1alpha1.ConnectionSpec) { spec.Data = `{"serverData":1}` })
	used := dial(t, "a", connection.Status.Token)
	parameters := used.JoinParameters()
	_, query, _ := strings.Cut(connection.Status.Token, "?")
	parameters["token"] = "wss://elsewhere.example:1/path?x=%20y&" + query + "&edition=none"
	parameters["metadata"] = `{"clientData":1}`
	result := used.call("joinRoom", parameters)
	if result["id"] != connection.Status.ConnectionID || result["metadata"] != `{"clientData":1}%/%{"serverData":1}` {
		t.Errorf("the id is %v, the status has %s; the metadata is %v", result["id"], connection.Status.ConnectionID, result["metadata"])
	}
	serverDataOnly := dial(t, "b", r.connection(t, func(spec *v1alpha1.ConnectionSpec) { spec.Data = "server" }).Status.Token)
	if result := serverDataOnly.call("joinRoom", serverDataOnly.JoinParameters()); result["metadata"] != "server" {
		t.Errorf("the metadata is %v, want the server's only", result["metadata"])
	}
	if told := used.Gets("participantJoined", nil); told["metadata"] != "server" {
		t.Errorf("the other was told of the metadata %v", told["metadata"])
	}

	again := dial(t, "again", connection.Status.Token)
	again.refused("joinRoom", parameters, 401, fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", r.name, parameters["token"]))

	pending := r.connection(t, nil)
	if err := kube.Client.Delete(t.Context(), pending); err != nil {
		t.Fatal(err)
	}
	eventuallyGone(t, pending)
	thief := dial(t, "thief", pending.Status.Token)
	thief.refused("joinRoom", thief.JoinParameters(), 401,
		fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", r.name, pending.Status.Token))

	lost := dial(t, "lost", replaceSession(connection.Status.Token, r.name, "nobody-made-this"))
	lost.refused("joinRoom", lost.JoinParameters(), 202, "Unable to join session. Session nobody-made-this cannot be found. Code: 202")
}

func TestMetadataThatIsTooLongIsRefusedAndTheTokenIsStillGood(t *testing.T) {
	t.Parallel()
	covers(t, "6-500")
	r := newRoom(t, nil)
	m := dial(t, "a", r.token(t, v1alpha1.RolePublisher))
	parameters := m.JoinParameters()
	parameters["metadata"] = string(make([]byte, 65537))
	m.refused("joinRoom", parameters, 500, fmt.Sprintf("Unable to join session %s. The metadata may have at most 65536 bytes. Code: 500", r.name))
	m.Joins()
}

func TestICEServersAreTheConnectionsElseThePools(t *testing.T) {
	t.Parallel()
	covers(t, "2.1-ice-servers", "9-39", "9-40")
	r := newRoom(t, nil)
	own := dial(t, "own", r.connection(t, func(spec *v1alpha1.ConnectionSpec) {
		spec.CustomIceServers = []v1alpha1.IceServer{
			{URL: "turn:turn.example.org:3478?transport=tcp", Username: "ann", Credential: "secret"},
			{URL: "turns:turn.example.org:5349", StaticAuthSecret: "shared"},
			{URL: "stun:stun.example.org"},
		}
	}).Status.Token)
	servers, _ := own.call("joinRoom", own.JoinParameters())["customIceServers"].([]any)
	if len(servers) != 3 {
		t.Fatalf("the servers are %v", servers)
	}
	tcp, tls, stun := servers[0].(map[string]any), servers[1].(map[string]any), servers[2].(map[string]any)
	if tcp["url"] != "turn:turn.example.org:3478?transport=tcp" || tcp["username"] != "ann" || tcp["credential"] != "secret" {
		t.Errorf("the first server is %v", tcp)
	}
	if tls["url"] != "turns:turn.example.org:5349" || tls["credential"] == "shared" || tls["credential"] == nil || tls["username"] == nil {
		t.Errorf("the second server is %v, want derived credentials", tls)
	}
	if stun["url"] != "stun:stun.example.org" || len(stun) != 1 {
		t.Errorf("the third server is %v", stun)
	}
	// Without any, clients would ask public servers: there is always an entry.
	pool := dial(t, "pool", r.token(t, v1alpha1.RolePublisher))
	if servers, _ := pool.call("joinRoom", pool.JoinParameters())["customIceServers"].([]any); len(servers) == 0 {
		t.Error("there are no servers")
	}
}

// refusal returns the error of a request, which must fail.
func (m *member) refusal(method string, params any) *roomclient.Error {
	m.T.Helper()
	var refusal *roomclient.Error
	if err := m.Call(m.T.Context(), method, params, nil); !errors.As(err, &refusal) {
		m.T.Fatalf("%s: %s gave %v, want an error", m.Name, method, err)
	}
	return refusal
}
