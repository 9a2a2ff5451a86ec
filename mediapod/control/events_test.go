package control

import (
	"fmt"
	"strings"
	"testing"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// told returns a room as an operator wants it that takes events.
func told(uid string, revision uint64, names ...string) *controlv1.OperatorMessage {
	message := desired(uid, revision, names...)
	room := message.GetRoom()
	room.Tenant, room.Name, room.CreatedUnixMs = "team", "object-"+uid, 1700000000123
	return message
}

// events returns the next message, which must be events of a room, as "room: sequence kind, ...".
func (o *operator) events() string {
	o.t.Helper()
	message := o.receive().GetEvents()
	if message == nil || message.Room.GetTenant() != "team" || message.Room.GetName() != "object-"+message.Room.GetUid() || message.Room.GetCreatedUnixMs() != 1700000000123 {
		o.t.Fatalf("got %v", message)
	}
	var events []string
	for _, event := range message.GetEvents() {
		kind := event.ProtoReflect().WhichOneof(event.ProtoReflect().Descriptor().Oneofs().ByName("event"))
		events = append(events, fmt.Sprintf("%d %s", event.GetSequence(), kind.Name()))
	}
	return message.Room.GetUid() + ": " + strings.Join(events, ", ")
}

// checkpoint returns the next message, which must be a checkpoint of a room, as "room: who is in".
func (o *operator) checkpoint() string {
	o.t.Helper()
	message := o.receive().GetJournal()
	if message == nil {
		o.t.Fatal("it is no checkpoint of a room")
	}
	var in []string
	for _, event := range message.GetOpen() {
		in = append(in, event.GetParticipantJoined().GetParticipant().GetConnectionId())
	}
	if !message.GetBegun() {
		in = append(in, "not begun")
	}
	return message.Room.GetUid() + ": " + strings.Join(in, ", ")
}

// removed returns the next message but states of rooms, which must be that a room is gone.
func (o *operator) removed(uid string) *controlv1.RoomRemoved {
	o.t.Helper()
	for {
		message := o.receive()
		if message.GetRoom() != nil {
			continue
		}
		if message.GetRoomRemoved().GetUid() != uid {
			o.t.Fatalf("got %v", message)
		}
		return message.GetRoomRemoved()
	}
}

func ack(uid string, sequence uint64) *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_AckEvents{AckEvents: &controlv1.AckEvents{Uid: uid, Sequence: sequence}}}
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What happens comes until it is acknowledged: at once, and again to an operator that starts anew,
// in order and before what it leads to.
func TestEvents(t *testing.T) {
	p := newPod(t)
	o, _ := p.greeted()
	o.send(told("r", 1, "A", "B"), snapshotEnd())
	wantText(t, o.checkpoint(), "r: not begun")
	wantText(t, o.events(), "r: 1 session_created")
	o.status()
	if o.receive().GetSnapshotEnd() == nil {
		t.Fatal("the pod's snapshot does not end")
	}
	p.join("r", "A")
	wantText(t, o.events(), "r: 2 participant_joined")
	o.status()
	p.join("r", "B")
	wantText(t, o.events(), "r: 3 participant_joined")
	o.status()
	o.send(ack("r", 2), told("s", 1))
	// Another room's event shows that the acknowledgement was read.
	wantText(t, o.events(), "s: 4 session_created")

	again, _ := p.greeted()
	again.send(told("r", 1, "A", "B"), told("s", 1), snapshotEnd())
	wantText(t, again.checkpoint(), "r: con_A")
	wantText(t, again.checkpoint(), "s: not begun")
	wantText(t, again.events(), "r: 3 participant_joined")
	wantText(t, again.events(), "s: 4 session_created")
	again.status()
	again.status()
	again.receive()
	again.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: &controlv1.RemoveRoom{Uid: "r", Revision: 2}}})
	wantText(t, again.events(), "r: 5 participant_left, 6 participant_left, 7 session_destroyed")
	if !again.removed("r").GetEnded() {
		t.Error("r has ended, but is not said to")
	}
	again.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: &controlv1.RemoveRoom{Uid: "s", Revision: 2, Silent: true}}})
	if again.removed("s").GetEnded() {
		t.Error("s has ended silently, but is said to have")
	}
	again.send(ack("r", 7), told("t", 1))
	wantText(t, again.events(), "t: 8 session_created")

	third, _ := p.greeted()
	third.send(snapshotEnd())
	wantText(t, third.checkpoint(), "s: not begun")
	wantText(t, third.checkpoint(), "t: not begun")
	wantText(t, third.events(), "s: 4 session_created")
	wantText(t, third.events(), "t: 8 session_created, 9 session_destroyed")
	third.receive()
	third.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: &controlv1.RemoveRoom{Uid: "r", Revision: 1}}})
	if !third.removed("r").GetEnded() {
		t.Error("the end of r was forgotten")
	}
}
