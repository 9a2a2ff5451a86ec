package room

import (
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/internal/reasons"
)

// A recording is told of once when it starts and once when it ends, to those with its roles; who
// joins meanwhile learns of it with the answer.
func TestParticipantsAreToldOfRecordings(t *testing.T) {
	s := newScene(t, "A:moderator", "B", "C:subscriber", "D", "E:subscriber")
	for _, name := range []string{"A", "B", "C"} {
		s.join(name)
	}
	told := func(want ...string) {
		t.Helper()
		text := s.text()
		for _, name := range []string{"A", "B", "C"} {
			for _, line := range want {
				who, what, _ := strings.Cut(line, " ")
				if n := strings.Count(text, name+" <- "+what); n != strings.Count(who, name) {
					t.Errorf("%s was told %d times of %q:\n%s", name, n, what, text)
				}
			}
		}
	}
	speakers := []Role{Publisher, Moderator}
	s.desired.Recordings = []Recording{{ID: "room", Name: "daily", Roles: speakers}}
	s.apply()
	s.apply()
	told("AB recordingStarted room daily")

	room, _ := s.registry.Lookup("room")
	for name, want := range map[string]string{"D": "daily", "E": ""} {
		err := room.Join(JoinRequest{Token: "tok_" + name}, &recorder{scene: s, name: name}, func(joined Joined) {
			got := ""
			if joined.Recording != nil {
				got = joined.Recording.Name
			}
			if got != want {
				t.Errorf("%s learns of %q, want %q", name, got, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	// The next one starts with the same message that ends the first.
	s.desired.Recordings = []Recording{
		{ID: "room~1", Name: "weekly", Roles: []Role{Subscriber}}, {ID: "room", Name: "daily", Stopped: true, Reason: reasons.AutomaticStop, Roles: speakers},
	}
	s.apply()
	told("AB recordingStopped room daily automaticStop", "C recordingStarted room~1 weekly")
	// It is deleted while it runs.
	s.desired.Recordings = nil
	s.apply()
	told("AB recordingStarted room daily", "AB recordingStopped room daily automaticStop", "C recordingStopped room~1 weekly recordingStoppedByServer")
	// One that has ended before it was told of has nobody told.
	s.desired.Recordings = []Recording{{ID: "room~2", Stopped: true, Roles: speakers}}
	s.apply()
	if strings.Contains(s.text(), "room~2") {
		t.Errorf("somebody was told:\n%s", s.text())
	}
}

// A room that comes to another pod has told its participants already.
func TestARoomIsMadeWithRecordingsThatWereToldOf(t *testing.T) {
	s := newScene(t, "A")
	room := newRoom(s.registry, s.desired)
	desired := s.desired
	desired.Recordings = []Recording{{ID: "room", Roles: []Role{Publisher}}}
	room.apply(desired)
	if len(room.recordings) != 1 || !room.applied {
		t.Errorf("it has %v", room.recordings)
	}
	desired.Recordings = []Recording{{ID: "room", Stopped: true, Roles: []Role{Publisher}}}
	room.apply(desired)
	if !room.recordings[0].Stopped {
		t.Errorf("it has %v", room.recordings)
	}
}
