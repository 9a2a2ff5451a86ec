package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// pod is a control server behind a listener in memory.
type pod struct {
	t      *testing.T
	rooms  *room.Registry
	server *Server
	dial   *grpc.ClientConn

	mu      sync.Mutex // guards configs
	configs []Config
}

func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{t: t, rooms: room.NewRegistry(&mediatest.Engine{}, logr.Discard())}
	p.server = NewServer(Options{Rooms: p.rooms, Log: logr.Discard(), PodUID: "pod-uid", Version: "v1", Configure: func(c Config) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.configs = append(p.configs, c)
	}})
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	controlv1.RegisterMediaPodServer(server, p.server)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	var err error
	p.dial, err = grpc.NewClient("passthrough:///pod", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.dial.Close()
		server.Stop()
		<-served
		p.rooms.Stop(room.ReasonServerStopped)
		p.rooms.Wait()
	})
	return p
}

// operator is one control stream of an operator.
type operator struct {
	t      *testing.T
	stream controlv1.MediaPod_SyncClient
	cancel context.CancelFunc
}

func (p *pod) connect() *operator {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	p.t.Cleanup(cancel)
	stream, err := controlv1.NewMediaPodClient(p.dial).Sync(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	return &operator{t: p.t, stream: stream, cancel: cancel}
}

// greeted connects and says hello.
func (p *pod) greeted() (*operator, *controlv1.PodHello) {
	p.t.Helper()
	o := p.connect()
	o.send(hello("pod-uid"))
	first := o.receive()
	if first.GetHello() == nil {
		p.t.Fatalf("got %v", first)
	}
	return o, first.GetHello()
}

func (o *operator) send(messages ...*controlv1.OperatorMessage) {
	o.t.Helper()
	for _, message := range messages {
		if err := o.stream.Send(message); err != nil {
			o.t.Fatal(err)
		}
	}
}

// receive returns the next message but heartbeats.
func (o *operator) receive() *controlv1.PodMessage {
	o.t.Helper()
	for {
		message, err := o.stream.Recv()
		if err != nil {
			o.t.Fatalf("the stream has ended: %v", err)
		}
		if message.GetHeartbeat() == nil {
			return message
		}
	}
}

// status returns the next message, which must be the state of a room.
func (o *operator) status() *controlv1.RoomStatus {
	o.t.Helper()
	message := o.receive()
	if message.GetRoom() == nil {
		o.t.Fatalf("got %v", message)
	}
	return message.GetRoom()
}

// ended returns how the stream ends.
func (o *operator) ended() codes.Code {
	o.t.Helper()
	for {
		if _, err := o.stream.Recv(); err != nil {
			return status.Code(err)
		}
	}
}

func hello(podUID string) *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{Version: "v1", PodUid: podUID}}}
}

func snapshotEnd() *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}}
}

func config(c *controlv1.PodConfig) *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Config{Config: c}}
}

func remove(uid string, revision uint64) *controlv1.OperatorMessage {
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: &controlv1.RemoveRoom{Uid: uid, Revision: revision}}}
}

// desired is a room with a connection per name.
func desired(uid string, revision uint64, names ...string) *controlv1.OperatorMessage {
	message := &controlv1.Room{Uid: uid, Revision: revision, Generation: int64(revision) + 100, Key: "key-" + uid, SessionId: uid}
	for _, name := range names {
		digest := sha256.Sum256([]byte("tok_" + name))
		message.Connections = append(message.Connections, &controlv1.Connection{
			Uid: "uid-" + name, Generation: 7, ConnectionId: "con_" + name, TokenSha256: digest[:], RpcSessionId: "rpc-" + name, Role: controlv1.Role_ROLE_PUBLISHER,
		})
	}
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: message}}
}

// link is a client without a socket.
type link struct {
	mu   sync.Mutex // guards told
	told []string
}

func (l *link) Notify(n room.Notification) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fmt.Sprintf("%T%v", n, n))
}
func (l *link) Release() []room.Notification { return nil }
func (l *link) Finish()                      {}

func (l *link) heard(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.told, "\n"), text)
}

func (p *pod) join(uid, name string) (*room.Participant, *link) {
	p.t.Helper()
	where, found := p.rooms.Lookup("key-" + uid)
	if !found {
		p.t.Fatalf("no room %s", uid)
	}
	l := &link{}
	var participant *room.Participant
	request := room.JoinRequest{Token: "tok_" + name, Client: room.Client{Metadata: "data", Platform: "Chrome", Address: "192.0.2.7"}}
	if err := where.Join(request, l, func(j room.Joined) { participant = j.Participant }); err != nil {
		p.t.Fatal(err)
	}
	return participant, l
}

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
	options := room.StreamOptions{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: "{}"}
	if err := a.Publish(t.Context(), options, "offer", func(room.Stream, string) {}); err != nil {
		t.Fatal(err)
	}
	stream := o.status().GetConnections()[0].GetPublishers()[0]
	want := &controlv1.PublishedStream{
		StreamId: stream.GetStreamId(), CreatedUnixMs: stream.GetCreatedUnixMs(), HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true,
		TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: "{}",
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
	p.rooms.Stop(room.ReasonServerStopped)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.server.Stop(t.Context())
	}()
	got := o.status()
	for got.GetConnections()[0].GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
		got = o.status()
	}
	if got.GetConnections()[0].GetDisconnectReason() != room.ReasonServerStopped {
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

func TestTranslation(t *testing.T) {
	digest := sha256.Sum256([]byte("tok"))
	got, err := desiredRoom(&controlv1.Room{
		Uid: "u", Key: "k", SessionId: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", CreatedUnixMs: 1700000000123, EndsWhenEmpty: true, Known: true,
		Connections: []*controlv1.Connection{{
			Uid: "c", Generation: 4, ConnectionId: "con_A", TokenSha256: digest[:], RpcSessionId: "rpc", Spent: true, Role: 99, ServerData: "data", Record: true,
			IceServers: []*controlv1.IceServer{{Url: "turn:h", Username: "u", Credential: "c"}}, MaxPublishKbps: 5, MaxReceiveKbps: 6,
			Moderation: &controlv1.Moderation{AudioBlocked: true, VideoBlocked: true, EndedStreamIds: []string{"str_1", "str_2"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := room.Desired{
		UID: "u", Key: "k", SessionID: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", Created: time.UnixMilli(1700000000123), EndsWhenEmpty: true, Known: true,
		Connections: []room.Connection{{
			UID: "c", Generation: 4, ID: "con_A", Token: digest, RPCSessionID: "rpc", Spent: true, Role: room.Subscriber, ServerData: "data", Record: true,
			ICEServers: []room.ICEServer{{URL: "turn:h", Username: "u", Credential: "c"}}, MaxPublishKbps: 5, MaxReceiveKbps: 6,
			Moderation: room.Moderation{AudioBlocked: true, VideoBlocked: true, EndedStreamIDs: []string{"str_1", "str_2"}},
		}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for told, want := range map[int]int32{30: 30, 0: 0, -1: 0} {
		status := connectionStatus(room.ConnectionSnapshot{Published: []room.Stream{{StreamOptions: room.StreamOptions{FrameRate: told}}}})
		if got := status.GetPublishers()[0].GetFrameRate(); got != want {
			t.Errorf("a frame rate of %d is reported as %d, want %d", told, got, want)
		}
	}
	for seconds, want := range map[int32]time.Duration{0: 0, 5: 5 * time.Second, -1: 0} {
		if config, err := podConfig(&controlv1.PodConfig{NetworkQualityIntervalSeconds: seconds}); err != nil || config.NetworkQualityInterval != want {
			t.Errorf("an interval of %d s is %v, %v", seconds, config.NetworkQualityInterval, err)
		}
	}
	for name, message := range map[string]*controlv1.PodConfig{
		"a name for an address": {Advertised: []*controlv1.TransportAddress{{Ip: "example.org"}}},
		"a port above 65535":    {Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.1", UdpPort: 65536}}},
		"a negative port":       {Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.1", TcpPort: -1}}},
	} {
		if _, err := podConfig(message); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

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

// journal returns the next message, which must be how a room stood, as "room: who is in".
func (o *operator) journal() string {
	o.t.Helper()
	message := o.receive().GetJournal()
	if message == nil {
		o.t.Fatal("it is not how a room stood")
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

// What happens comes until it is acknowledged: at once, and again to an operator that starts anew, in order and before what it leads to.
func TestEvents(t *testing.T) {
	p := newPod(t)
	o, _ := p.greeted()
	o.send(told("r", 1, "A", "B"), snapshotEnd())
	wantText(t, o.journal(), "r: not begun")
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
	wantText(t, again.journal(), "r: con_A")
	wantText(t, again.journal(), "s: not begun")
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
	wantText(t, third.journal(), "s: not begun")
	wantText(t, third.journal(), "t: not begun")
	wantText(t, third.events(), "s: 4 session_created")
	wantText(t, third.events(), "t: 8 session_created, 9 session_destroyed")
	third.receive()
	third.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: &controlv1.RemoveRoom{Uid: "r", Revision: 1}}})
	if !third.removed("r").GetEnded() {
		t.Error("the end of r was forgotten")
	}
}
