package room

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoShowsTheSecretMayDoEverything(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	stream := s.publish("A")
	s.join("B")
	insider := s.intrude("I", BySecret)
	id := insider.ConnectionID()
	if !regexp.MustCompile(`^con_[A-Z][0-9A-Za-z]{9}$`).MatchString(id) {
		t.Errorf("its id is %s", id)
	}
	if got := strings.Count(s.text(), "participantJoined "+strings.TrimPrefix(id, "con_")); got != 2 {
		t.Errorf("%d were told that it joined:\n%s", got, s.text())
	}
	s.must(s.tryPublish("I", "offer"))
	s.must(insider.ForceUnpublish(stream, func() {}))
	s.must(insider.ForceDisconnect("con_B", func() {}))
	s.apply() // what is desired does not know it
	s.must(insider.Alive())
	snapshot, _ := s.registry.Snapshot(s.desired.UID)
	if totals := s.registry.Totals(); len(snapshot.Connections) != 2 || totals.ActiveConnections != 1 {
		t.Errorf("%d connections are observed, %d are active", len(snapshot.Connections), totals.ActiveConnections)
	}
	s.must(insider.Leave())
	if got := strings.Count(s.text(), "participantLeft "+strings.TrimPrefix(id, "con_")); got != 1 {
		t.Errorf("%d were told that it left:\n%s", got, s.text())
	}
	s.must(s.users["A"].Alive())
}

func TestARecorderComesBackWithinTheWindowOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A")
		s.join("A")
		r := s.intrude("R", BySecretAsRecorder)
		private := r.RPCSessionID()
		s.apply()
		r.Detach(r.link)
		time.Sleep(DefaultReconnectWindow - time.Nanosecond)
		link := &recorder{scene: s, name: "R", reading: true}
		s.must(s.registry.Reattach("", private, link, func(*Participant) {}))
		r.Detach(link)
		time.Sleep(DefaultReconnectWindow + time.Nanosecond)
		if err := s.registry.Reattach("", private, link, func(*Participant) {}); !errors.Is(err, ErrReconnection) {
			t.Errorf("got %v", err)
		}
		if strings.Contains(s.text(), "A <- participant") {
			t.Errorf("A was told:\n%s", s.text())
		}
	})
}

func TestARecorderMayComeFirst(t *testing.T) {
	s := newScene(t, "A")
	r := s.intrude("R", BySecretAsRecorder)
	s.must(r.Alive())
	s.must(s.join("A").Leave())
	wantCode(t, r.Alive(), CodeUserNotFound)
}

func TestNobodyShowsASecretToAClosedRoom(t *testing.T) {
	s := newScene(t, "A")
	room, _ := s.registry.Lookup(s.desired.Key)
	s.registry.Stop(ReasonServerStopped)
	link := &recorder{scene: s, name: "R", reading: true}
	if err := room.Join(JoinRequest{Admission: BySecret}, link, func(Joined) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
