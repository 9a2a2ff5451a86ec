package fleet

import (
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// unwatched is a Watcher that does nothing.
type unwatched struct{}

func (unwatched) PodChanged(Pod, []string) {}
func (unwatched) PodReachChanged(Pod)      {}
func (unwatched) PodLost(Pod)              {}

// FuzzPodMessage takes any message of a pod twice, before and after the end of its snapshot.
// Nothing is told of a room that is not the pod's.
func FuzzPodMessage(f *testing.F) {
	identity := &controlv1.RoomIdentity{Uid: "room", Tenant: "team", Proof: []byte("proof of room team")}
	for _, message := range []*controlv1.PodMessage{
		{},
		{Message: &controlv1.PodMessage_Hello{Hello: &controlv1.PodHello{InstanceId: "i", TakesParts: true}}},
		{Message: &controlv1.PodMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
		{Message: &controlv1.PodMessage_Room{Room: &controlv1.RoomStatus{Uid: "room", Connections: []*controlv1.ConnectionStatus{
			connection("ann", active, "data"), same("ben", active),
		}}}},
		{Message: &controlv1.PodMessage_Room{}},
		{Message: &controlv1.PodMessage_RoomRemoved{RoomRemoved: &controlv1.RoomRemoved{Uid: "room", Ended: true}}},
		{Message: &controlv1.PodMessage_Journal{Journal: &controlv1.RoomJournal{Room: identity}}},
		{Message: &controlv1.PodMessage_Events{Events: &controlv1.RoomEvents{Room: identity, Events: []*controlv1.RoomEvent{{Sequence: 9}}}}},
		{Message: &controlv1.PodMessage_Events{Events: &controlv1.RoomEvents{}}},
	} {
		data, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		told := newToldFleet(t)
		told.config.Watcher = unwatched{}
		end := &controlv1.PodMessage{Message: &controlv1.PodMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}}
		for _, known := range []*controlv1.PodMessage{nil, end, nil} {
			message := known
			if message == nil {
				message = &controlv1.PodMessage{}
				if proto.Unmarshal(data, message) != nil {
					return
				}
			}
			vouched, _ := proofs{}.Vouches(t.Context(), message.GetEvents().GetRoom())
			// A message that is refused ends the stream, and costs nothing else.
			if told.take(t.Context(), told.link, message, told.parts) != nil {
				return
			}
			if lines := told.told.take(); message.GetEvents() != nil && !vouched && len(lines) > 0 {
				t.Errorf("told of a room without proof: %q", lines)
			}
		}
	})
}
