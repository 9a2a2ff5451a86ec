//go:build e2e

package conformance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// pod is the media pod of the room.
func (r *room) pod(t *testing.T) *corev1.Pod {
	t.Helper()
	session, err := kube.Session(cluster.DefaultTenant, r.name)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: session.Status.PodName}, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// moves waits until another pod has the room.
func (r *room) moves(t *testing.T, from *corev1.Pod) {
	t.Helper()
	wait.For(t, 2*ready, "another pod to have the room", func() error {
		session, err := kube.Session(cluster.DefaultTenant, r.name)
		if err != nil {
			return err
		}
		if session.Status.PodName == from.Name {
			return fmt.Errorf("it is on %s still", from.Name)
		}
		return cluster.Ready(session, session.Status.Conditions)
	})
}

// levels are the network qualities of a connection that a member was told, and checks their form.
func (m *member) levels(connectionID string) []int {
	m.T.Helper()
	var levels []int
	for _, n := range m.Notifications() {
		if n.Method != "networkQualityLevelChanged" {
			continue
		}
		var params struct {
			ConnectionID string `json:"connectionId"`
			NewValue     *int   `json:"newValue"`
			OldValue     *int   `json:"oldValue"`
		}
		if err := json.Unmarshal(n.Params, &params); err != nil || params.NewValue == nil {
			m.T.Fatalf("%s was told %s", m.Name, n.Params)
		}
		if params.ConnectionID != connectionID {
			continue
		}
		level := *params.NewValue
		switch {
		case level < 0 || level > 5:
			m.T.Errorf("%s was told the level %s", m.Name, n.Params)
		case len(levels) == 0 && params.OldValue != nil:
			m.T.Errorf("%s was told an old value first: %s", m.Name, n.Params)
		case len(levels) > 0 && (params.OldValue == nil || *params.OldValue != levels[len(levels)-1] || *params.OldValue == level):
			m.T.Errorf("%s was told %s after %d", m.Name, n.Params, levels[len(levels)-1])
		}
		levels = append(levels, level)
	}
	return levels
}

func TestNetworkQualityIsToldWhenThePoolAsksForIt(t *testing.T) {
	t.Parallel()
	covers(t, "8.1-levels", "8.1-first", "8.1-off", "3.14-networkQualityLevelChanged")
	quiet := newRoom(t, nil)
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.NetworkQuality = &v1alpha1.NetworkQuality{IntervalSeconds: 1}
	})
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	media := rawclient.NewMedia(t)
	control := quiet.join(t, "control", v1alpha1.RolePublisher)
	control.Publishes(media, camera)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	publisher := a.Publishes(media, camera)
	for _, m := range []*member{a, b} {
		m.GetsWithin(ready, "networkQualityLevelChanged", map[string]any{"connectionId": a.ID()})
	}
	// Nothing arrives any more: the level falls.
	if err := publisher.Close(); err != nil {
		t.Fatal(err)
	}
	wait.For(t, ready, "the level to fall to 0 at both", func() error {
		for _, m := range []*member{a, b} {
			if levels := m.levels(a.ID()); len(levels) < 2 || levels[len(levels)-1] != 0 {
				return fmt.Errorf("%s was told %v", m.Name, levels)
			}
		}
		return nil
	})
	if levels := b.levels(b.ID()); len(levels) != 0 {
		t.Errorf("there are levels of b, which publishes nothing: %v", levels)
	}
	if levels := control.levels(control.ID()); len(levels) != 0 {
		t.Errorf("in a pool that does not ask for it these were told: %v", levels)
	}
}

// Who is in a room whose media pod dies may come back to the next one, as the same participant; who
// does not has left when the window is over. Who only receives keeps the socket.
func TestAMediaPodThatDiesIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	covers(t, "5.1-nodeCrashed", "6-40007", "1.11-life", "2.22-sessionStatus")
	pool := kube.NewPool(t, nil)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	media := rawclient.NewMedia(t)
	publisher, subscriber, absent := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber), r.join(t, "c", v1alpha1.RolePublisher)
	stream := publisher.Publishes(media, camera).StreamID
	subscriber.Receives(media, stream)
	all := []*member{publisher, subscriber, absent}
	for _, m := range all {
		// Status follows a join a moment later.
		wait.For(t, ready, "the Connection to be active", func() error { return r.inState(m, v1alpha1.ConnectionStateActive, "") })
	}
	wait.For(t, ready, "status to show what is received", func() error {
		connection, err := kube.Connection(cluster.DefaultTenant, subscriber.connection)
		if err == nil && len(connection.Status.Subscribers) != 1 {
			err = fmt.Errorf("it is %+v", connection.Status)
		}
		return err
	})
	before := r.pod(t)
	absent.Close() // or the gateway would keep its socket
	if err := kube.KillPod(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	publisher.Ends(ready)
	absent.Ends(ready)
	r.moves(t, before)
	subscriber.Gets("forciblyReconnectSubscriber", map[string]any{"connectionId": publisher.ID(), "streamId": stream})
	for _, m := range all {
		for _, n := range m.Notifications() {
			if n.Method == "participantLeft" || n.Method == "participantEvicted" {
				t.Errorf("%s was told %s %s", m.Name, n.Method, n.Params)
			}
		}
	}
	if err := subscriber.KeepAlive(t.Context()); err != nil {
		t.Errorf("who only receives does not go on: %v", err)
	}
	publisher.back() // which is answered when a browser has noticed
	subscriber.GetsWithin(window+patience, "participantLeft", map[string]any{"connectionId": absent.ID(), "reason": "networkDisconnect"})
	for _, m := range all[:2] {
		if err := r.inState(m, v1alpha1.ConnectionStateActive, ""); err != nil {
			t.Errorf("%s has come back: %v", m.Name, err)
		}
	}
	wait.For(t, ready, "the Connection to tell why", func() error {
		return r.inState(absent, v1alpha1.ConnectionStateDisconnected, "networkDisconnect")
	})
	if life := absent.notBack(); life == absent.Joined.Life {
		t.Errorf("the pod after it has the same life %d", life)
	}
}

// inState gives no error when a member's Connection is in a state, for a reason.
func (r *room) inState(m *member, state v1alpha1.ConnectionState, reason string) error {
	connection, err := kube.Connection(cluster.DefaultTenant, m.connection)
	if err != nil {
		return err
	}
	if s := connection.Status; s.State != state || s.DisconnectReason != reason {
		return fmt.Errorf("it is %s, reason %q", s.State, s.DisconnectReason)
	}
	return nil
}

// A media pod that is stopped in good order tells nobody that they are out: who has no media to
// send or receive anew goes on with the same socket, which the gateway has kept.
func TestAMediaPodThatIsStoppedLetsItsUsersGo(t *testing.T) {
	t.Parallel()
	covers(t, "5.1-openviduServerStopped", "5.1-mediaServerDisconnect", "9-13")
	pool := kube.NewPool(t, nil)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	all := []*member{r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)}
	for _, m := range all {
		wait.For(t, ready, "the Connection to be active", func() error { return r.inState(m, v1alpha1.ConnectionStateActive, "") })
	}
	before := r.pod(t)
	if err := kube.Client.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	r.moves(t, before)
	for _, m := range all {
		if err := m.KeepAlive(t.Context()); err != nil {
			t.Errorf("%s does not go on: %v", m.Name, err)
		}
		for _, n := range m.Notifications() {
			if n.Method == "participantLeft" || n.Method == "participantEvicted" {
				t.Errorf("%s was told %s %s", m.Name, n.Method, n.Params)
			}
		}
		if err := r.inState(m, v1alpha1.ConnectionStateActive, ""); err != nil {
			t.Errorf("%s has come back: %v", m.Name, err)
		}
	}
}

func TestASubscriberIsGivenAnotherOfferWhenItsOwnIsOutdated(t *testing.T) {
	t.Parallel()
	covers(t, "3.10-forciblyReconnectSubscriber", "2.18-forced", "9-31")
	r := newRoom(t, nil)
	a, b, c := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber), r.join(t, "c", v1alpha1.RoleSubscriber)
	withH264, err := roomclient.NewMedia(nil, roomclient.H264)
	if err != nil {
		t.Fatal(err)
	}
	withBoth, err := roomclient.NewMedia(nil, roomclient.VP8, roomclient.H264)
	if err != nil {
		t.Fatal(err)
	}
	withVP8 := rawclient.NewMedia(t)
	before := a.Publishes(withVP8, camera)
	first := b.Receives(withVP8, before.StreamID)
	flows(t, "media", first.AudioPackets)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	// The publisher comes back with a codec that b has not agreed to.
	a.republish(withH264, before.StreamID)
	told := b.Gets("forciblyReconnectSubscriber", map[string]any{"connectionId": a.ID(), "streamId": before.StreamID})
	sdp, _ := told["sdpOffer"].(string)
	if len(told) != 3 || !strings.Contains(sdp, "H264/90000") || !strings.Contains(sdp, "a=candidate:") {
		t.Errorf("b was told %v", told)
	}
	second, err := withBoth.NewSubscriber()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() }) // the test is over
	ctx, cancel := contextWithin(t, 2*patience)
	defer cancel()
	answer, err := second.Answer(ctx, sdp)
	if err != nil {
		t.Fatal(err)
	}
	result := b.call("reconnectStream", map[string]any{"stream": before.StreamID, "sdpString": answer, "forciblyReconnect": true})
	if len(result) != 1 {
		t.Errorf("reconnectStream gave %v, want the private id only", result)
	}
	if err := second.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	flows(t, "media by the other offer", second.AudioPackets)
	if slices.ContainsFunc(c.Notifications(), func(n roomclient.Notification) bool { return n.Method == "forciblyReconnectSubscriber" }) {
		t.Error("c, which receives nothing, was given an offer")
	}
}

func TestThereAreNoRecordingsToBeToldOf(t *testing.T) {
	t.Parallel()
	covers(t, "7.5-none", "7.5-moderator", "7.5-all", "1.12-absent", "8.5-absent", "1.10-absent", "7.4-recording", "5.4-automaticStop",
		"5.4-lastParticipantLeft", "5.4-session-reasons")
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.RecordingMode = v1alpha1.RecordingModeAlways })
	r.join(t, "publisher", v1alpha1.RolePublisher).Publishes(rawclient.NewMedia(t), camera)
	for _, role := range []v1alpha1.Role{v1alpha1.RoleSubscriber, v1alpha1.RolePublisher, v1alpha1.RoleModerator} {
		m := dial(t, string(role), r.token(t, role))
		token, err := url.Parse(m.token)
		if err != nil {
			t.Fatal(err)
		}
		for name := range token.Query() {
			if name != "sessionId" && name != "token" {
				t.Errorf("the token has the parameter %s", name)
			}
		}
		result := m.call("joinRoom", m.JoinParameters())
		for _, name := range []string{"recordingId", "recordingName"} {
			if _, given := result[name]; given {
				t.Errorf("%s is told to a %s", name, role)
			}
		}
		m.call("echo", map[string]any{})
		if told := m.Notifications(); len(told) != 0 {
			t.Errorf("a %s was told %v", role, told)
		}
	}
}

func TestBandwidthLimitsAreInTheAnswerAndInTheFeedback(t *testing.T) {
	t.Parallel()
	covers(t, "4.10-bandwidth")
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.Bandwidth = v1alpha1.VideoBandwidth{VideoMaxSendKbps: ptr.To[int32](654)}
	})
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	media := rawclient.NewMedia(t)
	for name, c := range map[string]struct {
		own  *int32
		kbps int64
	}{
		"the pool's":       {nil, 654},
		"the connection's": {new(int32(321)), 321},
	} {
		m := r.joinWith(t, name, func(spec *v1alpha1.ConnectionSpec) {
			if c.own != nil {
				spec.Bandwidth.VideoMaxSendKbps = c.own
			}
		})
		p := m.Offers(media, camera)
		answer, _ := m.call("publishVideo", p.Parameters())["sdpAnswer"].(string)
		if want := fmt.Sprintf("b=TIAS:%d", c.kbps*1000); !strings.Contains(answer, want) {
			t.Errorf("%s: the answer lacks %s: %s", name, want, answer)
		}
		m.Starts(p, answer)
		wait.For(t, ready, name+" limit to be in the feedback", func() error {
			// The feedback is about all media of the connection, the limit about its video: the
			// audio has 64 kbps beside it.
			if got, want := p.Bitrate(), (c.kbps+64)*1000; got != want {
				return fmt.Errorf("it says %d bits/s, want %d", got, want)
			}
			return nil
		})
	}
}
