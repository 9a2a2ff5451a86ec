package room

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/test/rest"
)

// written returns what the outbox has of the scene's room, one line per event, with short names.
func (s *scene) written() []string {
	s.t.Helper()
	var lines []string
	for _, batch := range s.registry.Outbox().After(0) {
		if batch.Room.Uid != s.desired.UID || batch.Room.Tenant != "tenant" || batch.Room.Name != "room-object" || batch.Room.SessionId != "room" {
			s.t.Errorf("an event of %+v", batch.Room)
		}
		for _, entry := range batch.Events {
			lines = append(lines, memberPattern.ReplaceAllString(streamPattern.ReplaceAllString(line(entry), "$2"), "$1"))
		}
	}
	return lines
}

func line(event *controlv1.RoomEvent) string {
	stream := func(c *controlv1.WebrtcConnection, verb string) string {
		if from := c.GetReceivingFrom(); from != "" {
			return fmt.Sprintf("%s %s of %s", c.GetConnectionId(), verb, from)
		}
		return fmt.Sprintf("%s %s its own", c.GetConnectionId(), verb)
	}
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_SessionCreated:
		return "created"
	case *controlv1.RoomEvent_SessionDestroyed:
		return "destroyed: " + e.SessionDestroyed.GetReason()
	case *controlv1.RoomEvent_ParticipantJoined:
		return e.ParticipantJoined.GetParticipant().GetConnectionId() + " joined"
	case *controlv1.RoomEvent_ParticipantLeft:
		return e.ParticipantLeft.GetParticipant().GetConnectionId() + " left: " + e.ParticipantLeft.GetReason()
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		return stream(e.WebrtcConnectionCreated.GetConnection(), "begins")
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		return stream(e.WebrtcConnectionDestroyed.GetConnection(), "ends") + ": " + e.WebrtcConnectionDestroyed.GetReason()
	case *controlv1.RoomEvent_SignalSent:
		signal := e.SignalSent
		to := slices.Sorted(slices.Values(signal.GetTo()))
		return fmt.Sprintf("signal from %q to %s: %s %s", signal.GetFrom(), strings.Join(to, " "), shown(signal.Type), shown(signal.Data))
	}
	return "?"
}

// The sequences are those of openvidu-rest 5.4, the reasons those of its section 8. Every scene
// begins with created, A joined, A begins its own, B joined, B begins of A, B begins its own, A
// begins of B: two that send and receive each other.
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
			s.registry.Stop()
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer) // that is for the operator to tell of
		}, nil},
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
			for _, batch := range s.registry.Outbox().After(0) {
				s.registry.Outbox().Acknowledge(batch.Room.Uid, batch.Events[len(batch.Events)-1].Sequence)
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
	told := s.registry.Outbox().After(0)[0].Events
	joined, sends, receives, ends, left := told[1], told[2], told[4], told[5], told[7]
	if created := told[0]; created.TimeUnixMs != s.desired.Created.UnixMilli() {
		t.Errorf("the session was created at %d", created.TimeUnixMs)
	}
	who := &controlv1.ParticipantIdentity{ConnectionId: "con_A", ClientData: "client A", ServerData: "server A"}
	if gone := left.GetParticipantLeft(); !proto.Equal(joined.GetParticipantJoined().GetParticipant(), who) || !proto.Equal(gone.GetParticipant(), who) ||
		gone.GetJoinedUnixMs() != joined.TimeUnixMs || left.TimeUnixMs < joined.TimeUnixMs {
		t.Errorf("%v\n%v", joined, left)
	}
	if joined.TimeUnixMs != s.state("A").ActiveTime.UnixMilli() || left.TimeUnixMs != s.state("A").DisconnectedTime.UnixMilli() {
		t.Errorf("joined at %d and left at %d, but the state says otherwise", joined.TimeUnixMs, left.TimeUnixMs)
	}
	sent := sends.GetWebrtcConnectionCreated().GetConnection().GetStream()
	if sent.GetStreamId() != stream || sent.GetTypeOfVideo() != "CAMERA" || sent.GetFrameRate() != 30 || !sent.GetHasAudio() || !sent.GetHasVideo() ||
		sent.GetVideoDimensions() != events.VideoDimensions(camera.VideoDimensions.Width, camera.VideoDimensions.Height) {
		t.Errorf("%v", sent)
	}
	if c := receives.GetWebrtcConnectionCreated().GetConnection(); !proto.Equal(c.GetStream(), sent) || c.GetReceivingFrom() != "con_A" {
		t.Errorf("%v", receives)
	}
	if last := ends.GetWebrtcConnectionDestroyed(); last.GetConnection().GetStream().GetVideoDimensions() != `{"width":1,"height":2}` ||
		last.GetCreatedUnixMs() != receives.TimeUnixMs || last.GetConnection().GetConnectionId() != "con_B" {
		t.Errorf("%v", last)
	}
}
