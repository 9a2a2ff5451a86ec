//go:build e2e

package otcompat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// A client of OpenVidu and one of this library, each of them the real one, see and hear each other,
// and each is told of the other in its own words.
func TestAnOpenViduClientInTheSameSession(t *testing.T) {
	w := newWorld(t)
	site, err := browser.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Close() })
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	a := w.connect("A")
	v := w.browser.OpenParticipant(t, site, "V")
	_, err = v.Join(strings.Replace(w.url, "http", "ws", 1)+"?sessionId=room&token="+w.admit("V"), "client data")
	must(err)
	a.logs("connectionCreated V undefined 1")
	must(v.Listen("chat"))

	_, err = v.Publish("320x240")
	must(err)
	a.do("publish('camera')")
	a.do("publish('board', {canvas: true})")
	a.until("it knows the stream", "session.streams.find({videoType: 'camera'}) !== undefined")
	a.do("subscribe('')")
	a.until("it sees and hears V", "received('').then(({frames, sound}) => frames > 10 && sound > 10)")
	own := value[string](a, "session.connection.connectionId")
	wait.For(t, patience, "V sees and hears A", func() error {
		got, err := v.Received(own)
		if err == nil && (got.Video.FramesDecoded < 10 || got.Audio.Packets < 10) {
			err = fmt.Errorf("got %+v", got)
		}
		return err
	})

	must(v.MuteVideo(true))
	a.logs("streamPropertyChanged  hasVideo true false")
	must(v.Signal("chat", "hello", own))
	a.logs("signal:chat hello from V")
	a.do("session.signal.promise({type: 'chat', data: 'hi'})")
	a.do("session.disconnect()")
	wait.For(t, patience, "V is told", func() error {
		events, err := v.Events()
		has := func(kind, reason string) bool {
			return slices.ContainsFunc(events, func(e browser.Event) bool {
				return e.Name == kind && e.ConnectionID == own && (reason == "" || e.Reason == reason)
			})
		}
		if err == nil && (!has("streamDestroyed", "disconnect") || !has("connectionDestroyed", "disconnect")) {
			err = fmt.Errorf("got %+v", events)
		}
		return err
	})
	events, err := v.Events()
	must(err)
	created := 0
	for _, e := range events {
		if e.Name == "streamCreated" && e.ConnectionID == own {
			created++
		}
	}
	if created != 1 {
		t.Errorf("V was told of %d streams of A", created)
	}
}
