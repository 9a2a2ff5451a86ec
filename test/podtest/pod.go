// Package podtest is a media pod for tests of the operator: the real control server and the real
// rooms, over an engine without media and real mutual TLS. Tests move its participants by hand, and
// have its streams fail.
package podtest

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/mediapod/control"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/test/network"
)

// Config is what a Pod needs.
type Config struct {
	// Address of the control port, HOST:PORT, and the UID of the Pod object.
	Address, UID string
	Identity     mtls.Source
	// Token returns the token of a Connection: the pod itself knows digests only.
	Token func(connection string) string
}

// Pod is a media pod. Its methods are safe for concurrent use.
type Pod struct {
	controlv1.UnimplementedMediaPodServer
	config Config
	server *grpc.Server
	wire   *network.Wire

	mu      sync.Mutex // guards what follows
	rooms   *room.Registry
	control *control.Server
	breaks  chan struct{} // closed to end the streams that are open
	faults  faults
	streams int
	latest  *stream // the last one that was opened; nil before
	record  record
	users   map[string]*user // by Connection
}

// faults is how a pod misbehaves.
type faults struct {
	muted   bool // nothing is sent
	deaf    bool // rooms are ignored
	hanging bool // the end of the operator's snapshot is ignored
}

// Start serves a pod until Stop.
func Start(config Config) (*Pod, error) {
	inner, err := net.Listen("tcp", config.Address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	p := &Pod{config: config, wire: network.NewWire(), breaks: make(chan struct{}), record: newRecord()}
	p.begin()
	p.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(mtls.ServerFrom(config.Identity, mtls.Manager))))
	controlv1.RegisterMediaPodServer(p.server, p)
	go func() { _ = p.server.Serve(p.wire.Listener(inner)) }() // it ends with Stop
	return p, nil
}

// begin makes the pod a new process, without rooms. It is locked, or not shared yet.
func (p *Pod) begin() {
	p.rooms = room.NewRegistry(&mediatest.Engine{}, logr.Discard())
	p.users = make(map[string]*user)
	p.control = control.NewServer(control.Options{
		Rooms: p.rooms, Log: logr.Discard(), PodUID: p.config.UID, Version: "test", Configure: func(control.Config) {},
	})
}

// Stop ends the pod at once, as a killed process does.
func (p *Pod) Stop() {
	p.wire.Cut(false)
	p.server.Stop()
	p.mu.Lock()
	rooms := p.rooms
	p.mu.Unlock()
	rooms.Stop()
	rooms.Wait()
}

// Mute has the pod answer nothing any more, not even heartbeats, or do so again.
func (p *Pod) Mute(muted bool) { p.spoil(func(f *faults) { f.muted = muted }) }

// Cut has nothing pass between the pod and the operator, either way, or everything again. Neither
// is told.
func (p *Pod) Cut(cut bool) { p.wire.Cut(cut) }

// Deafen has the pod ignore what it is told of rooms. It goes on to say that it lives.
func (p *Pod) Deafen() { p.spoil(func(f *faults) { f.deaf = true }) }

// Hang has the pod never be through with what the operator knows, on streams from now on. It goes
// on to say that it lives.
func (p *Pod) Hang() { p.spoil(func(f *faults) { f.hanging = true }) }

func (p *Pod) spoil(change func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.faults)
}

func (p *Pod) now() faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

// Break ends the streams that are open. The rooms stay.
func (p *Pod) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.breaks)
	p.breaks = make(chan struct{})
}

// Restart ends the streams and has another process answer, without rooms.
func (p *Pod) Restart() {
	p.mu.Lock()
	before := p.rooms
	p.begin()
	p.mu.Unlock()
	before.Stop()
	before.Wait()
	p.Break()
}

// Streams returns how many streams there have been.
func (p *Pod) Streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}

// Room returns what the operator wants of a room, nil when the pod has none.
func (p *Pod) Room(uid string) *controlv1.Room {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.rooms.UIDs(), uid) {
		return nil
	}
	return proto.CloneOf(p.record.desired[uid])
}

// Config returns what the operator has configured, nil before.
func (p *Pod) Config() *controlv1.PodConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.config
}

// Closed returns the rooms that the pod has told of and does not have any more, in the order in
// which it told of them.
func (p *Pod) Closed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := p.rooms.UIDs()
	return slices.DeleteFunc(slices.Clone(p.record.hosted), func(uid string) bool { return slices.Contains(there, uid) })
}

// Evicted returns why a participant that had joined is out, as the pod tells of it; "" when it is
// not.
func (p *Pod) Evicted(connection string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.left[p.record.connectionIDs[connection]]
}

// Events returns the sequence of the last event of a room that the pod told of, and up to which
// events were acknowledged.
func (p *Pod) Events(uid string) (told, acknowledged uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.told[uid], p.record.acknowledged[uid]
}

// Date has the pod say of a participant that it came and went at certain times.
func (p *Pod) Date(connection string, came, went time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record.dates[connection] = [2]int64{came.UnixMilli(), went.UnixMilli()}
}
