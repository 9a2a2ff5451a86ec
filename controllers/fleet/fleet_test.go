package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/types"
	clock "k8s.io/utils/clock/testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/test/podtest"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

// bound is how long a test waits for anything.
const bound = 20 * time.Second

// wanted is what is wanted of each room; it can be changed while the fleet runs.
type wanted struct {
	mu    sync.Mutex
	rooms map[types.UID]*controlv1.Room
	fail  bool
}

// tokenOf is the token of a Connection.
func tokenOf(connection string) string { return "token of " + connection }

// build does what a Session's controller does.
func (w *wanted) build(table *rooms.Table, uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	view := table.Session(uid)
	room, known := w.rooms[uid]
	if w.fail || !known || !view.Sending.Outdated || view.Sending.After > 0 {
		return
	}
	out := &controlv1.Room{Uid: room.Uid, Generation: room.Generation, Key: "key of " + room.Uid}
	names := make(map[types.UID]types.NamespacedName)
	for _, c := range room.Connections {
		spent := view.Seen[types.UID(c.Uid)].GetState() > controlv1.ConnectionState_CONNECTION_STATE_PENDING
		digest := token.Digest(tokenOf(c.Uid))
		out.Connections = append(out.Connections, &controlv1.Connection{
			Uid: c.Uid, Generation: c.Generation, ConnectionId: "con_" + c.Uid, RpcSessionId: "rpc-" + c.Uid, TokenSha256: digest[:], Spent: spent,
		})
		names[types.UID(c.Uid)] = types.NamespacedName{Name: c.Uid}
	}
	table.Send(view.Pod, out, names, view.Sending.Need)
}

// proofs vouch for what says that it is a proof.
type proofs struct{}

func (proofs) Vouches(_ context.Context, identity *controlv1.RoomIdentity) (bool, error) {
	return string(identity.GetProof()) == "proof of "+identity.GetUid()+" "+identity.GetTenant(), nil
}

// newFleet returns a fleet and its rooms.
func newFleet(config Config, wakers rooms.Wakers) (*Fleet, *rooms.Table) {
	config.Outbox, config.Proofs = NewOutbox(), proofs{}
	table := rooms.New(config.Outbox, wakers, config.Clock)
	config.Rooms = table
	if config.Events == nil {
		config.Events = &book{}
	}
	return New(config), table
}

func (w *wanted) set(uid string, generation int64, connections ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	room := &controlv1.Room{Uid: uid, Generation: generation}
	for _, c := range connections {
		room.Connections = append(room.Connections, &controlv1.Connection{Uid: c, Generation: 1})
	}
	w.rooms[types.UID(uid)] = room
}

// fixture is a fleet with a clock, and pods without media.
type fixture struct {
	*testing.T
	*Fleet
	table    *rooms.Table
	rooms    *wanted
	clock    *clock.FakeClock
	identity *mtls.Memory
	stalls   atomic.Int64 // nanoseconds in which the operator did not run
	cancel   context.CancelFunc
	done     chan struct{}

	mu    sync.Mutex // guards what follows
	woken []string
	lost  []string
	reach []string // of whom it was told that the reach has changed
	pods  int
}

// step is how far the clock goes at once while pods are heard.
const step = hush - 500*time.Millisecond

func newFixture(t *testing.T) *fixture {
	t.Helper()
	manager, pod := identities(t)
	f := &fixture{
		T: t, rooms: &wanted{rooms: make(map[types.UID]*controlv1.Room)}, clock: clock.NewFakeClock(time.Now()), identity: pod,
		done: make(chan struct{}),
	}
	wake := func(kind string) func(types.NamespacedName) {
		return func(name types.NamespacedName) {
			f.mu.Lock()
			f.woken = append(f.woken, kind+" "+name.Name)
			f.mu.Unlock()
			if kind == "session" {
				f.rooms.build(f.table, types.UID(name.Name))
			}
		}
	}
	f.Fleet, f.table = newFleet(Config{
		Watcher:     f,
		Credentials: credentials.NewTLS(mtls.ClientFrom(manager, mtls.MediaPod)), Version: "test", Clock: f.clock,
		Stalled: func() time.Duration { return time.Duration(f.stalls.Load()) },
	}, rooms.Wakers{
		Session: wake("session"), Connection: wake("connection"), Pool: func(string) {},
		SessionAfter: func(types.NamespacedName, time.Duration) {}, // the pod's answer comes
	})
	return f
}

// PodChanged implements Watcher.
func (f *fixture) PodChanged(Pod, []string) {}

// PodReachChanged implements Watcher.
func (f *fixture) PodReachChanged(pod Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reach = append(f.reach, pod.Name)
}

// PodLost implements Watcher.
func (f *fixture) PodLost(pod Pod) {
	f.mu.Lock()
	f.lost = append(f.lost, pod.Name)
	f.mu.Unlock()
	f.table.MarkLost(pod.Name)
}

func (f *fixture) start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() {
		defer close(f.done)
		_ = f.Start(ctx) // it returns nil
	}()
	f.Cleanup(func() {
		cancel()
		<-f.done
	})
}

// address is where the pod of a number is.
func address(n int) string { return fmt.Sprintf("127.0.9.%d:7443", n) }

// pod starts a pod and tracks it.
func (f *fixture) pod(name string) *podtest.Pod {
	f.Helper()
	f.pods++
	address := address(f.pods)
	pod, err := podtest.Start(podtest.Config{Address: address, UID: "uid-" + name, Identity: f.identity, Token: tokenOf})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(pod.Stop)
	f.Track(Pod{Name: name, UID: "uid-" + name, Pool: "pool", Address: address, Ready: true})
	f.Configure(name, &controlv1.PodConfig{})
	return pod
}

// join has a user come into its room.
func (f *fixture) join(pod *podtest.Pod, connection, clientData string) {
	f.Helper()
	if err := pod.Join(connection, clientData); err != nil {
		f.Fatal(err)
	}
}

// room puts a room on a pod.
func (f *fixture) room(uid, pod string) {
	session := rooms.Session{UID: types.UID(uid), Name: types.NamespacedName{Name: uid}, Pool: "pool"}
	f.table.Unassign(session.UID, f.Room(uid).Pod)
	f.table.Assign(session, []placement.Candidate{{Pod: pod, MaxSessions: 9, MaxConnections: 9}}, v1alpha1.PlacementPacked)
	f.rooms.mu.Lock()
	connections := f.rooms.rooms[session.UID].GetConnections()
	f.rooms.mu.Unlock()
	for _, c := range connections {
		f.table.Admit(rooms.Connection{UID: types.UID(c.Uid), Name: types.NamespacedName{Name: c.Uid}, Session: session.UID}, nil, 9)
	}
	f.rooms.build(f.table, session.UID)
}

// kubelet has the kubelet call a pod ready, or not.
func (f *fixture) kubelet(name string, ready bool) {
	pod := f.Pod(name).Pod
	pod.Ready = ready
	f.Track(pod)
}

// passes lets time pass, and has the pods judged. Who is named is heard all the time.
func (f *fixture) passes(d time.Duration, heard ...string) {
	f.Helper()
	for d > 0 {
		by := d
		if len(heard) > 0 {
			by = min(d, step)
		}
		d -= by
		f.clock.Step(by)
		for _, name := range heard {
			f.eventually(name+" is heard", func() bool { return f.heardNow(name) })
		}
		f.judge(f.Context())
	}
}

func (f *fixture) Room(uid string) rooms.View { return f.table.Session(types.UID(uid)) }

func (f *fixture) Connection(room, uid string) rooms.ConnectionView {
	return f.table.Connection(types.UID(room), types.UID(uid))
}

func (f *fixture) evict(room, uid string) bool {
	return f.table.Evict(rooms.Connection{UID: types.UID(uid), Name: types.NamespacedName{Name: uid}, Session: types.UID(room)})
}

func (f *fixture) eventually(what string, condition func() bool) {
	f.Helper()
	if wait.Poll(context.Background(), bound, wait.True(condition)) != nil {
		f.Fatalf("waited in vain until %s", what)
	}
}

func (f *fixture) state(pod string, state State) {
	f.Helper()
	f.eventually(fmt.Sprintf("%s is in state %d", pod, state), func() bool { return f.Pod(pod).State == state })
}

func (f *fixture) wasWoken(who string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.woken, who)
}

func (f *fixture) sleepers() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.woken = nil
}

func TestRoomsAreToldAndObserved(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod := f.pod("a")
	f.state("a", Synced)
	if !f.Pod("a").Usable {
		t.Error("it is not usable")
	}
	f.rooms.set("room", 1, "guest")
	f.room("room", "a")
	f.eventually("it is programmed", func() bool {
		return f.Room("room").Generation == 1 && f.Connection("room", "guest").Programmed == 1
	})
	if !f.wasWoken("session room") || !f.wasWoken("connection guest") {
		t.Error("nobody was woken")
	}
	f.join(pod, "guest", "data")
	f.eventually("the join is seen", func() bool {
		return f.Connection("room", "guest").Seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	})

	f.rooms.set("room", 1)
	if f.evict("room", "guest") {
		t.Error("it was out at once")
	}
	f.eventually("the user is out", func() bool { return f.evict("room", "guest") })
	if f.table.Close("room", false) {
		t.Error("it was closed at once")
	}
	f.eventually("the room is closed", func() bool { return f.table.Close("room", false) })
	if f.Pod("a").State != Synced || pod.Streams() != 1 {
		t.Errorf("there were %d streams", pod.Streams())
	}
}

func TestAPodIsLostOnASecondSign(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod := f.pod("a")
	f.rooms.set("room", 1, "in", "waits")
	f.room("room", "a")
	f.eventually("it is programmed", func() bool { return f.Connection("room", "in").Programmed == 1 })
	f.join(pod, "in", "")
	f.eventually("the join is seen", func() bool {
		return f.Connection("room", "in").Seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	})
	pod.Stop()
	f.state("a", Broken)
	f.passes(silence)
	if view := f.Pod("a"); view.State != Broken || view.CutOff.IsZero() {
		t.Errorf("before there is a second sign it is %+v", view)
	}
	f.sleepers()
	f.kubelet("a", false)
	f.passes(tick)
	f.state("a", Lost)
	f.eventually("everybody is woken", func() bool { return f.wasWoken("session room") && f.wasWoken("connection in") })
	if seen := f.Connection("room", "in").Seen; seen.GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
		t.Errorf("who was in is %v", seen)
	}
	if seen := f.Connection("room", "waits").Seen; seen.GetState() != controlv1.ConnectionState_CONNECTION_STATE_PENDING {
		t.Errorf("who waits is %v", seen)
	}
	if !f.table.Close("room", false) || !f.evict("room", "in") {
		t.Error("a lost pod blocks deletions")
	}

	// On another pod: who is not told of as a user is out, the other's token works.
	f.pod("b")
	f.room("room", "b")
	f.eventually("it is programmed there", func() bool {
		return f.Connection("room", "in").Programmed == 1 && f.Connection("room", "waits").Programmed == 1
	})
	if seen := f.Connection("room", "in").Seen; seen.GetState() != controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED {
		t.Errorf("who was in is %v", seen)
	}
}

func TestALinkThatBreaksForAMomentLosesNothing(t *testing.T) {
	cases.Shows(t, 173, 174)
	f := newFixture(t)
	f.start()
	pod := f.pod("a")
	f.rooms.set("room", 1, "guest")
	f.room("room", "a")
	f.eventually("it is programmed", func() bool { return f.Connection("room", "guest").Programmed == 1 })
	pod.Break()
	f.eventually("there is another stream", func() bool { return pod.Streams() == 2 && f.Pod("a").State == Synced })
	f.join(pod, "guest", "")
	f.eventually("the join is seen", func() bool {
		return f.Connection("room", "guest").Seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	})
	if len(pod.Closed()) != 0 || pod.Evicted("guest") != "" {
		t.Error("the room was touched")
	}
}

func TestAnotherProcessHasNoRooms(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod := f.pod("a")
	f.state("a", Synced)
	pod.Restart()
	f.state("a", Lost)
	f.eventually("the loss is told", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Equal(f.lost, []string{"a"})
	})
}

func TestNothingIsToldBeforeTheStart(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("a")
	f.rooms.set("room", 1, "guest")
	f.room("room", "a")
	if f.Pod("a").State != Connecting || pod.Streams() != 0 {
		t.Error("the pod was talked to")
	}
	f.start()
	f.eventually("it is programmed", func() bool { return f.Connection("room", "guest").Programmed == 1 })
}

func TestASnapshotIsNeverPartial(t *testing.T) {
	f := newFixture(t)
	f.rooms.set("room", 1, "guest")
	f.rooms.fail = true
	pod := f.pod("a")
	f.room("room", "a")
	f.start()
	f.eventually("the pod is talked to", func() bool { return f.heardNow("a") && pod.Streams() > 0 })
	if f.Pod("a").State == Synced || len(pod.Closed()) != 0 {
		t.Error("the pod believes that it knows everything")
	}
	f.rooms.mu.Lock()
	f.rooms.fail = false
	f.rooms.mu.Unlock()
	f.rooms.build(f.table, "room")
	f.eventually("it is programmed", func() bool { return f.Connection("room", "guest").Programmed == 1 })
}

func TestTimeInWhichTheOperatorDidNotRunIsNotSilence(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod := f.pod("a")
	f.state("a", Synced)
	pod.Stop()
	f.state("a", Broken)
	f.stalls.Add(int64(time.Minute))
	f.passes(time.Minute + silence - time.Millisecond)
	if view := f.Pod("a"); view.State != Broken || !view.CutOff.IsZero() {
		t.Errorf("before its time it is %+v", view)
	}
	f.passes(tick)
	f.state("a", Lost)
}

func TestAPodThatIsAnotherIsNotTold(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod, err := podtest.Start(podtest.Config{Address: "127.0.9.200:7443", UID: "uid-of-another", Identity: f.identity})
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Stop()
	f.Track(Pod{Name: "a", UID: "uid-a", Pool: "pool", Address: "127.0.9.200:7443"})
	f.eventually("it was tried", func() bool { return pod.Streams() >= 2 })
	if f.Pod("a").State == Synced {
		t.Error("it was taken for the pod")
	}
}

// identities returns the certificates of an operator and of a media pod.
func identities(t *testing.T) (manager, pod *mtls.Memory) {
	t.Helper()
	authority := mtlstest.NewAuthority(t)
	return authority.Memory(t, mtls.Manager), authority.Memory(t, mtls.MediaPod)
}
