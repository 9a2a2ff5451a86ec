// Package fakepod is a media pod for tests of the operator: the real control protocol over real mutual TLS, with rooms that
// are only bookkeeping. Tests move its participants by hand.
package fakepod

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// Pod is a fake media pod. Its methods are safe for concurrent use.
type Pod struct {
	controlv1.UnimplementedMediaPodServer
	uid    string
	server *grpc.Server

	mu       sync.Mutex // guards what follows
	instance string
	breaks   chan struct{} // closed to end the streams that are open
	config   *controlv1.PodConfig
	rooms    map[string]*room
	evicted  map[string]string // connection -> why it was put out
	closed   []string          // rooms that were closed, in order
	muted    bool              // nothing is sent
	deaf     bool              // rooms are ignored
	hanging  bool              // the pod is never through with the operator's snapshot
	streams  int
	send     func(*controlv1.PodMessage) // to the stream that is open; nil when none is
	told     uint64                      // sequence of the last event
	acked    map[string]uint64           // room -> sequence
}

type room struct {
	desired *controlv1.Room
	status  map[string]*controlv1.ConnectionStatus
}

// Start serves a pod with a UID on an address until Stop.
func Start(address, uid, instance string, identity mtls.Source) (*Pod, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	p := &Pod{uid: uid, instance: instance, breaks: make(chan struct{}), rooms: make(map[string]*room), evicted: make(map[string]string)}
	p.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(mtls.ServerFrom(identity, mtls.Manager))))
	controlv1.RegisterMediaPodServer(p.server, p)
	go func() { _ = p.server.Serve(listener) }() // it ends with Stop
	return p, nil
}

// Stop ends the pod at once, as a killed process does.
func (p *Pod) Stop() { p.server.Stop() }

// Sync implements the control protocol.
func (p *Pod) Sync(stream controlv1.MediaPod_SyncServer) error {
	var sending sync.Mutex
	send := func(m *controlv1.PodMessage) {
		p.mu.Lock()
		muted := p.muted
		p.mu.Unlock()
		if muted {
			return
		}
		sending.Lock()
		defer sending.Unlock()
		_ = stream.Send(m) // a stream that is broken is noticed by Recv
	}
	p.mu.Lock()
	p.send = send
	p.streams++
	instance, breaks := p.instance, p.breaks
	p.mu.Unlock()
	done := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- p.receive(stream, send, instance) }()
	defer close(done)
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				send(&controlv1.PodMessage{Message: &controlv1.PodMessage_Heartbeat{Heartbeat: &controlv1.Heartbeat{}}})
			}
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-breaks:
		return status.Error(codes.Unavailable, "the stream is broken")
	}
}

// receive takes in what the operator says.
func (p *Pod) receive(stream controlv1.MediaPod_SyncServer, send func(*controlv1.PodMessage), instance string) error {
	named := make(map[string]bool)
	synced := false
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := message.Message.(type) {
		case *controlv1.OperatorMessage_Hello:
			if m.Hello.PodUid != p.uid {
				return status.Error(codes.FailedPrecondition, "another pod")
			}
			send(&controlv1.PodMessage{Message: &controlv1.PodMessage_Hello{
				Hello: &controlv1.PodHello{Version: "fake", PodUid: p.uid, InstanceId: instance, RoomUids: p.roomUIDs()},
			}})
		case *controlv1.OperatorMessage_Config:
			p.mu.Lock()
			p.config = m.Config
			p.mu.Unlock()
		case *controlv1.OperatorMessage_Room:
			if p.isDeaf() {
				continue
			}
			named[m.Room.Uid] = true
			answer := p.apply(m.Room)
			if synced {
				send(answer)
			}
		case *controlv1.OperatorMessage_RemoveRoom:
			if p.isDeaf() {
				continue
			}
			p.remove(m.RemoveRoom.Uid)
			send(&controlv1.PodMessage{Message: &controlv1.PodMessage_RoomRemoved{
				RoomRemoved: &controlv1.RoomRemoved{Uid: m.RemoveRoom.Uid, Revision: m.RemoveRoom.Revision},
			}})
		case *controlv1.OperatorMessage_AckEvents:
			p.mu.Lock()
			if p.acked == nil {
				p.acked = make(map[string]uint64)
			}
			p.acked[m.AckEvents.Uid] = m.AckEvents.Sequence
			p.mu.Unlock()
		case *controlv1.OperatorMessage_SnapshotEnd:
			if p.hangs() {
				continue
			}
			synced = true
			for _, answer := range p.snapshot(named) {
				send(answer)
			}
			send(&controlv1.PodMessage{Message: &controlv1.PodMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}})
		}
	}
}

// apply takes in a room and returns its status.
func (p *Pod) apply(desired *controlv1.Room) *controlv1.PodMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.rooms[desired.Uid]
	if !ok {
		r = &room{status: make(map[string]*controlv1.ConnectionStatus)}
		p.rooms[desired.Uid] = r
	}
	r.desired = desired
	there := make(map[string]bool)
	for _, c := range desired.Connections {
		there[c.Uid] = true
		s, ok := r.status[c.Uid]
		if !ok {
			s = &controlv1.ConnectionStatus{Uid: c.Uid, State: controlv1.ConnectionState_CONNECTION_STATE_PENDING}
			if c.Spent {
				s.State = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
			}
			r.status[c.Uid] = s
		}
		s.Generation = c.Generation
	}
	for uid := range r.status {
		if !there[uid] {
			p.evicted[uid] = string(reasons.ForceDisconnectByServer)
			delete(r.status, uid)
		}
	}
	return r.message()
}

func (r *room) message() *controlv1.PodMessage {
	out := &controlv1.RoomStatus{Uid: r.desired.Uid, Revision: r.desired.Revision, Generation: r.desired.Generation}
	for _, s := range r.status {
		out.Connections = append(out.Connections, proto.CloneOf(s))
	}
	return &controlv1.PodMessage{Message: &controlv1.PodMessage_Room{Room: out}}
}

func (p *Pod) remove(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.rooms[uid]; ok {
		for c := range r.status {
			p.evicted[c] = string(reasons.SessionClosedByServer)
		}
		delete(p.rooms, uid)
		p.closed = append(p.closed, uid)
	}
}

func (p *Pod) roomUIDs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.rooms))
}

func (p *Pod) snapshot(named map[string]bool) []*controlv1.PodMessage {
	p.mu.Lock()
	var gone []string
	for uid := range p.rooms {
		if !named[uid] {
			gone = append(gone, uid)
		}
	}
	p.mu.Unlock()
	for _, uid := range gone {
		p.remove(uid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*controlv1.PodMessage
	for _, r := range p.rooms {
		out = append(out, r.message())
	}
	return out
}

// change changes what is observed of a participant, and says so to the operator. It says whether there is one.
func (p *Pod) change(connection string, change func(*controlv1.ConnectionStatus)) bool {
	p.mu.Lock()
	var message *controlv1.PodMessage
	for _, r := range p.rooms {
		if s, ok := r.status[connection]; ok {
			change(s)
			message = r.message()
		}
	}
	send := p.send
	p.mu.Unlock()
	if message == nil {
		return false
	}
	if send != nil {
		send(message)
	}
	return true
}

// Join has the user of a pending Connection come in.
func (p *Pod) Join(connection, clientData string, at time.Time) bool {
	return p.change(connection, func(s *controlv1.ConnectionStatus) {
		s.State = controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
		s.ActiveUnixMs = at.UnixMilli()
		s.ClientData = clientData
		s.Ip, s.Platform = "192.0.2.7", "Test 1.0"
	})
}

// Leave has a user go.
func (p *Pod) Leave(connection, reason string, at time.Time) bool {
	return p.change(connection, func(s *controlv1.ConnectionStatus) {
		s.State = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
		s.DisconnectedUnixMs = at.UnixMilli()
		s.DisconnectReason = reason
		s.Publishers, s.Subscribers = nil, nil
	})
}

// Publish has a user send a stream, and another receive it.
func (p *Pod) Publish(connection, stream string, at time.Time) bool {
	return p.change(connection, func(s *controlv1.ConnectionStatus) {
		s.Publishers = append(s.Publishers, &controlv1.PublishedStream{
			StreamId: stream, CreatedUnixMs: at.UnixMilli(), HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true,
			TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: `{"width":640,"height":480}`,
		})
	})
}

// Tell has the pod tell of something that has happened in a room that it has, and returns the sequence of the event.
func (p *Pod) Tell(uid string, event *controlv1.RoomEvent) uint64 {
	p.mu.Lock()
	p.told++
	event.Sequence = p.told
	desired, send := p.rooms[uid].desired, p.send
	p.mu.Unlock()
	send(&controlv1.PodMessage{Message: &controlv1.PodMessage_Events{Events: &controlv1.RoomEvents{
		Room: &controlv1.RoomIdentity{
			Uid: uid, Tenant: desired.Tenant, Name: desired.Name, SessionId: desired.SessionId, CreatedUnixMs: desired.CreatedUnixMs,
			Proof: desired.Proof,
		},
		Events: []*controlv1.RoomEvent{event},
	}}})
	return event.Sequence
}

// Acked returns up to which sequence the events of a room were acknowledged.
func (p *Pod) Acked(uid string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked[uid]
}

// Mute has the pod answer nothing any more, not even heartbeats, or do so again.
func (p *Pod) Mute(muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = muted
}

// Break ends the streams that are open. The rooms stay.
func (p *Pod) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.breaks)
	p.breaks = make(chan struct{})
}

// Restart ends the streams and has another process answer, without rooms.
func (p *Pod) Restart(instance string) {
	p.mu.Lock()
	p.instance = instance
	p.rooms = make(map[string]*room)
	p.mu.Unlock()
	p.Break()
}

// Deafen has the pod ignore what it is told of rooms. It goes on to say that it lives.
func (p *Pod) Deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

func (p *Pod) isDeaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaf
}

// Hang has the pod never be through with what the operator knows, on streams from now on. It goes on to say that it lives.
func (p *Pod) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hanging = true
}

func (p *Pod) hangs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hanging
}

// Room returns what the operator wants of a room, nil when the pod has none.
func (p *Pod) Room(uid string) *controlv1.Room {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.rooms[uid]; ok {
		return proto.CloneOf(r.desired)
	}
	return nil
}

// Config returns what the operator has configured, nil before.
func (p *Pod) Config() *controlv1.PodConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config
}

// Evicted returns why a participant was put out, "" when it was not.
func (p *Pod) Evicted(connection string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.evicted[connection]
}

// Closed returns the rooms that were closed, in order.
func (p *Pod) Closed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.closed)
}

// Streams returns how many streams there have been.
func (p *Pod) Streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}
