// Package fleet is the authority on the media pods as the operator sees them: the control stream to each, what each room is to be
// (as of the last push) and what the pods observe of it, and when a pod is lost.
//
//	             Track                 stream up, both snapshots exchanged
//	(new pod) ---------> Connecting ---------------------------------------> Synced
//	                       |   ^                                               |
//	    patience runs out  |   |              stream broken or silent          |
//	                       |   +------------- Broken <-------------------------+
//	                       v                     |  4 s without a message, or 30 s without being Synced
//	                      Lost <-----------------+  although everything was sent
//
// Lost is final: the name of a pod is never used again, so a pod that turns up after it was given up is not talked to. A pod that has
// finished or is gone from the API is lost at once, and so is one whose process is another than before.
package fleet

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Timing of the control streams.
const (
	// silence is how long a pod that was heard of may be silent before it is lost.
	silence = 4 * time.Second
	// isolation is how long it takes when no pod at all is heard of any more: then the operator's own network is the likelier cause,
	// and calls must not end for that.
	isolation = 12 * time.Second
	// patience is how long a pod that hosts rooms, but was never heard of by this leader, may take.
	patience = 8 * time.Second
	// unsynced is how long a pod that is heard of, and was sent everything, may take to say that it is through with it. One that never is can't be told of
	// anything any more.
	unsynced = 30 * time.Second
	// tick is how often silence is looked for.
	tick = 250 * time.Millisecond
	// redial is the pause between two attempts to open a stream.
	redial = 200 * time.Millisecond
	// refresh is how often every room is sent again, because credentials in it expire.
	refresh = 6 * time.Hour
	// inFlight bounds how long what has changed in a room waits for the pod's answer to what was sent of it before. Many changes in a short time
	// so become few messages, each of which holds the whole room. Putting somebody out does not wait.
	inFlight = 100 * time.Millisecond
)

// State is how the operator stands with a pod.
type State int

// States of a pod.
const (
	// Connecting: it was never heard of by this leader.
	Connecting State = iota
	// Synced: the stream is up and both sides know everything.
	Synced
	// Broken: it was heard of, less than the bound of silence ago.
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
}

// PodView is a pod as it stands now.
type PodView struct {
	Pod
	// Known is false for a pod that is not tracked: it has no address yet, or is gone.
	Known bool
	State State
	// Since is when this leader began to dial it; zero when it has not.
	Since time.Time
	// Usable says whether it can take new rooms: it is synced, has its configuration, and is not draining.
	Usable bool
	// Draining says that its rooms are to go elsewhere.
	Draining bool
}

// Rooms gives the desired state of a room at the moment it is sent.
type Rooms interface {
	// Room returns nil when the room is to be closed. seen is how far each Connection has come on any pod.
	Room(ctx context.Context, room placement.Room, seen map[types.UID]*controlv1.ConnectionStatus) (*controlv1.Room, map[types.UID]types.NamespacedName, error)
	// Vouches says, by its proof, whether a Room was made with an identity.
	Vouches(ctx context.Context, identity *controlv1.RoomIdentity) (bool, error)
}

// Events takes in what happens in rooms, in the order in which a pod tells of it. Its methods must not block; no lock of the fleet is held.
type Events interface {
	// Stand takes in how a room stood after what the pod was acknowledged, when a stream begins. instance names the pod's process.
	Checkpoint(pod, instance string, journal *controlv1.RoomJournal)
	// Take takes in events. hosted says that the pod is where the room belongs, as far as is known.
	Append(pod, instance string, hosted bool, events *controlv1.RoomEvents)
	// Ended says that a pod has told of a Session's end.
	Ended(session types.UID)
	// Known says whether the beginning of a Session was told of.
	Known(session types.UID) bool
}

// Wakers are called when something was observed. They must not block.
type Wakers struct {
	Session, Connection func(types.NamespacedName)
	// Pod is called when a pod's state has changed.
	Pod func(Pod)
	// Lost is called once per pod that is given up, before its Sessions are woken.
	Lost func(Pod)
}

// Config is what a Fleet needs.
type Config struct {
	Rooms  Rooms
	Events Events
	Wakers Wakers
	// Credentials of the operator towards a media pod.
	Credentials credentials.TransportCredentials
	// Version of the operator's software, told to the pods.
	Version string
	// Clock times silence; streams themselves use the system's.
	Clock clock.WithTicker
	// Stalled returns for how long the operator itself did not run so far, which is nobody's silence. May be nil.
	Stalled func() time.Duration
}

// Fleet talks to all media pods. Safe for concurrent use.
type Fleet struct {
	config Config

	mu    sync.Mutex          // guards what follows, and everything in links and rooms
	ctx   context.Context     // of the running leader; nil before Start
	links map[string]*link    // pod name -> stream
	rooms map[types.UID]*room // Session -> room
	done  sync.WaitGroup      // the links' goroutines
}

// room is one Session on a pod, guarded by Fleet.mu.
type room struct {
	placement.Room
	pod string
	end ending
	// dirty says that it changed since it was sent last, urgent that somebody is to be put out by what changed.
	dirty, urgent bool
	// visited says that somebody has been in it, on whatever pod.
	visited bool
	// sent and acked are revisions, generation is the Session's that the pod has applied; 0 when none.
	sent, acked uint64
	generation  int64
	// sentAt is when it was sent last to the pod that it is on.
	sentAt time.Time
	// seen is what pods observed of each Connection; fresh marks those of the pod that it is on now.
	seen  map[types.UID]*controlv1.ConnectionStatus
	fresh map[types.UID]bool
	media v1alpha1.MediaConnections
	told  told
	// evicting are the Connections that are being deleted and are not known to be out.
	evicting map[types.UID]eviction
}

// ending is how far the end of a room is.
type ending struct {
	// removing says that the pod is to close it; removed that it has; abandoned that nobody waits for that.
	removing, removed, abandoned bool
	// silent says that nobody is told that the Session has ended.
	silent bool
}

// told is what the Room that was sent last said.
type told struct {
	generation  int64               // of the Session
	connections map[types.UID]int64 // their generations
	names       map[types.UID]types.NamespacedName
}

// eviction is a Connection that waits until the pod has applied a revision.
type eviction struct {
	name     types.NamespacedName
	revision uint64
}

// New returns a fleet without pods.
func New(config Config) *Fleet {
	return &Fleet{config: config, links: make(map[string]*link), rooms: make(map[types.UID]*room)}
}

// Start talks to the pods until the context ends. Streams are opened only now, so everything that is known must have been
// assigned before: a room that is not named to its pod is closed.
func (f *Fleet) Start(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	for _, l := range f.links {
		f.open(l)
	}
	f.mu.Unlock()

	ticker := f.config.Clock.NewTicker(tick)
	defer ticker.Stop()
	refreshed := f.config.Clock.Now()
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
		now := f.config.Clock.Now()
		f.findLost(now)
		if now.Sub(refreshed) >= refresh {
			refreshed = now
			f.pushAll()
		}
	}
}

// open starts a link's goroutine. f.mu is held.
func (f *Fleet) open(l *link) {
	ctx, cancel := context.WithCancel(f.ctx)
	l.cancel = cancel
	l.since = f.config.Clock.Now()
	pod := l.pod
	f.done.Go(func() { f.run(ctx, l, pod) })
}

// Track starts to talk to a pod. It is idempotent, and takes in what may change of a pod; one that is lost stays so.
func (f *Fleet) Track(pod Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.links[pod.Name]
	if ok {
		l.pod.Node, l.pod.Leaving = pod.Node, pod.Leaving
		return
	}
	l = &link{pod: pod, wake: make(chan struct{}, 1)}
	f.links[pod.Name] = l
	for uid, r := range f.rooms {
		if r.pod == pod.Name {
			l.mark(uid)
		}
	}
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
	wake := f.lose(l)
	f.mu.Unlock()
	wake()
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

// findLost gives up the pods that have been silent for too long.
func (f *Fleet) findLost(now time.Time) {
	f.mu.Lock()
	hosting := make(map[string]bool)
	for _, r := range f.rooms {
		hosting[r.pod] = true
	}
	stalled, bound := f.stalled(), silence
	if f.isolated(now, stalled) {
		bound = isolation
	}
	doubtful := f.alone()
	var wakes []func()
	for _, l := range f.links {
		if l.lost {
			continue
		}
		if l.heard.IsZero() {
			// A pod that is starting may take its time, unless rooms are thought to be there.
			if hosting[l.pod.Name] && !l.since.IsZero() && now.Sub(l.since) >= patience {
				wakes = append(wakes, f.lose(l))
			}
			continue
		}
		if l.silent(now, stalled) >= bound || !doubtful && l.hopeless(now, stalled) {
			wakes = append(wakes, f.lose(l))
		}
	}
	f.mu.Unlock()
	for _, wake := range wakes {
		wake()
	}
}

// isolated says whether several pods were heard of and all of them have gone silent. f.mu is held.
func (f *Fleet) isolated(now time.Time, stalled time.Duration) bool {
	known := 0
	for _, l := range f.links {
		if l.lost || l.heard.IsZero() {
			continue
		}
		if known++; l.silent(now, stalled) < silence {
			return false
		}
	}
	return known > 1
}

// alone says whether several pods are heard of and none of them is synced: then that is no pod's fault. f.mu is held.
func (f *Fleet) alone() bool {
	known := 0
	for _, l := range f.links {
		if l.lost || l.heard.IsZero() {
			continue
		}
		if known++; l.synced {
			return false
		}
	}
	return known > 1
}

func (f *Fleet) stalled() time.Duration {
	if f.config.Stalled == nil {
		return 0
	}
	return f.config.Stalled()
}

// lose gives a pod up and returns what wakes everybody concerned, to be called without the lock. f.mu is held.
func (f *Fleet) lose(l *link) func() {
	l.lost = true
	l.synced = false
	if l.cancel != nil {
		l.cancel()
	}
	now := f.config.Clock.Now()
	var sessions, connections []types.NamespacedName
	for uid, r := range f.rooms {
		if r.pod != l.pod.Name {
			continue
		}
		if r.end.abandoned {
			delete(f.rooms, uid)
			continue
		}
		for _, seen := range r.seen {
			participant.Crash(seen, now)
		}
		sessions = append(sessions, r.Name)
		for _, name := range r.told.names {
			connections = append(connections, name)
		}
		for _, e := range r.evicting {
			connections = append(connections, e.name)
		}
	}
	pod := l.pod
	return func() {
		f.config.Wakers.Lost(pod)
		for _, name := range sessions {
			f.config.Wakers.Session(name)
		}
		for _, name := range connections {
			f.config.Wakers.Connection(name)
		}
		f.config.Wakers.Pod(pod)
	}
}

// Configure sets the configuration of a pod. It is idempotent. The Sessions on a pod that is to drain are woken.
func (f *Fleet) Configure(name string, config *controlv1.PodConfig) {
	f.mu.Lock()
	l, ok := f.links[name]
	if !ok || proto.Equal(l.config, config) {
		f.mu.Unlock()
		return
	}
	l.config, l.configDirty = config, true
	l.signal()
	sessions := f.onDraining(l.pod.Pool)
	f.mu.Unlock()
	for _, session := range sessions {
		f.config.Wakers.Session(session)
	}
}

// onDraining returns the Sessions on pods of a pool that are to drain. f.mu is held.
func (f *Fleet) onDraining(pool string) []types.NamespacedName {
	var sessions []types.NamespacedName
	for _, r := range f.rooms {
		if l, ok := f.links[r.pod]; ok && l.pod.Pool == pool && l.config.GetDraining() {
			sessions = append(sessions, r.Name)
		}
	}
	return sessions
}

// podChanged tells of a pod that may host rooms now, or no longer. f.mu is not held.
func (f *Fleet) podChanged(pod Pod) {
	f.config.Wakers.Pod(pod)
	f.mu.Lock()
	sessions := f.onDraining(pod.Pool)
	f.mu.Unlock()
	for _, session := range sessions {
		f.config.Wakers.Session(session)
	}
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
