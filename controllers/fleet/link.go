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

// link is the control stream to one pod, guarded by Fleet.mu except for wake and what never changes
// of the pod (its name, UID, pool and address). Its goroutine (run) is the only one that uses the
// stream.
type link struct {
	pod    Pod
	cancel context.CancelFunc
	// wake has one element when there is something to send, here or in the outbox.
	wake chan struct{}
	// since is when dialling began, heard when the last message came (zero: never).
	since, heard moment
	// wasReady says that this leader has known its kubelet call it ready.
	wasReady bool
	// cutOff is since when it is cut off, waits that it is given up when its turn comes, and lostBy
	// why it was (decision 51).
	cutOff time.Time
	waits  bool
	lostBy Sign
	// connected: the pod has said hello on the running stream; synced: both snapshots are through.
	connected, synced, lost bool
	instance                string
	// takesParts says that the pod puts together a Room that comes in parts.
	takesParts bool
	// offered is when everything was first sent to it that it must answer to be synced, since it
	// was last; zero when it was not.
	offered     moment
	config      *controlv1.PodConfig
	configDirty bool
	// identities are those of rooms that this leader has sent to the pod.
	identities map[types.UID]*controlv1.RoomIdentity
	// doubted says that it was said in the log that the pod tells of rooms which are not its own.
	doubted bool
}

// view returns the pod as it stands. Fleet.mu is held.
func (l *link) view() PodView {
	view := PodView{
		Pod: l.pod, Known: true, Since: l.since.at, Draining: l.config.GetDraining(), Waits: l.waits, LostBy: l.lostBy, CutOff: l.cutOff,
		Advertised: l.config.GetAdvertised(),
	}
	switch {
	case l.lost:
		view.State = Lost
	case l.synced:
		view.State = Synced
		view.Usable = l.config != nil && !l.config.Draining && l.cutOff.IsZero()
	case l.heard.at.IsZero():
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
			f.podChanged(pod)
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
	f.config.Outbox.drop(pod.Name)
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
	f.mu.Unlock()
	if err := f.sendSnapshot(ctx, l, stream); err != nil {
		return err
	}
	for {
		if err := f.sendConfig(l, stream); err != nil {
			return err
		}
		for _, message := range f.config.Outbox.take(l.pod.Name) {
			if err := f.sendMessage(ctx, l, message, stream); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		}
	}
}

// sendSnapshot sends everything that the pod is to know.
func (f *Fleet) sendSnapshot(ctx context.Context, l *link, stream controlv1.MediaPod_SyncClient) error {
	if err := f.sendConfig(l, stream); err != nil {
		return err
	}
	f.config.Outbox.collect(l.pod.Name)
	messages, err := f.config.Rooms.Snapshot(ctx, l.pod.Name)
	if err != nil {
		return fmt.Errorf("waiting for the rooms: %w", err)
	}
	for _, message := range messages {
		if err := f.sendMessage(ctx, l, message, stream); err != nil {
			return err
		}
	}
	end := &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}}
	if err := stream.Send(end); err != nil {
		return fmt.Errorf("sending the end of the snapshot: %w", err)
	}
	f.offered(l)
	return nil
}

// offered notes that the pod was sent everything.
func (f *Fleet) offered(l *link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !l.synced && l.offered.at.IsZero() {
		l.offered = f.now()
	}
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

// sendMessage sends a message about a room, in parts if it is large.
func (f *Fleet) sendMessage(ctx context.Context, l *link, message *controlv1.OperatorMessage, stream controlv1.MediaPod_SyncClient) error {
	messages := []*controlv1.OperatorMessage{message}
	if room := message.GetRoom(); room != nil {
		parts, err := f.partsFor(l, room)
		if err != nil {
			// A pod of an older version can't be told of it. It costs no other room anything.
			log.FromContext(ctx).Error(err, "Not sending a room", "namespace", room.GetTenant(), "Session", room.GetName())
			return nil
		}
		messages = messages[:0]
		for _, part := range parts {
			messages = append(messages, &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: part}})
		}
	}
	for _, message := range messages {
		if err := stream.Send(message); err != nil {
			return fmt.Errorf("sending what is wanted of a room: %w", err)
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

// receive takes in what the pod says until the stream ends, or, when that is all that is awaited,
// until it has said hello.
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

// forwardEvents hands what a pod tells of its rooms' events to the event log. Whose rooms those are
// the pod does not decide.
func (f *Fleet) forwardEvents(ctx context.Context, l *link, message *controlv1.PodMessage, parts *assembly) error {
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
		f.config.Events.Checkpoint(l.pod.Name, instance, journal)
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
		known, here := f.config.Rooms.Has(uid, l.pod.Name)
		f.config.Events.Append(l.pod.Name, instance, here || !known, m.Events)
	case *controlv1.PodMessage_RoomRemoved:
		uid := types.UID(m.RoomRemoved.GetUid())
		if _, here := f.config.Rooms.Has(uid, l.pod.Name); here && m.RoomRemoved.GetEnded() {
			f.config.Events.Ended(uid)
		}
	}
	return nil
}

// take takes in one message.
func (f *Fleet) take(ctx context.Context, l *link, message *controlv1.PodMessage, parts *assembly) error {
	if err := f.forwardEvents(ctx, l, message, parts); err != nil {
		return err
	}
	pod, synced, err := f.hear(l, message)
	if err != nil {
		return err
	}
	if synced {
		f.podChanged(pod)
	}
	switch m := message.Message.(type) {
	case *controlv1.PodMessage_Room:
		known, _ := f.config.Rooms.Has(types.UID(m.Room.GetUid()), pod.Name)
		status, err := parts.status(m.Room, known)
		if err != nil {
			return err
		}
		if status != nil {
			f.config.Rooms.Observe(pod.Name, status)
		}
	case *controlv1.PodMessage_RoomRemoved:
		parts.forget(m.RoomRemoved.GetUid())
		f.config.Rooms.Removed(pod.Name, m.RoomRemoved)
	case *controlv1.PodMessage_Standby:
		if !f.config.Rooms.ObserveStandby(pod.Name, m.Standby) {
			log.FromContext(ctx).V(1).Info("A media pod follows a room of which it is not the standby",
				"room", m.Standby.GetUid(), "state", m.Standby.GetState().String())
		}
	}
	return nil
}

// hear notes that a pod has said something, and what it says of itself. synced says that it is
// through with everything only now.
func (f *Fleet) hear(l *link, message *controlv1.PodMessage) (pod Pod, synced bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.heard = f.now()
	f.hearing.hear(l.heard)
	if hello := message.GetHello(); hello != nil {
		if hello.GetPodUid() != l.pod.UID {
			return l.pod, false, fmt.Errorf("checking the pod's UID: %w", errOtherPod)
		}
		if l.instance != "" && l.instance != hello.GetInstanceId() {
			return l.pod, false, errRestarted
		}
		l.instance, l.takesParts, l.connected = hello.GetInstanceId(), hello.GetTakesParts(), true
	}
	if message.GetSnapshotEnd() != nil && l.connected && !l.synced {
		l.synced, l.offered = true, moment{}
		return l.pod, true, nil
	}
	return l.pod, false, nil
}
