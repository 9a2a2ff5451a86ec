package room

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/journal"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/test/rest"
)

// written returns what the journal has of the scene's room, one line per event, with short names.
func (s *scene) written() []string {
	s.t.Helper()
	var lines []string
	for _, batch := range s.registry.Journal().After(0) {
		if batch.Room.UID != s.desired.UID || batch.Room.Tenant != "tenant" || batch.Room.Name != "room-object" || batch.Room.SessionID != "room" {
			s.t.Errorf("an event of %+v", batch.Room)
		}
		for _, entry := range batch.Entries {
			lines = append(lines, memberPattern.ReplaceAllString(streamPattern.ReplaceAllString(line(entry.Event), "$2"), "$1"))
		}
	}
	return lines
}

func line(e journal.Event) string {
	stream := func(verb string) string {
		if from := e.Connection.ReceivingFrom; from != "" {
			return fmt.Sprintf("%s %s of %s", e.Connection.ConnectionID, verb, from)
		}
		return fmt.Sprintf("%s %s its own", e.Connection.ConnectionID, verb)
	}
	switch e.Kind {
	case journal.SessionCreated:
		return "created"
	case journal.SessionDestroyed:
		return "destroyed: " + e.Reason
	case journal.ParticipantJoined:
		return e.Participant.ConnectionID + " joined"
	case journal.ParticipantLeft:
		return e.Participant.ConnectionID + " left: " + e.Reason
	case journal.ConnectionCreated:
		return stream("begins")
	case journal.ConnectionDestroyed:
		return stream("ends") + ": " + e.Reason
	case journal.SignalSent:
		slices.Sort(e.Signal.To)
		return fmt.Sprintf("signal from %q to %s: %s %s", e.Signal.From, strings.Join(e.Signal.To, " "), shown(e.Signal.Type), shown(e.Signal.Data))
	}
	return "?"
}

// The sequences are those of openvidu-rest 5.4, the reasons those of its section 8. Every scene begins with created, A joined, A begins its own,
// B joined, B begins of A, B begins its own, A begins of B: two that send and receive each other.
func TestEventsOfTwo(t *testing.T) {
	rest.Shows(t, 166)
	for sentence, test := range map[string]struct {
		play func(*scene)
		want []string
	}{
		"one leaves": {func(s *scene) { s.must(s.users["A"].Leave()) }, []string{
			"B ends of A: disconnect", "A ends of B: disconnect", "A ends its own: disconnect", "A left: disconnect",
		}},
		"both leave, and the session goes with the last": {func(s *scene) {
			s.desired.EndsWhenEmpty = true
			s.apply()
			s.must(s.users["A"].Leave())
			s.must(s.users["B"].Leave())
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		}, []string{
			"B ends of A: disconnect", "A ends of B: disconnect", "A ends its own: disconnect", "A left: disconnect",
			"B ends its own: disconnect", "B left: disconnect", "destroyed: lastParticipantLeft",
		}},
		"both leave, and the session stays until it is deleted": {func(s *scene) {
			s.must(s.users["A"].Leave())
			s.must(s.users["B"].Leave())
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		}, []string{
			"B ends of A: disconnect", "A ends of B: disconnect", "A ends its own: disconnect", "A left: disconnect",
			"B ends its own: disconnect", "B left: disconnect", "destroyed: sessionClosedByServer",
		}},
		"the session is deleted": {func(s *scene) {
			s.desired.EndsWhenEmpty = true
			s.apply()
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		}, []string{
			"B ends of A: sessionClosedByServer", "A ends of B: sessionClosedByServer", "A ends its own: sessionClosedByServer", "A left: sessionClosedByServer",
			"B ends its own: sessionClosedByServer", "B left: sessionClosedByServer", "destroyed: sessionClosedByServer",
		}},
		"another session takes its name": {func(s *scene) {
			other := s.desired
			other.UID = "other-uid"
			other.Tenant = ""
			s.registry.Apply(other)
		}, []string{
			"B ends of A: sessionClosedByServer", "A ends of B: sessionClosedByServer", "A ends its own: sessionClosedByServer", "A left: sessionClosedByServer",
			"B ends its own: sessionClosedByServer", "B left: sessionClosedByServer", "destroyed: sessionClosedByServer",
		}},
		"the pod stops": {func(s *scene) {
			s.registry.Stop(reasons.ServerStopped)
		}, []string{
			"B ends of A: openviduServerStopped", "A ends of B: openviduServerStopped", "A ends its own: openviduServerStopped", "A left: openviduServerStopped",
			"B ends its own: openviduServerStopped", "B left: openviduServerStopped",
		}},
		"one unpublishes": {func(s *scene) { s.must(s.users["A"].Unpublish()) }, []string{
			"B ends of A: unpublish", "A ends its own: unpublish",
		}},
		"one unsubscribes": {func(s *scene) { s.must(s.users["B"].Unsubscribe("con_A")) }, []string{"B ends of A: unsubscribe"}},
		"one unsubscribes twice and subscribes again": {func(s *scene) {
			s.must(s.users["B"].Unsubscribe("con_A"))
			wantRefusal(s.t, s.users["B"].Unsubscribe("con_A"), noSubscription)
			s.receive("B", s.streamOf("A"))
		}, []string{"B ends of A: unsubscribe", "B begins of A"}},
		"one receives anew without a word": {func(s *scene) {
			stream := s.streamOf("A")
			s.receive("B", stream)
			s.prepare("B", stream)
			s.must(s.users["A"].Unpublish())
		}, []string{"B ends of A: unpublish", "A ends its own: unpublish"}},
		"what is received is renewed": {func(s *scene) {
			s.outdate()
			s.must(s.reconnect("B", s.streamOf("A"), "answer", true))
			s.must(s.users["A"].Leave())
		}, []string{"B ends of A: disconnect", "A ends of B: disconnect", "A ends its own: disconnect", "A left: disconnect"}},
		"a stream is rebuilt": {func(s *scene) {
			s.must(s.reconnect("A", s.streamOf("A"), "offer", false))
			s.must(s.users["A"].Unpublish())
		}, []string{"B ends of A: unpublish", "A ends its own: unpublish"}},
		"one is put out by a moderator": {func(s *scene) {
			s.desired.Connections[1].Role = Moderator
			s.apply()
			s.must(s.users["B"].ForceDisconnect("con_A", func() {}))
		}, []string{
			"B ends of A: forceDisconnectByUser", "A ends of B: forceDisconnectByUser", "A ends its own: forceDisconnectByUser", "A left: forceDisconnectByUser",
		}},
		"a stream is ended by a moderator": {func(s *scene) {
			s.desired.Connections[1].Role = Moderator
			s.apply()
			s.must(s.users["B"].ForceUnpublish(s.streamOf("A"), func() {}))
		}, []string{"B ends of A: forceUnpublishByUser", "A ends its own: forceUnpublishByUser"}},
		"one is put out by the server": {func(s *scene) {
			s.desired.Connections = s.desired.Connections[1:]
			s.apply()
		}, []string{
			"B ends of A: forceDisconnectByServer", "A ends of B: forceDisconnectByServer", "A ends its own: forceDisconnectByServer", "A left: forceDisconnectByServer",
		}},
		"a stream is ended by the server": {func(s *scene) {
			s.desired.Connections[0].Moderation.VideoBlocked = true
			s.apply()
		}, []string{"B ends of A: forceUnpublishByServer", "A ends its own: forceUnpublishByServer"}},
		"one loses its network": {func(s *scene) {
			s.users["A"].Suspend(s.users["A"].link)
			time.Sleep(DefaultReconnectWindow + time.Second)
			synctest.Wait()
		}, []string{
			"B ends of A: networkDisconnect", "A ends of B: networkDisconnect", "A ends its own: networkDisconnect", "A left: networkDisconnect",
		}},
		"one loses its network and comes back": {func(s *scene) {
			s.users["A"].Suspend(s.users["A"].link)
			s.comeBack("A")
		}, nil},
		"signals": {func(s *scene) {
			room, _ := s.registry.Lookup(s.desired.Key)
			s.must(s.users["A"].Signal(nil, Signal{Type: text("signal:chat"), Topic: text("chat"), Data: text("hello")}))
			s.must(s.users["A"].Signal([]string{"con_B", "con_B"}, Signal{Data: text("x")}))
			s.must(room.Signal([]string{"con_A"}, Signal{Type: text("signal:news"), Topic: text("news"), Data: text("")}))
			s.must(room.Signal(nil, Signal{Type: text("signal:news"), Topic: text("signal:news")}))
			wantRefusal(s.t, room.Signal([]string{"con_A", "con_X"}, Signal{}), noParticipant)
		}, []string{
			`signal from "A" to A B: chat hello`, `signal from "A" to B: null x`,
			`signal from "" to A: news `, `signal from "" to A B: signal:news null`,
		}},
		"who is hidden leaves no trace": {func(s *scene) {
			r := s.intrude("R", asRecorder)
			stream := s.streamOf("A")
			s.receive("R", stream)
			s.must(s.users["A"].Signal(nil, Signal{Data: text("hello")}))
			s.must(r.Signal(nil, Signal{Data: text("psst")}))
			s.must(s.users["A"].Signal([]string{"RECORDER"}, Signal{}))
			s.must(s.users["A"].Unpublish())
			s.must(r.Leave())
		}, []string{`signal from "A" to A B: null hello`, "B ends of A: unpublish", "A ends its own: unpublish"}},
		"a recorder that is left alone does not keep a session alive": {func(s *scene) {
			s.desired.EndsWhenEmpty = true
			s.apply()
			s.intrude("R", asRecorder)
			s.must(s.users["A"].Unpublish())
			s.must(s.users["B"].Unpublish())
			s.must(s.users["A"].Leave())
			s.must(s.users["B"].Leave())
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		}, []string{
			"B ends of A: unpublish", "A ends its own: unpublish", "A ends of B: unpublish", "B ends its own: unpublish",
			"A left: disconnect", "B left: disconnect", "destroyed: lastParticipantLeft",
		}},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "A", "B")
				s.join("A")
				stream := s.publish("A")
				s.join("B")
				s.receive("B", stream)
				s.receive("A", s.publish("B"))
				before := []string{"created", "A joined", "A begins its own", "B joined", "B begins of A", "B begins its own", "A begins of B"}
				if got := s.written(); !slices.Equal(got, before) {
					t.Fatalf("got %q", got)
				}
				test.play(s)
				if got := s.written()[len(before):]; !slices.Equal(got, test.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			})
		})
	}
}

func TestEventsOfSessionsThatNobodyJoined(t *testing.T) {
	for sentence, test := range map[string]struct {
		desire func(*Desired)
		end    func(*scene)
		want   []string
	}{
		"it is deleted": {func(d *Desired) { d.EndsWhenEmpty = true }, func(s *scene) {
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		}, []string{"created", "destroyed: sessionClosedByServer"}},
		"it is collected": {func(*Desired) {}, func(s *scene) {
			s.registry.RemoveSilently(s.desired.UID, reasons.SessionClosedByServer)
		}, []string{"created"}},
		"it comes from another pod": {func(d *Desired) { d.Known = true }, func(*scene) {}, nil},
		"the operator wants no events": {func(d *Desired) { d.Tenant = "" }, func(s *scene) {
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newScene(t, "A")
			s.registry.RemoveSilently(s.desired.UID, reasons.SessionClosedByServer)
			for _, batch := range s.registry.Journal().After(0) {
				s.registry.Journal().Acknowledge(batch.Room.UID, batch.Entries[len(batch.Entries)-1].Sequence)
			}
			test.desire(&s.desired)
			s.apply()
			test.end(s)
			if got := s.written(); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Everything about what happens is as it was then.
func TestEventsAreFrozen(t *testing.T) {
	s := newScene(t, "A", "B")
	s.join("A")
	stream := s.publish("A")
	s.join("B")
	s.receive("B", stream)
	turned := &media.Dimensions{Width: 1, Height: 2}
	s.must(s.users["A"].ChangeStream(StreamChange{VideoDimensions: turned}))
	s.must(s.users["A"].Leave())
	entries := s.registry.Journal().After(0)[0].Entries
	joined, sends, receives, ends, left := entries[1], entries[2], entries[4], entries[5], entries[7]
	if created := entries[0]; !created.Time.Equal(s.desired.Created) {
		t.Errorf("the session was created at %v", created.Time)
	}
	who := journal.Participant{ConnectionID: "con_A", ClientData: "client A", ServerData: "server A"}
	if joined.Event.Participant != who || left.Event.Participant != who || !left.Event.Began.Equal(joined.Time) || left.Time.Before(joined.Time) {
		t.Errorf("%+v\n%+v", joined, left)
	}
	if !joined.Time.Equal(s.state("A").ActiveTime) || !left.Time.Equal(s.state("A").DisconnectedTime) {
		t.Errorf("joined at %v and left at %v, but the state says otherwise", joined.Time, left.Time)
	}
	sent := sends.Event.Connection.Stream
	if sent.ID != stream || sent.TypeOfVideo != "CAMERA" || sent.FrameRate != 30 || sent.VideoDimensions != camera.VideoDimensions || !sent.HasAudio || !sent.HasVideo {
		t.Errorf("%+v", sent)
	}
	if receives.Event.Connection.Stream != sent || receives.Event.Connection.ReceivingFrom != "con_A" {
		t.Errorf("%+v", receives)
	}
	if last := ends.Event; last.Connection.Stream.VideoDimensions != *turned || !last.Began.Equal(receives.Time) || last.Connection.ConnectionID != "con_B" {
		t.Errorf("%+v", last)
	}
}
