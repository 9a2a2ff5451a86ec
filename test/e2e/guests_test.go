//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// The fake camera's size and rate in calls.
const (
	resolution = "320x240"
	width      = 320
	height     = 240
	frameRate  = 15
)

// guest is a browser in a room, by the Connection that admitted it.
type guest struct {
	*browser.Participant
	// namespace and connection name the Connection object.
	namespace, connection string
	// clientData is what it said of itself when it joined.
	clientData string
	// joined is what it was told, and when.
	joined browser.Joined
	at     time.Time
	// streamID is the stream that it publishes, empty while it doesn't.
	streamID string
}

// join lets a browser of its own join with the token of a Connection. number tells browsers apart
// that are in the room at once.
func join(t *testing.T, number int, namespace, connection string) *guest {
	t.Helper()
	return joinWith(t, chromium(t, number), namespace, connection)
}

// joinWith lets a page of a browser join with the token of a Connection.
func joinWith(t *testing.T, in opener, namespace, connection string) *guest {
	t.Helper()
	token := kube.WaitConnection(t, 20*time.Second, namespace, connection).Status.Token
	g := &guest{
		Participant: in.OpenParticipant(t, site, connection),
		namespace:   namespace, connection: connection,
		clientData: fmt.Sprintf(`{"name":"user of %s"}`, connection),
		at:         time.Now(),
	}
	var err error
	if g.joined, err = g.Join(token, g.clientData); err != nil {
		t.Fatalf("joining as %s: %v", connection, err)
	}
	return g
}

// publish lets a guest send its fake camera and microphone.
func (g *guest) publish(t *testing.T) {
	t.Helper()
	var err error
	if g.streamID, err = g.Publish(resolution); err != nil {
		t.Fatalf("publishing as %s: %v", g.Name, err)
	}
}

// call lets two browsers join with the tokens of two Connections, publish, and receive each other.
func call(t *testing.T, namespace, first, second string) (a, b *guest) {
	t.Helper()
	a = join(t, 0, namespace, first)
	b = join(t, 1, namespace, second)
	a.publish(t)
	b.publish(t)
	a.receives(t, b)
	b.receives(t, a)
	return a, b
}

// receives waits until a guest decodes video and hears audio of another.
func (g *guest) receives(t *testing.T, other *guest) {
	t.Helper()
	wait.For(t, 20*time.Second, g.Name+" to see and hear "+other.Name, func() error {
		media, err := g.Received(other.joined.ConnectionID)
		if err != nil {
			return err
		}
		if media.Video.FramesDecoded < frameRate || media.Audio.Packets < 20 {
			return fmt.Errorf("%+v", media)
		}
		return nil
	})
}

// event waits for an event of a guest's page.
func (g *guest) event(t *testing.T, within time.Duration, what string, match func(browser.Event) bool) browser.Event {
	t.Helper()
	var found browser.Event
	wait.For(t, within, g.Name+" to get "+what, func() error {
		events, err := g.Events()
		if err != nil {
			return err
		}
		for _, event := range events {
			if match(event) {
				found = event
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(events))
	})
	return found
}

// disconnected waits for the event that tells a page that it is out of the room.
func (g *guest) disconnected(t *testing.T, within time.Duration) browser.Event {
	t.Helper()
	return g.event(t, within, "sessionDisconnected", func(e browser.Event) bool {
		return e.On == "session" && e.Name == "sessionDisconnected"
	})
}
