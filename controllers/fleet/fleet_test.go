package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/types"
	clock "k8s.io/utils/clock/testing"

	"mediarooms.dev/mediarooms/controllers/internal/fakepod"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

// bound is how long a test waits for anything.
const bound = 20 * time.Second

var errNotNow = errors.New("not now")

// rooms is what is wanted of each room; it can be changed while the fleet runs.
type rooms struct {
	mu    sync.Mutex
	rooms map[types.UID]*controlv1.Room
	fail  bool
}

func (r *rooms) Room(_ context.Context, room placement.Room, seen map[types.UID]*controlv1.ConnectionStatus) (*controlv1.Room, map[types.UID]types.NamespacedName, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail {
		return nil, nil, errNotNow
	}
	wanted, ok := r.rooms[room.UID]
	if !ok {
		return nil, nil, nil
	}
	out := &controlv1.Room{Uid: wanted.Uid, Generation: wanted.Generation}
	names := make(map[types.UID]types.NamespacedName)
	for _, c := range wanted.Connections {
		spent := seen[types.UID(c.Uid)].GetState() > controlv1.ConnectionState_CONNECTION_STATE_PENDING
		out.Connections = append(out.Connections, &controlv1.Connection{Uid: c.Uid, Generation: c.Generation, Spent: spent})
		names[types.UID(c.Uid)] = types.NamespacedName{Name: c.Uid}
	}
	return out, names, nil
}

func (r *rooms) Vouches(_ context.Context, identity *controlv1.RoomIdentity) (bool, error) {
	return string(identity.GetProof()) == "proof of "+identity.GetUid()+" "+identity.GetTenant(), nil
}

func (r *rooms) set(uid string, generation int64, connections ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := &controlv1.Room{Uid: uid, Generation: generation}
	for _, c := range connections {
		room.Connections = append(room.Connections, &controlv1.Connection{Uid: c, Generation: 1})
	}
	r.rooms[types.UID(uid)] = room
}

// fixture is a fleet with a clock, and fake pods.
type fixture struct {
	*testing.T
	*Fleet
	rooms    *rooms
	clock    *clock.FakeClock
	identity *mtls.Memory
	stalls   atomic.Int64 // nanoseconds in which the operator did not run
	cancel   context.CancelFunc
	done     chan struct{}

	mu    sync.Mutex // guards what follows
	woken []string
	lost  []string
	pods  int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	manager, pod := identities(t)
	f := &fixture{
		T: t, rooms: &rooms{rooms: make(map[types.UID]*controlv1.Room)}, clock: clock.NewFakeClock(time.Now()), identity: pod,
		done: make(chan struct{}),
	}
	wake := func(kind string) func(types.NamespacedName) {
		return func(name types.NamespacedName) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.woken = append(f.woken, kind+" "+name.Name)
		}
	}
	f.Fleet = New(Config{
		Rooms: f.rooms,
		Wakers: Wakers{
			Session: wake("session"), Connection: wake("connection"), Pod: func(Pod) {},
			Lost: func(pod Pod) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.lost = append(f.lost, pod.Name)
			},
		},
		Credentials: credentials.NewTLS(mtls.ClientFrom(manager, mtls.MediaPod)), Version: "test", Clock: f.clock,
		Stalled: func() time.Duration { return time.Duration(f.stalls.Load()) },
	})
	return f
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

// address is where the fake pod of a number is.
func address(n int) string { return fmt.Sprintf("127.0.2.%d:7443", n) }

// pod starts a fake pod and tracks it.
func (f *fixture) pod(name, instance string) *fakepod.Pod {
	f.Helper()
	f.pods++
	address := address(f.pods)
	pod, err := fakepod.Start(address, "uid-"+name, instance, f.identity)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(pod.Stop)
	f.Track(Pod{Name: name, UID: "uid-" + name, Pool: "pool", Address: address})
	f.Configure(name, &controlv1.PodConfig{})
	return pod
}

func (f *fixture) room(uid, pod string) {
	f.Assign(placement.Room{UID: types.UID(uid), Name: types.NamespacedName{Name: uid}, Pool: "pool"}, pod)
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
	pod := f.pod("a", "1")
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
	pod.Join("guest", "data", time.Now())
	f.eventually("the join is seen", func() bool {
		return f.Connection("room", "guest").Seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	})

	f.rooms.set("room", 1)
	if f.Evict("room", "guest", types.NamespacedName{Name: "guest"}) {
		t.Error("it was out at once")
	}
	f.eventually("the user is out", func() bool { return f.Evict("room", "guest", types.NamespacedName{Name: "guest"}) })
	if f.Close("room") {
		t.Error("it was closed at once")
	}
	f.eventually("the room is closed", func() bool { return f.Close("room") })
	if f.Pod("a").State != Synced || pod.Streams() != 1 {
		t.Errorf("there were %d streams", pod.Streams())
	}
}

func TestWhatChangesWhileThePodHasNotAnsweredGoesTogether(t *testing.T) {
	f := New(Config{Clock: clock.NewFakeClock(time.Now())})
	f.Track(Pod{Name: "a"})
	f.Assign(placement.Room{UID: "room"}, "a")
	l, r := f.links["a"], f.rooms["room"]
	change := func() {
		r.dirty, r.urgent = false, false
		f.Tell("room", "guest", 1)
	}
	for _, test := range []struct {
		sentence    string
		sent, acked uint64
		at          time.Time
		snapshot    bool
		now         bool
	}{
		{"what was never sent goes at once", 0, 0, time.Time{}, false, true},
		{"what the pod has not answered waits", 2, 1, time.Now(), false, false},
		{"what the pod has answered goes at once", 2, 2, time.Now(), false, true},
		{"a snapshot is complete", 2, 1, time.Now(), true, true},
		{"a pod that does not answer is told all the same", 2, 1, time.Now().Add(-inFlight), false, true},
	} {
		change()
		r.sent, r.acked, r.sentAt = test.sent, test.acked, test.at
		rooms, later := f.takeDirty(l, test.snapshot)
		if (len(rooms) == 1) != test.now || (later == nil) != test.now {
			t.Errorf("%s: got %v, again later: %v", test.sentence, rooms, later != nil)
		}
	}
	change()
	r.sent, r.acked, r.sentAt = 3, 2, time.Now()
	if rooms, _ := f.takeDirty(l, false); len(rooms) != 0 {
		t.Errorf("got %v before the answer", rooms)
	}
	<-l.wake
	f.mu.Lock()
	f.observe(l, &controlv1.RoomStatus{Uid: "room", Revision: 3})
	f.mu.Unlock()
	select {
	case <-l.wake:
	default:
		t.Error("the answer did not wake what waits for it")
	}
	if rooms, _ := f.takeDirty(l, false); len(rooms) != 1 {
		t.Errorf("got %v after the answer", rooms)
	}
	for sentence, putOut := range map[string]func(){
		"a Connection that is gone does not wait":    func() { f.Push("room") },
		"a Connection that is deleted does not wait": func() { f.Evict("room", "guest", types.NamespacedName{Name: "guest"}) },
		"a room that is closed does not wait":        func() { f.Close("room") },
	} {
		r.dirty, r.urgent, r.evicting, r.end.removing = false, false, nil, false
		r.sent, r.acked, r.sentAt = 4, 3, time.Now()
		putOut()
		if rooms, later := f.takeDirty(l, false); len(rooms) != 1 || later != nil {
			t.Errorf("%s: got %v, again later: %v", sentence, rooms, later != nil)
		}
	}
}

func TestASessionIsWokenWhenMediaGoesOverAnotherTransport(t *testing.T) {
	f := New(Config{
		Clock:  clock.NewFakeClock(time.Now()),
		Wakers: Wakers{Session: func(types.NamespacedName) {}, Connection: func(types.NamespacedName) {}},
	})
	f.Track(Pod{Name: "pod"})
	f.Assign(placement.Room{UID: "room"}, "pod")
	for _, status := range []struct{ udp, tcp, wakes int32 }{{2, 0, 1}, {2, 0, 0}, {1, 1, 1}, {0, 0, 1}} {
		f.mu.Lock()
		sessions, _ := f.observe(f.links["pod"], &controlv1.RoomStatus{Uid: "room", UdpMedia: status.udp, TcpMedia: status.tcp})
		f.mu.Unlock()
		if len(sessions) != int(status.wakes) {
			t.Errorf("%+v: %d Sessions are woken", status, len(sessions))
		}
		if got := f.Room("room").Media; got.UDP != status.udp || got.TCP != status.tcp {
			t.Errorf("%+v: the view has %+v", status, got)
		}
	}
}

func TestSilence(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod := f.pod("a", "1")
	f.rooms.set("room", 1, "in", "waits")
	f.room("room", "a")
	f.eventually("it is programmed", func() bool { return f.Connection("room", "in").Programmed == 1 })
	pod.Join("in", "", time.Now())
	f.eventually("the join is seen", func() bool {
		return f.Connection("room", "in").Seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	})
	pod.Stop()
	f.state("a", Broken)
	f.clock.Step(silence - time.Millisecond)
	f.sleepers()
	if state := f.Pod("a").State; state != Broken {
		t.Errorf("it is %d before its time", state)
	}
	f.clock.Step(tick)
	f.state("a", Lost)
	f.eventually("everybody is woken", func() bool { return f.wasWoken("session room") && f.wasWoken("connection in") })
	if seen := f.Connection("room", "in").Seen; seen.GetDisconnectReason() != "nodeCrashed" {
		t.Errorf("who was in is %v", seen)
	}
	if seen := f.Connection("room", "waits").Seen; seen.GetState() != controlv1.ConnectionState_CONNECTION_STATE_PENDING {
		t.Errorf("who waits is %v", seen)
	}
	if !f.Close("room") || !f.Evict("room", "in", types.NamespacedName{}) {
		t.Error("a lost pod blocks deletions")
	}

	// On another pod: who was out stays out, the other's token works.
	f.pod("b", "1")
	f.room("room", "b")
	f.eventually("it is programmed there", func() bool {
		return f.Connection("room", "in").Programmed == 1 && f.Connection("room", "waits").Programmed == 1
	})
	if seen := f.Connection("room", "in").Seen; seen.GetDisconnectReason() != "nodeCrashed" || seen.GetActiveUnixMs() == 0 {
		t.Errorf("who was in is %v", seen)
	}
}

func TestALinkThatBreaksForAMomentLosesNothing(t *testing.T) {
	cases.Shows(t, 173, 174)
	f := newFixture(t)
	f.start()
	pod := f.pod("a", "1")
	f.rooms.set("room", 1, "guest")
	f.room("room", "a")
	f.eventually("it is programmed", func() bool { return f.Connection("room", "guest").Programmed == 1 })
	pod.Break()
	f.eventually("there is another stream", func() bool { return pod.Streams() == 2 && f.Pod("a").State == Synced })
	pod.Join("guest", "", time.Now())
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
	pod := f.pod("a", "1")
	f.state("a", Synced)
	pod.Restart("2")
	f.state("a", Lost)
	f.eventually("the loss is told", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Equal(f.lost, []string{"a"})
	})
}

func TestNothingIsToldBeforeTheStart(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("a", "1")
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
	pod := f.pod("a", "1")
	f.room("room", "a")
	f.start()
	f.eventually("it was tried twice", func() bool { return pod.Streams() >= 2 })
	if f.Pod("a").State == Synced || len(pod.Closed()) != 0 {
		t.Error("the pod believes that it knows everything")
	}
	f.rooms.mu.Lock()
	f.rooms.fail = false
	f.rooms.mu.Unlock()
	f.eventually("it is programmed", func() bool { return f.Connection("room", "guest").Programmed == 1 })
}

func TestTimeInWhichTheOperatorDidNotRunIsNotSilence(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod := f.pod("a", "1")
	f.state("a", Synced)
	pod.Stop()
	f.state("a", Broken)
	f.stalls.Add(int64(time.Minute))
	f.clock.Step(time.Minute + silence - time.Millisecond)
	f.sleepers()
	if state := f.Pod("a").State; state != Broken {
		t.Errorf("it is %d before its time", state)
	}
	f.clock.Step(tick)
	f.state("a", Lost)
}

func TestWhenAllPodsFallSilentTheOperatorDoubtsItself(t *testing.T) {
	f := newFixture(t)
	f.start()
	a, b := f.pod("a", "1"), f.pod("b", "1")
	f.state("a", Synced)
	f.state("b", Synced)
	a.Stop()
	b.Stop()
	f.state("a", Broken)
	f.state("b", Broken)
	f.clock.Step(isolation - time.Second)
	f.sleepers()
	if f.Pod("a").State != Broken || f.Pod("b").State != Broken {
		t.Error("it gave pods up although it heard of none")
	}
	f.clock.Step(time.Second + tick)
	f.state("a", Lost)
	f.state("b", Lost)
}

func TestAPodWithRoomsThatNeverAnswersIsLostInTheEnd(t *testing.T) {
	f := newFixture(t)
	f.start()
	for _, name := range []string{"hosts", "starts"} {
		f.Track(Pod{Name: name, UID: name, Pool: "pool", Address: "127.0.2.250:1"})
	}
	f.room("room", "hosts")
	f.eventually("both are dialled", func() bool { return !f.Pod("hosts").Since.IsZero() && !f.Pod("starts").Since.IsZero() })
	f.clock.Step(patience - time.Second)
	if f.Pod("hosts").State != Connecting {
		t.Error("it had no time to answer")
	}
	f.clock.Step(time.Second + tick)
	f.state("hosts", Lost)
	if f.Pod("starts").State != Connecting {
		t.Error("a pod that starts was given up")
	}
}

func TestAPodThatIsAnotherIsNotTold(t *testing.T) {
	f := newFixture(t)
	f.start()
	pod, err := fakepod.Start("127.0.2.200:7443", "uid-of-another", "1", f.identity)
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Stop()
	f.Track(Pod{Name: "a", UID: "uid-a", Pool: "pool", Address: "127.0.2.200:7443"})
	f.eventually("it was tried", func() bool { return pod.Streams() >= 2 })
	if f.Pod("a").State == Synced {
		t.Error("it was taken for the pod")
	}
}

// identities returns the certificates of an operator and of a media pod.
func identities(t *testing.T) (manager, pod *mtls.Memory) {
	t.Helper()
	make509 := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	ca, caKey := make509(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	leaf := func(name string) *mtls.Memory {
		certificate, key := make509(&x509.Certificate{
			DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}, ca, caKey)
		var memory mtls.Memory
		memory.Set(tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}, roots)
		return &memory
	}
	return leaf(mtls.Manager), leaf(mtls.MediaPod)
}
