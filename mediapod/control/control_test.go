package control

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestFirstSync(t *testing.T) {
	p := newPod(t)
	o, hello := p.greeted()
	if hello.GetPodUid() != "pod-uid" || hello.GetVersion() != "v1" || hello.GetInstanceId() == "" {
		t.Errorf("hello: %v", hello)
	}
	o.send(
		config(&controlv1.PodConfig{Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.1", UdpPort: 30000, TcpPort: 30000}}, ReconnectWindowSeconds: 10}),
		desired("r1", 1, "A"), desired("r2", 2), snapshotEnd(),
	)
	for i, uid := range []string{"r1", "r2"} {
		if got := o.status(); got.GetUid() != uid || got.GetRevision() != uint64(i+1) || got.GetGeneration() != int64(i+101) {
			t.Errorf("got %v", got)
		}
	}
	if got := o.receive(); got.GetSnapshotEnd() == nil {
		t.Errorf("got %v", got)
	}
	if len(p.configs) != 1 || len(p.configs[0].Advertised) != 1 || p.configs[0].Advertised[0].UDPPort != 30000 || p.configs[0].ReconnectWindow != 10*time.Second {
		t.Errorf("configured as %+v", p.configs)
	}
	for {
		message, err := o.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if beat := message.GetHeartbeat(); beat != nil {
			if beat.GetRooms() != 2 {
				t.Errorf("heartbeat %v", beat)
			}
			break
		}
	}
}

func TestWhatHappensIsReported(t *testing.T) {
	p := newPod(t)
	o, _ := p.greeted()
	o.send(desired("r", 1, "A"), snapshotEnd())
	if got := o.status().GetConnections()[0]; got.GetState() != controlv1.ConnectionState_CONNECTION_STATE_PENDING || got.GetGeneration() != 7 || got.GetActiveUnixMs() != 0 {
		t.Errorf("pending: %v", got)
	}
	o.receive() // the end of the snapshot

	a, heard := p.join("r", "A")
	got := o.status()
	connection := got.GetConnections()[0]
	if got.GetRevision() != 1 || connection.GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE || connection.GetActiveUnixMs() == 0 ||
		connection.GetClientData() != "data" || connection.GetIp() != "192.0.2.7" || connection.GetPlatform() != "Chrome" {
		t.Errorf("active: %v", got)
	}
	options := room.StreamOptions{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: media.Dimensions{Width: 640, Height: 480}}
	if err := a.Publish(t.Context(), room.PublishRequest{StreamID: "stream", Options: options, SDPOffer: "offer"}, func(room.Stream, string) {}); err != nil {
		t.Fatal(err)
	}
	stream := o.status().GetConnections()[0].GetPublishers()[0]
	want := &controlv1.PublishedStream{
		StreamId: stream.GetStreamId(), CreatedUnixMs: stream.GetCreatedUnixMs(), HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true,
		TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: `{"width":640,"height":480}`,
	}
	if !proto.Equal(stream, want) || stream.GetStreamId() == "" || stream.GetCreatedUnixMs() == 0 {
		t.Errorf("got %v", stream)
	}

	o.send(desired("r", 2)) // A's connection was deleted
	for got = o.status(); got.GetRevision() != 2; got = o.status() {
		continue
	}
	if len(got.GetConnections()) != 0 || !heard.heard("forceDisconnectByServer") {
		t.Errorf("got %v", got)
	}

	o.send(remove("r", 3), remove("unknown", 4))
	for _, uid := range []string{"r", "unknown"} {
		message := o.receive()
		for message.GetRoom() != nil { // of the eviction
			message = o.receive()
		}
		if got := message.GetRoomRemoved(); got.GetUid() != uid {
			t.Errorf("got %v", message)
		}
	}
}

func TestAnotherStreamTakesOverAndNothingChanges(t *testing.T) {
	p := newPod(t)
	first, before := p.greeted()
	first.send(desired("r1", 5, "A"), desired("r2", 6, "B"), snapshotEnd())
	first.status()
	first.status()
	first.receive()
	_, a := p.join("r1", "A")
	_, b := p.join("r2", "B")

	// One that only asks which rooms there are.
	asking, answer := p.greeted()
	if uids := slices.Sorted(slices.Values(answer.GetRoomUids())); !slices.Equal(uids, []string{"r1", "r2"}) {
		t.Errorf("the rooms are %v", uids)
	}
	asking.cancel()

	second, after := p.greeted()
	if code := first.ended(); code != codes.Aborted {
		t.Errorf("the older stream ended with %v", code)
	}
	if before.GetInstanceId() != after.GetInstanceId() {
		t.Error("another instance id without another process")
	}
	second.send(desired("r1", 1, "A"))
	if p.rooms.Totals().Rooms != 2 {
		t.Error("a room is gone before the snapshot is complete")
	}
	second.send(snapshotEnd()) // r2 is not named: its Session is gone
	got := second.status()
	if got.GetUid() != "r1" || got.GetRevision() != 1 || got.GetConnections()[0].GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
		t.Errorf("got %v", got)
	}
	if second.receive().GetSnapshotEnd() == nil {
		t.Error("no end of the snapshot")
	}
	if len(a.told) != 0 || !b.heard("sessionClosedByServer") {
		t.Errorf("A was told %v, B %v", a.told, b.told)
	}
}

func TestWithoutAnOperatorRoomsGoOn(t *testing.T) {
	p := newPod(t)
	o, _ := p.greeted()
	o.send(desired("r", 1, "A", "B"), snapshotEnd())
	o.status()
	o.receive()
	_, a := p.join("r", "A")
	o.cancel()
	b, _ := p.join("r", "B")
	if err := b.Leave(); err != nil {
		t.Fatal(err)
	}
	if a.heard("Evicted") {
		t.Error("A was evicted")
	}

	o, _ = p.greeted()
	o.send(desired("r", 1, "A", "B"), snapshotEnd())
	connections := o.status().GetConnections()
	if connections[0].GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE || connections[1].GetState() != controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED ||
		connections[1].GetDisconnectReason() != "disconnect" || connections[1].GetDisconnectedUnixMs() == 0 {
		t.Errorf("got %v", connections)
	}
}

func TestAWrongPartnerIsRefused(t *testing.T) {
	p := newPod(t)
	o := p.connect()
	o.send(hello("another-uid"))
	if code := o.ended(); code != codes.FailedPrecondition {
		t.Errorf("another pod's operator: %v", code)
	}
	o = p.connect()
	o.send(snapshotEnd())
	if code := o.ended(); code != codes.InvalidArgument {
		t.Errorf("no hello: %v", code)
	}
}

func TestABadRoomCostsNoOtherOneAnything(t *testing.T) {
	bad := map[string]func(*controlv1.Room){
		"a short digest":     func(r *controlv1.Room) { r.Connections[0].TokenSha256 = []byte("short") },
		"a long digest":      func(r *controlv1.Room) { r.Connections[0].TokenSha256 = bytes.Repeat([]byte("x"), 33) },
		"no connection uid":  func(r *controlv1.Room) { r.Connections[0].Uid = "" },
		"no connection id":   func(r *controlv1.Room) { r.Connections[0].ConnectionId = "" },
		"a connection twice": func(r *controlv1.Room) { r.Connections = append(r.Connections, r.Connections[0]) },
		"no key":             func(r *controlv1.Room) { r.Key = "" },
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			o, _ := p.greeted()
			o.send(desired("r1", 1, "A"), desired("r2", 1, "B"), snapshotEnd())
			o.status()
			o.status()
			o.receive()
			_, a := p.join("r1", "A")

			o, _ = p.greeted()
			spoilt := desired("r1", 2, "A")
			spoil(spoilt.GetRoom())
			o.send(spoilt, desired("r2", 2, "B"), snapshotEnd())
			if got := o.status(); got.GetUid() != "r1" || got.GetRevision() != 0 {
				t.Errorf("the bad room: %v", got)
			}
			if got := o.status(); got.GetUid() != "r2" || got.GetRevision() != 2 {
				t.Errorf("the good room: %v", got)
			}
			if len(a.told) != 0 {
				t.Errorf("A was told %v", a.told)
			}
		})
	}
}

func TestStopTellsTheOperatorWhatWasLast(t *testing.T) {
	p := newPod(t)
	o, _ := p.greeted()
	o.send(desired("r", 1, "A"), snapshotEnd())
	o.status()
	o.receive()
	p.join("r", "A")
	p.rooms.Stop()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.server.Stop(t.Context())
	}()
	got := o.status()
	for got.GetConnections()[0].GetState() == controlv1.ConnectionState_CONNECTION_STATE_PENDING {
		got = o.status()
	}
	if got.GetConnections()[0].GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
		t.Errorf("got %v", got)
	}
	if code := o.ended(); code != codes.Unavailable {
		t.Errorf("the stream ended with %v", code)
	}
	<-stopped
}

func TestManyChangesAreFewReports(t *testing.T) {
	p := newPod(t)
	o, _ := p.greeted()
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("%03d", i))
	}
	o.send(desired("r", 1, names...), snapshotEnd())
	o.status()
	o.receive()
	for _, name := range names {
		p.join("r", name)
	}
	active, reports := 0, 0
	for ; active < len(names); reports++ {
		active = 0
		for _, connection := range o.status().GetConnections() {
			if connection.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
				active++
			}
		}
	}
	if reports > 20 {
		t.Errorf("%d reports of %d joins", reports, len(names))
	}
}
