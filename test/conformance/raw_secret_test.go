//go:build e2e

package conformance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// intrude joins with the tenant's secret, as a recording layout does; change, unless nil, changes
// the parameters.
func (r *room) intrude(t *testing.T, name string, change func(map[string]any)) *member {
	t.Helper()
	m := r.withoutToken(t, name)
	parameters := m.JoinParameters()
	parameters["secret"] = secret(t)
	if change != nil {
		change(parameters)
	}
	m.Joined = &roomclient.Joined{}
	if err := m.Call(t.Context(), "joinRoom", parameters, m.Joined); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// withoutToken opens a socket by a token URL that has no token.
func (r *room) withoutToken(t *testing.T, name string) *member {
	t.Helper()
	return dial(t, name, "ws"+kube.GatewayURL[len("http"):]+"?sessionId="+r.name)
}

// connectionIDs is the form of a connection's id.
var connectionIDs = regexp.MustCompile(`^con_[A-Z][0-9A-Za-z]{9}$`)

// forged is a digest of a secret as the gateway gives it to media pods, made by somebody who is
// none.
func forged(secret string) string {
	salt := []byte("0123456789abcdef")
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(secret))
	return hex.EncodeToString(salt) + ":" + hex.EncodeToString(mac.Sum(nil))
}

func recorder(parameters map[string]any)     { parameters["recorder"] = true }
func speechToText(parameters map[string]any) { parameters["stt"] = true }

func TestTheRecorderIsInvisibleAndReceivesEverything(t *testing.T) {
	t.Parallel()
	covers(t, "7.3-recorder", "7.3-speech-to-text", "3-hidden", "9-26")
	s, a, b, c := threeClients(t)
	media := rawclient.NewMedia(t)
	stream := b.Publishes(media, camera).StreamID
	s.forget()
	hidden := []*member{s.intrude(t, "recorder", recorder), s.intrude(t, "stt", speechToText)}
	for i, want := range []string{"RECORDER", "SPEECH_TO_TEXT"} {
		if m := hidden[i]; m.ID() != want || m.Joined.Role != "SUBSCRIBER" || len(m.Joined.Value) != 3 || m.Joined.RPCSessionID == "" {
			t.Errorf("%s was told %+v", m.Name, m.Joined)
		}
		flows(t, "media for "+want, hidden[i].Receives(media, stream).VideoPackets)
	}
	late := s.enter("late", v1alpha1.RolePublisher)
	if len(late.Joined.Value) != 3 {
		t.Errorf("the late one was told of %+v", late.Joined.Value)
	}
	late.Publishes(media, roomclient.Stream{AudioPacketBytes: 40})
	b.call("streamPropertyChanged", map[string]any{"streamId": stream, "property": "videoActive", "newValue": false, "reason": "publishVideo"})
	late.call("sendMessage", everyMethod["sendMessage"])
	s.exit(late)
	late.call("leaveRoom", map[string]any{})
	for _, m := range append(hidden, a, c) {
		m.Gets("participantJoined", map[string]any{"id": late.ID()})
		m.Gets("participantPublished", map[string]any{"id": late.ID()})
		m.Gets("streamPropertyChanged", map[string]any{"connectionId": b.ID()})
		m.Gets("sendMessage", map[string]any{"from": late.ID()})
		m.Gets("participantLeft", map[string]any{"connectionId": late.ID()})
	}
	hidden[1].call("leaveRoom", map[string]any{})
	s.barrier()
	for _, m := range []*member{a, b, c} {
		for _, n := range m.Notifications() {
			if text := string(n.Params); strings.Contains(text, "RECORDER") || strings.Contains(text, "SPEECH_TO_TEXT") {
				t.Errorf("%s was told %s %s", m.Name, n.Method, text)
			}
		}
	}
}

func TestWhoShowsTheSecretPassesEveryRoleCheck(t *testing.T) {
	t.Parallel()
	covers(t, "7.3-others", "7.3-roles")
	r := newRoom(t, nil)
	media := rawclient.NewMedia(t)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RolePublisher)
	insider := r.intrude(t, "insider", nil)
	if insider.Joined.Role != "SUBSCRIBER" || !connectionIDs.MatchString(insider.ID()) {
		t.Errorf("the insider was told %+v", insider.Joined)
	}
	a.Gets("participantJoined", map[string]any{"id": insider.ID()})
	stream := a.Publishes(media, camera).StreamID
	insider.call("forceUnpublish", map[string]any{"streamId": stream})
	a.Gets("participantUnpublished", map[string]any{"connectionId": a.ID(), "reason": "forceUnpublishByUser"})
	insider.Publishes(media, camera)
	b.Gets("participantPublished", map[string]any{"id": insider.ID()})
	insider.call("forceDisconnect", map[string]any{"connectionId": b.ID()})
	b.Gets("participantEvicted", map[string]any{"reason": "forceDisconnectByUser"})
}

func TestAWrongSecretIsAsGoodAsNone(t *testing.T) {
	t.Parallel()
	covers(t, "7.3-refused", "6-404")
	r := newRoom(t, nil)
	right := secret(t)
	for _, wrong := range []string{"", "WRONG", right + "x", right[1:], " " + right} {
		for _, header := range []http.Header{nil, {"X-Mediarooms-Secret-Digests": {"00:00"}}, {"X-Mediarooms-Secret-Digests": {forged(wrong)}}} {
			m := dialWith(t, "intruder", roomclient.Options{Token: r.withoutToken(t, "x").token, Header: header})
			parameters := m.JoinParameters()
			parameters["secret"], parameters["recorder"] = wrong, true
			m.refused("joinRoom", parameters, 401, fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", r.name, m.token))
		}
	}
}

func TestTheRecorderKeepsNoSessionOpen(t *testing.T) {
	t.Parallel()
	covers(t, "7.4-only-recorder", "9-26")
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.WhenEmpty = v1alpha1.WhenEmptyDelete })
	a := r.join(t, "a", v1alpha1.RolePublisher)
	hidden := []*member{r.intrude(t, "recorder", recorder), r.intrude(t, "stt", speechToText)}
	wait.For(t, ready, "the room to be in use", func() error {
		session, err := kube.Session(cluster.DefaultTenant, r.name)
		if err == nil && session.Status.ActiveConnections != 1 {
			err = fmt.Errorf("%d are in it", session.Status.ActiveConnections)
		}
		return err
	})
	a.call("leaveRoom", map[string]any{})
	for _, m := range hidden {
		m.Gets("participantEvicted", map[string]any{"connectionId": m.ID()})
	}
	eventuallyGone(t, r.session())
}
