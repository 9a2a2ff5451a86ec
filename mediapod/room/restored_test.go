package room

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
)

// lose makes the scene that is on another pod once this one's is lost: with what was observed here.
func (s *scene) lose(t *testing.T) *scene {
	t.Helper()
	next := newScene(t)
	next.desired = s.desired
	next.desired.Known = true
	observed, _ := s.registry.Snapshot(s.desired.UID)
	next.desired.ForceMute = observed.ForceMute
	next.desired.Connections = slices.Clone(s.desired.Connections)
	for i := range next.desired.Connections {
		c := &next.desired.Connections[i]
		seen := s.state(strings.TrimPrefix(c.UID, "uid-"))
		c.Spent = seen.State != Pending
		if seen.State == Active {
			c.Presence = &Presence{Activated: seen.ActiveTime, Client: seen.Client, Published: seen.Published, Received: seen.Received}
		}
	}
	next.registry.Remove(next.desired.UID, reasons.SessionClosedByServer)
	next.registry.Outbox().Acknowledge(next.desired.UID, 1<<62)
	next.registry.Apply(next.desired)
	return next
}

// arrive lets a user of the room before resume.
func (s *scene) arrive(name string) (u *user, awaitsMedia bool) {
	s.t.Helper()
	s.write("%s comes back", name)
	u = &user{link: &recorder{scene: s, name: name, reading: true}}
	s.must(s.registry.Resume(s.desired.Key, "rpc-"+name, u.link, func(resumed Resumed) {
		u.Participant, awaitsMedia = resumed.Participant, resumed.AwaitsMedia
		s.write("  %s <- resumed", name)
	}))
	s.users[name] = u
	return u, awaitsMedia
}

// inCall makes a room in which A and B send and receive each other, and C only receives A.
func inCall(t *testing.T) *scene {
	t.Helper()
	s := newScene(t, "A", "B:moderator", "C:subscriber", "D")
	for _, name := range []string{"A", "B", "C"} {
		s.join(name)
	}
	a, b := s.publish("A"), s.publish("B")
	s.must(s.users["A"].ChangeStream(StreamChange{AudioActive: new(bool)}))
	s.receive("A", b)
	s.receive("B", a)
	s.receive("C", a)
	return s
}

// What is observed of a room that was restored is what was observed before, but for who is away.
func TestARoomIsRestoredAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		time.Sleep(time.Minute)
		after := before.lose(t)
		for _, name := range []string{"A", "B", "C", "D"} {
			want, got := before.state(name), after.state(name)
			want.Restored = want.State == Active
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s is\n%+v, want\n%+v", name, got, want)
			}
		}
		if events := after.written(); len(events) != 0 {
			t.Errorf("these are told again: %q", events)
		}
		checkpoints, _ := after.registry.Outbox().Replay()
		var open []string
		for _, event := range checkpoints[0].GetOpen() {
			open = append(open, memberPattern.ReplaceAllString(line(event), "$1"))
		}
		want := []string{
			"A joined", "A begins its own", "B joined", "B begins its own", "C joined",
			"A begins of B", "B begins of A", "C begins of A",
		}
		if !slices.Equal(open, want) || !checkpoints[0].GetBegun() {
			t.Errorf("open are %q", open)
		}

		// Once more: a room may lose two pods in a row.
		third := after.lose(t)
		for _, name := range []string{"A", "B", "C", "D"} {
			if want, got := after.state(name), third.state(name); !reflect.DeepEqual(got, want) {
				t.Errorf("%s is\n%+v, want\n%+v", name, got, want)
			}
		}
	})
}

// small is what a client wants that shows a stream as a thumbnail.
var small = media.Delivery{NoAudio: true, MaxSize: media.Dimensions{Width: 320, Height: 180}, MaxFrameRate: 7}

// What users have asked for holds in a restored room as it did before: names, mute, and what is
// delivered to them.
func TestWhatUsersAskedForIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		streamOfB := before.streamOf("B")
		named := StreamOptions{HasAudio: true, AudioActive: true, Name: "Anna", Initials: "A"}
		before.must(before.users["A"].Participant.Publish(context.Background(), PublishRequest{
			StreamID: "named", Options: named, SDPOffer: "offer", MaxStreams: 2,
		}, func(Stream, string) {}))
		before.must(before.users["A"].Deliver("con_B", small))
		before.must(before.users["C"].Deliver("con_A", media.Delivery{NoAudio: true, NoVideo: true}))
		before.must(before.users["B"].ForceMuteAll([]string{"named"}, func() {}))
		after := before.lose(t)
		for _, name := range []string{"A", "B", "C"} {
			want, got := before.state(name), after.state(name)
			want.Restored = true
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s is\n%+v, want\n%+v", name, got, want)
			}
		}
		if got := after.state("A").Published[1]; got.StreamOptions != named || got.MuteForced {
			t.Errorf("A sends %+v", got)
		}
		if got := after.state("A").Received[0]; got.Delivery != small || got.StreamID != streamOfB || !got.Lasting {
			t.Errorf("A receives %+v", got)
		}

		// D, who is new, has to be mute, and so has B still, who has not heard of it. A was mute.
		after.join("D")
		streamOfD := after.publish("D")
		a, _ := after.arrive("A")
		after.arrive("B")
		for name, told := range map[string]string{"A": "", "B": streamOfB, "D": streamOfD} {
			line := name + " <- streamMuteForced " + memberPattern.ReplaceAllString(streamPattern.ReplaceAllString(told, "stream($2,$1)"), "$1")
			if got := strings.Contains(after.text(), line); got != (told != "") {
				t.Errorf("%s is asked to mute: %v\n%s", name, got, after.text())
			}
		}
		time.Sleep(settlingTime)
		synctest.Wait()
		if got := after.engine.Delivers("con_A"); got != small {
			t.Errorf("A gets %+v", got)
		}
		after.must(a.Leave())
		after.must(after.users["B"].DisableForceMute(func() {}))
		if observed, _ := after.registry.Snapshot(after.desired.UID); observed.ForceMute {
			t.Error("streams have to be muted still")
		}
	})
}

// takenOver is an engine that goes on with the media of every room.
type takenOver struct{ *mediatest.Engine }

func (e takenOver) Resume(options media.PublicationOptions) (media.Publication, bool) {
	return e.NewPublication(options), true
}

func (e takenOver) ResumeSubscription(p media.Publication, options media.SubscriptionOptions) (media.Subscription, bool) {
	s, _, err := e.Subscribe(context.Background(), p, options)
	return s, err == nil
}

// Media that goes on is what the client wants of it.
func TestWhatIsDeliveredWhereMediaGoesOn(t *testing.T) {
	before := inCall(t)
	before.must(before.users["A"].Deliver("con_B", small))
	engine := takenOver{&mediatest.Engine{}}
	registry := NewRegistry(engine, logr.Discard())
	registry.Apply(before.lose(t).desired)
	for name, want := range map[string]media.Delivery{"A": small, "B": {}} {
		if got := engine.Delivers("con_" + name); got != want {
			t.Errorf("%s gets %+v", name, got)
		}
	}
	registry.Stop()
	registry.Wait()
}

func TestWhoComesBackToARestoredRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		streamOfA, streamOfB := before.streamOf("A"), before.streamOf("B")
		after := before.lose(t)

		d := after.join("D")
		if _, err := d.PrepareReceive(context.Background(), streamOfA); err != nil {
			t.Errorf("what nobody sends yet can't be received: %v", err)
		}
		after.must(d.Receive(context.Background(), streamOfA, "answer", func() {}))

		a, awaited := after.arrive("A")
		if !awaited || a.stream() != streamOfA {
			t.Errorf("A sends %q, awaited: %v", a.stream(), awaited)
		}
		if c, awaited := after.arrive("C"); awaited || c.seat.desired.Role != Subscriber {
			t.Errorf("C, who sends nothing, is awaited: %v", awaited)
		}
		after.must(d.Signal(nil, Signal{}))
		// A asks for what it received by itself, C does not.
		_, err := a.PrepareReceive(context.Background(), streamOfB)
		after.must(err)
		_, err = a.ReconnectStream(context.Background(), streamOfB, "answer", false, after.answered("A"))
		after.must(err)
		time.Sleep(settlingTime)
		synctest.Wait()
		after.must(after.users["C"].Answer(context.Background(), "con_A", "answer", true, after.answered("C")))

		again, answer, err := a.Reconnect(context.Background(), streamOfA, "offer")
		if err != nil || again.ID != streamOfA || answer != "answer to offer" {
			t.Errorf("A gets %+v, %q, %v", again, answer, err)
		}
		if _, awaited := after.arrive("A"); awaited {
			t.Error("A is awaited still")
		}
		after.golden("who comes back to a restored room")

		for _, name := range []string{"A", "C"} {
			if state := after.state(name); state.Restored || state.State != Active {
				t.Errorf("%s is %+v", name, state)
			}
		}
		if state := after.state("B"); !state.Restored {
			t.Errorf("B is %+v", state)
		}
	})
}

// A client may answer an offer that it has got of the pod before. It receives the stream by another
// offer then, whatever it received before.
func TestAnOfferOfThePodBeforeIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		streamOfA, streamOfB := before.streamOf("A"), before.streamOf("B")
		for _, id := range []string{streamOfA, streamOfB} {
			_, err := before.users["C"].PrepareReceive(context.Background(), id)
			before.must(err)
		}
		after := before.lose(t)
		after.arrive("B")
		c, _ := after.arrive("C")
		for _, id := range []string{streamOfA, streamOfB} {
			if err := c.Receive(context.Background(), id, "answer", func() {}); !errors.Is(err, ErrNoOffer) {
				t.Errorf("the answer to an offer of another pod: %v", err)
			}
			after.must(c.Resubscribe(publisherOf(id), id, after.answered("C")))
			synctest.Wait()
			// The gateway repeats the answer after that other offer was made. The client takes its
			// time for that.
			after.must(c.Resubscribe(publisherOf(id), id, after.answered("C")))
			time.Sleep(settlingTime)
			synctest.Wait()
			after.must(c.Answer(context.Background(), publisherOf(id), "answer", true, after.answered("C")))
		}
		if got := after.state("C").Received; len(got) != 2 || slices.ContainsFunc(got, func(r Reception) bool { return r.Began.IsZero() }) {
			t.Errorf("C receives %+v", got)
		}
		if err := c.Resubscribe("con_X", "str_CAM_0000_con_X", func() {}); !errors.As(err, new(NotFoundError)) {
			t.Errorf("a stream that there is not: %v", err)
		}
		after.golden("an offer of the pod before")

		d := after.join("D")
		time.Sleep(2 * offerLife)
		for _, u := range []*user{c, d} {
			if err := u.Resubscribe(publisherOf(streamOfB), streamOfB, func() { t.Error("answered") }); !errors.Is(err, ErrNoOffer) {
				t.Errorf("who can't have an offer of another pod: %v", err)
			}
		}
	})
}

// Who does not come back leaves as after the loss of a socket, with its streams, since when it was
// there.
func TestWhoDoesNotComeBackToARestoredRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		time.Sleep(time.Minute)
		after := before.lose(t)
		after.arrive("B")
		after.arrive("C")
		time.Sleep(DefaultReconnectWindow - time.Nanosecond)
		if state := after.state("A").State; state != Active {
			t.Errorf("A is %v before the window is over", state)
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if state := after.state("A"); state.State != Disconnected || state.Reason != reasons.NetworkDisconnect || !state.ActiveTime.Equal(before.state("A").ActiveTime) {
			t.Errorf("A is %+v", state)
		}
		if err := after.registry.Resume("", "rpc-A", &recorder{scene: after}, func(Resumed) {}); !errors.Is(err, ErrNotResumed) {
			t.Errorf("A comes back after all: %v", err)
		}
		want := []string{
			"B ends of A: networkDisconnect", "C ends of A: networkDisconnect", "A ends of B: networkDisconnect",
			"A ends its own: networkDisconnect", "A left: networkDisconnect",
		}
		if got := after.written(); !slices.Equal(got, want) {
			t.Errorf("told are %q, want %q", got, want)
		}
		for _, batch := range after.registry.Outbox().After(0) {
			for _, event := range batch.Events {
				since := event.GetParticipantLeft().GetJoinedUnixMs() + event.GetWebrtcConnectionDestroyed().GetCreatedUnixMs()
				if since != before.state("A").ActiveTime.UnixMilli() {
					t.Errorf("%s since %d", line(event), since)
				}
			}
		}
		if events := after.registry.Departures(); events[reasons.NetworkDisconnect] != 1 {
			t.Errorf("left are %v", events)
		}
	})
}

// A client that is stranded stays beyond its window while its media is heard, for a bounded time.
func TestAStrandedClientStaysWhileItsMediaIsHeard(t *testing.T) {
	const never = -time.Second
	for name, c := range map[string]struct {
		strand bool
		hears  func(s *scene, until time.Time)
		heard  time.Duration // for how long, or never
		want   time.Duration // until it is evicted
	}{
		"no media":       {true, func(*scene, time.Time) {}, never, DefaultReconnectWindow},
		"it has gone":    {true, hearPublisher, 3 * time.Second, DefaultReconnectWindow},
		"it sends":       {true, hearPublisher, 58 * time.Second, 65 * time.Second},
		"it receives":    {true, hearSubscriber, 58 * time.Second, 65 * time.Second},
		"for ever":       {true, hearPublisher, time.Hour, strandedWindow},
		"its own socket": {false, hearPublisher, time.Hour, DefaultReconnectWindow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inCall(t)
				a := s.users["A"]
				began := time.Now()
				if c.strand {
					a.Strand(a.link)
				} else {
					a.Suspend(a.link)
				}
				for time.Since(began) <= 2*strandedWindow && s.state("A").State == Active {
					if since := time.Since(began); since <= c.heard {
						c.hears(s, time.Now())
					}
					time.Sleep(time.Second)
				}
				state := s.state("A")
				if got := state.DisconnectedTime.Sub(began); state.Reason != reasons.NetworkDisconnect || got != c.want {
					t.Errorf("left after %v for %q, want %v", got, state.Reason, c.want)
				}
			})
		})
	}
}

// A client that comes back and is lost again by its own doing is not stranded any more.
func TestAClientIsStrandedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inCall(t)
		a := s.users["A"]
		a.Strand(a.link)
		time.Sleep(time.Second)
		back, _ := s.arrive("A")
		back.Suspend(back.link)
		began := time.Now()
		for time.Since(began) < strandedWindow && s.state("A").State == Active {
			hearPublisher(s, time.Now())
			time.Sleep(time.Second)
		}
		if got := s.state("A").DisconnectedTime.Sub(began); got != DefaultReconnectWindow {
			t.Errorf("left after %v", got)
		}
	})
}

func hearPublisher(s *scene, until time.Time) {
	for _, p := range s.engine.Publications() {
		if p.Options.StreamID == s.streamOf("A") {
			p.Hear(until)
		}
	}
}

func hearSubscriber(s *scene, until time.Time) {
	for _, one := range s.engine.Subscriptions() {
		if one.Options.Participant == "con_A" {
			one.Hear(until)
		}
	}
}

// A token that was used before works no more, and one that was not still does.
func TestTokensOfARestoredRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		after := before.lose(t)
		room, _ := after.registry.Lookup("room")
		if err := room.Join(JoinRequest{Token: "tok_A"}, &recorder{scene: after}, func(Joined) {}); !errors.Is(err, ErrToken) {
			t.Errorf("the token of A, who is away, gives %v", err)
		}
		after.join("D")
	})
}

// What the operator says of a participant that is known here means nothing: it may be old.
func TestAPresenceIsOnlyForThoseWhoAreNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		after := before.lose(t)
		presences := slices.Clone(before.desired.Connections)
		b, _ := after.arrive("B")
		after.must(b.Leave())
		b, _ = after.arrive("A")
		after.must(b.Unpublish())
		for i := range presences {
			c := &presences[i]
			c.Spent, c.Presence = true, &Presence{Activated: time.Now(), Published: []Stream{{ID: "str_CAM_9999_" + c.ID, Created: time.Now(), StreamOptions: camera}}}
		}
		after.desired.Connections = presences[:3]
		after.apply()
		if state := after.state("B"); state.State != Disconnected || state.Reason != reasons.Disconnect {
			t.Errorf("B is %+v", state)
		}
		if state := after.state("A"); state.State != Active || len(state.Published) != 0 || state.Restored {
			t.Errorf("A is %+v", state)
		}
	})
}

// What a participant may not send any more by now is not there.
func TestARestoredStreamThatIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := inCall(t)
		before.desired.Connections[0].Moderation.VideoBlocked = true
		after := before.lose(t)
		if state := after.state("A"); state.State != Active || len(state.Published) != 0 {
			t.Errorf("A is %+v", state)
		}
		if got, want := after.written(), []string{
			"B ends of A: forceUnpublishByServer", "C ends of A: forceUnpublishByServer", "A ends its own: forceUnpublishByServer",
		}; !slices.Equal(got, want) {
			t.Errorf("told are %q", got)
		}
		after.arrive("A")
		if !strings.Contains(after.text(), "A <- participantUnpublished A forceUnpublishByServer") {
			t.Errorf("A is not told:\n%s", after.text())
		}
	})
}

// The forced codec holds for who comes back, unless somebody without it may be in the room.
func TestTheCodecOfRestoredStreams(t *testing.T) {
	for _, anyCodec := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			before := inCall(t)
			before.desired.ForcedVideoCodec, before.desired.AllowTranscoding = "VP8", anyCodec
			after := before.lose(t)
			a, _ := after.arrive("A")
			_, _, err := a.Reconnect(context.Background(), a.stream(), "only H264")
			if refused := errors.Is(err, media.ErrForcedCodec); refused == anyCodec {
				t.Errorf("any codec is %v, and the offer gives %v", anyCodec, err)
			}
		})
	}
}
