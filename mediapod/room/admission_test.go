package room

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

func (s *scene) tryToken(token string) error {
	s.t.Helper()
	room, found := s.registry.Lookup(s.desired.Key)
	if !found {
		s.t.Fatal("no such room")
	}
	return room.Join(JoinRequest{Token: token}, &recorder{scene: s, name: "?", reading: true}, func(Joined) {})
}

func TestATokenIsGoodOnceAndOnlyWhileItsConnectionIsDesired(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*scene)
		token   string
		want    error
	}{
		"an unused token":                      {token: "tok_A"},
		"no token":                             {token: "", want: ErrToken},
		"another token":                        {token: "tok_X", want: ErrToken},
		"a truncated token":                    {token: "tok_", want: ErrToken},
		"a used token":                         {prepare: func(s *scene) { s.join("A") }, token: "tok_A", want: ErrToken},
		"a used token of somebody who left":    {prepare: func(s *scene) { s.must(s.join("A").Leave()) }, token: "tok_A", want: ErrToken},
		"a token that another pod has spent":   {prepare: func(s *scene) { s.desired.Connections[0].Spent = true; s.apply() }, token: "tok_A", want: ErrToken},
		"a token whose connection was deleted": {prepare: func(s *scene) { s.desired.Connections = nil; s.apply() }, token: "tok_A", want: ErrToken},
		"a token that was replaced":            {prepare: func(s *scene) { s.desired.Connections[0].Token = digest("tok_A2"); s.apply() }, token: "tok_A", want: ErrToken},
		"the token in its place":               {prepare: func(s *scene) { s.desired.Connections[0].Token = digest("tok_A2"); s.apply() }, token: "tok_A2"},
		"a new token for somebody who left": {prepare: func(s *scene) {
			s.must(s.join("A").Leave())
			s.desired.Connections[0].Token = digest("tok_A2")
			s.apply()
		}, token: "tok_A2"},
		"a connection without a token digest":    {prepare: func(s *scene) { s.desired.Connections[0].Token = TokenDigest{}; s.apply() }, token: "", want: ErrToken},
		"a token after the pod was told to stop": {prepare: func(s *scene) { s.registry.Stop() }, token: "tok_A", want: ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B")
			if c.prepare != nil {
				c.prepare(s)
			}
			if err := s.tryToken(c.token); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestOfManyWhoComeWithOneTokenOneGetsIn(t *testing.T) {
	s := newScene(t, "A")
	const rivals = 64
	var admitted atomic.Int32
	var start, done sync.WaitGroup
	start.Add(1)
	for range rivals {
		done.Go(func() {
			start.Wait()
			if s.tryToken("tok_A") == nil {
				admitted.Add(1)
			}
		})
	}
	start.Done()
	done.Wait()
	if got := admitted.Load(); got != 1 {
		t.Errorf("%d got in", got)
	}
	if totals := s.registry.Totals(); totals.ActiveConnections != 1 {
		t.Errorf("%d are in the room", totals.ActiveConnections)
	}
}

func TestReconnectionWindow(t *testing.T) {
	const window = 10 * time.Second
	for name, c := range map[string]struct {
		play func(s *scene, b *user)
		// want is B's state in the end, reason why it left.
		want   State
		reason reasons.Reason
	}{
		"who does not come back leaves when the window is over": {
			play: func(_ *scene, b *user) {
				b.Suspend(b.link)
				time.Sleep(window + time.Nanosecond)
			},
			want: Disconnected, reason: reasons.NetworkDisconnect,
		},
		"who has gone away leaves soon": {
			play: func(_ *scene, b *user) {
				b.Depart(b.link)
				time.Sleep(departureWindow + time.Nanosecond)
			},
			want: Disconnected, reason: reasons.NetworkDisconnect,
		},
		"who has gone away leaves no sooner than others": {
			play: func(s *scene, b *user) {
				s.registry.SetReconnectWindow(time.Millisecond)
				b.Depart(b.link)
				time.Sleep(time.Millisecond + time.Nanosecond)
			},
			want: Disconnected, reason: reasons.NetworkDisconnect,
		},
		"the end of a page whose socket was replaced does not matter": {
			play: func(s *scene, b *user) {
				s.must(s.registry.Resume("", "rpc-B", &recorder{scene: s, name: "B", reading: true}, func(Resumed) {}))
				b.Depart(b.link)
				time.Sleep(2 * window)
			},
			want: Active,
		},
		"who may still come back is there": {
			play: func(_ *scene, b *user) {
				b.Suspend(b.link)
				time.Sleep(window - time.Nanosecond)
			},
			want: Active,
		},
		"who comes back in time stays": {
			play: func(s *scene, b *user) {
				b.Suspend(b.link)
				time.Sleep(window - time.Nanosecond)
				s.must(s.registry.Resume("", "rpc-B", &recorder{scene: s, name: "B", reading: true}, func(Resumed) {}))
				time.Sleep(2 * window)
			},
			want: Active,
		},
		"the end of a socket that was replaced does not matter": {
			play: func(s *scene, b *user) {
				s.must(s.registry.Resume("", "rpc-B", &recorder{scene: s, name: "B", reading: true}, func(Resumed) {}))
				b.Suspend(b.link)
				time.Sleep(2 * window)
			},
			want: Active,
		},
		"a second loss starts the window anew": {
			play: func(s *scene, b *user) {
				b.Suspend(b.link)
				time.Sleep(window / 2)
				link := &recorder{scene: s, name: "B", reading: true}
				s.must(s.registry.Resume("", "rpc-B", link, func(Resumed) {}))
				b.Suspend(link)
				time.Sleep(window - time.Nanosecond)
			},
			want: Active,
		},
		"who comes too late is refused": {
			play: func(s *scene, b *user) {
				b.Suspend(b.link)
				time.Sleep(window + time.Nanosecond)
				if err := s.registry.Resume("", "rpc-B", &recorder{scene: s, name: "B"}, func(Resumed) {}); !errors.Is(err, ErrNotResumed) {
					s.t.Errorf("got %v", err)
				}
			},
			want: Disconnected, reason: reasons.NetworkDisconnect,
		},
		"who was thrown out meanwhile is refused": {
			play: func(s *scene, b *user) {
				b.Suspend(b.link)
				s.must(s.users["M"].ForceDisconnect("con_B", func() {}))
				if err := s.registry.Resume("", "rpc-B", &recorder{scene: s, name: "B"}, func(Resumed) {}); !errors.Is(err, ErrNotResumed) {
					s.t.Errorf("got %v", err)
				}
			},
			want: Disconnected, reason: reasons.ForceDisconnectByUser,
		},
		"who has missed too much is refused, and leaves": {
			play: func(s *scene, b *user) {
				b.Suspend(b.link)
				s.users["M"].publications.rate.SetLimit(rate.Inf) // nobody can do this
				for range maxMissed/2 + 1 {
					s.publish("M")
					s.must(s.users["M"].Unpublish())
				}
				if err := s.registry.Resume("", "rpc-B", &recorder{scene: s, name: "B"}, func(Resumed) {}); !errors.Is(err, ErrNotResumed) {
					s.t.Errorf("got %v", err)
				}
			},
			want: Disconnected, reason: reasons.NetworkDisconnect,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "B", "M:moderator")
				s.registry.SetReconnectWindow(window)
				b := s.join("B")
				s.join("M")
				c.play(s, b)
				synctest.Wait()
				if got := s.state("B"); got.State != c.want || got.Reason != c.reason {
					t.Errorf("got state %v, reason %q", got.State, got.Reason)
				}
			})
		})
	}
}

func TestNobodyTakesOverWithoutThePrivateID(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	for _, id := range []string{"", "rpc-", "rpc-B", "con_A", "rpc-A "} {
		if err := s.registry.Resume("", id, &recorder{scene: s}, func(Resumed) {}); !errors.Is(err, ErrNotResumed) {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

func TestSnapshotSaysWhoIsWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A", "B", "C", "D")
		s.desired.Connections[3].Spent = true
		s.apply()
		began := time.Now()
		s.join("A")
		stream := s.publish("A")
		s.join("B")
		s.receive("B", stream)
		time.Sleep(time.Second)
		s.must(s.users["B"].Leave())

		if got := s.state("A"); got.State != Active || !got.ActiveTime.Equal(began) || got.Client.Metadata != "client A" || len(got.Published) != 1 || got.Published[0].ID != stream {
			t.Errorf("A: %+v", got)
		}
		if got := s.state("B"); got.State != Disconnected || got.Reason != reasons.Disconnect || !got.DisconnectedTime.Equal(began.Add(time.Second)) || len(got.Received) != 0 {
			t.Errorf("B: %+v", got)
		}
		if got := s.state("C"); got.State != Pending || !got.ActiveTime.IsZero() {
			t.Errorf("C: %+v", got)
		}
		if got := s.state("D"); got.State != Disconnected || !got.ActiveTime.IsZero() || got.Reason != "" {
			t.Errorf("D, whose token was spent elsewhere: %+v", got)
		}

		// B's state stays until it is no longer desired.
		s.apply()
		s.state("B")
		s.desired.Connections = slices.Delete(s.desired.Connections, 1, 2)
		s.apply()
		snapshot, _ := s.registry.Snapshot(s.desired.UID)
		if len(snapshot.Connections) != 3 || snapshot.Generation != s.desired.Generation {
			t.Errorf("after B was deleted: %+v", snapshot)
		}
	})
}

func TestTheSnapshotCountsWhatMediaGoesOver(t *testing.T) {
	s := newScene(t, "A", "B", "C")
	s.join("A")
	stream := s.publish("A")
	for _, name := range []string{"B", "C"} {
		s.join(name)
		s.receive(name, stream)
	}
	routed := func(what string, udp, tcp int) {
		t.Helper()
		select {
		case <-s.registry.Changed():
			s.registry.TakeChanged()
		default:
			t.Errorf("%s: not announced", what)
		}
		if snapshot, _ := s.registry.Snapshot(s.desired.UID); snapshot.UDP != udp || snapshot.TCP != tcp {
			t.Errorf("%s: %d over UDP, %d over TCP", what, snapshot.UDP, snapshot.TCP)
		}
	}
	<-s.registry.Changed()
	s.registry.TakeChanged()
	s.engine.Publications()[0].Route(media.UDP)
	routed("the publisher is reached", 1, 0)
	received := s.engine.Subscriptions()
	received[0].Route(media.TCP)
	routed("a subscriber is reached over TCP", 1, 1)
	received[1].Route(media.UDP)
	routed("another over UDP", 2, 1)
	received[0].Route(media.UDP)
	routed("the first comes to UDP", 3, 0)
	s.must(s.users["A"].Leave())
	routed("the publisher leaves", 0, 0)
}

func TestChangesAreAnnouncedOnce(t *testing.T) {
	s := newScene(t, "A")
	s.join("A")
	<-s.registry.Changed()
	if got := s.registry.TakeChanged(); !slices.Equal(got, []string{s.desired.UID}) {
		t.Errorf("got %v", got)
	}
	select {
	case <-s.registry.Changed():
		t.Error("announced again")
	default:
	}
	if got := s.registry.TakeChanged(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestARoomTakesTheKeyOfItsPredecessor(t *testing.T) {
	s := newScene(t, "A")
	a := s.join("A")
	next := s.desired
	next.UID = "another-uid"
	s.registry.Apply(next)
	if _, found := s.registry.Snapshot(s.desired.UID); found {
		t.Error("the predecessor is still there")
	}
	wantRefusal(t, a.Alive(), closed)
	if err := s.tryToken("tok_A"); err != nil {
		t.Errorf("joining its successor: %v", err)
	}
}

func TestFiftyRoundsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, fiftyRounds)
}

func fiftyRounds(t *testing.T) {
	s := newScene(t, "A", "B")
	round := func() {
		s.desired.Connections = []Connection{desiredConnection("A"), desiredConnection("B")}
		s.apply()
		s.join("A")
		stream := s.publish("A")
		s.join("B")
		s.receive("B", stream)
		s.must(s.users["B"].AddICECandidate("con_A", candidate))
		s.users["B"].Suspend(s.users["B"].link)
		s.must(s.users["A"].Leave())
		s.desired.Connections = nil
		s.apply()
		synctest.Wait()
	}
	round()
	before := runtime.NumGoroutine()
	for range 50 {
		round()
	}
	if publications, subscriptions := s.engine.Open(); publications+subscriptions != 0 {
		t.Errorf("%d publications, %d subscriptions are open", publications, subscriptions)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
	if totals := s.registry.Totals(); totals != (Totals{Rooms: 1}) {
		t.Errorf("got %+v", totals)
	}
	if ids := len(s.registry.resumable.rooms); ids != 0 {
		t.Errorf("%d private ids are known", ids)
	}
}

// Whoever comes back is found in the room that has its Connection now, whatever room had it before.
func TestPrivateIDsFollowTheirRooms(t *testing.T) {
	s := newScene(t, "A", "B")
	resume := func(id string, want error) {
		t.Helper()
		if err := s.registry.Resume("", id, &recorder{scene: s, name: "A"}, func(Resumed) {}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", id, err, want)
		}
	}
	s.join("A")
	resume("rpc-A", nil)
	s.desired.Connections[0].PrivateID = "another"
	s.apply()
	resume("rpc-A", ErrNotResumed)
	resume("another", nil)
	s.desired.UID = "another-uid" // it takes the place of the other, with the same connections
	s.registry.Apply(s.desired)
	resume("another", ErrNotResumed)
	s.join("A")
	resume("another", nil)
	s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
	resume("another", ErrNotResumed)
	if ids := len(s.registry.resumable.rooms); ids != 0 {
		t.Errorf("%d private ids are known", ids)
	}
}
