// Package control is the media pod's side of the control protocol, and its single authority: it
// turns what the operator wants into rooms, and what rooms observe into messages. A pod without an
// operator goes on as it is.
package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/grpcstream"
	"mediarooms.dev/mediarooms/mediapod/room"
)

const (
	heartbeatInterval = time.Second
	// reportInterval is the least time between two reports of rooms; what changes meanwhile goes
	// into one.
	reportInterval = 50 * time.Millisecond
	// levelsInterval is how often the service levels of rooms are brought up to date: each change
	// is a write of a Session's status.
	levelsInterval = 10 * time.Second
)

// MaxMessageBytes is the size of a message of the operator: thousands of connections with all their
// data.
const MaxMessageBytes = 64 << 20

// Config is what the operator tells a pod about itself.
type Config struct {
	// Advertised are the media addresses, in order of preference.
	Advertised []Address
	// ReconnectWindow is how long a client that lost its socket may come back.
	ReconnectWindow time.Duration
	// Draining takes no new rooms.
	Draining bool
	// NetworkQualityInterval is how often participants are told of changes of the network quality;
	// 0 is never.
	NetworkQualityInterval time.Duration
}

// Address is one advertised media address. A port is 0 where the protocol is not reachable.
type Address struct {
	IP               netip.Addr
	UDPPort, TCPPort uint16
}

// Options are what a Server is made of.
type Options struct {
	Rooms *room.Registry
	Log   logr.Logger
	// PodUID is the Kubernetes UID of this pod. Without one, any operator's word is taken for it.
	PodUID string
	// Version of the software, for logs.
	Version string
	// Configure applies what the operator tells. Calls come one at a time.
	Configure func(Config)
	// Standbys are the rooms that are shared with other pods; nil for none.
	Standbys Standbys
}

// Server implements controlv1.MediaPodServer. It serves one stream at a time; the newest wins.
type Server struct {
	controlv1.UnimplementedMediaPodServer

	rooms      *room.Registry
	log        logr.Logger
	podUID     string
	version    string
	instanceID string
	configure  func(Config)
	standbys   Standbys
	stopping   chan struct{} // closed by Stop

	mu      sync.Mutex // guards what follows, and lets only the current stream apply anything
	current *stream
	stopped bool
}

// NewServer returns a server with an instance id of its own.
func NewServer(options Options) *Server {
	return &Server{
		rooms:      options.Rooms,
		log:        options.Log,
		podUID:     options.PodUID,
		version:    options.Version,
		instanceID: rand.Text(),
		configure:  options.Configure,
		standbys:   options.Standbys,
		stopping:   make(chan struct{}),
	}
}

// Stop tells the operator what has changed last, ends its stream, and returns when that is done or
// the context ends.
func (s *Server) Stop(ctx context.Context) {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	current := s.current
	s.mu.Unlock()
	if current == nil {
		return
	}
	select {
	case <-current.ended:
	case <-ctx.Done():
	}
}

// stream is one control stream. All fields but the channels belong to the goroutine of Sync.
type stream struct {
	server     *Server
	grpc       controlv1.MediaPod_SyncServer
	superseded chan struct{} // closed when a newer stream has taken over
	ended      chan struct{} // closed when nothing more is sent

	synced   bool              // the operator's snapshot is complete
	named    map[string]uint64 // room -> revision that was applied on this stream
	followed map[string]bool   // the rooms that the pod is to be the standby of
	begun    *controlv1.Room   // a room that comes in parts; nil when none does
	reports  reports
	unsent   []*controlv1.PodMessage
	reported time.Time
	written  uint64 // sequence of the last event that was queued
}

// Why the pod itself ends a stream.
var (
	errSuperseded = status.Error(codes.Aborted, "another control stream has taken over")
	errStopping   = status.Error(codes.Unavailable, "the pod stops")
)

// Sync implements controlv1.MediaPodServer.
func (s *Server) Sync(grpcStream controlv1.MediaPod_SyncServer) error {
	st := &stream{
		server:     s,
		grpc:       grpcStream,
		superseded: make(chan struct{}),
		ended:      make(chan struct{}),
		named:      make(map[string]uint64),
		followed:   make(map[string]bool),
	}
	if err := st.greet(); err != nil {
		return err
	}
	s.takeOver(st)
	defer s.release(st)
	defer close(st.ended)
	err := st.run()
	s.log.Info("Control stream ended", "reason", fmt.Sprint(err))
	return err
}

// greet waits for the operator's hello and answers it.
func (st *stream) greet() error {
	s := st.server
	first, err := st.grpc.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first message must be OperatorHello")
	}
	if s.podUID != "" && hello.GetPodUid() != s.podUID {
		return status.Errorf(codes.FailedPrecondition, "this is pod %s, not %s", s.podUID, hello.GetPodUid())
	}
	st.reports.inParts = hello.GetTakesParts()
	s.log.Info("Control stream opened", "operatorVersion", hello.GetVersion())
	return st.grpc.Send(&controlv1.PodMessage{Message: &controlv1.PodMessage_Hello{Hello: &controlv1.PodHello{
		Version:    s.version,
		PodUid:     s.podUID,
		InstanceId: s.instanceID,
		RoomUids:   s.rooms.UIDs(),
		TakesParts: true,
	}}})
}

func (s *Server) takeOver(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		close(s.current.superseded)
	}
	s.current = st
}

func (s *Server) release(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == st {
		s.current = nil
	}
}

// run takes messages, reports rooms and sends heartbeats until the stream ends.
func (st *stream) run() error {
	messages, failed := grpcstream.Receive(st.grpc.Context(), st.grpc.Recv)
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	levels := time.NewTicker(levelsInterval)
	defer levels.Stop()
	later := time.NewTimer(0)
	defer later.Stop()
	<-later.C

	for {
		var err error
		select {
		case <-st.superseded:
			return errSuperseded
		case <-st.server.stopping:
			if err = st.report(); err == nil {
				err = errStopping
			}
		case err = <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case message := <-messages:
			if err = st.take(message); err == nil {
				err = st.flush()
			}
		case <-st.server.rooms.Changed():
			// What changes in the next moment goes with it.
			later.Reset(max(0, reportInterval-time.Since(st.reported)))
		case <-st.server.standbysChanged():
			err = st.report()
		case <-st.server.rooms.Outbox().Changed():
			later.Reset(max(0, reportInterval-time.Since(st.reported)))
		case <-later.C:
			err = st.report()
		case <-levels.C:
			st.server.rooms.MeasureLevels()
		case <-heartbeat.C:
			if err = st.grpc.Send(st.heartbeat()); err == nil {
				err = st.report()
			}
		}
		if err != nil {
			return err
		}
	}
}

// take does what a message asks for. Answers to it wait for flush.
func (st *stream) take(message *controlv1.OperatorMessage) error {
	s := st.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != st {
		return errSuperseded
	}
	if part := message.GetRoom(); part != nil && !st.whole(part) {
		return nil
	}
	steps, err := plan(message, st.named, s.rooms.UIDs())
	if err != nil {
		// One bad message costs no other room anything. The operator sees that its revision is
		// never applied.
		s.log.Error(err, "Ignoring a message of the operator")
		st.keep(message.GetRoom())
		return nil
	}
	for _, step := range steps {
		st.do(step)
	}
	return nil
}

// whole reports whether a room is there with all its parts, and puts them together.
func (st *stream) whole(part *controlv1.Room) bool {
	if before := st.begun; before != nil && before.GetUid() == part.GetUid() && before.GetRevision() == part.GetRevision() {
		part.Connections = append(before.Connections, part.Connections...)
	}
	st.begun = nil
	if part.GetMore() {
		st.begun = part
	}
	return !part.GetMore()
}

// keep lets a room that can't be changed as desired stay as it is, when the operator's snapshot
// ends.
func (st *stream) keep(ignored *controlv1.Room) {
	if _, named := st.named[ignored.GetUid()]; ignored != nil && !named {
		st.named[ignored.GetUid()] = 0
	}
}

// do carries one step out. The server is locked.
func (st *stream) do(step step) {
	rooms := st.server.rooms
	switch {
	case step.configure != nil:
		rooms.SetReconnectWindow(step.configure.ReconnectWindow)
		rooms.SetNetworkQualityInterval(step.configure.NetworkQualityInterval)
		st.server.configure(*step.configure)
	case step.apply != nil:
		st.apply(step)
		st.named[step.apply.UID] = step.revision
		if st.synced {
			st.queueEvents()
			st.queue(st.reports.whole, step.apply.UID)
		}
	case step.remove != nil:
		st.remove(*step.remove)
		if step.remove.confirmed {
			if st.synced {
				st.queueEvents() // what happened comes before what it has led to
			}
			ended := rooms.Outbox().Ended(step.remove.uid)
			st.unsent = append(st.unsent, &controlv1.PodMessage{Message: &controlv1.PodMessage_RoomRemoved{
				RoomRemoved: &controlv1.RoomRemoved{Uid: step.remove.uid, Revision: step.revision, Ended: ended},
			}})
		}
	case step.follow != nil:
		st.follow(*step.follow)
	case step.ack != nil:
		rooms.Outbox().Acknowledge(step.ack.uid, step.ack.sequence)
	case step.synced && !st.synced:
		st.synced = true
		confirmations := st.unsent
		st.unsent = nil
		rooms.TakeChanged()
		if st.server.standbys != nil {
			st.server.standbys.Keep(st.followed)
		}
		st.queueStandbys(true)
		st.replayEvents()
		for _, uid := range rooms.UIDs() {
			st.queue(st.reports.whole, uid)
		}
		st.unsent = append(st.unsent, &controlv1.PodMessage{Message: &controlv1.PodMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}})
		st.unsent = append(st.unsent, confirmations...)
	}
}

// report sends the rooms that have changed, once the operator's snapshot is complete.
func (st *stream) report() error {
	s := st.server
	s.mu.Lock()
	superseded := s.current != st
	if st.synced && !superseded {
		st.queueStandbys(false)
		st.queueEvents()
		for _, uid := range s.rooms.TakeChanged() {
			st.queue(st.reports.changes, uid)
		}
	}
	s.mu.Unlock()
	if superseded {
		return errSuperseded
	}
	st.reported = time.Now()
	return st.flush()
}

// replayEvents queues everything of the outbox, for an operator that may know nothing of it.
func (st *stream) replayEvents() {
	checkpoints, batches := st.server.rooms.Outbox().Replay()
	for _, checkpoint := range checkpoints {
		st.unsent = append(st.unsent, st.reports.checkpoint(checkpoint)...)
	}
	st.queueBatches(batches)
}

// queueEvents queues what was written since.
func (st *stream) queueEvents() {
	st.queueBatches(st.server.rooms.Outbox().After(st.written))
}

func (st *stream) queueBatches(batches []*controlv1.RoomEvents) {
	for _, batch := range batches {
		st.unsent = append(st.unsent, &controlv1.PodMessage{Message: &controlv1.PodMessage_Events{Events: batch}})
		st.written = batch.Events[len(batch.Events)-1].GetSequence()
	}
}

// queue queues a report of a room, if there still is one.
func (st *stream) queue(report func(room.Snapshot, uint64) []*controlv1.PodMessage, uid string) {
	if snapshot, found := st.server.rooms.Snapshot(uid); found {
		st.unsent = append(st.unsent, report(snapshot, st.named[uid])...)
	}
}

// flush sends what waits, once the operator's snapshot is complete.
func (st *stream) flush() error {
	if !st.synced {
		return nil
	}
	for _, message := range st.unsent {
		if err := st.grpc.Send(message); err != nil {
			return err
		}
	}
	clear(st.unsent)
	st.unsent = st.unsent[:0]
	return nil
}

func (st *stream) heartbeat() *controlv1.PodMessage {
	totals := st.server.rooms.Totals()
	return &controlv1.PodMessage{Message: &controlv1.PodMessage_Heartbeat{Heartbeat: &controlv1.Heartbeat{
		Rooms:             int32(totals.Rooms),
		ActiveConnections: int32(totals.ActiveConnections),
		Publishers:        int32(totals.Publishers),
		Subscriptions:     int32(totals.Subscriptions),
	}}}
}

func podConfig(message *controlv1.PodConfig) (Config, error) {
	config := Config{
		ReconnectWindow:        time.Duration(message.GetReconnectWindowSeconds()) * time.Second,
		Draining:               message.GetDraining(),
		NetworkQualityInterval: time.Duration(max(0, message.GetNetworkQualityIntervalSeconds())) * time.Second,
	}
	var err error
	config.Advertised, err = addresses(message.GetAdvertised())
	return config, err
}

func addresses(messages []*controlv1.TransportAddress) ([]Address, error) {
	var advertised []Address
	for _, address := range messages {
		ip, err := netip.ParseAddr(address.GetIp())
		if err != nil {
			return nil, fmt.Errorf("advertised address %q: %w", address.GetIp(), errInvalid)
		}
		udp, tcp := address.GetUdpPort(), address.GetTcpPort()
		if udp < 0 || udp > 65535 || tcp < 0 || tcp > 65535 {
			return nil, fmt.Errorf("advertised ports %d and %d: %w", udp, tcp, errInvalid)
		}
		advertised = append(advertised, Address{IP: ip, UDPPort: uint16(udp), TCPPort: uint16(tcp)})
	}
	return advertised, nil
}
