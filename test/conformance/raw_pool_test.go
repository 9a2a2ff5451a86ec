//go:build e2e

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
)

// nextPort is where the next pool's ports begin, above those of the default pool.
var nextPort atomic.Int32

// podPool makes a MediaPool of one pod for a test and returns its name; change, unless nil, changes it first. It goes at the end of the test.
func podPool(t *testing.T, change func(*v1alpha1.MediaPoolSpec)) string {
	t.Helper()
	defaults, err := kube.Pool(cluster.DefaultPool)
	if err != nil {
		t.Fatal(err)
	}
	first := 20500 + nextPort.Add(10)
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "conf-"},
		Spec: v1alpha1.MediaPoolSpec{
			PublicURL: kube.GatewayURL, DrainSeconds: 1, MinPods: new(int32(1)), MaxPods: 1, WarmSessions: new(int32(0)), Template: defaults.Spec.Template,
			Exposure: v1alpha1.Exposure{Type: v1alpha1.ExposureHostPort, PortRange: &v1alpha1.PortRange{First: first, Last: first + 9}},
		},
	}
	if change != nil {
		change(&pool.Spec)
	}
	if err := kube.Client.Create(t.Context(), pool); err != nil {
		t.Fatalf("creating a MediaPool: %v", err)
	}
	t.Cleanup(func() {
		if err := kube.Client.Delete(context.Background(), pool); err != nil {
			t.Error(err)
		}
		cluster.Eventually(t, ready, "the pool to be gone", func() error { return kube.Gone(pool) })
	})
	return pool.Name
}

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

// levels are the network qualities of a connection that a member was told, and checks their form.
func (m *member) levels(connectionID string) []int {
	m.t.Helper()
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
			m.t.Fatalf("%s was told %s", m.name, n.Params)
		}
		if params.ConnectionID != connectionID {
			continue
		}
		level := *params.NewValue
		switch {
		case level < 0 || level > 5:
			m.t.Errorf("%s was told the level %s", m.name, n.Params)
		case len(levels) == 0 && params.OldValue != nil:
			m.t.Errorf("%s was told an old value first: %s", m.name, n.Params)
		case len(levels) > 0 && (params.OldValue == nil || *params.OldValue != levels[len(levels)-1] || *params.OldValue == level):
			m.t.Errorf("%s was told %s after %d", m.name, n.Params, levels[len(levels)-1])
		}
		levels = append(levels, level)
	}
	return levels
}

func TestNetworkQualityIsToldWhenThePoolAsksForIt(t *testing.T) {
	t.Parallel()
	covers(t, "8.1-levels", "8.1-first", "8.1-off", "3.14-networkQualityLevelChanged")
	quiet := newRoom(t, nil)
	pool := podPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.NetworkQuality = &v1alpha1.NetworkQuality{IntervalSeconds: 1}
	})
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool })
	media := newMedia(t)
	control := quiet.join(t, "control", v1alpha1.RolePublisher)
	control.publish(media, camera)
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	publisher := a.publish(media, camera)
	for _, m := range []*member{a, b} {
		m.getsWithin(ready, "networkQualityLevelChanged", map[string]any{"connectionId": a.id()})
	}
	// Nothing arrives any more: the level falls.
	if err := publisher.Close(); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, ready, "the level to fall to 0 at both", func() error {
		for _, m := range []*member{a, b} {
			if levels := m.levels(a.id()); len(levels) < 2 || levels[len(levels)-1] != 0 {
				return fmt.Errorf("%s was told %v", m.name, levels)
			}
		}
		return nil
	})
	if levels := b.levels(b.id()); len(levels) != 0 {
		t.Errorf("there are levels of b, which publishes nothing: %v", levels)
	}
	if levels := control.levels(control.id()); len(levels) != 0 {
		t.Errorf("in a pool that does not ask for it these were told: %v", levels)
	}
}

func TestAMediaPodThatDiesTakesItsRoomsAlong(t *testing.T) {
	t.Parallel()
	covers(t, "5.1-nodeCrashed", "6-40007")
	pool := podPool(t, nil)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool })
	m := r.join(t, "a", v1alpha1.RolePublisher)
	// Status follows a join a moment later.
	cluster.Eventually(t, ready, "the Connection to be active", func() error { return r.inState(m, v1alpha1.ConnectionStateActive, "") })
	if err := kube.KillPod(t.Context(), r.pod(t)); err != nil {
		t.Fatal(err)
	}
	m.closed(ready)
	cluster.Eventually(t, ready, "the Connection to tell why", func() error {
		return r.inState(m, v1alpha1.ConnectionStateDisconnected, "nodeCrashed")
	})
	// Nobody who could send a notification is left: the client learns it when it comes back.
	kube.WaitSession(t, ready, cluster.DefaultTenant, r.name)
	m.notBack()
	for _, n := range m.Notifications() {
		t.Errorf("it was told %s %s", n.Method, n.Params)
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

func TestAMediaPodThatIsStoppedSaysSo(t *testing.T) {
	t.Parallel()
	covers(t, "5.1-openviduServerStopped", "5.1-mediaServerDisconnect", "9-13")
	pool := podPool(t, nil)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool })
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	if err := kube.Client.Delete(t.Context(), r.pod(t)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*member{a, b} {
		m.getsWithin(2*ready, "participantEvicted", map[string]any{"connectionId": m.id(), "reason": "openviduServerStopped"})
	}
	b.gets("participantLeft", map[string]any{"connectionId": a.id(), "reason": "openviduServerStopped"})
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
	withVP8 := newMedia(t)
	before := a.publish(withVP8, camera)
	first := b.subscribe(withVP8, before.StreamID)
	flows(t, "media", first.AudioPackets)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	// The publisher comes back with a codec that b has not agreed to.
	a.republish(withH264, before.StreamID)
	told := b.gets("forciblyReconnectSubscriber", map[string]any{"connectionId": a.id(), "streamId": before.StreamID})
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
	covers(t, "7.5-none", "7.5-moderator", "7.5-publisher-moderator", "7.5-all", "1.12-absent", "8.5-absent", "1.11-absent", "1.10-absent", "7.4-recording")
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.RecordingMode = v1alpha1.RecordingModeAlways })
	r.join(t, "publisher", v1alpha1.RolePublisher).publish(newMedia(t), camera)
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
		for _, name := range []string{"recordingId", "recordingName", "life"} {
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
	pool := podPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.Bandwidth = v1alpha1.VideoBandwidth{VideoMaxSendKbps: 654}
	})
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool })
	media := newMedia(t)
	for name, c := range map[string]struct {
		own  *int32
		kbps int64
	}{
		"the pool's":       {nil, 654},
		"the connection's": {new(int32(321)), 321},
	} {
		m := r.joinWith(t, name, func(spec *v1alpha1.ConnectionSpec) {
			if c.own != nil {
				spec.KurentoOptions = &v1alpha1.KurentoOptions{VideoMaxSendBandwidth: c.own}
			}
		})
		p := offer(t, media, camera)
		answer, _ := m.call("publishVideo", p.Parameters())["sdpAnswer"].(string)
		if want := fmt.Sprintf("b=TIAS:%d", c.kbps*1000); !strings.Contains(answer, want) {
			t.Errorf("%s: the answer lacks %s: %s", name, want, answer)
		}
		start(t, p, answer)
		cluster.Eventually(t, ready, name+" limit to be in the feedback", func() error {
			// The feedback is about all media of the connection, the limit about its video: the audio has 64 kbps beside it.
			if got, want := p.Bitrate(), (c.kbps+64)*1000; got != want {
				return fmt.Errorf("it says %d bits/s, want %d", got, want)
			}
			return nil
		})
	}
}
