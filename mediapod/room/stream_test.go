package room

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
)

var candidate = media.ICECandidate{Candidate: "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host", SDPMid: "0"}

func (s *scene) tryPublish(name, offer string) error {
	return s.users[name].Publish(context.Background(), camera, offer, func(Stream, string) {})
}

func TestAFailedPublicationIsUndone(t *testing.T) {
	for name, c := range map[string]struct {
		offer     string
		forced    string
		otherwise bool    // transcoding is allowed, so the codec is not forced in the end
		want      refusal // "" is success
	}{
		"a good offer":                                {offer: "offer"},
		"a malformed offer":                           {offer: mediatest.Malformed, want: badSDP},
		"an offer without the forced codec":           {offer: mediatest.OnlyH264, forced: "VP8", want: badCodec},
		"the same where any codec will do in the end": {offer: mediatest.OnlyH264, forced: "VP8", otherwise: true},
		"a malformed offer where any codec would do":  {offer: mediatest.Malformed, forced: "VP8", otherwise: true, want: badSDP},
		"an offer with the forced codec":              {offer: mediatest.OnlyH264, forced: "H264"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B")
			s.desired.ForcedVideoCodec, s.desired.AllowTranscoding = c.forced, c.otherwise
			s.apply()
			s.join("A")
			s.join("B")
			err := s.tryPublish("A", c.offer)
			if c.want == "" {
				s.must(err)
				wantRefusal(t, s.tryPublish("A", c.offer), tooManyStreams)
				return
			}
			wantRefusal(t, err, c.want)
			if strings.Contains(s.text(), "participantPublished") {
				t.Error("B was told")
			}
			s.desired.ForcedVideoCodec = ""
			s.apply()
			s.must(s.tryPublish("A", "offer"))
		})
	}
}

func TestTheErrorOfAForcedCodecNamesIt(t *testing.T) {
	s := newScene(t, "A")
	s.desired.ForcedVideoCodec = "VP8"
	s.apply()
	s.join("A")
	var refused MediaError
	if err := s.tryPublish("A", mediatest.OnlyH264); !errors.As(err, &refused) || refused.ForcedCodec != "VP8" {
		t.Errorf("got %v", err)
	}
}

func TestWhoLeavesWhilePublishingHasPublishedNothing(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	s.join("B")
	s.engine.BeforeAnswer = func(string) { s.must(s.users["A"].Leave()) }
	wantRefusal(t, s.tryPublish("A", "offer"), left)
	if strings.Contains(s.text(), "participantPublished") {
		t.Error("B was told")
	}
}

func TestRoles(t *testing.T) {
	for role, may := range map[string]struct{ publish, receive, force bool }{
		"subscriber": {receive: true}, "": {publish: true, receive: true}, "publisher only": {publish: true},
		"moderator": {publish: true, receive: true, force: true},
	} {
		t.Run("role "+role, func(t *testing.T) {
			s := newScene(t, "A:"+role, "B", "C")
			a := s.join("A")
			s.join("B")
			s.join("C")
			stream := s.publish("B")
			if may.receive {
				s.receive("A", stream)
			}
			s.must(a.Signal(nil, Signal{Type: text("t"), Data: text("d")}))

			outcome := func(err error, allowed bool) {
				t.Helper()
				if allowed {
					s.must(err)
				} else {
					wantRefusal(t, err, forbidden)
				}
			}
			outcome(s.tryPublish("A", "offer"), may.publish)
			_, err := a.Subscribe(context.Background(), "again", stream)
			outcome(err, may.receive)
			outcome(a.ForceUnpublish(stream, func() {}), may.force)
			outcome(a.ForceDisconnect("con_C", func() {}), may.force)
		})
	}
}

// Whoever may not receive any more does not.
func TestARoleThatReceivesNothingEndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A", "B")
		s.join("A")
		s.join("B")
		s.receive("A", s.publish("B"))
		s.desired.Connections[0].Role = PublisherOnly
		s.apply()
		synctest.Wait()
		if all := s.engine.Subscriptions(); len(all) != 0 {
			t.Errorf("%d subscriptions", len(all))
		}
		s.desired.Recordings = []Recording{{ID: "room", Roles: []Role{Publisher}}}
		s.apply()
		if !strings.Contains(s.text(), "A <- recordingStarted") {
			t.Errorf("A is not told of the recording\n%s", s.text())
		}
	})
}

func TestModeration(t *testing.T) {
	kinds := map[string]StreamOptions{
		"audio": {HasAudio: true}, "video": {HasVideo: true, TypeOfVideo: "SCREEN"}, "both": {HasAudio: true, HasVideo: true, TypeOfVideo: "CAMERA"},
	}
	for name, c := range map[string]struct {
		moderation Moderation
		allowed    []string
	}{
		"nothing is blocked": {Moderation{}, []string{"audio", "video", "both"}},
		"audio is blocked":   {Moderation{AudioBlocked: true}, []string{"video"}},
		"video is blocked":   {Moderation{VideoBlocked: true}, []string{"audio"}},
		"both are blocked":   {Moderation{AudioBlocked: true, VideoBlocked: true}, nil},
		"another was ended":  {Moderation{EndedStreamIDs: []string{"str_CAM_X123_con_A"}}, []string{"audio", "video", "both"}},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, options := range kinds {
				for _, when := range []string{"before", "while negotiated", "live"} {
					s := newScene(t, "A", "B")
					s.join("A")
					s.join("B")
					moderate := func() {
						s.desired.Connections[0].Moderation = c.moderation
						s.apply()
					}
					s.engine.BeforeAnswer = func(string) {
						if when == "while negotiated" {
							moderate()
						}
					}
					if when == "before" {
						moderate()
					}
					err := s.users["A"].Publish(context.Background(), options, "offer", func(Stream, string) {})
					if when == "live" {
						s.must(err)
						moderate()
					}
					allowed := slices.Contains(c.allowed, kind)
					if !allowed && when != "live" {
						wantRefusal(t, err, forbidden)
						if strings.Contains(s.text(), "participantPublished") {
							t.Errorf("%s %s: B was told", kind, when)
						}
					}
					if live := len(s.state("A").Published) == 1; live != allowed {
						t.Errorf("%s %s: live is %v", kind, when, live)
					}
					if told := strings.Contains(s.text(), "participantUnpublished A forceUnpublishByServer"); told != (when == "live" && !allowed) {
						t.Errorf("%s %s: the end was told: %v", kind, when, told)
					}
				}
			}
		})
	}
}

func TestRefusalsOfStreams(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		do   func(s *scene, stream string) error
		want refusal
	}{
		"to unpublish nothing": {func(s *scene, _ string) error { return s.users["B"].Unpublish() }, noStream},
		"to change nothing":    {func(s *scene, _ string) error { return s.users["B"].ChangeStream(StreamChange{}) }, noStream},
		"to receive of somebody who sends nothing": {func(s *scene, _ string) error {
			_, err := s.users["A"].PrepareReceive(ctx, "str_CAM_X123_con_B")
			return err
		}, noStream},
		"to receive of somebody unknown": {func(s *scene, _ string) error {
			_, err := s.users["A"].PrepareReceive(ctx, "str_CAM_X123_con_X")
			return err
		}, noStream},
		"to receive nonsense":        {func(s *scene, _ string) error { _, err := s.users["A"].PrepareReceive(ctx, "nonsense"); return err }, noStream},
		"to answer without an offer": {func(s *scene, stream string) error { return s.users["B"].Receive(ctx, stream, "answer", func() {}) }, noOffer},
		"a malformed answer": {func(s *scene, stream string) error {
			_, err := s.users["B"].PrepareReceive(ctx, stream)
			s.must(err)
			return s.users["B"].Receive(ctx, stream, mediatest.Malformed, func() {})
		}, badSDP},
		"an answer of a browser that can't decode it": {func(s *scene, stream string) error {
			_, err := s.users["B"].PrepareReceive(ctx, stream)
			s.must(err)
			return s.users["B"].Receive(ctx, stream, mediatest.CantDecode, func() {})
		}, badCodec},
		"to unsubscribe from somebody unknown": {func(s *scene, _ string) error { return s.users["B"].Unsubscribe("con_X") }, noSubscription},
		"to reconnect an unknown stream": {func(s *scene, _ string) error {
			_, err := s.users["B"].ReconnectStream(ctx, "str_CAM_X123_con_X", "offer", false, func() {})
			return err
		}, noStream},
		"to reconnect no stream": {func(s *scene, _ string) error {
			_, err := s.users["B"].ReconnectStream(ctx, "", "offer", false, func() {})
			return err
		}, noStream},
		"a malformed offer on reconnection": {func(s *scene, stream string) error {
			_, err := s.users["A"].ReconnectStream(ctx, stream, mediatest.Malformed, false, func() {})
			return err
		}, badSDP},
		"a malformed candidate": {func(s *scene, _ string) error {
			return s.users["A"].AddICECandidate("con_A", media.ICECandidate{Candidate: mediatest.Malformed})
		}, badCandidate},
		"too many candidates": {func(s *scene, _ string) error {
			for range maxCandidates {
				s.must(s.users["A"].AddICECandidate("con_A", candidate))
			}
			return s.users["A"].AddICECandidate("con_A", candidate)
		}, overTheLimit},
		"to cut an unknown stream":     {func(s *scene, _ string) error { return s.users["M"].ForceUnpublish("str_CAM_X123_con_X", func() {}) }, noStream},
		"to throw out an unknown user": {func(s *scene, _ string) error { return s.users["M"].ForceDisconnect("con_X", func() {}) }, noParticipant},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B", "M:moderator")
			s.join("A")
			s.join("B")
			s.join("M")
			wantRefusal(t, c.do(s, s.publish("A")), c.want)
		})
	}
}

func TestWhoHasLeftIsRefusedEverything(t *testing.T) {
	ctx := context.Background()
	s := newScene(t, "A", "B")
	s.join("B")
	stream := s.publish("B")
	a := s.join("A")
	s.must(a.Leave())
	if !a.link.finished {
		t.Error("the link was not told")
	}
	_, prepare := a.PrepareReceive(ctx, stream)
	_, reconnect := a.ReconnectStream(ctx, stream, "offer", false, func() {})
	for name, err := range map[string]error{
		"Leave": a.Leave(), "Alive": a.Alive(), "Publish": s.tryPublish("A", "offer"), "Unpublish": a.Unpublish(), "PrepareReceive": prepare,
		"Receive": a.Receive(ctx, stream, "answer", func() {}), "Unsubscribe": a.Unsubscribe("con_B"), "ReconnectStream": reconnect,
		"AddICECandidate": a.AddICECandidate("con_B", candidate), "ChangeStream": a.ChangeStream(StreamChange{}), "Signal": a.Signal(nil, Signal{}),
		"ForceDisconnect": a.ForceDisconnect("con_B", func() {}), "ForceUnpublish": a.ForceUnpublish(stream, func() {}),
	} {
		t.Run(name, func(t *testing.T) { wantRefusal(t, err, left) })
	}
}

func TestReconnectingAStreamIsSilentForOthers(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	stream := s.publish("A")
	s.join("B")
	s.receive("B", stream)
	before := s.text()
	for _, id := range []string{stream, ""} {
		again, err := s.users["A"].ReconnectStream(context.Background(), id, "offer", false, func() {})
		s.must(err)
		if again == nil || again.Stream.ID != stream || again.SDPAnswer != "answer to offer" {
			t.Errorf("got %+v", again)
		}
	}
	if after := s.text(); after != before {
		t.Errorf("somebody was told:\n%s", strings.TrimPrefix(after, before))
	}
	// The subscriber rebuilds its side with a new offer of ours.
	_, err := s.users["B"].PrepareReceive(context.Background(), stream)
	s.must(err)
	again, err := s.users["B"].ReconnectStream(context.Background(), stream, "answer", false, func() {})
	s.must(err)
	if again != nil {
		t.Errorf("a subscriber got %+v", again)
	}
	if got := s.state("B").Received; len(got) != 1 {
		t.Errorf("B receives %v", got)
	}
	s.registry.closing.Wait() // what was received before
	if _, open := s.engine.Open(); open != 1 {
		t.Errorf("%d subscriptions are open", open)
	}
}

func TestCandidatesFindTheirPeerConnection(t *testing.T) {
	s := newScene(t, "A", "B")
	a := s.join("A")
	b := s.join("B")
	s.must(a.Participant.Publish(t.Context(), PublishRequest{
		StreamID: "str", Options: camera, SDPOffer: "offer", Candidates: slices.Repeat([]media.ICECandidate{candidate}, 3),
	}, func(Stream, string) {}))
	s.must(a.AddICECandidate("con_A", media.ICECandidate{}))
	if got := s.engine.Candidates(); got != 4 {
		t.Errorf("the publication has %d candidates", got)
	}
	wantRefusal(t, b.AddICECandidate("con_A", candidate), noSubscription)
	wantRefusal(t, b.AddICECandidate("con_X", candidate), noSubscription)
	if got := s.engine.Candidates(); got != 4 {
		t.Errorf("the publication has %d candidates", got)
	}
}

// A participant may send several streams, and receive one of them several times.
func TestSeveralStreamsAndSubscriptions(t *testing.T) {
	ctx := context.Background()
	s := newScene(t, "A", "B")
	a, b := s.join("A"), s.join("B")
	send := func(id string) error {
		request := PublishRequest{StreamID: id, Options: camera, SDPOffer: "offer", MaxStreams: 2}
		return a.Participant.Publish(ctx, request, func(Stream, string) {})
	}
	s.must(send("camera"))
	wantRefusal(t, send("camera"), taken)
	s.must(send("screen"))
	wantRefusal(t, send("third"), tooManyStreams)
	for subscription, stream := range map[string]string{"one": "camera", "two": "camera", "three": "screen"} {
		_, err := b.Subscribe(ctx, subscription, stream)
		s.must(err)
		s.must(b.Answer(ctx, subscription, "answer", false, func() {}))
		s.must(b.AddSubscriberCandidate(subscription, candidate))
	}
	s.must(a.AddPublisherCandidate("screen", candidate))
	if got := s.state("A").Published; len(got) != 2 || got[0].ID != "camera" || got[1].ID != "screen" {
		t.Errorf("A publishes %+v", got)
	}
	if totals := s.registry.Totals(); totals.Publishers != 2 || totals.Subscriptions != 3 {
		t.Errorf("got %+v", totals)
	}
	s.must(b.Unsubscribe("two"))
	s.must(a.Participant.Unpublish("screen"))
	got := s.state("B").Received
	if len(got) != 1 || got[0].SubscriptionID != "one" || got[0].StreamID != "camera" || got[0].Began.IsZero() {
		t.Errorf("B receives %+v", got)
	}
	s.must(send("screen")) // there is a place for it again
	s.must(a.Leave())
	if got := s.state("B").Received; len(got) != 0 {
		t.Errorf("B receives %+v", got)
	}
}

// One stream is received at most so often at once; who subscribes anew under an id does not count
// twice.
func TestSubscriptionsToOneStreamAreBounded(t *testing.T) {
	ctx := context.Background()
	s := newScene(t, "A", "B")
	a, b := s.join("A"), s.join("B")
	s.must(a.Publish(ctx, camera, "offer", func(Stream, string) {}))
	subscribe := func(id string) error {
		_, err := b.Subscribe(ctx, id, a.stream())
		return err
	}
	for i := range maxReceptions {
		s.must(subscribe(strconv.Itoa(i)))
	}
	wantRefusal(t, subscribe("more"), overTheLimit)
	s.must(subscribe("0"))
	s.must(b.Unsubscribe("1"))
	s.must(subscribe("more"))
}

// What a client does not want of a stream stays so when it gets another offer, until it subscribes
// anew.
func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := newScene(t, "A", "B")
		a, b := s.join("A"), s.join("B")
		s.must(a.Publish(ctx, camera, "offer", func(Stream, string) {}))
		delivers := func(want media.Delivery) {
			t.Helper()
			synctest.Wait()
			all := s.engine.Subscriptions()
			if len(all) != 1 {
				t.Fatalf("%d subscriptions", len(all))
			}
			if got := all[0].Delivers(); got != want {
				t.Errorf("delivers %+v, want %+v", got, want)
			}
		}
		wantRefusal(t, b.Deliver("one", small), noSubscription)
		_, err := b.Subscribe(ctx, "one", a.stream())
		s.must(err)
		delivers(media.Delivery{})
		s.must(b.Deliver("one", small))
		delivers(small)
		s.must(b.Answer(ctx, "one", "answer", false, func() {}))
		s.outdate()
		delivers(small)
		_, err = b.Subscribe(ctx, "one", a.stream())
		s.must(err)
		delivers(media.Delivery{})
		s.must(b.Leave())
		wantRefusal(t, b.Deliver("one", media.Delivery{}), left)
	})
}
