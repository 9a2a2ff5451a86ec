package room

import (
	"errors"
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
	insider := s.intrude("I", asPrivileged)
	id := insider.ConnectionID()
	if id != asPrivileged.ConnectionID {
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
		r := s.intrude("R", asRecorder)
		private := r.PrivateID()
		s.apply()
		r.Suspend(r.link)
		time.Sleep(DefaultReconnectWindow - time.Nanosecond)
		link := &recorder{scene: s, name: "R", reading: true}
		s.must(s.registry.Resume("", private, link, func(Resumed) {}))
		r.Suspend(link)
		time.Sleep(DefaultReconnectWindow + time.Nanosecond)
		if err := s.registry.Resume("", private, link, func(Resumed) {}); !errors.Is(err, ErrNotResumed) {
			t.Errorf("got %v", err)
		}
		if strings.Contains(s.text(), "A <- participant") {
			t.Errorf("A was told:\n%s", s.text())
		}
	})
}

func TestARecorderMayComeFirst(t *testing.T) {
	s := newScene(t, "A")
	r := s.intrude("R", asRecorder)
	s.must(r.Alive())
	s.must(s.join("A").Leave())
	wantRefusal(t, r.Alive(), left)
}

func TestNobodyShowsASecretToAClosedRoom(t *testing.T) {
	s := newScene(t, "A")
	room, _ := s.registry.Lookup(s.desired.Key)
	s.registry.Stop()
	link := &recorder{scene: s, name: "R", reading: true}
	if err := room.Join(JoinRequest{Claims: &asPrivileged}, link, func(Joined) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestClaimsTakeNobodysID(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	s.intrude("I", asPrivileged)
	room, _ := s.registry.Lookup(s.desired.Key)
	for name, claims := range map[string]Claims{
		"of somebody in the room":    {ConnectionID: "con_A"},
		"of somebody yet to come":    {ConnectionID: "con_B"},
		"of somebody hidden":         {ConnectionID: "con_A", Hidden: true},
		"of somebody else by claims": asPrivileged,
	} {
		t.Run(name, func(t *testing.T) {
			err := room.Join(JoinRequest{Claims: &claims}, &recorder{scene: s}, func(Joined) {})
			wantRefusal(t, err, taken)
		})
	}
}

// Who comes by claims alone has the rights of its role.
func TestTheRoleOfClaimsDecides(t *testing.T) {
	for role, may := range map[Role]refusal{Subscriber: forbidden, Publisher: "<nil>", Moderator: "<nil>"} {
		s := newScene(t, "A")
		s.join("A")
		s.intrude("I", Claims{ConnectionID: "con_I", Role: role})
		wantRefusal(t, s.tryPublish("I", "offer"), may)
	}
}
