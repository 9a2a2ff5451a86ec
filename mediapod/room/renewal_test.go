package room

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// outdate makes the engine say that what everybody receives is outdated, and waits for what comes
// of it.
func (s *scene) outdate() {
	s.t.Helper()
	s.write("what is received is outdated")
	for _, subscription := range s.engine.Subscriptions() {
		subscription.Options.Outdated()
	}
	synctest.Wait()
}

// reconnect answers as a client does that was forced to reconnect, or that reconnects by itself.
func (s *scene) reconnect(name, stream, answer string, forced bool) error {
	s.t.Helper()
	s.write("%s answers %s, forced: %v", name, answer, forced)
	_, err := s.users[name].ReconnectStream(context.Background(), stream, answer, forced, func() { s.write("  %s <- answer", name) })
	if err != nil {
		s.write("  %s <- error", name)
	}
	synctest.Wait()
	return err
}

func (s *scene) prepare(name, stream string) {
	s.t.Helper()
	s.write("%s prepares to receive", name)
	offer, err := s.users[name].PrepareReceive(context.Background(), stream)
	s.must(err)
	s.write("  %s <- %s", name, offer)
}

func (s *scene) comeBack(name string) {
	s.t.Helper()
	s.write("%s connects", name)
	link := &recorder{scene: s, name: name, reading: true}
	s.users[name].link = link
	s.must(s.registry.Resume("", "rpc-"+name, link, func(Resumed) { s.write("  %s <- answer", name) }))
	synctest.Wait()
}

// The transcripts show what clients are told when what they receive has to be renewed (openvidu-rpc
// 3.10).
func TestRenewal(t *testing.T) {
	for name, c := range map[string]struct {
		play func(s *scene, stream string)
		// answered is the last answer that the one open subscription has taken.
		answered string
	}{
		"a subscription is renewed": {func(s *scene, stream string) {
			s.outdate()
			s.must(s.reconnect("B", stream, "answer to 2", true))
			s.outdate()
			s.must(s.reconnect("B", stream, "answer to 3", true))
		}, "answer to 3"},
		"an offer that is outdated before it is answered is followed by another": {func(s *scene, stream string) {
			s.prepare("B", stream)
			s.outdate()
			s.must(s.reconnect("B", stream, "answer to 2", false))
			s.must(s.reconnect("B", stream, "answer to 3", true))
		}, "answer to 3"},
		"a renewal that is outdated before it is answered is followed by another": {func(s *scene, stream string) {
			s.outdate()
			s.outdate()
			s.must(s.reconnect("B", stream, "answer to 2", true))
			s.must(s.reconnect("B", stream, "answer to 3", true))
		}, "answer to 3"},
		"a client without a socket gets the offer when it is back": {func(s *scene, stream string) {
			s.users["B"].Suspend(s.users["B"].link)
			s.outdate()
			s.comeBack("B")
			s.must(s.reconnect("B", stream, "answer to 2", true))
		}, "answer to 2"},
		"an offer that a client may have missed is not told again but made anew": {func(s *scene, stream string) {
			s.users["B"].link.reading = false
			s.outdate()
			s.users["B"].Suspend(s.users["B"].link)
			s.comeBack("B")
			s.must(s.reconnect("B", stream, "answer to 3", true))
		}, "answer to 3"},
		"a client reconnects by itself before it answers": {func(s *scene, stream string) {
			s.outdate()
			s.prepare("B", stream)
			s.must(s.reconnect("B", stream, "answer to 3", false))
			wantRefusal(s.t, s.reconnect("B", stream, "answer to 2", true), noOffer)
			s.must(s.reconnect("B", stream, "answer to 4", true))
		}, "answer to 4"},
		"a client that has unsubscribed is left alone": {func(s *scene, stream string) {
			before := s.engine.Subscriptions()[0].Options.Outdated
			s.must(s.users["B"].Unsubscribe("con_A"))
			before()
			synctest.Wait()
			wantRefusal(s.t, s.reconnect("B", stream, "answer", true), noOffer)
			s.receive("B", stream)
		}, "answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "A", "B")
				s.join("A")
				stream := s.publish("A")
				s.join("B")
				s.receive("B", stream)
				c.play(s, stream)
				if got := s.state("B").Received; len(got) != 1 {
					t.Errorf("B receives %v", got)
				}
				synctest.Wait()
				var open []string
				for _, subscription := range s.engine.Subscriptions() {
					open = append(open, subscription.Answered)
				}
				if got := fmt.Sprint(open); got != "["+c.answered+"]" {
					t.Errorf("open subscriptions have taken %s", got)
				}
				s.golden(name)
			})
		})
	}
}

// golden compares the transcript with the one that is kept under a name.
func (s *scene) golden(name string) {
	s.t.Helper()
	got := s.text()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "_")+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(want) {
		s.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestARenewalThatComesToNothingIsUndone(t *testing.T) {
	for name, end := range map[string]func(s *scene){
		"the stream ends":        func(s *scene) { s.must(s.users["A"].Unpublish()) },
		"the publisher leaves":   func(s *scene) { s.must(s.users["A"].Leave()) },
		"the subscriber leaves":  func(s *scene) { s.must(s.users["B"].Leave()) },
		"the room is closed":     func(s *scene) { s.registry.Stop() },
		"the client is offline":  func(s *scene) { s.users["B"].Suspend(s.users["B"].link) },
		"the client begins anew": func(s *scene) { s.prepare("B", s.state("A").Published[0].ID) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B")
			s.join("A")
			stream := s.publish("A")
			s.join("B")
			s.receive("B", stream)
			for _, subscription := range s.engine.Subscriptions() {
				subscription.Options.Outdated() // whichever comes first
			}
			end(s)
		})
	}
}
