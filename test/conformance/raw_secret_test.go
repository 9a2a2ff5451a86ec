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
)

// intrude joins with the tenant's secret, as a recording layout does; change, unless nil, changes the parameters.
func (r *room) intrude(t *testing.T, name string, change func(map[string]any)) *member {
	t.Helper()
	m := r.withoutToken(t, name)
	parameters := m.JoinParameters()
	parameters["secret"] = secret(t)
	if change != nil {
		change(parameters)
	}
	m.joined = &roomclient.Joined{}
	if err := m.Call(t.Context(), "joinRoom", parameters, m.joined); err != nil {
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

// forged is a digest of a secret as the gateway gives it to media pods, made by somebody who is none.
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
	media := newMedia(t)
	stream := b.publish(media, camera).StreamID
	s.forget()
	hidden := []*member{s.intrude(t, "recorder", recorder), s.intrude(t, "stt", speechToText)}
	for i, want := range []string{"RECORDER", "SPEECH_TO_TEXT"} {
		if m := hidden[i]; m.id() != want || m.joined.Role != "SUBSCRIBER" || len(m.joined.Value) != 3 || m.joined.RPCSessionID == "" {
			t.Errorf("%s was told %+v", m.name, m.joined)
		}
		flows(t, "media for "+want, hidden[i].subscribe(media, stream).VideoPackets)
	}
	late := s.enter("late", v1alpha1.RolePublisher)
	if len(late.joined.Value) != 3 {
		t.Errorf("the late one was told of %+v", late.joined.Value)
	}
	late.publish(media, roomclient.Stream{AudioPacketBytes: 40})
	b.call("streamPropertyChanged", map[string]any{"streamId": stream, "property": "videoActive", "newValue": false, "reason": "publishVideo"})
	late.call("sendMessage", everyMethod["sendMessage"])
	s.exit(late)
	late.call("leaveRoom", map[string]any{})
	for _, m := range append(hidden, a, c) {
		m.gets("participantJoined", map[string]any{"id": late.id()})
		m.gets("participantPublished", map[string]any{"id": late.id()})
		m.gets("streamPropertyChanged", map[string]any{"connectionId": b.id()})
		m.gets("sendMessage", map[string]any{"from": late.id()})
		m.gets("participantLeft", map[string]any{"connectionId": late.id()})
	}
	hidden[1].call("leaveRoom", map[string]any{})
	s.barrier()
	for _, m := range []*member{a, b, c} {
		for _, n := range m.Notifications() {
			if text := string(n.Params); strings.Contains(text, "RECORDER") || strings.Contains(text, "SPEECH_TO_TEXT") {
				t.Errorf("%s was told %s %s", m.name, n.Method, text)
			}
		}
	}
}

func TestWhoShowsTheSecretPassesEveryRoleCheck(t *testing.T) {
	t.Parallel()
	covers(t, "7.3-others", "7.3-roles")
	r := newRoom(t, nil)
	media := newMedia(t)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RolePublisher)
	insider := r.intrude(t, "insider", nil)
	if insider.joined.Role != "SUBSCRIBER" || !connectionIDs.MatchString(insider.id()) {
		t.Errorf("the insider was told %+v", insider.joined)
	}
	a.gets("participantJoined", map[string]any{"id": insider.id()})
	stream := a.publish(media, camera).StreamID
	insider.call("forceUnpublish", map[string]any{"streamId": stream})
	a.gets("participantUnpublished", map[string]any{"connectionId": a.id(), "reason": "forceUnpublishByUser"})
	insider.publish(media, camera)
	b.gets("participantPublished", map[string]any{"id": insider.id()})
	insider.call("forceDisconnect", map[string]any{"connectionId": b.id()})
	b.gets("participantEvicted", map[string]any{"reason": "forceDisconnectByUser"})
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
	cluster.Eventually(t, ready, "the room to be in use", func() error {
		session, err := kube.Session(cluster.DefaultTenant, r.name)
		if err == nil && session.Status.ActiveConnections != 1 {
			err = fmt.Errorf("%d are in it", session.Status.ActiveConnections)
		}
		return err
	})
	a.call("leaveRoom", map[string]any{})
	for _, m := range hidden {
		m.gets("participantEvicted", map[string]any{"connectionId": m.id()})
	}
	eventuallyGone(t, r.session())
}
