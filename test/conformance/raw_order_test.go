//go:build e2e

package conformance

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
)

// camera is the stream of a camera and a microphone at a low rate.
var camera = roomclient.Stream{VideoFrameRate: 10, Video: roomclient.Fixed(1, 200), AudioPacketBytes: 40}

func TestOrderOfJoinPublishSubscribe(t *testing.T) {
	t.Parallel()
	covers(t, "A-join", "3.15-1", "3.15-2", "3.15-3", "3.15-5", "9-21", "9-20", "9-3", "9-10", "2.1-value", "3.2-participantPublished",
		"2.3-publishVideo", "2.5-prepareReceiveVideoFrom", "2.6-receiveVideoFrom", "3.8-iceCandidate", "9-27", "4.2-who-offers", "4.1-one-exchange")
	s := newScene(t)
	media := rawclient.NewMedia(t)
	var a, b *member
	s.step("a, a moderator, joins", func() { a = s.enter("a", v1alpha1.RoleModerator) })
	s.step("a publishes", func() { a.Publishes(media, camera) })
	s.step("b, a publisher, joins", func() { b = s.enter("b", v1alpha1.RolePublisher) })
	stream := b.Joined.Value[0].Streams[0].ID
	s.step("c, a subscriber, joins", func() { s.enter("c", v1alpha1.RoleSubscriber) })
	s.step("b subscribes to a", func() { b.Receives(media, stream) })
	s.step("b publishes", func() { b.Publishes(media, roomclient.Stream{AudioPacketBytes: 40}) })
	s.golden("join")
}

func TestOrderOfMute(t *testing.T) {
	t.Parallel()
	covers(t, "A-mute", "2.10-audioActive", "2.10-videoActive", "2.10-videoDimensions", "2.10-tracks", "3.7-activity", "3.7-videoDimensions", "3.7-tracks",
		"3.7-recipients", "9-22", "5.5-publishAudio", "5.5-publishVideo", "5.5-trackReplaced", "5.5-deviceRotated", "5.5-screenResized", "2.19-videoData")
	s, _, b, _ := threeClients(t)
	stream := b.Publishes(rawclient.NewMedia(t), camera).StreamID
	s.forget()
	for _, change := range []struct {
		what, property, reason string
		value                  any
	}{
		{"b mutes its audio", "audioActive", "publishAudio", false},
		{"b unmutes its audio", "audioActive", "publishAudio", true},
		{"b mutes its video", "videoActive", "publishVideo", false},
		{"b rotates its device", "videoDimensions", "deviceRotated", `{"width":480,"height":640}`},
		{"b resizes its screen", "videoDimensions", "screenResized", `{"width":800,"height":600}`},
		{"b replaces its video track", "videoTrack", "trackReplaced", map[string]any{"label": "another camera"}},
		{"b replaces its audio track", "audioTrack", "trackReplaced", map[string]any{"label": "another microphone"}},
		{"b's replaced track has another size", "videoDimensions", "trackReplaced", `{"width":320,"height":240}`},
	} {
		s.step(change.what, func() {
			b.call("streamPropertyChanged", map[string]any{
				"streamId": stream, "property": change.property, "newValue": change.value, "reason": change.reason,
			})
		})
	}
	s.step("b tells what it sends", func() {
		b.call("videoData", map[string]any{"height": 240, "width": 320, "videoActive": false, "audioActive": true})
	})
	s.golden("mute")
}

func TestOrderOfUnpublish(t *testing.T) {
	t.Parallel()
	covers(t, "A-unpublish", "2.4-unpublishVideo", "3.3-participantUnpublished", "5.2-unpublish", "4.11-identifiers")
	s, _, b, c := threeClients(t)
	media := rawclient.NewMedia(t)
	first := b.Publishes(media, camera).StreamID
	c.Receives(media, first)
	s.forget()
	s.step("b unpublishes", func() { b.call("unpublishVideo", map[string]any{}) })
	s.golden("unpublish")
	second := b.Publishes(media, camera).StreamID
	if second == first || !streamIDs.MatchString(second) {
		t.Errorf("publishing again gave stream %s after %s", second, first)
	}
	c.Receives(media, second)
}

func TestOrderOfLeave(t *testing.T) {
	t.Parallel()
	covers(t, "A-leave", "2.2-leaveRoom", "3.4-participantLeft", "3.15-4", "9-19", "5.1-disconnect")
	s, _, b, c := threeClients(t)
	media := rawclient.NewMedia(t)
	c.Receives(media, b.Publishes(media, camera).StreamID)
	s.forget()
	s.step("b, which publishes, leaves", func() {
		b.call("leaveRoom", map[string]any{})
		s.exit(b)
	})
	s.golden("leave")
}

func TestOrderOfForce(t *testing.T) {
	t.Parallel()
	covers(t, "A-force", "2.12-forceUnpublish", "2.11-forceDisconnect", "3.5-participantEvicted", "5.1-forceDisconnectByUser", "5.2-forceUnpublishByUser", "9-45", "9-13")
	s, a, b, _ := threeClients(t)
	media := rawclient.NewMedia(t)
	stream := b.Publishes(media, camera).StreamID
	s.forget()
	s.step("a ends b's stream", func() { a.call("forceUnpublish", map[string]any{"streamId": stream}) })
	b.Publishes(media, camera)
	s.forget()
	s.step("a throws b out, which publishes again", func() {
		s.exit(b)
		a.call("forceDisconnect", map[string]any{"connectionId": b.ID()})
		b.Gets("participantEvicted", nil)
	})
	s.step("a throws itself out", func() {
		s.exit(a)
		a.call("forceDisconnect", map[string]any{"connectionId": a.ID()})
		a.Gets("participantEvicted", nil)
	})
	s.golden("force")
}

func TestOrderOfKick(t *testing.T) {
	t.Parallel()
	covers(t, "A-kick", "5.1-forceDisconnectByServer")
	s, a, b, _ := threeClients(t)
	b.Publishes(rawclient.NewMedia(t), camera)
	s.forget()
	s.step("b's Connection is deleted", func() {
		s.exit(b)
		s.deleteConnection(b)
		b.Gets("participantEvicted", nil)
		a.Gets("participantLeft", nil)
	})
	s.golden("kick")
}

// deleteConnection deletes the Connection object of a member.
func (r *room) deleteConnection(m *member) {
	m.T.Helper()
	if err := kube.Client.Delete(m.T.Context(), r.object(m)); err != nil {
		m.T.Fatal(err)
	}
}

// object is the Connection object of a member.
func (r *room) object(m *member) *v1alpha1.Connection {
	return &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, Name: m.connection}}
}

func TestOrderOfClose(t *testing.T) {
	t.Parallel()
	covers(t, "A-close", "5.1-sessionClosedByServer")
	s, _, b, _ := threeClients(t)
	b.Publishes(rawclient.NewMedia(t), camera)
	s.forget()
	s.step("the Session is deleted", func() {
		s.present = nil
		session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, Name: s.room.name}}
		if err := kube.Client.Delete(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		for _, m := range s.members {
			m.Gets("participantEvicted", map[string]any{"connectionId": m.ID()})
		}
	})
	s.golden("close")
}
