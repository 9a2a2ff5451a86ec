//go:build e2e

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// stage is a room with guests, and the transcript of the messages and events of each of them in
// each step.
type stage struct {
	*room
	t *testing.T
	// guests are all who are in the room or were in this step.
	guests []*guest
	// messages and events say how many of each guest are in the transcript.
	messages, events map[*guest]int
	// names of ids in the transcript.
	names      map[string]string
	barriers   int
	transcript bytes.Buffer
}

// enter lets a guest into the room who receives nothing unasked.
func (s *stage) enter(name string, role v1alpha1.Role) *guest {
	s.t.Helper()
	g := s.open(s.t, name, func(spec *v1alpha1.ConnectionSpec) { spec.Role = role })
	s.admit(g)
	return g
}

// admit lets a guest join with the token that it has.
func (s *stage) admit(g *guest) {
	s.t.Helper()
	s.guests = append(s.guests, g)
	g.join(browser.JoinOptions{})
	s.names[g.id()] = g.Name
}

// step does something and writes down what each guest sends and gets meanwhile. Those who left in
// it are forgotten.
func (s *stage) step(what string, do func(), left ...*guest) {
	s.t.Helper()
	do()
	if present := slices.DeleteFunc(slices.Clone(s.guests), func(g *guest) bool { return slices.Contains(left, g) }); len(present) > 0 {
		// A signal to all goes behind everything.
		s.barriers++
		present[0].must(present[0].Signal("barrier", strconv.Itoa(s.barriers)))
		for _, g := range present {
			g.gets("signal", func(e browser.Event) bool { return e.Type == "signal:barrier" && e.Data == strconv.Itoa(s.barriers) })
		}
	}
	fmt.Fprintf(&s.transcript, "# %s\n", what)
	for _, g := range s.guests {
		s.write(g)
	}
	s.guests = slices.DeleteFunc(s.guests, func(g *guest) bool { return slices.Contains(left, g) })
}

// write adds what is new of a guest.
func (s *stage) write(g *guest) {
	s.t.Helper()
	frames := g.page.Frames()
	for at := s.messages[g]; at < len(frames); at++ {
		if line := s.message(frames, at); line != "" {
			fmt.Fprintf(&s.transcript, "%s %s\n", g.Name, line)
		}
	}
	s.messages[g] = len(frames)
	events := g.events()
	for _, e := range events[s.events[g]:] {
		if line := s.event(e); line != "" {
			fmt.Fprintf(&s.transcript, "%s    %s\n", g.Name, line)
		}
	}
	s.events[g] = len(events)
}

// message is one as the transcript has it; "" for what comes by the clock or by the network, and
// for barriers.
func (s *stage) message(frames []browser.Frame, at int) string {
	f := frames[at]
	method := f.Method
	if method == "" && f.ID != nil {
		for before := at - 1; before >= 0; before-- {
			if r := frames[before]; r.Sent && r.Socket == f.Socket && r.ID != nil && *r.ID == *f.ID {
				method = r.Method
				break
			}
		}
	}
	if slices.Contains([]string{"ping", "onIceCandidate", "videoData", "sendMessage"}, method) {
		return ""
	}
	switch {
	case f.Sent:
		return "-> " + method
	case f.Error != nil:
		return fmt.Sprintf("<- error %d of %s", f.Error.Code, method)
	case f.Method == "":
		return "<- result of " + method
	}
	var told struct {
		ID           string          `json:"id"`
		ConnectionID string          `json:"connectionId"`
		Property     string          `json:"property"`
		NewValue     json.RawMessage `json:"newValue"`
		Reason       string          `json:"reason"`
	}
	if err := json.Unmarshal(f.Params, &told); err != nil {
		s.t.Fatalf("%s: %v", f, err)
	}
	return s.line("<-", method, told.ID, told.ConnectionID, told.Property, string(told.NewValue), told.Reason)
}

// event is one as the transcript has it; "" for barriers and for what the page notes itself.
func (s *stage) event(e browser.Event) string {
	if e.On == "harness" || e.Name == "signal" {
		return ""
	}
	return s.line(e.On, e.Name, e.ConnectionID, e.Property, e.NewValue, e.Reason)
}

// line joins words, with ids as names.
func (s *stage) line(words ...string) string {
	line := strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
	for id, name := range s.names {
		line = strings.ReplaceAll(line, id, name)
	}
	return line
}

func TestOrderAtThreeClients(t *testing.T) {
	t.Parallel()
	covers(t, "A-join", "A-mute", "A-unpublish", "A-leave", "A-force", "A-kick", "A-close", "3.15-1", "3.15-2", "3.15-3", "3.15-4", "9-19", "9-20", "9-21",
		"9-45", "5.3-connectionCreated", "5.3-streamCreated", "3.1-participantJoined", "3.2-participantPublished", "3.3-participantUnpublished",
		"3.4-participantLeft", "3.5-participantEvicted")
	reserve(t, 3)
	s := &stage{room: newRoom(t, nil), t: t, messages: map[*guest]int{}, events: map[*guest]int{}, names: map[string]string{}}
	var a, b, c *guest
	publish := func(g *guest) func() {
		return func() {
			t.Helper()
			g.publish(browser.Publication{})
			g.getsOwn("streamCreated", func(e browser.Event) bool { return e.StreamID == g.stream.StreamID })
		}
	}
	disconnected := func(g *guest) { t.Helper(); g.gets("sessionDisconnected", nil) }
	told := func(g *guest, changes int) {
		t.Helper()
		wait.For(t, patience, g.Name+" to be answered", func() error {
			if n := len(properties(g)); n != changes {
				return fmt.Errorf("it has %d events", n)
			}
			return nil
		})
	}

	s.step("a, a moderator, joins", func() { a = s.enter("a", v1alpha1.RoleModerator) })
	s.step("a publishes", func() { publish(a)() })
	s.step("b, a publisher, joins", func() { b = s.enter("b", v1alpha1.RolePublisher) })
	s.step("c, a subscriber, joins", func() { c = s.enter("c", v1alpha1.RoleSubscriber) })
	s.step("c subscribes to a", func() { c.must(c.Subscribe(a.id())); c.receives(a) })
	s.step("b publishes", publish(b))
	s.step("c subscribes to b", func() { c.must(c.Subscribe(b.id())); c.receives(b) })
	s.step("b mutes its audio", func() { b.must(b.MuteAudio(true)); told(b, 1) })
	s.step("b mutes its video", func() { b.must(b.MuteVideo(true)); told(b, 2) })
	s.step("b unmutes its video", func() { b.must(b.MuteVideo(false)); told(b, 3) })
	s.step("c unsubscribes from b", func() { c.must(c.Unsubscribe(b.id())) })
	s.step("b unpublishes", func() { b.must(b.Unpublish()) })
	s.step("b publishes again", publish(b))
	s.step("a ends b's stream", func() {
		a.must(a.ForceUnpublish(b.id()))
		b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == "forceUnpublishByUser" })
	})
	s.step("b publishes once more", publish(b))
	s.step("b leaves", func() { b.must(b.Leave()); disconnected(b); b.answer("leaveRoom") }, b)
	// In the same pages, since fewer pages are faster.
	second := func(name string, page *guest) *guest {
		t.Helper()
		connection := s.connection(t, nil)
		g := &guest{Participant: page.Another(name), t: t, page: page.page, object: connection.Name, token: connection.Status.Token}
		g.Name = name
		s.messages[g] = len(page.page.Frames())
		s.admit(g)
		return g
	}
	var d, e *guest
	s.step("d joins", func() { d = second("d", b) })
	s.step("d publishes", func() { publish(d)() })
	s.step("a throws d out", func() { a.must(a.ForceDisconnect(d.id())); disconnected(d) }, d)
	s.step("e joins", func() { e = second("e", b) })
	s.step("e publishes", func() { publish(e)() })
	s.step("e's Connection is deleted", func() { kubectl(t, "delete", "connection", e.object); disconnected(e) }, e)
	s.step("the Session is deleted", func() { kubectl(t, "delete", "session", s.name); disconnected(a); disconnected(c) }, a, c)
	golden(t, "chromium", s.transcript.Bytes())
}
