package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// maxMessage bounds one message of a pod, in bytes.
const maxMessage = 64 << 20

// errOtherPod is a pod that says it is another one than was dialled.
var errOtherPod = errors.New("another pod answered")

// errRestarted is a pod whose process is another one than before: its rooms are gone.
var errRestarted = errors.New("the pod's process has restarted")

// link is the control stream to one pod, guarded by Fleet.mu except for wake and what never changes of the pod (its name, UID, pool and
// address). Its goroutine (run) is the only one that uses the stream.
type link struct {
	pod    Pod
	cancel context.CancelFunc
	// wake has one element when there is something to send.
	wake chan struct{}
	// since is when dialling began, heard when the last message came (zero: never).
	since, heard time.Time
	// stalled is how long the operator had not run when the last message came.
	stalled time.Duration
	// connected: the pod has said hello on the running stream; synced: both snapshots are through.
	connected, synced, lost bool
	instance                string
	// takesParts says that the pod puts together a Room that comes in parts.
	takesParts bool
	// offered is when everything was first sent to it that it must answer to be synced, since it was last; zero when it was not. stalledThen is how long
	// the operator had not run then.
	offered     time.Time
	stalledThen time.Duration
	config      *controlv1.PodConfig
	configDirty bool
	// dirty are the rooms to send; the room itself knows whether it is to be removed. One that is on another pod by now is closed here.
	dirty map[types.UID]struct{}
	// acks are the acknowledgements of events that are to be sent: room -> sequence.
	acks map[types.UID]uint64
	// identities are those of rooms that this leader has sent to the pod.
	identities map[types.UID]*controlv1.RoomIdentity
	// doubted says that it was said in the log that the pod tells of rooms which are not its own.
	doubted bool
}

// mark notes a room to send. Fleet.mu is held.
func (l *link) mark(uid types.UID) {
	if l.dirty == nil {
		l.dirty = make(map[types.UID]struct{})
	}
	l.dirty[uid] = struct{}{}
	l.signal()
}

func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// silent returns for how long nothing was heard while the operator listened. Fleet.mu is held.
func (l *link) silent(now time.Time, stalled time.Duration) time.Duration {
	return now.Sub(l.heard) - (stalled - l.stalled)
}

// hopeless says whether the pod was sent everything long ago and has never been through with it since. Fleet.mu is held.
func (l *link) hopeless(now time.Time, stalled time.Duration) bool {
	return !l.synced && !l.offered.IsZero() && now.Sub(l.offered)-(stalled-l.stalledThen) >= unsynced
}

// view returns the pod as it stands. Fleet.mu is held.
func (l *link) view() PodView {
	view := PodView{Pod: l.pod, Known: true, Since: l.since, Draining: l.config.GetDraining()}
	switch {
	case l.lost:
		view.State = Lost
	case l.synced:
		view.State = Synced
		view.Usable = l.config != nil && !l.config.Draining
	case l.heard.IsZero():
		view.State = Connecting
	default:
		view.State = Broken
	}
	return view
}

// run keeps a stream to the pod until the context ends or the pod is lost.
func (f *Fleet) run(ctx context.Context, l *link, pod Pod) {
	logger := log.FromContext(ctx).WithValues("Pod", pod.Name)
	ctx = log.IntoContext(ctx, logger)
	var last string
	for ctx.Err() == nil {
		err := f.sync(ctx, l, pod)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		wasSynced := l.synced
		l.connected, l.synced = false, false
		f.mu.Unlock()
		if wasSynced {
			f.config.Wakers.Pod(pod)
		}
		if text := err.Error(); text != last {
			last = text
			logger.Info("Control stream is down", "reason", text)
		}
		if errors.Is(err, errRestarted) {
			f.Lose(pod.Name)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(redial):
		}
	}
}

// sync is the life of one stream. It returns why it ended.
func (f *Fleet) sync(ctx context.Context, l *link, pod Pod) error {
	connection, err := f.dial(pod)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A stream on which nothing is heard is given up before the pod is: a new one may get through.
	watchdog := time.AfterFunc(silence/2, func() { cancel(fmt.Errorf("waiting for a message: %w", context.DeadlineExceeded)) })
	defer watchdog.Stop()
	stream, err := controlv1.NewMediaPodClient(connection).Sync(ctx)
	if err != nil {
		return cause(ctx, fmt.Errorf("opening the stream: %w", err))
	}
	if err := f.greet(stream, pod); err != nil {
		return cause(ctx, err)
	}
	parts := newAssembly()
	if err := f.receive(l, stream, watchdog, parts, true); err != nil {
		return cause(ctx, err)
	}

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := f.send(ctx, l, stream); err != nil {
			cancel(err)
		}
	}()
	err = f.receive(l, stream, watchdog, parts, false)
	err = cause(ctx, err)
	cancel(err)
	<-sent
	return err
}

// dial prepares the connection to a pod.
func (f *Fleet) dial(pod Pod) (*grpc.ClientConn, error) {
	// Heartbeats tell whether the pod lives, so gRPC sends no pings of its own.
	connection, err := grpc.NewClient("passthrough:///"+pod.Address,
		grpc.WithTransportCredentials(f.config.Credentials),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	return connection, nil
}

// greet opens the operator's side of a stream.
func (f *Fleet) greet(stream controlv1.MediaPod_SyncClient, pod Pod) error {
	hello := &controlv1.OperatorHello{Version: f.config.Version, PodUid: pod.UID, TakesParts: true}
	if err := stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("sending hello: %w", err)
	}
	return nil
}

// cause prefers why the stream was ended here over how that looks from the stream.
func cause(ctx context.Context, err error) error {
	if reason := context.Cause(ctx); reason != nil {
		return reason
	}
	return err
}

// send sends the configuration and every room, then what changes, until the context ends.
func (f *Fleet) send(ctx context.Context, l *link, stream controlv1.MediaPod_SyncClient) error {
	f.mu.Lock()
	l.configDirty = l.config != nil
	for uid, r := range f.rooms {
		if r.pod == l.pod.Name {
			l.mark(uid)
		}
	}
	f.mu.Unlock()

	for snapshot := true; ; snapshot = false {
		if err := f.sendConfig(l, stream); err != nil {
			return err
		}
		rooms, later := f.takeDirty(l, snapshot)
		for _, uid := range rooms {
			if err := f.sendRoom(ctx, l, uid, stream); err != nil {
				return err
			}
		}
		if err := f.sendAcks(l, stream); err != nil {
			return err
		}
		if snapshot {
			end := &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}}
			if err := stream.Send(end); err != nil {
				return fmt.Errorf("sending the end of the snapshot: %w", err)
			}
			f.offered(l)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-later:
		}
	}
}

// offered notes that the pod was sent everything.
func (f *Fleet) offered(l *link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !l.synced && l.offered.IsZero() {
		l.offered, l.stalledThen = f.config.Clock.Now(), f.stalled()
	}
}

// takeDirty returns the rooms to send now, which for a snapshot are all. later, unless nil, is when to look again for one that waits for an answer.
func (f *Fleet) takeDirty(l *link, snapshot bool) (rooms []types.UID, later <-chan time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	wait := time.Duration(0)
	for uid := range l.dirty {
		if r, ok := f.rooms[uid]; ok && r.pod == l.pod.Name && !snapshot && !r.urgent && r.sent > r.acked {
			if rest := r.sentAt.Add(inFlight).Sub(now); rest > 0 {
				if wait == 0 || rest < wait {
					wait = rest
				}
				continue
			}
		}
		rooms = append(rooms, uid)
		delete(l.dirty, uid)
	}
	if wait > 0 {
		later = time.After(wait)
	}
	return rooms, later
}

// sendAcks acknowledges events. What a broken stream loses is acknowledged with the room's next event, or told again to the next leader.
func (f *Fleet) sendAcks(l *link, stream controlv1.MediaPod_SyncClient) error {
	f.mu.Lock()
	acks := l.acks
	l.acks = nil
	f.mu.Unlock()
	for uid, sequence := range acks {
		ack := &controlv1.AckEvents{Uid: string(uid), Sequence: sequence}
		if err := stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_AckEvents{AckEvents: ack}}); err != nil {
			return fmt.Errorf("acknowledging events: %w", err)
		}
	}
	return nil
}

func (f *Fleet) sendConfig(l *link, stream controlv1.MediaPod_SyncClient) error {
	f.mu.Lock()
	config, dirty, pod := l.config, l.configDirty, l.pod
	l.configDirty = false
	f.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Config{Config: config}}); err != nil {
		return fmt.Errorf("sending the configuration: %w", err)
	}
	// It may have become usable.
	f.podChanged(pod)
	return nil
}

// sendRoom sends the desired state of one room, as it is now, or that it is to be closed.
func (f *Fleet) sendRoom(ctx context.Context, l *link, uid types.UID, stream controlv1.MediaPod_SyncClient) error {
	f.mu.Lock()
	r, ok := f.rooms[uid]
	if !ok || r.pod != l.pod.Name {
		f.mu.Unlock()
		return sendRemoval(stream, uid, 0, false)
	}
	r.dirty, r.urgent = false, false
	r.sent++
	r.sentAt = time.Now()
	revision, removing, silent, assigned := r.sent, r.end.removing, r.end.silent, r.Room
	seen := make(map[types.UID]*controlv1.ConnectionStatus, len(r.seen))
	for id, status := range r.seen {
		// Only the state is read, and that under no lock: a shallow copy of it is enough.
		seen[id] = &controlv1.ConnectionStatus{State: status.State}
	}
	f.mu.Unlock()

	var desired *controlv1.Room
	if !removing {
		var err error
		var names map[types.UID]types.NamespacedName
		if desired, names, err = f.config.Rooms.Room(ctx, assigned, seen); err != nil {
			return fmt.Errorf("building the room of Session %s: %w", assigned.Name, err)
		}
		generations := make(map[types.UID]int64, len(names))
		for _, c := range desired.GetConnections() {
			generations[types.UID(c.Uid)] = c.Generation
		}
		f.mu.Lock()
		r.told = told{generation: desired.GetGeneration(), connections: generations, names: names}
		f.mu.Unlock()
	}
	if desired == nil {
		return sendRemoval(stream, uid, revision, silent)
	}
	desired.Revision = revision
	desired.Known = f.config.Events != nil && f.config.Events.Known(uid)
	parts, err := f.partsFor(l, desired)
	if err != nil {
		// A pod of an older version can't be told of it. It costs no other room anything.
		log.FromContext(ctx).Error(err, "Not sending a room", "Session", assigned.Name)
		return nil
	}
	for _, part := range parts {
		if err := stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: part}}); err != nil {
			return fmt.Errorf("sending the room of Session %s: %w", assigned.Name, err)
		}
	}
	return nil
}

// errTooLarge is a room whose desired state a pod can't take.
var errTooLarge = errors.New("the room has too much data for a media pod of this version")

// partsFor returns the messages by which a pod is told of a room, and notes whom it is of.
func (f *Fleet) partsFor(l *link, desired *controlv1.Room) ([]*controlv1.Room, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.remember(desired)
	if l.takesParts {
		return roomParts(desired), nil
	}
	if size := proto.Size(desired); size > maxMessage {
		return nil, fmt.Errorf("checking its size of %d bytes: %w", size, errTooLarge)
	}
	return []*controlv1.Room{desired}, nil
}

func sendRemoval(stream controlv1.MediaPod_SyncClient, uid types.UID, revision uint64, silent bool) error {
	removal := &controlv1.RemoveRoom{Uid: string(uid), Revision: revision, Silent: silent}
	if err := stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: removal}}); err != nil {
		return fmt.Errorf("sending the removal of a room: %w", err)
	}
	return nil
}

// receive takes in what the pod says until the stream ends, or, when that is all that is awaited, until it has said hello.
func (f *Fleet) receive(l *link, stream controlv1.MediaPod_SyncClient, watchdog *time.Timer, parts *assembly, untilHello bool) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		watchdog.Reset(silence / 2)
		if err := f.take(stream.Context(), l, message, parts); err != nil {
			return err
		}
		if untilHello && message.GetHello() != nil {
			return nil
		}
	}
}

// tell passes on what a pod tells of what has happened in rooms. Whose rooms those are the pod does not decide.
func (f *Fleet) tell(ctx context.Context, events Events, l *link, message *controlv1.PodMessage, parts *assembly) error {
	f.mu.Lock()
	instance, lost := l.instance, l.lost
	f.mu.Unlock()
	if lost {
		return nil // what was there has ended already, as far as anybody was told
	}
	switch m := message.Message.(type) {
	case *controlv1.PodMessage_Journal:
		journal, err := parts.journal(m.Journal)
		if err != nil || journal == nil {
			return err
		}
		if journal.Room, err = f.identify(ctx, l, journal.GetRoom()); err != nil || journal.Room == nil {
			return err
		}
		events.Checkpoint(l.pod.Name, instance, journal)
	case *controlv1.PodMessage_Events:
		uid := types.UID(m.Events.GetRoom().GetUid())
		identity, err := f.identify(ctx, l, m.Events.GetRoom())
		if err != nil {
			return err
		}
		if identity == nil {
			f.refuse(l, uid, m.Events.GetEvents())
			return nil
		}
		m.Events.Room = identity
		events.Append(l.pod.Name, instance, f.hosts(l, uid), m.Events)
	case *controlv1.PodMessage_RoomRemoved:
		if m.RoomRemoved.GetEnded() && f.has(l, types.UID(m.RoomRemoved.GetUid())) {
			events.Ended(types.UID(m.RoomRemoved.GetUid()))
		}
	}
	return nil
}

// hosts says whether a room belongs to a pod, as far as is known.
func (f *Fleet) hosts(l *link, uid types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known := f.rooms[uid]
	return !known || r.pod == l.pod.Name
}

// has says whether a room is known to be on a pod.
func (f *Fleet) has(l *link, uid types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known := f.rooms[uid]
	return known && r.pod == l.pod.Name
}

// knows says whether there is such a room.
func (f *Fleet) knows(uid types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.rooms[uid]
	return known
}

// take takes in one message.
func (f *Fleet) take(ctx context.Context, l *link, message *controlv1.PodMessage, parts *assembly) error {
	var sessions, connections []types.NamespacedName
	podChanged := false
	if events := f.config.Events; events != nil {
		if err := f.tell(ctx, events, l, message, parts); err != nil {
			return err
		}
	}
	var status *controlv1.RoomStatus
	if part := message.GetRoom(); part != nil {
		var err error
		if status, err = parts.status(part, f.knows(types.UID(part.Uid))); err != nil {
			return err
		}
	}
	f.mu.Lock()
	l.heard, l.stalled = f.config.Clock.Now(), f.stalled()
	switch m := message.Message.(type) {
	case *controlv1.PodMessage_Hello:
		if m.Hello.PodUid != l.pod.UID {
			f.mu.Unlock()
			return fmt.Errorf("checking the pod's UID: %w", errOtherPod)
		}
		if l.instance != "" && l.instance != m.Hello.InstanceId {
			f.mu.Unlock()
			return errRestarted
		}
		l.instance = m.Hello.InstanceId
		l.takesParts = m.Hello.TakesParts
		l.connected = true
	case *controlv1.PodMessage_SnapshotEnd:
		if l.connected && !l.synced {
			l.synced, podChanged = true, true
			l.offered = time.Time{}
		}
	case *controlv1.PodMessage_Room:
		if status != nil {
			sessions, connections = f.observe(l, status)
		}
	case *controlv1.PodMessage_RoomRemoved:
		parts.forget(m.RoomRemoved.Uid)
		r, ok := f.rooms[types.UID(m.RoomRemoved.Uid)]
		if ok && r.pod == l.pod.Name && m.RoomRemoved.Revision >= r.sent && !r.dirty {
			r.end.removed = true
			if r.end.abandoned {
				delete(f.rooms, r.UID)
			}
			sessions = append(sessions, r.Name)
			for _, e := range r.evicting {
				connections = append(connections, e.name)
			}
		}
	}
	pod := l.pod
	f.mu.Unlock()

	for _, name := range connections {
		f.config.Wakers.Connection(name)
	}
	for _, name := range sessions {
		f.config.Wakers.Session(name)
	}
	if podChanged {
		f.podChanged(pod)
	}
	return nil
}
