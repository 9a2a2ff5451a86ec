package opentok

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/control"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// members are who may be in the room of these tests, by the role.
var members = []struct {
	name string
	role controlv1.Role
	only bool // it receives nothing
}{
	{"A", controlv1.Role_ROLE_PUBLISHER, false},
	{"B", controlv1.Role_ROLE_PUBLISHER, false},
	{"C", controlv1.Role_ROLE_PUBLISHER, false},
	{"D", controlv1.Role_ROLE_PUBLISHER, false},
	{"M", controlv1.Role_ROLE_MODERATOR, false},
	{"P", controlv1.Role_ROLE_PUBLISHER, true},
	{"S", controlv1.Role_ROLE_SUBSCRIBER, false},
}

// desiredMembers is the room with its members, of whom nobody has come.
func desiredMembers() *controlv1.Room {
	room := &controlv1.Room{Uid: "uid", Revision: 1, Key: "team.room", SessionId: "room"}
	for _, member := range members {
		digest := sha256.Sum256([]byte("tok_" + member.name))
		room.Connections = append(room.Connections, &controlv1.Connection{
			Uid: "uid-" + member.name, ConnectionId: "con_" + member.name, TokenSha256: digest[:], RpcSessionId: "private-" + member.name,
			Role: member.role, ReceivesNothing: member.only, ServerData: "data of " + member.name,
		})
	}
	return room
}

// newPod makes a media pod to which an operator gives a room.
func newPod(t *testing.T, room *controlv1.Room) *world {
	t.Helper()
	w := newWorld(t)
	w.rooms.Remove("uid", "") // the operator's is another one
	w.operate(room)
	return w
}

// operate opens a control stream, gives the pod the room, and returns what the pod says of it.
func (w *world) operate(room *controlv1.Room) *controlv1.RoomStatus {
	w.t.Helper()
	listener, server := bufconn.Listen(1<<16), grpc.NewServer()
	controlv1.RegisterMediaPodServer(server, control.NewServer(control.Options{
		Rooms: w.rooms, Log: logr.Discard(), PodUID: "pod", Configure: func(control.Config) {},
	}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	defer func() {
		server.Stop()
		<-served
	}()
	connection, err := grpc.NewClient("passthrough:///pod", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		w.t.Fatal(err)
	}
	defer connection.Close()
	stream, err := controlv1.NewMediaPodClient(connection).Sync(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, message := range []*controlv1.OperatorMessage{
		{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{PodUid: "pod", TakesParts: true}}},
		{Message: &controlv1.OperatorMessage_Room{Room: room}},
		{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	} {
		if err := stream.Send(message); err != nil {
			w.t.Fatal(err)
		}
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			w.t.Fatal(err)
		}
		if status := message.GetRoom(); status != nil {
			return status
		}
	}
}

// move ends the pod, and makes the one that goes on with the room, which an operator gives it as
// the first has told of it.
func (w *world) move() *world {
	w.t.Helper()
	status := w.operate(desiredMembers())
	w.rooms.Stop()
	room := desiredMembers()
	carry(status, room)
	for i, seen := range status.GetConnections() {
		if seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_PENDING {
			continue
		}
		room.Connections[i].Spent = true
		if seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
			room.Connections[i].Presence = &controlv1.Presence{}
			carry(seen, room.Connections[i].Presence)
		}
	}
	return newPod(w.t, room)
}

// carry copies what a pod says into what another one is told, where both have it, as the operator
// does.
func carry(said, told proto.Message) {
	from, to := said.ProtoReflect(), told.ProtoReflect()
	fields := to.Descriptor().Fields()
	for i := range fields.Len() {
		target := fields.Get(i)
		source := from.Descriptor().Fields().ByName(target.Name())
		if source == nil || source.Kind() != target.Kind() || source.Message() != target.Message() || !from.Has(source) {
			continue
		}
		to.Set(target, from.Get(source))
	}
}

// comeBack resumes a member's connection.
func (w *world) comeBack(name string) *client {
	w.t.Helper()
	c := w.dial("/opentok", name)
	c.call("resume", fmt.Sprintf(`{"reconnectionId":"private-%s"}`, name))
	return c
}

// meet has somebody join who was not there before, and returns what the client is told, too.
func (w *world) meet(name string) (*client, string) {
	w.t.Helper()
	c := w.dial("/opentok", name)
	return c, steady(c.call("connect", `{"token":"wss://host/opentok?sessionId=team.room&token=tok_`+name+`"}`))
}

// isMuted says whether audio has to be muted, as a joining client is told.
func isMuted(t *testing.T, joined string) bool {
	t.Helper()
	var told struct{ ForceMute bool }
	if err := json.Unmarshal([]byte(joined), &told); err != nil {
		t.Fatal(err)
	}
	return told.ForceMute
}

// Who is in a room is called on the next pod what it was called before, and so is what it sends.
func TestNamesOutliveAPod(t *testing.T) {
	w := newPod(t, desiredMembers())
	a := w.join("A")
	a.publish(cameraParams)
	a.publish(strings.Replace(screenParams, `"hasVideo"`, `"name":"Slides","initials":"S","hasVideo"`, 1))
	_, want := w.meet("B")
	w = w.move()
	if _, got := w.meet("C"); connections(got)[0] != connections(want)[0] || !strings.Contains(got, `"name":"Slides","initials":"S"`) {
		t.Errorf("who joins is told\n%s, and before it was\n%s", connections(got)[0], connections(want)[0])
	}
	w = w.move()
	if _, got := w.meet("D"); connections(got)[0] != connections(want)[0] {
		t.Errorf("two pods later it is\n%s, want\n%s", connections(got)[0], connections(want)[0])
	}
}

// connections returns those who a joining client is told of.
func connections(joined string) []string {
	var told struct{ Connections []json.RawMessage }
	if err := json.Unmarshal([]byte(joined), &told); err != nil {
		return []string{err.Error()}
	}
	all := make([]string, 0, len(told.Connections))
	for _, c := range told.Connections {
		all = append(all, string(c))
	}
	return all
}

// A client may do on the next pod what its token has granted, and no more.
func TestRolesOutliveAPod(t *testing.T) {
	w := newPod(t, desiredMembers())
	camera := w.join("A").publish(cameraParams)
	w.join("M")
	w.join("P")
	w.join("S")
	for range 2 {
		w = w.move()
		a, m, p, s := w.comeBack("A"), w.comeBack("M"), w.comeBack("P"), w.comeBack("S")
		p.call("unpublish", fmt.Sprintf(`{"streamId":%q}`, p.publish(screenParams)))
		p.refused("subscribe", fmt.Sprintf(`{"subscriptionId":"x","streamId":%q}`, camera), codeSecurity, namePermission)
		a.call("unpublish", fmt.Sprintf(`{"streamId":%q}`, a.publish(screenParams)))
		s.refused("publish", screenParams, codePublish, namePermission)
		for _, c := range []*client{a, s} {
			c.refused("forceMute", fmt.Sprintf(`{"streamId":%q}`, camera), codeSecurity, namePermission)
		}
		m.call("forceMute", fmt.Sprintf(`{"streamId":%q}`, camera))
	}
}

// Audio has to be muted on the next pod, too, until a moderator says otherwise there.
func TestForceMuteOfAllOutlivesAPod(t *testing.T) {
	w := newPod(t, desiredMembers())
	w.join("A").publish(cameraParams)
	m := w.join("M")
	m.call("forceMuteAll", `{}`)
	w = w.move()
	b, joined := w.meet("B")
	if !isMuted(t, joined) {
		t.Errorf("who joins is told %s", joined)
	}
	b.publish(cameraParams)
	b.expect(`muteForced {"streamId":"str_CAM_con_B"}`)
	w = w.move()
	c, joined := w.meet("C")
	if !isMuted(t, joined) {
		t.Errorf("two pods later, who joins is told %s", joined)
	}
	w.comeBack("M").call("disableForceMute", `{}`)
	c.expect(`forceMuteChanged {"active":false}`)
	w = w.move()
	if _, joined := w.meet("D"); isMuted(t, joined) {
		t.Errorf("who joins when that is over is told %s", joined)
	}
}

// A client that has not muted a stream yet, as a moderator wants, is asked by the next pod. One
// that has is not asked again.
func TestForceMuteOfAStreamOutlivesAPod(t *testing.T) {
	w := newPod(t, desiredMembers())
	a, b := w.join("A"), w.join("B")
	camera, other := a.publish(cameraParams), b.publish(cameraParams)
	a.publish(cameraParams)
	m := w.join("M")
	for _, id := range []string{camera, other} {
		m.call("forceMute", fmt.Sprintf(`{"streamId":%q}`, id))
	}
	mute := func(c *client, id string) { c.call("change", fmt.Sprintf(`{"streamId":%q,"audioActive":false}`, id)) }
	mute(b, other)
	w = w.move()
	a, b = w.comeBack("A"), w.comeBack("B")
	a.expect(fmt.Sprintf(`muteForced {"streamId":%q}`, steady(camera)))
	mute(a, camera)
	b.expect(`streamPropertyChanged {"connectionId":"con_A","streamId":"str_CAM_con_A","hasAudio":false}`)
	// By its own will it is not mute any more.
	b.call("change", fmt.Sprintf(`{"streamId":%q,"audioActive":true}`, other))
	w = w.move()
	a, b = w.comeBack("A"), w.comeBack("B")
	for _, c := range []*client{a, b} {
		c.call("ping", `{}`)
		if len(c.told) != 0 {
			t.Errorf("%s is told %q", c.name, c.told)
		}
	}
}

// What a client does not want of a stream is not sent to it by the next pod either.
func TestWhatIsDeliveredOutlivesAPod(t *testing.T) {
	wanted := map[string]media.Delivery{
		"B": {NoVideo: true}, "C": {NoAudio: true, MaxSize: media.Dimensions{Width: 320, Height: 180}, MaxFrameRate: 7},
		"D": {NoAudio: true, NoVideo: true}, "S": {},
	}
	w := newPod(t, desiredMembers())
	camera := w.join("A").publish(cameraParams)
	for name, kinds := range wanted {
		c := w.join(name)
		receive := func(id string, audio, video bool) {
			c.call("subscribe", fmt.Sprintf(`{"subscriptionId":%q,"streamId":%q,"audio":%t,"video":%t}`, id, camera, audio, video))
			c.call("answer", fmt.Sprintf(`{"subscriptionId":%q,"sdpAnswer":"answer"}`, id))
		}
		// A further subscription does not go over, and says nothing of the one that does.
		receive("beside", kinds.NoAudio, kinds.NoVideo)
		receive("con_A", true, true)
		c.call("deliver", fmt.Sprintf(
			`{"subscriptionId":"con_A","audio":%t,"video":%t,"maxResolution":{"width":%d,"height":%d},"maxFrameRate":%d}`,
			!kinds.NoAudio, !kinds.NoVideo, kinds.MaxSize.Width, kinds.MaxSize.Height, kinds.MaxFrameRate))
	}
	for range 2 {
		w = w.move()
		back := map[string]*client{}
		for name := range wanted {
			back[name] = w.comeBack(name)
		}
		for name, kinds := range wanted {
			c := back[name]
			c.await("subscriptionRenewed")
			if got := w.engine.Delivers("con_" + name); got != kinds {
				t.Errorf("%s gets %+v; it wants %+v", name, got, kinds)
			}
			c.call("answer", `{"subscriptionId":"con_A","sdpAnswer":"answer","renewed":true}`)
		}
	}
	// A wish of now is one, too.
	w.comeBack("B").call("deliver", `{"subscriptionId":"con_A","audio":true,"video":true}`)
	w = w.move()
	w.comeBack("B").await("subscriptionRenewed")
	if got := w.engine.Delivers("con_B"); got != (media.Delivery{}) {
		t.Errorf("B, who wants all by now, gets %+v", got)
	}
}

// await reads until a notification comes.
func (c *client) await(method string) {
	c.t.Helper()
	for {
		if message := c.message(); string(message["method"]) == `"`+method+`"` {
			return
		}
	}
}

// A client of OpenVidu sees the participant that stands for a further stream on the next pod, too,
// where it receives the stream anew.
func TestAFurtherStreamOutlivesAPodForAClientOfOpenVidu(t *testing.T) {
	w := newPod(t, desiredMembers())
	a, v := w.join("A"), w.joinOpenVidu("B")
	a.publish(cameraParams)
	screen := a.publish(screenParams)
	v.call("prepareReceiveVideoFrom", fmt.Sprintf(`{"sender":%q,"reconnect":false}`, screen))
	v.call("receiveVideoFrom", fmt.Sprintf(`{"sender":%q,"sdpAnswer":"answer"}`, screen))
	w = w.move()
	v = w.dial("/openvidu", "B")
	v.call("connect", `{"sessionId":"private-B","reconnect":true}`)
	want := `forciblyReconnectSubscriber {"connectionId":"con_further","streamId":"str_SCR_con_further","sdpOffer":`
	if got := steady(notification(v.message())); !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	v.call("reconnectStream", fmt.Sprintf(`{"stream":%q,"sdpString":"answer","forciblyReconnect":true}`, screen))
	w.receives(t, "con_B", screen)
	w.comeBack("A").call("unpublish", fmt.Sprintf(`{"streamId":%q}`, screen))
	v.expect(`participantUnpublished {"connectionId":"con_further","reason":"unpublish"}`,
		`participantLeft {"connectionId":"con_further","reason":"disconnect"}`)
}
