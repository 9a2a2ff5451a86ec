package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	clock "k8s.io/utils/clock/testing"

	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

const (
	pending      = controlv1.ConnectionState_CONNECTION_STATE_PENDING
	active       = controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	disconnected = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
)

// toldFleet is a fleet with one room, and the end of a stream at which a test plays the pod.
type toldFleet struct {
	*testing.T
	*Fleet
	table *rooms.Table
	told  *book
	link  *link
	parts *assembly
}

func newToldFleet(t *testing.T) *toldFleet {
	t.Helper()
	nobody := func(types.NamespacedName) {}
	told := &book{}
	f, table := newFleet(Config{Clock: clock.NewFakeClock(time.Now()), Events: told}, rooms.Wakers{
		Session: nobody, Connection: nobody, Pool: func(string) {}, SessionAfter: func(types.NamespacedName, time.Duration) {},
	})
	f.Track(Pod{Name: "a"})
	table.Seed([]rooms.Reservation{{Session: rooms.Session{UID: "room"}, Pod: "a"}})
	return &toldFleet{T: t, Fleet: f, table: table, told: told, link: f.links["a"], parts: newAssembly()}
}

func (f *toldFleet) tells(status *controlv1.RoomStatus) {
	f.Helper()
	status.Uid = "room"
	if err := f.take(f.Context(), f.link, &controlv1.PodMessage{Message: &controlv1.PodMessage_Room{Room: status}}, f.parts); err != nil {
		f.Fatal(err)
	}
}

// seen returns what is known of the room as "uid:state:client data", sorted.
func (f *toldFleet) seen() string {
	var seen []string
	for uid, s := range f.table.Session("room").Seen {
		seen = append(seen, fmt.Sprintf("%s:%d:%s", uid, s.State, s.ClientData))
		if s.SameClient {
			f.Errorf("%s is not filled in", uid)
		}
	}
	slices.Sort(seen)
	return strings.Join(seen, " ")
}

func (f *toldFleet) want(what, want string) {
	f.Helper()
	if got := f.seen(); got != want {
		f.Errorf("%s: known is %q, want %q", what, got, want)
	}
}

func connection(uid string, state controlv1.ConnectionState, data string) *controlv1.ConnectionStatus {
	return &controlv1.ConnectionStatus{Uid: uid, State: state, ClientData: data, ActiveUnixMs: int64(state) - 1}
}

func same(uid string, state controlv1.ConnectionState) *controlv1.ConnectionStatus {
	c := connection(uid, state, "")
	c.SameClient = true
	return c
}

func TestWhatIsToldInPartsAndChangesIsPutTogether(t *testing.T) {
	f := newToldFleet(t)
	list := func(connections ...*controlv1.ConnectionStatus) []*controlv1.ConnectionStatus { return connections }
	f.tells(&controlv1.RoomStatus{Revision: 1, Connections: list(connection("a", active, "A"), connection("b", active, "B")), More: true})
	f.want("half a room", "")
	f.tells(&controlv1.RoomStatus{Revision: 1, Connections: list(connection("c", pending, ""))})
	f.want("the whole room", "a:2:A b:2:B c:1:")
	f.tells(&controlv1.RoomStatus{Revision: 1, Connections: list(same("a", active)), Changes: true})
	f.want("a change", "a:2:A b:2:B c:1:")
	f.tells(&controlv1.RoomStatus{Revision: 1, Connections: list(same("b", disconnected), connection("c", active, "C")), Changes: true})
	f.want("two changes", "a:2:A b:3:B c:2:C")
	f.tells(&controlv1.RoomStatus{Revision: 1, Changes: true, Gone: []string{"b"}})
	f.want("one is gone", "a:2:A c:2:C")
	f.tells(&controlv1.RoomStatus{Revision: 2, Connections: list(same("a", active)), More: true})
	f.tells(&controlv1.RoomStatus{Revision: 2, Connections: list(same("c", active)), More: true})
	f.tells(&controlv1.RoomStatus{Revision: 2, Connections: list(connection("d", pending, ""))})
	f.want("whole again", "a:2:A c:2:C d:1:")
	f.tells(&controlv1.RoomStatus{Revision: 3, Connections: list(same("c", active))})
	f.want("without those that are not named", "c:2:C")
	if got := f.parts.clients["room"]; len(got) != 1 || f.parts.bytes != 0 || len(f.parts.statuses) != 0 {
		t.Errorf("kept are %v, %d bytes", got, f.parts.bytes)
	}

	f.table.Delete("room")
	f.table.Removed("a", &controlv1.RoomRemoved{Uid: "room"})
	f.tells(&controlv1.RoomStatus{Revision: 3, Connections: list(connection("x", active, "X")), More: true})
	if len(f.parts.clients) != 0 || len(f.parts.statuses) != 0 || f.parts.bytes != 0 {
		t.Errorf("of a room that is not known is kept %+v", f.parts)
	}
}

func TestPartsComeToAnEnd(t *testing.T) {
	data := strings.Repeat("x", 1<<20)
	for what, part := range map[string]func(*assembly) error{
		"a state": func(a *assembly) error {
			_, err := a.status(&controlv1.RoomStatus{Uid: "room", More: true, Connections: []*controlv1.ConnectionStatus{{ClientData: data}}}, true)
			return err
		},
		"a journal": func(a *assembly) error {
			_, err := a.journal(&controlv1.RoomJournal{
				Room: &controlv1.RoomIdentity{Uid: "room", Name: data}, More: true,
			})
			return err
		},
	} {
		a := newAssembly()
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = part(a)
		}
		if !errors.Is(err, errEndless) || n < 60 || n > 64 {
			t.Errorf("%s of %d parts: %v", what, n, err)
		}
	}
}

func TestALargeRoomIsSentInParts(t *testing.T) {
	large := &controlv1.Room{Uid: "room", Revision: 7, Key: "key", Tenant: "tenant"}
	for i := range 2000 {
		large.Connections = append(large.Connections, &controlv1.Connection{Uid: fmt.Sprint(i), ServerData: strings.Repeat("x", 40000)})
	}
	large.Connections[3].ServerData = strings.Repeat("x", partBytes+1)
	f := newToldFleet(t)
	if _, err := f.partsFor(f.link, large); !errors.Is(err, errTooLarge) {
		t.Errorf("to a pod of an older version: %v", err)
	}
	f.link.takesParts = true
	parts, err := f.partsFor(f.link, proto.CloneOf(large))
	if err != nil {
		t.Fatal(err)
	}
	whole := parts[len(parts)-1]
	var connections []*controlv1.Connection
	for i, part := range parts {
		if size := proto.Size(part); size > partBytes+(64<<10) && len(part.Connections) > 1 {
			t.Errorf("part %d has %d bytes and %d connections", i, size, len(part.Connections))
		}
		if part.Uid != "room" || part.Revision != 7 || part.More != (i < len(parts)-1) {
			t.Errorf("part %d: %s, %d, more: %t", i, part.Uid, part.Revision, part.More)
		}
		connections = append(connections, part.Connections...)
	}
	whole.Connections = connections
	if !proto.Equal(whole, large) {
		t.Error("together they are not the room")
	}
	if parts, err := f.partsFor(f.link, &controlv1.Room{Uid: "small"}); err != nil || len(parts) != 1 || parts[0].More {
		t.Errorf("a small room: %v, %v", parts, err)
	}
}

func TestAPodThatIsNeverThroughIsLost(t *testing.T) {
	f := newFixture(t)
	f.start()
	good, bad := f.pod("good"), f.pod("bad")
	f.state("good", Synced)
	f.state("bad", Synced)
	bad.Hang()
	for range 3 { // its streams break, and it is heard of each time
		streams := bad.Streams()
		bad.Break()
		f.eventually("there is another stream", func() bool { return bad.Streams() > streams && f.offeredTo("bad") })
		f.clock.Step(step)
		if state := f.Pod("bad").State; state != Broken {
			t.Fatalf("it is %d", state)
		}
	}
	for f.elapsed("bad") < unsynced {
		f.clock.Step(step)
		f.eventually("it is heard of", func() bool { return f.heardNow("bad") && f.heardNow("good") || f.Pod("bad").State == Lost })
	}
	f.clock.Step(tick)
	f.state("bad", Lost)
	if f.Pod("good").State != Synced || good.Streams() != 1 {
		t.Error("another pod was touched")
	}
}

func (f *fixture) offeredTo(pod string) bool {
	f.Fleet.mu.Lock()
	defer f.Fleet.mu.Unlock()
	return !f.links[pod].offered.at.IsZero() && f.links[pod].connected
}

func (f *fixture) elapsed(pod string) time.Duration {
	f.Fleet.mu.Lock()
	defer f.Fleet.mu.Unlock()
	return f.now().heardSince(f.links[pod].offered)
}

func (f *fixture) heardNow(pod string) bool {
	f.Fleet.mu.Lock()
	defer f.Fleet.mu.Unlock()
	return f.links[pod].heard.at.Equal(f.clock.Now())
}

// When it gets through to nobody, or has not sent everything, that is the operator's own fault.
func TestTheOperatorsOwnFaultCostsNoPod(t *testing.T) {
	for name, spoil := range map[string]func(*fixture){
		"no pod is ever through": func(f *fixture) {
			for _, name := range []string{"a", "b"} {
				f.pod(name).Hang()
			}
		},
		"a room can't be made": func(f *fixture) {
			f.rooms.set("room", 1, "guest")
			f.rooms.fail = true
			f.room("room", "a")
			f.pod("a")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			spoil(f)
			f.start()
			f.eventually("all are heard of", func() bool { return f.heardNow("a") && (f.pods == 1 || f.heardNow("b")) })
			for elapsed := time.Duration(0); elapsed < 2*unsynced; elapsed += step {
				f.clock.Step(step)
				f.eventually("all are heard of", func() bool { return f.heardNow("a") && (f.pods == 1 || f.heardNow("b")) })
			}
			f.clock.Step(tick)
			if state := f.Pod("a").State; state == Lost {
				t.Error("it is lost")
			}
		})
	}
}
