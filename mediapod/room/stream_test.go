package room

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

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
		otherwise bool // transcoding is allowed, so the codec is not forced in the end
		want      Code // 0 is success
	}{
		"a good offer":                                {offer: "offer"},
		"a malformed offer":                           {offer: mediatest.Malformed, want: CodeMediaSDP},
		"an offer without the forced codec":           {offer: mediatest.OnlyH264, forced: "VP8", want: CodeForcedCodecNotFound},
		"the same where any codec will do in the end": {offer: mediatest.OnlyH264, forced: "VP8", otherwise: true},
		"a malformed offer where any codec would do":  {offer: mediatest.Malformed, forced: "VP8", otherwise: true, want: CodeMediaSDP},
		"an offer with the forced codec":              {offer: mediatest.OnlyH264, forced: "H264"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B")
			s.desired.ForcedVideoCodec, s.desired.AllowTranscoding = c.forced, c.otherwise
			s.apply()
			s.join("A")
			s.join("B")
			err := s.tryPublish("A", c.offer)
			if c.want == 0 {
				s.must(err)
				wantCode(t, s.tryPublish("A", c.offer), CodeUserAlreadyStreams)
				return
			}
			wantCode(t, err, c.want)
			if strings.Contains(s.text(), "participantPublished") {
				t.Error("B was told")
			}
			s.desired.ForcedVideoCodec = ""
			s.apply()
			s.must(s.tryPublish("A", "offer"))
		})
	}
}

func TestTheErrorOfAForcedCodecIsTheReferences(t *testing.T) {
	s := newScene(t, "A")
	s.desired.ForcedVideoCodec = "VP8"
	s.apply()
	s.join("A")
	err := s.tryPublish("A", mediatest.OnlyH264)
	if want := "Error forcing codec: 'VP8', for PARTICIPANT: 'con_A' in Session: 'room'. Is publishing: 'true'."; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q", err)
	}
}

func TestWhoLeavesWhilePublishingHasPublishedNothing(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	s.join("B")
	s.engine.BeforeAnswer = func(string) { s.must(s.users["A"].Leave()) }
	wantCode(t, s.tryPublish("A", "offer"), CodeUserNotFound)
	if strings.Contains(s.text(), "participantPublished") {
		t.Error("B was told")
	}
}

func TestRoles(t *testing.T) {
	for role, may := range map[string]struct{ publish, force bool }{
		"subscriber": {}, "": {publish: true}, "moderator": {publish: true, force: true},
	} {
		t.Run("role "+role, func(t *testing.T) {
			s := newScene(t, "A:"+role, "B", "C")
			a := s.join("A")
			s.join("B")
			s.join("C")
			stream := s.publish("B")
			s.receive("A", stream)
			s.must(a.Signal(nil, Signal{Type: text("t"), Data: text("d")}))

			outcome := func(err error, allowed bool) {
				t.Helper()
				if allowed {
					s.must(err)
				} else {
					wantCode(t, err, CodeUnauthorized)
				}
			}
			outcome(s.tryPublish("A", "offer"), may.publish)
			outcome(a.ForceUnpublish(stream, func() {}), may.force)
			outcome(a.ForceDisconnect("con_C", func() {}), may.force)
		})
	}
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
						wantCode(t, err, CodeUnauthorized)
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
		want Code
	}{
		"to unpublish nothing":      {func(s *scene, _ string) error { return s.users["B"].Unpublish() }, CodeUserNotStreaming},
		"to change nothing":         {func(s *scene, _ string) error { return s.users["B"].ChangeStream(PropertyChange{}) }, CodeUserNotStreaming},
		"to receive the own stream": {func(s *scene, stream string) error { _, err := s.users["A"].PrepareReceive(ctx, stream); return err }, CodeUserNotStreaming},
		"to receive of somebody who sends nothing": {func(s *scene, _ string) error {
			_, err := s.users["A"].PrepareReceive(ctx, "str_CAM_X123_con_B")
			return err
		}, CodeUserNotStreaming},
		"to receive of somebody unknown": {func(s *scene, _ string) error {
			_, err := s.users["A"].PrepareReceive(ctx, "str_CAM_X123_con_X")
			return err
		}, CodeUserNotFound},
		"to receive nonsense":        {func(s *scene, _ string) error { _, err := s.users["A"].PrepareReceive(ctx, "nonsense"); return err }, CodeUserNotFound},
		"to answer without an offer": {func(s *scene, stream string) error { return s.users["B"].Receive(ctx, stream, "answer", func() {}) }, CodeMediaEndpoint},
		"a malformed answer": {func(s *scene, stream string) error {
			_, err := s.users["B"].PrepareReceive(ctx, stream)
			s.must(err)
			return s.users["B"].Receive(ctx, stream, mediatest.Malformed, func() {})
		}, CodeMediaSDP},
		"an answer of a browser that can't decode it": {func(s *scene, stream string) error {
			_, err := s.users["B"].PrepareReceive(ctx, stream)
			s.must(err)
			return s.users["B"].Receive(ctx, stream, mediatest.CantDecode, func() {})
		}, CodeForcedCodecNotFound},
		"to unsubscribe from somebody unknown": {func(s *scene, _ string) error { return s.users["B"].Unsubscribe("con_X") }, CodeUserNotFound},
		"to reconnect an unknown stream": {func(s *scene, _ string) error {
			_, err := s.users["B"].ReconnectStream(ctx, "str_CAM_X123_con_X", "offer", false, func() {})
			return err
		}, CodeUserNotStreaming},
		"to reconnect no stream": {func(s *scene, _ string) error {
			_, err := s.users["B"].ReconnectStream(ctx, "", "offer", false, func() {})
			return err
		}, CodeUserNotStreaming},
		"a malformed offer on reconnection": {func(s *scene, stream string) error {
			_, err := s.users["A"].ReconnectStream(ctx, stream, mediatest.Malformed, false, func() {})
			return err
		}, CodeMediaSDP},
		"a malformed candidate": {func(s *scene, _ string) error {
			return s.users["A"].AddICECandidate("con_A", media.ICECandidate{Candidate: mediatest.Malformed})
		}, CodeMediaCandidate},
		"too many candidates": {func(s *scene, _ string) error {
			for range maxCandidates {
				s.must(s.users["A"].AddICECandidate("con_A", candidate))
			}
			return s.users["A"].AddICECandidate("con_A", candidate)
		}, CodeMediaCandidate},
		"to cut an unknown stream":     {func(s *scene, _ string) error { return s.users["M"].ForceUnpublish("str_CAM_X123_con_X", func() {}) }, CodeUserNotStreaming},
		"to throw out an unknown user": {func(s *scene, _ string) error { return s.users["M"].ForceDisconnect("con_X", func() {}) }, CodeUserNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B", "M:moderator")
			s.join("A")
			s.join("B")
			s.join("M")
			wantCode(t, c.do(s, s.publish("A")), c.want)
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
		"AddICECandidate": a.AddICECandidate("con_B", candidate), "ChangeStream": a.ChangeStream(PropertyChange{}), "Signal": a.Signal(nil, Signal{}),
		"ForceDisconnect": a.ForceDisconnect("con_B", func() {}), "ForceUnpublish": a.ForceUnpublish(stream, func() {}),
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, err, CodeUserNotFound) })
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
	for range 3 { // before there is a stream: kept
		s.must(a.AddICECandidate("con_A", candidate))
	}
	s.publish("A")
	s.must(a.AddICECandidate("con_A", media.ICECandidate{}))
	if got := s.engine.Candidates(); got != 4 {
		t.Errorf("the publication has %d candidates", got)
	}
	s.must(b.AddICECandidate("con_A", candidate)) // for what B does not receive: dropped
	s.must(b.AddICECandidate("con_X", candidate)) // late ones must not be an error
	if got := s.engine.Candidates(); got != 4 {
		t.Errorf("the publication has %d candidates", got)
	}
}

func TestCandidatesOfRefusedAttemptsDoNotPileUp(t *testing.T) {
	s := newScene(t, "A:subscriber")
	a := s.join("A")
	for range 10 {
		wantCode(t, s.tryPublish("A", "offer"), CodeUnauthorized)
		for range maxEarlyCandidates / 2 {
			s.must(a.AddICECandidate("con_A", candidate))
		}
	}
}

func TestStreamIDs(t *testing.T) {
	for kind, options := range map[string]StreamOptions{
		"MIC": {HasAudio: true},
		"CAM": {HasVideo: true, TypeOfVideo: "CAMERA"},
		"SCR": {HasVideo: true, TypeOfVideo: "SCREEN"},
		"CUS": {HasVideo: true, TypeOfVideo: "CUSTOM"},
	} {
		if got := streamID(options, "con_A123456789"); !regexp.MustCompile(`^str_` + kind + `_[A-Z][0-9A-Za-z]{3}_con_A123456789$`).MatchString(got) {
			t.Errorf("got %s", got)
		}
	}
}
