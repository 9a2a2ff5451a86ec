package room

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A moderator's wish for mute reaches the owners of the streams, also of those to come, and nobody
// else may have one.
func TestForceMute(t *testing.T) {
	ctx := context.Background()
	s := newScene(t, "A", "B", "M:moderator")
	a, b, m := s.join("A"), s.join("B"), s.join("M")
	send := func(u *user, id string, options StreamOptions) {
		t.Helper()
		request := PublishRequest{StreamID: id, Options: options, SDPOffer: "offer", MaxStreams: 3}
		s.must(u.Participant.Publish(ctx, request, func(Stream, string) {}))
	}
	send(a, "camera", camera)
	send(a, "silent", StreamOptions{HasVideo: true, TypeOfVideo: Camera})
	send(b, "other", camera)
	answered := 0
	reply := func() { s.write("  M <- answer") }
	refused := func() { answered++ }
	wantRefusal(t, a.ForceMute("other", refused), forbidden)
	wantRefusal(t, a.ForceMuteAll(nil, refused), forbidden)
	wantRefusal(t, a.DisableForceMute(refused), forbidden)
	wantRefusal(t, m.ForceMute("none", refused), noStream)
	if answered != 0 {
		t.Errorf("%d answers", answered)
	}
	told := func(what string, do func(), want ...string) {
		t.Helper()
		before := len(s.text())
		do()
		if got := strings.TrimSpace(s.text()[before:]); got != strings.Join(want, "\n  ") {
			t.Errorf("%s: got\n  %s\nwant\n  %s", what, got, strings.Join(want, "\n  "))
		}
	}
	told("one", func() { s.must(m.ForceMute("other", reply)) }, "M <- answer", "B <- streamMuteForced other")
	told("all", func() { s.must(m.ForceMuteAll([]string{"other", "none"}, reply)) },
		"M <- answer", "A <- forceMuteChanged true", "B <- forceMuteChanged true", "M <- forceMuteChanged true", "A <- streamMuteForced camera")
	told("a later one", func() { send(b, "later", camera) },
		"A <- participantPublished B later", "M <- participantPublished B later", "B <- streamMuteForced later")
	told("no more", func() { s.must(m.DisableForceMute(reply)) },
		"M <- answer", "A <- forceMuteChanged false", "B <- forceMuteChanged false", "M <- forceMuteChanged false")
	told("a later one", func() { send(a, "last", camera) },
		"B <- participantPublished A last", "M <- participantPublished A last")
	// The server may what a moderator may.
	where := m.Room()
	wantRefusal(t, where.ForceMute("none"), noStream)
	told("one, by the server", func() { s.must(where.ForceMute("camera")) }, "A <- streamMuteForced camera")
	told("all, by the server", func() { s.must(where.ForceMuteAll([]string{"camera", "later", "last"})) },
		"A <- forceMuteChanged true", "B <- forceMuteChanged true", "M <- forceMuteChanged true", "B <- streamMuteForced other")
	told("no more, by the server", func() { s.must(where.DisableForceMute()) },
		"A <- forceMuteChanged false", "B <- forceMuteChanged false", "M <- forceMuteChanged false")
}

func TestNobodyIsMutedWhereNobodyIs(t *testing.T) {
	where, _ := newScene(t, "A").registry.Lookup("room")
	for name, do := range map[string]func() error{
		"one": func() error { return where.ForceMute("camera") }, "all": func() error { return where.ForceMuteAll(nil) }, "no more": where.DisableForceMute,
	} {
		if err := do(); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
