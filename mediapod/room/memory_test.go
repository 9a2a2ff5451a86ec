package room

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// loseAtOnce makes the scene that is on another pod once this one's is lost, before the operator
// has heard of anything in it.
func (s *scene) loseAtOnce(t *testing.T, spent ...string) *scene {
	t.Helper()
	next := newScene(t)
	next.desired = s.desired
	next.desired.Connections = slices.Clone(s.desired.Connections)
	for i := range next.desired.Connections {
		c := &next.desired.Connections[i]
		c.Spent = slices.Contains(spent, strings.TrimPrefix(c.UID, "uid-"))
	}
	next.takeOver(s)
	return next
}

// takeOver makes the room of another scene be on this one's pod.
func (s *scene) takeOver(from *scene) {
	s.registry.RemoveSilently(s.desired.UID, "")
	s.registry.Outbox().Acknowledge(s.desired.UID, 1<<62)
	s.engine.TakeOver(from.engine, s.desired.UID)
	s.registry.Apply(s.desired)
}

// What a lost pod has done last is known to the next one, though the operator knows nothing of it.
func TestAStandbyKnowsWhatTheOperatorDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		after := before.loseAtOnce(t)
		for _, name := range []string{"A", "B", "C", "D"} {
			want, got := before.state(name), after.state(name)
			want.Restored = want.State == Active
			if !sameState(want, got) {
				t.Errorf("%s is\n%+v, want\n%+v", name, got, want)
			}
		}
		third := after.loseAtOnce(t)
		for _, name := range []string{"A", "B", "C", "D"} {
			if want, got := after.state(name), third.state(name); !sameState(want, got) {
				t.Errorf("after another loss %s is\n%+v, want\n%+v", name, got, want)
			}
		}
	})
}

// sameState compares what is observed of a participant, times as moments.
func sameState(a, b ConnectionSnapshot) bool {
	for _, c := range []*ConnectionSnapshot{&a, &b} {
		c.ActiveTime = c.ActiveTime.UTC().Round(0)
		c.Published, c.Received = slices.Clone(c.Published), slices.Clone(c.Received)
		for i := range c.Published {
			c.Published[i].Created = c.Published[i].Created.UTC().Round(0)
		}
		for i := range c.Received {
			c.Received[i].Began = c.Received[i].Began.UTC().Round(0)
		}
	}
	return reflect.DeepEqual(a, b)
}

// What is remembered takes the place of what the operator knows: what somebody sends and receives
// is as it was last.
func TestTheOperatorsWordIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newScene(t, "A", "B")
		before.join("A")
		before.join("B")
		before.receive("A", before.publish("B"))
		stream := before.publish("A")
		seen := before.state("A")
		before.must(before.users["A"].ChangeStream(StreamChange{VideoActive: new(bool)}))
		before.must(before.users["A"].Unsubscribe("con_B"))
		before.receive("B", stream)

		next := newScene(t)
		next.desired = before.desired
		next.desired.Connections = slices.Clone(before.desired.Connections)
		known := &Presence{Activated: seen.ActiveTime, Client: seen.Client, Published: seen.Published, Received: seen.Received}
		next.desired.Connections[0].Presence = known
		next.takeOver(before)
		for _, name := range []string{"A", "B"} {
			want, got := before.state(name), next.state(name)
			want.Restored = true
			if !sameState(want, got) {
				t.Errorf("%s is\n%+v, want\n%+v", name, got, want)
			}
		}
		if !known.Published[0].VideoActive || len(known.Received) != 1 {
			t.Errorf("what was desired was changed: %+v", known)
		}
	})
}

// Who has left, as the operator knows, is not in the room, whatever a pod that was lost meanwhile
// has said last.
func TestWhoHasLeftIsNotRecalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		after := before.loseAtOnce(t, "B")
		if got := after.state("B"); got.State != Disconnected {
			t.Errorf("B is %+v", got)
		}
		if got := after.state("A"); got.State != Active || len(got.Received) != 0 {
			t.Errorf("A is %+v", got)
		}
	})
}

// Nothing is remembered of what has ended.
func TestWhatHasEndedIsForgotten(t *testing.T) {
	for name, end := range map[string]func(*scene){
		"everybody leaves": func(s *scene) {
			for _, name := range []string{"A", "B", "C"} {
				s.must(s.users[name].Leave())
			}
		},
		"the room is removed": func(s *scene) { s.registry.Remove(s.desired.UID, "") },
		"the room is let go":  func(s *scene) { s.registry.LetGo(s.desired.UID) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := inCall(t)
			if len(s.engine.Remembered(s.desired.UID)) != 3+2+3 {
				t.Errorf("remembered are %q", s.engine.Remembered(s.desired.UID))
			}
			end(s)
			if left := s.engine.Remembered(s.desired.UID); len(left) != 0 {
				t.Errorf("%s: remembered are %q", name, left)
			}
		})
	}
}

// So do the wishes of moderators and of who receives go over, of which the operator knows nothing.
func TestWishesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		before.must(before.users["B"].ForceMuteAll(nil, func() {}))
		before.must(before.users["C"].Deliver("con_A", media.Delivery{NoVideo: true}))
		after := before.loseAtOnce(t)
		if room, _ := after.registry.Lookup(after.desired.Key); !room.forceMute {
			t.Error("nobody has to be muted any more")
		}
		for _, name := range []string{"A", "B", "C"} {
			want, got := before.state(name), after.state(name)
			want.Restored = true
			if !sameState(want, got) {
				t.Errorf("%s is\n%+v, want\n%+v", name, got, want)
			}
		}
		b, _ := after.arrive("B")
		after.must(b.DisableForceMute(func() {}))
		after.desired.ForceMute = true // as the operator knew last
		third := after.loseAtOnce(t)
		if room, _ := third.registry.Lookup(third.desired.Key); room.forceMute {
			t.Error("all have to be muted again")
		}
	})
}

// A memory of another version of the pod costs no more than itself.
func TestAMemoryThatCantBeReadIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		before.engine.Remember(before.desired.UID, "participant/con_A", []byte(`{"Activated":7}`))
		before.engine.Remember(before.desired.UID, "of another kind", []byte("?"))
		after := before.loseAtOnce(t)
		if a, b := after.state("A"), after.state("B"); a.State != Pending || b.State != Active {
			t.Errorf("A is %+v, B is %+v", a, b)
		}
	})
}

// Who was let in, and was not told since the pod was lost, is let in over the same socket by the
// same token; nobody else is.
func TestAJoinIsRepeatedAtTheNextPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newScene(t, "A", "B")
		before.join("B")
		join := func(s *scene, token, socket string) (joined Joined, err error) {
			room, _ := s.registry.Lookup(s.desired.Key)
			link := &recorder{scene: s, name: "A", reading: true}
			err = room.Join(JoinRequest{Token: token, Client: Client{Metadata: "client A"}, Socket: socket}, link, func(told Joined) { joined = told })
			return joined, err
		}
		if _, err := join(before, "tok_A", "socket"); err != nil {
			t.Fatal(err)
		}
		if _, err := join(before, "tok_A", "socket"); !errors.Is(err, ErrToken) {
			t.Errorf("once more at the same pod: %v", err)
		}
		after := before.loseAtOnce(t)
		b, _ := after.arrive("B")
		for _, other := range [][2]string{{"tok_A", ""}, {"tok_A", "another"}, {"tok_B", "socket"}, {"", "socket"}} {
			if _, err := join(after, other[0], other[1]); !errors.Is(err, ErrToken) {
				t.Errorf("somebody with token and socket %q: %v", other, err)
			}
		}
		joined, err := join(after, "tok_A", "socket")
		if err != nil || len(joined.Others) != 1 || joined.Others[0].ConnectionID != b.id || joined.PrivateID != "rpc-A" {
			t.Fatalf("A is told %+v, %v", joined, err)
		}
		if got := after.state("A"); got.Restored || got.State != Active {
			t.Errorf("A is %+v", got)
		}
		if _, err := join(after, "tok_A", "socket"); !errors.Is(err, ErrToken) {
			t.Errorf("a second one with the token of A: %v", err)
		}
		time.Sleep(time.Hour)
		if got := after.state("A"); got.State != Active {
			t.Errorf("A is %+v after the window", got)
		}
		if text := after.text(); strings.Contains(text, "A joined") {
			t.Errorf("B is told of A again:\n%s", text)
		}
	})
}
