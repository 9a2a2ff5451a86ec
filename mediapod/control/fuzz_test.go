package control

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// sink is the pod's end of a stream to an operator that takes everything.
type sink struct {
	grpc.ServerStream
	ctx context.Context
}

func (s sink) Context() context.Context                  { return s.ctx }
func (s sink) Send(*controlv1.PodMessage) error          { return nil }
func (s sink) Recv() (*controlv1.OperatorMessage, error) { return nil, s.ctx.Err() }

// FuzzOperatorMessage takes any message of an operator before and after the end of its snapshot,
// beside a room that it does not name. No message ends the stream.
func FuzzOperatorMessage(f *testing.F) {
	for _, message := range []*controlv1.OperatorMessage{
		{}, hello("pod-uid"), snapshotEnd(), remove("r1", 2), remove("", 0), desired("r1", 2, "ann", "ben"),
		{Message: &controlv1.OperatorMessage_Room{Room: &controlv1.Room{Uid: "r1", Revision: 2, More: true}}},
		{Message: &controlv1.OperatorMessage_Room{}}, ack("r1", 1<<63),
		config(&controlv1.PodConfig{ReconnectWindowSeconds: -1, Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.1", UdpPort: 70000}}}),
	} {
		data, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rooms := room.NewRegistry(&mediatest.Engine{}, logr.Discard())
		defer rooms.Wait()
		defer rooms.Stop()
		s := NewServer(Options{Rooms: rooms, Log: logr.Discard(), Configure: func(Config) {}})
		st := &stream{server: s, grpc: sink{ctx: t.Context()}, superseded: make(chan struct{}), named: make(map[string]uint64)}
		s.takeOver(st)
		for _, known := range []*controlv1.OperatorMessage{desired("r1", 1, "ann"), nil, snapshotEnd(), nil, desired("r1", 3, "ben")} {
			message := known
			if message == nil {
				message = &controlv1.OperatorMessage{}
				if proto.Unmarshal(data, message) != nil {
					return
				}
			}
			if err := st.take(message); err != nil {
				t.Fatal(err)
			}
			if err := st.report(); err != nil {
				t.Fatal(err)
			}
		}
		if _, found := rooms.Snapshot("r1"); !found {
			t.Error("the room that was sent last is not there")
		}
	})
}
