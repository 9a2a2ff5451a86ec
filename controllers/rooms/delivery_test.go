package rooms

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// outboxes are what each pod was sent; a pod that is gone is not talked to.
type outboxes struct {
	sent map[string][]*controlv1.OperatorMessage
	gone map[string]bool
}

func (o *outboxes) Send(pod string, _ types.UID, message *controlv1.OperatorMessage) {
	o.sent[pod] = append(o.sent[pod], message)
}

func (o *outboxes) Withdraw(pod string, session types.UID) {
	o.sent[pod] = slices.DeleteFunc(o.sent[pod], func(m *controlv1.OperatorMessage) bool {
		return m.GetRoom().GetUid() == string(session)
	})
}

func (o *outboxes) Has(pod string) bool { return !o.gone[pod] }

// told returns what a pod was sent since it was asked last, as "uid@revision: connections" or
// "-uid@revision".
func (o *outboxes) told(pod string) string {
	var lines []string
	for _, message := range o.sent[pod] {
		lines = append(lines, written(message))
	}
	o.sent[pod] = nil
	return strings.Join(lines, ", ")
}

func written(message *controlv1.OperatorMessage) string {
	if removal := message.GetRemoveRoom(); removal != nil {
		return fmt.Sprintf("-%s@%d", removal.GetUid(), removal.GetRevision())
	}
	if standby := message.GetStandby(); standby != nil {
		if standby.GetDrop() {
			return "~" + standby.GetUid() + " dropped"
		}
		return fmt.Sprintf("~%s of %s at %s", standby.GetUid(), standby.GetPodUid(), standby.GetAddress())
	}
	room := message.GetRoom()
	text := fmt.Sprintf("%s@%d:", room.GetUid(), room.GetRevision())
	for _, c := range room.GetConnections() {
		text += " " + c.GetUid()
	}
	return text
}

// send does what a pass over a Session does: it builds the room for what is needed, if it is.
func (b *book) send(of Session, connections ...string) bool {
	sending := b.Session(of.UID).Sending
	if !sending.Outdated || sending.After > 0 {
		return false
	}
	b.hand(of, sending.Need, connections...)
	return true
}

func (b *book) hand(of Session, need uint64, connections ...string) {
	room := &controlv1.Room{Uid: string(of.UID), Generation: 1}
	names := make(map[types.UID]types.NamespacedName)
	for _, c := range connections {
		room.Connections = append(room.Connections, &controlv1.Connection{Uid: "uid-" + c, Generation: 1})
		names[types.UID("uid-"+c)] = guest(of, c).Name
	}
	b.Send(b.Session(of.UID).Pod, room, names, need)
}

// answers has a pod say that it has applied a revision, with the Connections that it has.
func (b *book) answers(pod string, of Session, revision uint64, connections ...*controlv1.ConnectionStatus) {
	b.Observe(pod, &controlv1.RoomStatus{Uid: string(of.UID), Revision: revision, Generation: 1, Connections: connections})
}

func seen(name string, state controlv1.ConnectionState) *controlv1.ConnectionStatus {
	return &controlv1.ConnectionStatus{Uid: "uid-" + name, State: state, Generation: 1, ActiveUnixMs: int64(state) - 1}
}

const (
	pending      = controlv1.ConnectionState_CONNECTION_STATE_PENDING
	active       = controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	disconnected = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
)

// want compares what a pod was sent.
func (b *book) want(t *testing.T, what, pod, want string) {
	t.Helper()
	if got := b.pods.told(pod); got != want {
		t.Errorf("%s: pod %s was sent %q, want %q", what, pod, got, want)
	}
}

func TestWhatChangesWhileThePodHasNotAnsweredGoesTogether(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	if !b.send(r) {
		t.Fatal("what was never sent is not sent")
	}
	b.want(t, "the first time", "a", "uid-room@1:")
	if b.send(r) {
		t.Error("it is sent again although nothing has changed")
	}

	b.Require(r.UID, "uid-guest", 1)
	b.Require(r.UID, "uid-other", 1)
	if b.send(r, "guest", "other") || !slices.Equal(b.woken, []string{"room after 100ms", "room after 100ms"}) {
		t.Errorf("what the pod has not answered does not wait: %v", b.woken)
	}
	b.woken = nil
	b.answers("a", r, 1)
	if !slices.Contains(b.woken, "room") || !b.send(r, "guest", "other") {
		t.Errorf("the answer does not let it go: %v", b.woken)
	}
	b.want(t, "after the answer", "a", "uid-room@2: uid-guest uid-other")

	b.Require(r.UID, "uid-guest", 1)
	if b.Session(r.UID).Sending.Outdated {
		t.Error("who is in what was sent is to be sent again")
	}
	b.Require(r.UID, "uid-guest", 2)
	b.clock.Step(InFlight)
	if !b.send(r, "guest", "other") {
		t.Error("a pod that does not answer is not told any more")
	}
	b.Admit(guest(r, "guest"), nil, 9)
	for what, putOut := range map[string]func(){
		"a Connection that is gone":    func() { b.Remove(guest(r, "guest").Name) },
		"a Connection that is deleted": func() { b.Evict(guest(r, "other")) },
	} {
		b.woken = nil
		if putOut(); !slices.Contains(b.woken, "room") || !b.send(r) {
			t.Errorf("%s waits: %v", what, b.woken)
		}
	}
}

// A pass that has begun before a change must not be taken for one that knows of it.
func TestAPassThatBeganBeforeANeedDoesNotMeetIt(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	need := b.Session(r.UID).Sending.Need
	b.Require(r.UID, "uid-guest", 1)
	b.hand(r, need)
	if !b.Session(r.UID).Sending.Outdated {
		t.Error("who was admitted meanwhile is forgotten")
	}
	b.answers("a", r, 1)

	if b.Evict(guest(r, "guest")) {
		t.Fatal("it is out at once")
	}
	b.hand(r, need) // the pass had read the guest before it was deleted
	b.answers("a", r, 2)
	if b.Evict(guest(r, "guest")) {
		t.Error("it is out although the pod was not told")
	}
	b.clock.Step(InFlight)
	b.send(r)
	if b.Evict(guest(r, "guest")) {
		t.Error("it is out although the pod has not answered")
	}
	b.answers("a", r, 3)
	if !b.Evict(guest(r, "guest")) {
		t.Error("it is not out although the pod has confirmed it")
	}
}

func TestRoomsAreClosed(t *testing.T) {
	first, second := session("first"), session("second")
	b := newBook(Reservation{Session: first, Pod: "a"}, Reservation{Session: second, Pod: "a"})
	b.send(first)
	b.send(second)
	b.pods.told("a")
	for range 2 {
		if b.Close(first.UID, false) {
			t.Error("it was closed at once")
		}
	}
	b.want(t, "closing", "a", "-uid-first@2")
	b.Removed("a", &controlv1.RoomRemoved{Uid: "uid-first", Revision: 1})
	b.Removed("b", &controlv1.RoomRemoved{Uid: "uid-first", Revision: 2})
	if b.Close(first.UID, false) {
		t.Error("another answer was taken for it")
	}
	b.hand(first, 9, "late")
	b.want(t, "a room that is being closed", "a", "")
	b.woken = nil
	b.Removed("a", &controlv1.RoomRemoved{Uid: "uid-first", Revision: 2})
	if !b.Close(first.UID, false) || !slices.Contains(b.woken, "first") {
		t.Errorf("it is not closed; woken are %v", b.woken)
	}

	b.Delete(second.UID)
	b.want(t, "a room whose Session is gone", "a", "-uid-second@0")
	if known, here := b.Has(second.UID, "a"); !known || !here {
		t.Error("what the pod says of its end is not believed")
	}
	b.Removed("a", &controlv1.RoomRemoved{Uid: "uid-second"})
	if known, _ := b.Has(second.UID, "a"); known {
		t.Error("it is remembered for ever")
	}

	third := session("third")
	b.place(third, pods(9, 9, "a"))
	b.send(third)
	b.pods.gone = map[string]bool{"a": true}
	if !b.Close(third.UID, false) || !b.Evict(guest(third, "guest")) {
		t.Error("a lost pod blocks deletions")
	}
}

func TestALostPod(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a", Connections: []Connection{guest(r, "in"), guest(r, "waits")}})
	b.send(r, "in", "waits")
	b.answers("a", r, 1, seen("in", active), seen("waits", pending))
	if view := b.Session(r.UID); !view.Visited || view.Generation != 1 || !view.Held["uid-in"] || !view.Lost.IsZero() || b.Connection(r.UID, "uid-in").Programmed != 1 {
		t.Errorf("it is %+v", view)
	}
	b.woken = nil
	b.MarkLost("a")
	slices.Sort(b.woken)
	if want := []string{"in", "room", "waits"}; !slices.Equal(b.woken, want) {
		t.Errorf("woken are %v, want %v", b.woken, want)
	}
	lost := b.clock.Now()
	b.clock.Step(time.Second)
	b.Unassign(r.UID, "a")
	if view := b.Session(r.UID); !view.Lost.Equal(lost) || view.Held["uid-in"] || view.Seen["uid-in"].GetState() != active || !view.Admitted["uid-in"] {
		t.Errorf("it is %+v", view)
	}
	if b.place(r, pods(9, 9, "b")) != "b" || b.Session(r.UID).Epoch != 2 || b.Session(r.UID).Generation != 0 || !b.Session(r.UID).Lost.IsZero() {
		t.Errorf("it is %+v", b.Session(r.UID))
	}
	for _, name := range []string{"in", "waits"} {
		if c := b.Connection(r.UID, types.UID("uid-"+name)); c.Held || c.Programmed != 0 || !c.Admitted {
			t.Errorf("%s is %+v", name, c)
		}
	}
	// What the lost pod says counts no more.
	b.send(r, "in", "waits")
	back := seen("in", active)
	back.Restored = true
	b.answers("b", r, 2, back, seen("waits", pending))
	b.answers("a", r, 9, seen("waits", active))
	if c := b.Connection(r.UID, "uid-in"); c.Seen.GetState() != active || !c.Seen.GetRestored() || !c.Held || c.Programmed != 1 {
		t.Errorf("who was in is %+v", c)
	}
	if c := b.Connection(r.UID, "uid-waits"); c.Seen.GetState() != pending || c.Programmed != 1 {
		t.Errorf("who waits is %+v", c)
	}
}

// That streams have to be muted is known while the room is on no pod, until its pod says otherwise.
func TestThatStreamsHaveToBeMutedIsKept(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a", Connections: []Connection{guest(r, "in")}})
	b.send(r, "in")
	check := func(when string, want bool) {
		t.Helper()
		if got := b.Session(r.UID).ForceMute; got != want {
			t.Errorf("%s it is %v", when, got)
		}
	}
	check("at first", false)
	b.Observe("a", &controlv1.RoomStatus{Uid: string(r.UID), Revision: 1, Connections: []*controlv1.ConnectionStatus{seen("in", active)}, ForceMute: true})
	check("once the pod says so", true)
	b.MarkLost("a")
	b.Unassign(r.UID, "a")
	check("without a pod", true)
	b.place(r, pods(9, 9, "b"))
	check("on the next pod", true)
	b.Observe("a", &controlv1.RoomStatus{Uid: string(r.UID), Changes: true})
	check("when the pod before says otherwise", true)
	b.Observe("b", &controlv1.RoomStatus{Uid: string(r.UID), Changes: true})
	check("when its pod says otherwise", false)
}

// What the last minute was like is known through a takeover, until the next pod says what it was.
func TestServiceLevelsAreKept(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	b.send(r)
	says := func(pod string, joins int32, want int32, wakes int) {
		t.Helper()
		b.woken = nil
		status := &controlv1.RoomStatus{Uid: string(r.UID), Changes: true}
		if joins > 0 {
			status.Levels = &controlv1.RoomLevels{Joins: joins}
		}
		b.Observe(pod, status)
		if got := b.Session(r.UID).Levels.GetJoins(); got != want || len(b.woken) != wakes {
			t.Errorf("%s says %d: %d joins, and woken are %v", pod, joins, got, b.woken)
		}
	}
	says("a", 3, 3, 1)
	says("a", 3, 3, 0)
	b.MarkLost("a")
	b.Unassign(r.UID, "a")
	b.place(r, pods(9, 9, "b"))
	says("a", 9, 3, 0) // it is not its pod any more
	says("b", 4, 4, 1)
	says("b", 0, 0, 1)
	if b.Session(r.UID).Levels != nil {
		t.Error("a minute without news is something")
	}
}

// A pod of an earlier version knows nothing of who was in the room: they are out there.
func TestAPodThatRestoresNobody(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a", Connections: []Connection{guest(r, "in")}})
	b.send(r, "in")
	b.answers("a", r, 1, seen("in", active))
	b.MarkLost("a")
	b.Unassign(r.UID, "a")
	b.place(r, pods(9, 9, "b"))
	b.send(r, "in")
	b.answers("b", r, 2, &controlv1.ConnectionStatus{Uid: "uid-in", State: disconnected, Generation: 1})
	if c := b.Connection(r.UID, "uid-in"); c.Seen.GetState() != disconnected || c.Seen.GetDisconnectReason() != "" {
		t.Errorf("who was in is %+v", c)
	}
}

func TestUsersAreGivenUp(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a", Connections: []Connection{guest(r, "in"), guest(r, "unseen"), guest(r, "waits")}})
	b.send(r, "in", "waits")
	b.answers("a", r, 1, seen("in", active), seen("waits", pending))
	b.MarkLost("a")
	b.Unassign(r.UID, "a")
	b.woken = nil
	b.GiveUp(r.UID, []types.UID{"uid-in", "uid-unseen"})
	b.GiveUp("another", []types.UID{"uid-in"})
	slices.Sort(b.woken)
	if want := []string{"in", "room", "unseen", "waits"}; !slices.Equal(b.woken, want) {
		t.Errorf("woken are %v, want %v", b.woken, want)
	}
	for _, name := range []string{"in", "unseen"} {
		c := b.Connection(r.UID, types.UID("uid-"+name)).Seen
		if c.GetState() != disconnected || c.GetDisconnectReason() != "nodeCrashed" || c.GetDisconnectedUnixMs() != b.clock.Now().UnixMilli() {
			t.Errorf("%s is %v", name, c)
		}
	}
	if c := b.Connection(r.UID, "uid-waits").Seen; c.GetState() != pending {
		t.Errorf("who waits is %v", c)
	}
	// They stay out.
	b.place(r, pods(9, 9, "b"))
	b.send(r, "in", "unseen", "waits")
	b.answers("b", r, 2, &controlv1.ConnectionStatus{Uid: "uid-in", State: disconnected, Generation: 1})
	if c := b.Connection(r.UID, "uid-in").Seen; c.GetDisconnectReason() != "nodeCrashed" || c.GetActiveUnixMs() == 0 {
		t.Errorf("who was in is %v", c)
	}
}

func TestARoomThatMovesIsClosedWhereItWas(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	b.send(r)
	b.pods.told("a")
	if pod, moved := b.Move(r.UID, "a", pods(9, 9, "b"), v1alpha1.PlacementPacked); !moved || pod != "b" {
		t.Fatalf("it moved to %q", pod)
	}
	b.want(t, "before", "a", "-uid-room@0")
	b.want(t, "before it is built", "b", "")
	if !b.send(r) {
		t.Error("it is not to be sent")
	}
	b.want(t, "then", "b", "uid-room@2:")
}

func TestASnapshotIsNeverPartial(t *testing.T) {
	first, second, elsewhere := session("first"), session("second"), session("elsewhere")
	for what, complete := range map[string]struct {
		step func(b *book)
		want []string
	}{
		"the other room is built":      {func(b *book) { b.send(second, "guest") }, []string{"uid-first@1:", "uid-second@1: uid-guest"}},
		"the other Session is gone":    {func(b *book) { b.Delete(second.UID) }, []string{"uid-first@1:"}},
		"the other Session is deleted": {func(b *book) { b.Close(second.UID, false) }, []string{"-uid-second@1", "uid-first@1:"}},
		"the other room is moved":      {func(b *book) { b.Move(second.UID, "a", pods(9, 9, "b"), v1alpha1.PlacementPacked) }, []string{"uid-first@1:"}},
		"the other room lost its pod":  {func(b *book) { b.Unassign(second.UID, "a") }, []string{"uid-first@1:"}},
	} {
		b := newBook(Reservation{Session: first, Pod: "a"}, Reservation{Session: second, Pod: "a"}, Reservation{Session: elsewhere, Pod: "b"})
		b.send(first)
		if _, missing, _ := b.snapshot("a"); !slices.Equal(missing, []types.NamespacedName{second.Name}) {
			t.Errorf("%s: before, %v are missing", what, missing)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if messages, err := b.Snapshot(ctx, "a"); err == nil {
			t.Errorf("%s: before, it is %v", what, messages)
		}
		if !slices.Contains(b.woken, "second") {
			t.Errorf("%s: the Session that is missing was not woken", what)
		}
		_, _, changed := b.snapshot("a")
		complete.step(b)
		select {
		case <-changed:
		default:
			t.Errorf("%s: who waits for it is not told", what)
		}
		messages, err := b.Snapshot(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, message := range messages {
			got = append(got, written(message))
		}
		slices.Sort(got)
		if !slices.Equal(got, complete.want) {
			t.Errorf("%s: it is %q, want %q", what, got, complete.want)
		}
	}
}

func TestASessionIsWokenWhenMediaGoesOverAnotherTransport(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	for _, status := range []struct {
		udp, tcp int32
		wakes    int
	}{{2, 0, 1}, {2, 0, 0}, {1, 1, 1}, {0, 0, 1}} {
		b.woken = nil
		b.Observe("a", &controlv1.RoomStatus{Uid: "uid-room", UdpMedia: status.udp, TcpMedia: status.tcp})
		if len(b.woken) != status.wakes {
			t.Errorf("%+v: woken are %v", status, b.woken)
		}
		if got := b.Session(r.UID).Media; got.UDP != status.udp || got.TCP != status.tcp {
			t.Errorf("%+v: the view has %+v", status, got)
		}
	}
}

func TestSessionsOnPodsThatDrainAreWokenForOtherPods(t *testing.T) {
	drains, stays, waits := session("drains"), session("stays"), session("waits")
	b := newBook(Reservation{Session: drains, Pod: "a"}, Reservation{Session: stays, Pod: "b"})
	b.place(waits, nil)
	b.woken = nil
	b.PodsChanged("pool", "a", []string{"a"})
	slices.Sort(b.woken)
	if want := []string{"drains", "waits"}; !slices.Equal(b.woken, want) {
		t.Errorf("woken are %v, want %v", b.woken, want)
	}
	b.woken = nil
	if b.PodsChanged("other", "b", nil); len(b.woken) != 0 {
		t.Errorf("of another pool, woken are %v", b.woken)
	}
}

func TestSessionsOnAPodThatIsCutOffAreToSaySo(t *testing.T) {
	here, elsewhere := session("here"), session("elsewhere")
	b := newBook(Reservation{Session: here, Pod: "a"}, Reservation{Session: elsewhere, Pod: "b"})
	b.woken = nil
	if b.PodReachChanged("a"); !slices.Equal(b.woken, []string{"here"}) {
		t.Errorf("woken are %v", b.woken)
	}
}

// Whoever has a token may be in the room, whether its pod could say so or not.
func TestWhereSomebodyMayBe(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	if b.Occupied("a") || !b.Hosting("a") {
		t.Error("somebody is in a room without Connections")
	}
	if b.Admit(guest(r, "ann"), nil, 9) != Admitted || !b.Occupied("a") || b.Occupied("b") {
		t.Error("nobody may be where a token is out")
	}
	if b.Release(guest(r, "ann").Name, ""); b.Occupied("a") {
		t.Error("who has left is there")
	}
}
