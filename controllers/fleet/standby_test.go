package fleet

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// said has a pod say how far it is as the standby of a room.
func (f *fixture) said(pod, room string, state controlv1.StandbyState) {
	f.Helper()
	message := &controlv1.PodMessage{Message: &controlv1.PodMessage_Standby{
		Standby: &controlv1.StandbyStatus{Uid: room, State: state, Cause: rooms.CauseEnded},
	}}
	if err := f.take(f.Context(), f.links[pod], message, newAssembly()); err != nil {
		f.Fatal(err)
	}
}

func TestWhatAStandbySaysIsPassedOn(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"a", "b", "c"} {
		f.Track(Pod{Name: name, UID: "uid-" + name, Pool: "pool"})
	}
	addresses := []*controlv1.TransportAddress{{Ip: "192.0.2.1"}}
	f.Configure("b", &controlv1.PodConfig{Advertised: addresses})
	if got := f.Pod("b").Advertised; len(got) != 1 || got[0] != addresses[0] || f.Pod("a").Advertised != nil {
		t.Errorf("it is reached at %v", got)
	}
	f.room("room", "a")
	f.table.Protect("room", rooms.Host{Pod: "a", UID: "uid-a", Address: address(1)}, []placement.Candidate{{Pod: "b"}}, false)
	f.said("b", "room", controlv1.StandbyState_STANDBY_STATE_READY)
	if standby := f.Room("room").Standby; standby.Pod != "b" || !standby.Able() {
		t.Errorf("the standby is %+v", standby)
	}
	f.said("c", "room", controlv1.StandbyState_STANDBY_STATE_SERVING)
	f.said("b", "unknown", controlv1.StandbyState_STANDBY_STATE_SERVING)
	if pod := f.Room("room").Pod; pod != "a" {
		t.Errorf("a pod that is no standby has put the room on %s", pod)
	}
	f.said("b", "room", controlv1.StandbyState_STANDBY_STATE_SERVING)
	if view := f.Room("room"); view.Pod != "b" || view.Taken.Cause != rooms.CauseEnded {
		t.Errorf("it is on %s, by %+v", view.Pod, view.Taken)
	}
}

func TestAPodIsSentTheLastWordOfARoom(t *testing.T) {
	const room = types.UID("room")
	outbox := NewOutbox()
	outbox.open("a", make(chan struct{}, 1))
	outbox.collect("a")
	follow := &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Standby{Standby: &controlv1.Standby{Uid: string(room)}}}
	serve := &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: &controlv1.Room{Uid: string(room)}}}
	outbox.Send("a", room, follow)
	outbox.Send("a", room, serve)
	if sent := outbox.take("a"); len(sent) != 1 || sent[0] != serve {
		t.Errorf("a standby that gets the room is sent %v", sent)
	}
	outbox.Send("a", room, serve)
	outbox.Send("a", "other", follow)
	outbox.Withdraw("a", room)
	outbox.Withdraw("unknown", room)
	if sent := outbox.take("a"); len(sent) != 1 || sent[0] != follow {
		t.Errorf("after a withdrawal it is sent %v", sent)
	}
}
