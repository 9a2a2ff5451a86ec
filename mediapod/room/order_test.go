package room

import (
	"flag"
	"testing"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

var update = flag.Bool("update", false, "write the transcripts anew")

func text(s string) *string { return &s }

// The transcripts in testdata are what three clients are told, in order, as in openvidu-rpc 3.15,
// 5.1 and appendix A.
func TestEventOrder(t *testing.T) {
	for name, play := range map[string]func(*scene){
		"a call from join to leave": func(s *scene) {
			s.join("A")
			stream := s.publish("A")
			s.join("B")
			s.receive("B", stream)
			s.write("A mutes")
			off := false
			s.must(s.users["A"].ChangeStream(StreamChange{Reason: "publishAudio", AudioActive: &off}))
			s.write("A turns the phone")
			s.must(s.users["A"].ChangeStream(StreamChange{Reason: "deviceRotated", VideoDimensions: &media.Dimensions{Width: 480, Height: 640}}))
			s.join("C")
			s.write("A unpublishes")
			s.must(s.users["A"].Unpublish())
			s.publish("A")
			s.write("A leaves")
			s.must(s.users["A"].Leave())
			s.write("B leaves")
			s.must(s.users["B"].Leave())
		},
		"signals": func(s *scene) {
			s.join("A")
			s.join("B")
			s.join("C")
			s.write("A signals to all")
			s.must(s.users["A"].Signal(nil, Signal{Type: text("signal:chat"), Data: text("hello")}))
			s.write("A signals to C, A and C")
			s.must(s.users["A"].Signal([]string{"con_C", "con_A", "con_C"}, Signal{Type: text("signal:chat"), Data: text("psst")}))
			s.write("A signals to B and somebody unknown")
			wantRefusal(s.t, s.users["A"].Signal([]string{"con_B", "con_X"}, Signal{}), noParticipant)
			room, _ := s.registry.Lookup(s.desired.Key)
			s.write("the server signals to all")
			s.must(room.Signal(nil, Signal{Type: text("signal:news"), Data: text("extra")}))
			s.write("the server signals to B and somebody unknown")
			wantRefusal(s.t, room.Signal([]string{"con_B", "con_X"}, Signal{}), noParticipant)
		},
		"a moderator throws somebody out": func(s *scene) {
			s.join("A")
			s.publish("A")
			s.join("B")
			s.join("M")
			s.write("M forces A to leave")
			s.must(s.users["M"].ForceDisconnect("con_A", s.answered("M")))
			s.write("M forces itself to leave")
			s.must(s.users["M"].ForceDisconnect("con_M", s.answered("M")))
		},
		"a moderator cuts a stream": func(s *scene) {
			s.join("A")
			stream := s.publish("A")
			s.join("B")
			s.join("M")
			s.write("M forces A's stream to end")
			s.must(s.users["M"].ForceUnpublish(stream, s.answered("M")))
			s.publish("A")
		},
		"the server throws somebody out": func(s *scene) {
			s.join("A")
			s.join("B")
			s.publish("B")
			s.join("C")
			s.write("connection B is deleted")
			s.desired.Connections = append(s.desired.Connections[:1:1], s.desired.Connections[2:]...)
			s.apply()
		},
		"the session is closed": func(s *scene) {
			s.join("A")
			s.publish("A")
			s.join("B")
			s.join("C")
			s.write("the session is deleted")
			s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
		},
		"role and record change": func(s *scene) {
			s.join("A")
			s.join("B")
			s.write("A becomes a moderator and is recorded")
			s.desired.Connections[0].Role = Moderator
			s.desired.Connections[0].Record = true
			s.apply()
			s.write("nothing changes")
			s.apply()
			s.write("A throws B out")
			s.must(s.users["A"].ForceDisconnect("con_B", s.answered("A")))
		},
		"who may not publish any more stops": func(s *scene) {
			s.join("A")
			s.publish("A")
			s.join("B")
			s.write("A becomes a subscriber")
			s.desired.Connections[0].Role = Subscriber
			s.apply()
			s.write("A publishes")
			wantRefusal(s.t, s.tryPublish("A", "offer"), forbidden)
			s.write("A becomes a publisher")
			s.desired.Connections[0].Role = Publisher
			s.apply()
			s.publish("A")
		},
		"the server cuts a stream": func(s *scene) {
			s.join("A")
			s.join("B")
			stream := s.publish("A")
			s.receive("B", stream)
			s.join("C")
			s.write("A's stream is ended")
			s.desired.Connections[0].Moderation.EndedStreamIDs = []string{stream}
			s.apply()
			s.write("nothing changes")
			s.apply()
			s.publish("A")
			s.write("A's video is blocked")
			s.desired.Connections[0].Moderation.VideoBlocked = true
			s.apply()
			s.write("A publishes")
			wantRefusal(s.t, s.tryPublish("A", "offer"), forbidden)
		},
		"a recorder and speech to text are hidden": func(s *scene) {
			s.join("A")
			s.intrude("R", asRecorder)
			s.intrude("T", asSpeechToText)
			s.join("B")
			stream := s.publish("B")
			s.receive("R", stream)
			s.receive("T", stream)
			s.write("A signals to all")
			s.must(s.users["A"].Signal(nil, Signal{Type: text("signal:chat"), Data: text("hello")}))
			s.write("R publishes")
			wantRefusal(s.t, s.tryPublish("R", "offer"), forbidden)
			s.intrude("Q", asRecorder)
			s.write("T leaves")
			s.must(s.users["T"].Leave())
			s.write("B leaves")
			s.must(s.users["B"].Leave())
			s.write("A leaves")
			s.must(s.users["A"].Leave())
		},
		"a client comes back and hears what it missed": func(s *scene) {
			s.join("A")
			s.join("B")
			s.users["B"].link.reading = false // the network breaks
			s.write("B does not read")
			s.join("C")
			s.write("B loses its socket")
			s.users["B"].Suspend(s.users["B"].link)
			s.publish("C")
			s.write("B connects")
			link := &recorder{scene: s, name: "B", reading: true}
			s.must(s.registry.Resume("", "rpc-B", link, func(Resumed) { s.write("  B <- answer") }))
			s.write("C leaves")
			s.must(s.users["C"].Leave())
		},
		"a client is not told again of a stream that it receives": func(s *scene) {
			s.join("A")
			s.join("B")
			s.users["B"].link.reading = false // it reads, but its confirmation is lost
			s.write("B hears, but nobody knows that")
			stream := s.publish("A")
			s.receive("B", stream)
			s.join("C")
			s.write("B connects")
			link := &recorder{scene: s, name: "B", reading: true}
			s.must(s.registry.Resume("", "rpc-B", link, func(Resumed) { s.write("  B <- answer") }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "A", "B", "C", "M:moderator")
			play(s)
			s.golden(name)
		})
	}
}
