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

// joinOpenVidu opens a page with the real client of OpenVidu, which joins.
func (w *world) joinOpenVidu(name string) *browser.Participant {
	w.t.Helper()
	site, err := browser.Serve(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = site.Close() })
	v := w.browser.OpenParticipant(w.t, site, name)
	if _, err := v.Join(strings.Replace(w.url, "http", "ws", 1)+"?sessionId=room&token="+w.admit(name), "client data"); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// A client of OpenVidu and one of this library, each of them the real one, see and hear each other,
// and each is told of the other in its own words.
func TestAnOpenViduClientInTheSameSession(t *testing.T) {
	w := newWorld(t)
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	a := w.connect("A")
	v := w.joinOpenVidu("V")
	a.logs("connectionCreated V undefined 1")
	must(v.Listen("chat"))

	_, err := v.Publish("320x240")
	must(err)
	a.do("publish('camera')")
	a.do("publish('board', {canvas: true})")
	a.until("it knows the stream", "session.streams.find({videoType: 'camera'}) !== undefined")
	a.do("subscribe('')")
	a.until("it sees and hears V", "received('').then(({frames, sound}) => frames > 10 && sound > 10)")
	own := value[string](a, "session.connection.connectionId")
	hears(t, v, own)

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

// Clients of OpenVidu, those who are there and those who come later, see the camera and the board
// of one client of this library as two participants. When one of them ends, only that goes.
func TestAnOpenViduClientSeesEachStreamOfAConnection(t *testing.T) {
	w := newWorld(t)
	a, v := w.connect("A"), w.joinOpenVidu("V")
	a.do("publish('camera')")
	a.do("publish('board', {canvas: true})")
	camera := value[string](a, "session.connection.connectionId")
	board := value[string](a, "(({streamId}) => streamId.slice(streamId.lastIndexOf('con_')))(publishers.board.stream)")
	if camera == board {
		t.Fatalf("both streams are those of %s", camera)
	}
	late := w.joinOpenVidu("L")
	for _, one := range []*browser.Participant{v, late} {
		moves(t, one, camera)
		moves(t, one, board)
	}
	a.do("session.unpublish(publishers.board)")
	for _, one := range []*browser.Participant{v, late} {
		told(t, one, "streamDestroyed", board, "unpublish")
		told(t, one, "connectionDestroyed", board, "disconnect")
		moves(t, one, camera)
	}
	a.do("session.disconnect()")
	for _, one := range []*browser.Participant{v, late} {
		told(t, one, "connectionDestroyed", camera, "disconnect")
	}
}

// Two clients of OpenVidu and two of this library, a moderator among each: every one sees and hears
// every other one, and what one side does the other is told of in its own words.
func TestTwoOfEachSide(t *testing.T) {
	w := newWorld(t)
	users := map[string]*user{"A": w.connect("A"), "M": w.connect("M")}
	guests := map[string]*browser.Participant{"V": w.joinOpenVidu("V"), "MV": w.joinOpenVidu("MV")}
	a, m, v, mv := users["A"], users["M"], guests["V"], guests["MV"]
	ids := map[string]string{}
	for name, u := range users {
		u.do(fmt.Sprintf("publish(%q)", name))
		ids[name] = value[string](u, "session.connection.connectionId")
	}
	for name, g := range guests {
		if _, err := g.Publish("160x120"); err != nil {
			t.Fatal(err)
		}
		joined, err := g.Joined()
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = joined.ConnectionID
	}
	for name, u := range users {
		u.until("it knows all streams", "others().length === 3")
		u.do("subscribeAll()")
		for other := range ids {
			if other != name {
				u.until("it sees and hears "+other, fmt.Sprintf("received(%q).then(({frames, sound}) => frames > 10 && sound > 10)", other))
			}
		}
	}
	for name, g := range guests {
		for other, id := range ids {
			if other != name {
				hears(t, g, id)
			}
		}
	}

	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(v.MuteAudio(true))
	a.logs("streamPropertyChanged  hasAudio true false")
	a.do("publishers.A.publishVideo(false)")
	has(t, v, "that A shows nothing", func(e browser.Event) bool {
		return e.Name == "streamPropertyChanged" && e.Property == "videoActive" && e.NewValue == "false" && strings.HasSuffix(e.StreamID, ids["A"])
	})

	must(mv.ForceUnpublish(ids["A"]))
	a.logs("publisher A: streamDestroyed forceUnpublished")
	m.logs("streamDestroyed A forceUnpublished")
	told(t, v, "streamDestroyed", ids["A"], "forceUnpublishByUser")
	m.do(fmt.Sprintf("session.forceUnpublish.promise(session.streams.where(({connection}) => connection.connectionId === %q)[0])", ids["V"]))
	a.logs("streamDestroyed  forceUnpublished")
	told(t, mv, "streamDestroyed", ids["V"], "forceUnpublishByUser")

	must(mv.ForceDisconnect(ids["A"]))
	a.logs("sessionDisconnected forceDisconnected")
	m.logs("connectionDestroyed A forceDisconnected")
	told(t, v, "connectionDestroyed", ids["A"], "forceDisconnectByUser")
	m.do("session.forceDisconnect.promise(session.connections.find({data: 'V'}))")
	has(t, v, "that it was put out", func(e browser.Event) bool {
		return e.Name == "sessionDisconnected" && e.Reason == "forceDisconnectByUser"
	})
	m.logs("connectionDestroyed V forceDisconnected")
	told(t, mv, "connectionDestroyed", ids["V"], "forceDisconnectByUser")
	must(mv.Leave())
	m.logs("connectionDestroyed MV clientDisconnected")
}

// hears waits until somebody has seen and heard a connection.
func hears(t *testing.T, p *browser.Participant, connectionID string) {
	t.Helper()
	wait.For(t, patience, p.Name+" sees and hears "+connectionID, func() error {
		got, err := p.Received(connectionID)
		if err == nil && (got.Video.FramesDecoded < 10 || got.Audio.Packets < 10) {
			err = fmt.Errorf("got %+v", got)
		}
		return err
	})
}

// has waits until somebody has had an event.
func has(t *testing.T, p *browser.Participant, what string, is func(browser.Event) bool) {
	t.Helper()
	wait.For(t, patience, p.Name+" is told "+what, func() error {
		events, err := p.Events()
		if err == nil && !slices.ContainsFunc(events, is) {
			err = fmt.Errorf("got %+v", events)
		}
		return err
	})
}

// moves waits until somebody sees some more frames of a connection.
func moves(t *testing.T, p *browser.Participant, connectionID string) {
	t.Helper()
	var first int64 = -1
	wait.For(t, patience, p.Name+" sees "+connectionID+" move", func() error {
		got, err := p.Received(connectionID)
		if err != nil {
			return err
		}
		if first < 0 {
			first = got.Video.FramesDecoded
		}
		if got.Video.FramesDecoded < first+10 {
			return fmt.Errorf("got %+v, and %d frames at first", got, first)
		}
		return nil
	})
}

// told waits until somebody has had an event of a connection.
func told(t *testing.T, p *browser.Participant, kind, connectionID, reason string) {
	t.Helper()
	has(t, p, kind+" of "+connectionID, func(e browser.Event) bool {
		return e.Name == kind && e.ConnectionID == connectionID && e.Reason == reason
	})
}
