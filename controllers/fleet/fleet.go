// Package fleet is the authority on the media pods as the operator sees them: the control stream to
// each, and when a pod is lost. What goes over the streams, and comes from there, it passes on.
//
//	             Track                 stream up, both snapshots exchanged
//	(new pod) ---------> Connecting ---------------------------------------> Synced
//	                       |   ^                                               |
//	                       |   |                stream broken                  |
//	                       |   +------------- Broken <-------------------------+
//	                       |                     |
//	                       +----------+----------+  not heard: cut off (loss.go)
//	                                  |
//	                                  v  a sign that it is dead (verdict.go), when its turn comes
//	                                Lost
//
// Lost is final: the name of a pod is never used again, so a pod that turns up after it was given
// up is not talked to. A pod that has finished or is gone from the API is lost at once, and so is
// one whose process is another than before.
package fleet

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Timing of the control streams.
const (
	// tick is how often the pods are judged.
	tick = 250 * time.Millisecond
	// redial is the pause between two attempts to open a stream.
	redial = 200 * time.Millisecond
)

// State is how the operator stands with a pod.
type State int

// States of a pod.
const (
	// Connecting: it was never heard of by this leader.
	Connecting State = iota
	// Synced: the stream is up and both sides know everything.
	Synced
	// Broken: it was heard of, and the stream is down.
	Broken
	// Lost: it is given up, or not known at all.
	Lost
)

// Pod is a media pod to talk to.
type Pod struct {
	// Name and UID of the Pod object, its pool and its node.
	Name, UID, Pool, Node string
	// Address of its control port, HOST:PORT.
	Address string
	// Leaving says that the pod is being deleted: its end is no failure.
	Leaving bool
	// Ready says that its kubelet calls it ready.
	Ready bool
}

// PodView is a pod as it stands now.
type PodView struct {
	Pod
	// Known is false for a pod that is not tracked: it has no address yet, or is gone.
	Known bool
	State State
	// Since is when this leader began to dial it; zero when it has not.
	Since time.Time
	// Usable says whether it can take new rooms: it is synced, has its configuration, and is not
	// draining.
	Usable bool
	// Draining says that its rooms are to go elsewhere.
	Draining bool
	// CutOff is since when it can't be reached: nothing is heard of it. Zero while it can, or is
	// lost.
	CutOff time.Time
	// Waits says that it is given up as soon as its turn comes.
	Waits bool
	// Advertised are the media addresses that it was told, none before it is configured. They are
	// not to be changed.
	Advertised []*controlv1.TransportAddress
	// LostBy is why it was given up; "" for a pod that has ended.
	LostBy Sign
}

// Rooms is what rooms are to be, and takes in what pods say of them. No lock of the fleet is held.
type Rooms interface {
	// Snapshot returns everything that a pod is to be told of rooms at the beginning of a stream,
	// once it is known.
	Snapshot(ctx context.Context, pod string) ([]*controlv1.OperatorMessage, error)
	// Observe takes in how a room stands on a pod; the message is the receiver's.
	Observe(pod string, status *controlv1.RoomStatus)
	// Removed takes in that a pod has closed a room.
	Removed(pod string, removed *controlv1.RoomRemoved)
	// ObserveStandby takes in what a pod says of a room that it follows, and reports whether the
	// pod has to do with the room.
	ObserveStandby(pod string, status *controlv1.StandbyStatus) bool
	// Has says whether there is such a room, and whether it is on a pod.
	Has(session types.UID, pod string) (known, here bool)
	// Hosting says whether any room is on a pod, Occupied whether somebody may be in one.
	Hosting(pod string) bool
	Occupied(pod string) bool
}

// Proofs says whose rooms pods may tell of.
type Proofs interface {
	// Vouches says, by its proof, whether a Room was made with an identity.
	Vouches(ctx context.Context, identity *controlv1.RoomIdentity) (bool, error)
}

// Events takes in what happens in rooms, in the order in which a pod tells of it. Its methods must
// not block; no lock of the fleet is held.
type Events interface {
	// Stand takes in how a room stood after what the pod was acknowledged, when a stream begins.
	// instance names the pod's process.
	Checkpoint(pod, instance string, journal *controlv1.RoomJournal)
	// Take takes in events. hosted says that the pod is where the room belongs, as far as is known.
	Append(pod, instance string, hosted bool, events *controlv1.RoomEvents)
	// Ended says that a pod has told of a Session's end.
	Ended(session types.UID)
}

// Watcher learns of changes of pods. Its methods must not block; no lock of the fleet is held.
type Watcher interface {
	// PodChanged says that a pod may host rooms now, or no longer. draining are those of its pool
	// that are to lose their rooms.
	PodChanged(pod Pod, draining []string)
	// PodReachChanged says that a pod can't be reached any more, or can again.
	PodReachChanged(pod Pod)
	// PodLost is called once per pod that is given up.
	PodLost(pod Pod)
}

// Config is what a Fleet needs.
type Config struct {
	Rooms   Rooms
	Proofs  Proofs
	Events  Events
	Watcher Watcher
	// Outbox holds what is to be sent of rooms.
	Outbox *Outbox
	// Credentials of the operator towards a media pod.
	Credentials credentials.TransportCredentials
	// Version of the operator's software, told to the pods.
	Version string
	// Clock times silence; streams themselves use the system's.
	Clock clock.WithTicker
	// Stalled returns for how long the operator itself did not run so far, which is nobody's
	// silence. May be nil.
	Stalled func() time.Duration
}

// Fleet talks to all media pods. Safe for concurrent use.
type Fleet struct {
	config Config

	mu      sync.Mutex       // guards what follows, and everything in links
	ctx     context.Context  // of the running leader; nil before Start
	links   map[string]*link // pod name -> stream
	hearing hearing
	down    map[string]bool // nodes that are not ready
	turns   *rate.Limiter   // who is given up takes one
	done    sync.WaitGroup  // the links' goroutines
}

// New returns a fleet without pods.
func New(config Config) *Fleet {
	return &Fleet{
		config: config, links: make(map[string]*link), down: make(map[string]bool), turns: rate.NewLimiter(rate.Every(turnInterval), turnsAtOnce),
	}
}

// Start talks to the pods until the context ends. Streams are opened only now, so every room must
// have been assigned before: one that is not named to its pod is closed.
func (f *Fleet) Start(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	f.hearing.hear(f.now())
	for _, l := range f.links {
		f.open(l)
	}
	f.mu.Unlock()

	ticker := f.config.Clock.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			f.mu.Lock()
			f.ctx = nil // no stream is opened any more
			f.mu.Unlock()
			f.done.Wait()
			return nil
		case <-ticker.C():
		}
		f.judge(ctx)
	}
}

// open starts a link's goroutine. f.mu is held.
func (f *Fleet) open(l *link) {
	ctx, cancel := context.WithCancel(f.ctx)
	l.cancel = cancel
	l.since = f.now()
	pod := l.pod
	f.done.Go(func() { f.run(ctx, l, pod) })
}

// Track starts to talk to a pod. It is idempotent, and takes in what may change of a pod; one that
// is lost stays so.
func (f *Fleet) Track(pod Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.links[pod.Name]
	if ok {
		l.pod.Node, l.pod.Leaving, l.pod.Ready = pod.Node, pod.Leaving, pod.Ready
		l.wasReady = l.wasReady || pod.Ready
		return
	}
	l = &link{pod: pod, wasReady: pod.Ready, wake: make(chan struct{}, 1)}
	f.links[pod.Name] = l
	f.config.Outbox.open(pod.Name, l.wake)
	if f.ctx != nil {
		f.open(l)
	}
}

// Lose gives a pod up, because it has finished or is gone.
func (f *Fleet) Lose(name string) {
	f.mu.Lock()
	l, ok := f.links[name]
	if !ok || l.lost {
		f.mu.Unlock()
		return
	}
	f.lose(l, "")
	pod := l.pod
	f.mu.Unlock()
	f.tellLost(pod)
}

// lose gives a pod up, with the sign that it is dead if nobody has seen it end. f.mu is held.
func (f *Fleet) lose(l *link, sign Sign) {
	l.lost, l.synced, l.cutOff, l.waits, l.lostBy = true, false, time.Time{}, false, sign
	if l.cancel != nil {
		l.cancel()
	}
	f.config.Outbox.shut(l.pod.Name)
}

// tellLost tells of a pod that was given up. f.mu is not held.
func (f *Fleet) tellLost(pod Pod) {
	f.config.Watcher.PodLost(pod)
	f.podChanged(pod)
}

// GiveUp gives a pod up on purpose: its end is no failure.
func (f *Fleet) GiveUp(name string) {
	f.mu.Lock()
	if l, ok := f.links[name]; ok {
		l.pod.Leaving = true
	}
	f.mu.Unlock()
	f.Lose(name)
}

// Forget drops a pod that is gone from the API. It is lost if it was not before.
func (f *Fleet) Forget(name string) {
	f.Lose(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.links, name)
}

// now returns the moment. f.mu is held.
func (f *Fleet) now() moment { return f.hearing.moment(f.config.Clock.Now(), f.stalled()) }

func (f *Fleet) stalled() time.Duration {
	if f.config.Stalled == nil {
		return 0
	}
	return f.config.Stalled()
}

// Configure sets the configuration of a pod. It is idempotent.
func (f *Fleet) Configure(name string, config *controlv1.PodConfig) {
	f.mu.Lock()
	l, ok := f.links[name]
	if !ok || proto.Equal(l.config, config) {
		f.mu.Unlock()
		return
	}
	l.config, l.configDirty = config, true
	signal(l.wake)
	pod := l.pod
	f.mu.Unlock()
	f.podChanged(pod)
}

// podChanged tells of a pod that may host rooms now, or no longer. f.mu is not held.
func (f *Fleet) podChanged(pod Pod) {
	f.mu.Lock()
	var draining []string
	for name, l := range f.links {
		if l.pod.Pool == pod.Pool && l.config.GetDraining() {
			draining = append(draining, name)
		}
	}
	f.mu.Unlock()
	f.config.Watcher.PodChanged(pod, draining)
}

// Pod returns one pod as it stands now. One that is not known is Lost.
func (f *Fleet) Pod(name string) PodView {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l, ok := f.links[name]; ok {
		return l.view()
	}
	return PodView{Pod: Pod{Name: name}, State: Lost}
}

// Pods returns all pods of a pool as they stand now, in no order.
func (f *Fleet) Pods(pool string) []PodView {
	f.mu.Lock()
	defer f.mu.Unlock()
	var pods []PodView
	for _, l := range f.links {
		if l.pod.Pool == pool {
			pods = append(pods, l.view())
		}
	}
	return pods
}
