//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// The core scenarios between two browsers, in each direction: what one does, the other sees.
func TestCoreScenariosBetweenBrowsers(t *testing.T) {
	browserOf := map[string]func(t *testing.T, number int) opener{
		"Chromium": func(t *testing.T, number int) opener { return chromium(t, number) },
		"Firefox":  func(t *testing.T, number int) opener { return firefox(t, number) },
	}
	for _, pair := range []struct{ moderator, publisher string }{
		{"Chromium", "Firefox"},
		{"Firefox", "Chromium"},
		{"Firefox", "Firefox"},
	} {
		t.Run(pair.moderator+" moderates "+pair.publisher, func(t *testing.T) {
			core(t, browserOf[pair.moderator](t, 0), browserOf[pair.publisher](t, 1))
		})
	}
}

// core plays the core scenarios, one after the other, with a moderator in one browser and a
// publisher in another.
func core(t *testing.T, moderatorIn, publisherIn opener) {
	room := newRoom(t)
	room.admit(t, "moderator", v1alpha1.RoleModerator)
	room.admit(t, "publisher", v1alpha1.RolePublisher)
	room.admit(t, "successor", v1alpha1.RolePublisher)

	// Join.
	moderator := joinWith(t, moderatorIn, room.namespace, "moderator")
	publisher := joinWith(t, publisherIn, room.namespace, "publisher")
	moderator.told(t, browser.Event{On: "session", Name: "connectionCreated", ConnectionID: publisher.joined.ConnectionID})
	publisher.told(t, browser.Event{On: "session", Name: "connectionCreated", ConnectionID: moderator.joined.ConnectionID})

	// Publish and subscribe.
	for _, pair := range [][2]*guest{{moderator, publisher}, {publisher, moderator}} {
		sender, receiver := pair[0], pair[1]
		sender.publish(t)
		receiver.told(t, browser.Event{
			On: "session", Name: "streamCreated", ConnectionID: sender.joined.ConnectionID, StreamID: sender.streamID,
		})
		receiver.receives(t, sender)
		receiver.hears(t, sender)
	}

	// Signal to all, which includes the sender, and to one.
	if err := moderator.Signal("greeting", "to all"); err != nil {
		t.Fatal(err)
	}
	if err := publisher.Signal("answer", "to one", moderator.joined.ConnectionID); err != nil {
		t.Fatal(err)
	}
	greeting := browser.Event{
		On: "session", Name: "signal", ConnectionID: moderator.joined.ConnectionID, Type: "signal:greeting", Data: "to all",
	}
	moderator.told(t, greeting)
	publisher.told(t, greeting)
	moderator.told(t, browser.Event{
		On: "session", Name: "signal", ConnectionID: publisher.joined.ConnectionID, Type: "signal:answer", Data: "to one",
	})

	// Mute.
	for _, muted := range []bool{true, false} {
		if err := publisher.MuteVideo(muted); err != nil {
			t.Fatal(err)
		}
		changed := browser.Event{
			Name: "streamPropertyChanged", ConnectionID: publisher.joined.ConnectionID, StreamID: publisher.streamID,
			Property: "videoActive", NewValue: fmt.Sprint(!muted), Reason: "publishVideo",
		}
		changed.On = "session"
		moderator.told(t, changed)
		changed.On = "publisher"
		publisher.told(t, changed)
	}
	moderator.receives(t, publisher)

	// Force: the stream first, which the user may send again, then the user.
	streamID := publisher.streamID
	if err := moderator.ForceUnpublish(publisher.joined.ConnectionID); err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		*guest
		on string
	}{{moderator, "session"}, {publisher, "publisher"}} {
		end.told(t, browser.Event{
			On: end.on, Name: "streamDestroyed", ConnectionID: publisher.joined.ConnectionID, StreamID: streamID, Reason: "forceUnpublishByUser",
		})
	}
	publisher.publish(t)
	moderator.receives(t, publisher)
	if err := moderator.ForceDisconnect(publisher.joined.ConnectionID); err != nil {
		t.Fatal(err)
	}
	if out := publisher.disconnected(t, 5*time.Second); out.Reason != "forceDisconnectByUser" {
		t.Errorf("the publisher was told reason %q, want forceDisconnectByUser", out.Reason)
	}
	for _, name := range []string{"streamDestroyed", "connectionDestroyed"} {
		moderator.told(t, browser.Event{
			On: "session", Name: name, ConnectionID: publisher.joined.ConnectionID, StreamID: moderator.streamOf(name, publisher),
			Reason: "forceDisconnectByUser",
		})
	}

	// Leave.
	successor := joinWith(t, publisherIn, room.namespace, "successor")
	successor.publish(t)
	moderator.receives(t, successor)
	successor.receives(t, moderator)
	if err := successor.Leave(); err != nil {
		t.Fatal(err)
	}
	if out := successor.disconnected(t, 5*time.Second); out.Reason != "disconnect" {
		t.Errorf("who left was told reason %q, want disconnect", out.Reason)
	}
	for _, name := range []string{"streamDestroyed", "connectionDestroyed"} {
		moderator.told(t, browser.Event{
			On: "session", Name: name, ConnectionID: successor.joined.ConnectionID, StreamID: moderator.streamOf(name, successor),
			Reason: "disconnect",
		})
	}
	for _, g := range []*guest{moderator, publisher, successor} {
		g.undisturbed(t)
	}
}

// told waits for an event with exactly these members. Its time does not matter, nor a type that
// repeats its name, nor an old value that is not asked for.
func (g *guest) told(t *testing.T, want browser.Event) browser.Event {
	t.Helper()
	return g.event(t, 10*time.Second, fmt.Sprintf("%+v", want), func(e browser.Event) bool {
		e.At = 0
		if e.Type == e.Name {
			e.Type = ""
		}
		if want.OldValue == "" {
			e.OldValue = ""
		}
		return e == want
	})
}

// streamOf is the id of the other's stream if an event with that name has one.
func (*guest) streamOf(event string, other *guest) string {
	if event == "streamDestroyed" {
		return other.streamID
	}
	return ""
}

// hears waits until a guest hears something of another.
func (g *guest) hears(t *testing.T, other *guest) {
	t.Helper()
	wait.For(t, 10*time.Second, g.Name+" to hear "+other.Name, func() error {
		media, err := g.Received(other.joined.ConnectionID)
		if err != nil {
			return err
		}
		if media.Audio.Energy <= 0 {
			return fmt.Errorf("it is silent: %+v", media.Audio)
		}
		return nil
	})
}

// undisturbed checks that nothing went wrong that the application was told of.
func (g *guest) undisturbed(t *testing.T) {
	t.Helper()
	g.undisturbedSince(t, time.Time{})
}

// undisturbedSince is undisturbed for the time since then.
func (g *guest) undisturbedSince(t *testing.T, since time.Time) {
	t.Helper()
	events, err := g.Events()
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		switch event.Name {
		case "exception", "failed", "accessDenied", "reconnecting":
			// On a busy machine a stream may play only after 4 s, the package's bound.
			if !event.Time().Before(since) && event.Exception != "NO_STREAM_PLAYING_EVENT" {
				t.Errorf("%s got %+v", g.Name, event)
			}
		}
	}
}

// room is a Session in a namespace of its own.
type room struct {
	namespace string
	// system is the namespace of the operator, the gateways and the media pods.
	system string
}

// roomName is the name of a room's Session.
const roomName = "room"

// newRoom makes a room, which is removed at the end of the test.
func newRoom(t *testing.T) room {
	t.Helper()
	return newRoomWith(t, func(*v1alpha1.SessionSpec) {})
}

// newRoomWith is newRoom with a spec that change has changed.
func newRoomWith(t *testing.T, change func(*v1alpha1.SessionSpec)) room {
	t.Helper()
	r := room{namespace: kube.NewNamespace(t), system: cluster.Namespace}
	kube.CreateSession(t, r.namespace, roomName, change)
	return r
}

// admit makes a Connection.
func (r room) admit(t *testing.T, name string, role v1alpha1.Role) {
	t.Helper()
	kube.CreateConnection(t, r.namespace, roomName, name, func(spec *v1alpha1.ConnectionSpec) { spec.Role = role })
}
