package room

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// until repeats something until it is refused, and returns how often it was not.
func until(t *testing.T, again func() error) (int, LimitError) {
	t.Helper()
	for n := range 1 << 20 {
		if err := again(); err != nil {
			var refused LimitError
			if !errors.As(err, &refused) {
				t.Fatal(err)
			}
			return n, refused
		}
	}
	t.Fatal("it is never refused")
	return 0, LimitError{}
}

// What is told costs as much as it takes: once for each who is told. One participant can't use up
// what all have, nor all what the server has.
func TestWhatIsToldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes
		s := newScene(t, "A", "B", "C", "D", "E:subscriber")
		for _, name := range []string{"A", "B", "C", "D", "E"} {
			s.join(name).link.reading = false
		}
		room, _ := s.registry.Lookup("room")
		toAll := func(name string) func() error {
			return func() error { return s.users[name].Signal(nil, Signal{Data: text("x")}) }
		}
		const want = "too many messages: at most 5000 per second, counted once per recipient, from one participant"
		for _, name := range []string{"A", "B", "C", "E"} {
			if n, refused := until(t, toAll(name)); n != toldAtOnce/onesPart/5 || refused.Error() != want {
				t.Errorf("%s: %d signals, then %v", name, n, refused)
			}
		}
		if n, refused := until(t, toAll("D")); n != 0 || !strings.HasSuffix(refused.Error(), "from one session's participants") {
			t.Errorf("all together: %d, %v", n, refused)
		}
		s.must(room.Signal(nil, Signal{Data: text("x")})) // of the server
		_, _ = until(t, func() error { return room.Signal(nil, Signal{Data: text("x")}) })
		time.Sleep(time.Second)
		if n, _ := until(t, toAll("A")); n != toldPerSecond/onesPart/5 {
			t.Errorf("a second later: %d", n)
		}
		s.users["A"].link.unread = nil
	})
}

func TestBytesThatAreToldAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A", "B")
		s.join("A").link.reading = false
		s.join("B").link.reading = false
		big := strings.Repeat("x", 1<<20)
		n, refused := until(t, func() error { return s.users["A"].Signal([]string{"con_B"}, Signal{Data: &big}) })
		const want = "too many bytes: at most 4194304 per second and 33554432 at once, counted once per recipient, from one participant"
		if n != 31 || refused.Error() != want {
			t.Errorf("%d, %v", n, refused)
		}
		s.publish("A")
		_, _ = until(t, func() error {
			return s.users["A"].ChangeStream(StreamChange{Property: "x", Value: big})
		})
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A", "B")
		s.join("A")
		publish := func() error {
			if err := s.tryPublish("A", "offer"); err != nil {
				return err
			}
			return s.users["A"].Unpublish()
		}
		if n, refused := until(t, publish); n != streamsAtOnce || refused.Error() != "too many streams: at most 1 per second, and 60 at once, from one participant" {
			t.Errorf("%d, %v", n, refused)
		}
		time.Sleep(time.Second)
		s.must(publish())
	})
}
