package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// operator is this program in the place of the operator and the gateway of a media pod: it has a
// connection for each participant that a load asks to let in, and takes it away when that has left.
// It is a loadtest.Target.
type operator struct {
	address string // of the pod
	gateway *http.Client
	control *grpc.ClientConn
	stream  grpc.BidiStreamingClient[controlv1.OperatorMessage, controlv1.PodMessage]

	mu          sync.Mutex // guards the fields below, and sending on stream
	rooms       map[int]*controlv1.Room
	connections int               // how many there were
	applied     map[string]uint64 // the revision of each room, by its UID
	changed     chan struct{}     // closed and replaced when applied changes
	ended       error             // of the stream
}

var _ loadtest.Target = (*operator)(nil)

// applyTime bounds how long a pod may take to have what it was told.
const applyTime = 10 * time.Second

// operate opens the control stream and configures the pod.
func operate(ctx context.Context, address, root string, gateway *http.Client) (*operator, error) {
	config, err := mtls.Client(filepath.Join(root, mtls.Manager), mtls.MediaPod)
	if err != nil {
		return nil, err
	}
	o := &operator{address: address, gateway: gateway, rooms: map[int]*controlv1.Room{}, applied: map[string]uint64{}, changed: make(chan struct{})}
	if o.control, err = grpc.NewClient(fmt.Sprintf("%s:%d", address, controlPort),
		grpc.WithTransportCredentials(credentials.NewTLS(config))); err != nil {
		return nil, err
	}
	if o.stream, err = controlv1.NewMediaPodClient(o.control).Sync(context.WithoutCancel(ctx)); err != nil {
		return nil, errors.Join(err, o.control.Close())
	}
	for _, message := range []*controlv1.OperatorMessage{
		{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{Version: "measurement", PodUid: "measured-pod", TakesParts: true}}},
		{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
			Advertised:             []*controlv1.TransportAddress{{Ip: address, UdpPort: mediaPort, TcpPort: mediaPort}},
			ReconnectWindowSeconds: 10,
		}}},
		{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	} {
		if err := o.stream.Send(message); err != nil {
			return nil, errors.Join(err, o.control.Close())
		}
	}
	go o.receive()
	return o, nil
}

func (o *operator) close() error { return o.control.Close() }

// receive takes what the pod says, until the stream ends.
func (o *operator) receive() {
	for {
		message, err := o.stream.Recv()
		if err == nil {
			err = o.take(message)
		}
		if err != nil {
			o.mu.Lock()
			o.ended = err
			close(o.changed)
			o.changed = make(chan struct{})
			o.mu.Unlock()
			return
		}
	}
}

func (o *operator) take(message *controlv1.PodMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if status := message.GetRoom(); status != nil {
		o.applied[status.GetUid()] = status.GetRevision()
		close(o.changed)
		o.changed = make(chan struct{})
	}
	events := message.GetEvents()
	if n := len(events.GetEvents()); n > 0 {
		ack := &controlv1.AckEvents{Uid: events.GetRoom().GetUid(), Sequence: events.GetEvents()[n-1].GetSequence()}
		return o.stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_AckEvents{AckEvents: ack}})
	}
	return nil
}

// addresses is how many there are for participants to come from, as the gateway says. A pod
// remembers what came from each for a while.
const addresses = 1000

// Admit adds a connection to a room and waits until the pod knows it.
func (o *operator) Admit(ctx context.Context, room int, _ bool) (roomclient.Options, error) {
	number, uid, revision, err := o.add(room)
	if err != nil {
		return roomclient.Options{}, err
	}
	if err := o.wait(ctx, uid, revision); err != nil {
		return roomclient.Options{}, err
	}
	return roomclient.Options{
		Token:      token.URL("ws://measured", key(room), secret(number)),
		Endpoint:   fmt.Sprintf("wss://%s:%d", o.address, signallingPort),
		HTTPClient: o.gateway,
		Header:     http.Header{"X-Real-Ip": {fmt.Sprintf("198.19.%d.%d", number%addresses/250, number%addresses%250)}},
	}, nil
}

// add tells the pod of one more connection.
func (o *operator) add(room int) (number int, uid string, revision uint64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rooms[room]
	if r == nil {
		r = &controlv1.Room{
			Uid: fmt.Sprintf("measured-room-%d", room), Tenant: "measured", Name: key(room), CreatedUnixMs: time.Now().UnixMilli(),
			Generation: 1, Key: key(room), SessionId: key(room),
		}
		o.rooms[room] = r
	}
	number = o.connections
	o.connections++
	digest := token.Digest(secret(number))
	r.Connections = append(r.Connections, &controlv1.Connection{
		Uid: fmt.Sprintf("connection-%d", number), Generation: 1, ConnectionId: fmt.Sprintf("con_Measured%d", number),
		TokenSha256: digest[:], RpcSessionId: fmt.Sprintf("rpc-session-%d", number), Role: controlv1.Role_ROLE_PUBLISHER,
	})
	r.Revision++
	err = o.stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: r}})
	return number, r.GetUid(), r.GetRevision(), err
}

// wait waits until the pod has a revision of a room.
func (o *operator) wait(ctx context.Context, uid string, revision uint64) error {
	deadline := time.NewTimer(applyTime)
	defer deadline.Stop()
	for {
		o.mu.Lock()
		applied, changed, ended := o.applied[uid], o.changed, o.ended
		o.mu.Unlock()
		switch {
		case ended != nil:
			return fmt.Errorf("waiting for the room: %w", ended)
		case applied >= revision:
			return nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("waiting for the room: not applied after %v", applyTime)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Left takes the connection away with the next change of the room.
func (o *operator) Left(room int, options roomclient.Options) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rooms[room]
	if r == nil {
		return
	}
	digest := token.Digest(token.FromURL(options.Token))
	r.Connections = slices.DeleteFunc(r.Connections, func(c *controlv1.Connection) bool {
		return bytes.Equal(c.GetTokenSha256(), digest[:])
	})
}

// Close removes the rooms.
func (o *operator) Close(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for room, r := range o.rooms {
		remove := &controlv1.RemoveRoom{Uid: r.GetUid(), Revision: r.GetRevision() + 1}
		if err := o.stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: remove}}); err != nil {
			return err
		}
		delete(o.rooms, room)
		delete(o.applied, r.GetUid())
	}
	return nil
}

// key is the routing key of a room.
func key(room int) string { return fmt.Sprintf("measured-%d", room) }

// secret is the token of the connection with a number.
func secret(number int) string { return fmt.Sprintf("tok_Measured%016d", number) }
