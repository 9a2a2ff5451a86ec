package control

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
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
		p.rooms.Stop()
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
func (l *link) Move()                        {}

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
