package rooms

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// book is a seeded table, and who was woken.
type book struct {
	*Table
	pods  outboxes
	clock *testclock.FakeClock
	woken []string
}

func newBook(placed ...Reservation) *book {
	b := &book{}
	wake := func(name types.NamespacedName) { b.woken = append(b.woken, name.Name) }
	b.pods.sent = make(map[string][]*controlv1.OperatorMessage)
	b.clock = testclock.NewFakeClock(now)
	b.Table = New(&b.pods, Wakers{
		Session: wake, Connection: wake, Pool: func(string) {},
		SessionAfter: func(name types.NamespacedName, after time.Duration) {
			b.woken = append(b.woken, fmt.Sprint(name.Name, " after ", after))
		},
	}, b.clock)
	b.Seed(placed)
	b.woken = nil
	return b
}

func session(name string) Session {
	return Session{UID: types.UID("uid-" + name), Name: types.NamespacedName{Namespace: "ns", Name: name}, Pool: "pool"}
}

func guest(of Session, name string) Connection {
	return Connection{UID: types.UID("uid-" + name), Name: types.NamespacedName{Namespace: "ns", Name: name}, Session: of.UID}
}

func pods(sessions, connections int32, names ...string) []placement.Candidate {
	var out []placement.Candidate
	for _, name := range names {
		out = append(out, placement.Candidate{Pod: name, Node: "node-of-" + name, MaxSessions: sessions, MaxConnections: connections})
	}
	return out
}

func (b *book) place(r Session, candidates []placement.Candidate) string {
	pod, _ := b.Assign(r, candidates, v1alpha1.PlacementPacked)
	return pod
}

func TestCapacityIsReservedWhenItIsGivenOut(t *testing.T) {
	b := newBook()
	var placed sync.Map
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			r := session(fmt.Sprint("room-", n))
			if pod := b.place(r, pods(3, 100, "a", "b", "c")); pod != "" {
				placed.Store(r.UID, pod)
			}
		})
	}
	all.Wait()
	count := map[string]int{}
	placed.Range(func(_, pod any) bool {
		count[pod.(string)]++
		return true
	})
	if count["a"] != 3 || count["b"] != 3 || count["c"] != 3 {
		t.Errorf("rooms per pod are %v, want 3 each", count)
	}
	if waiting := b.Waiting("pool"); waiting != 91 {
		t.Errorf("%d wait, want 91", waiting)
	}
}

func TestMaxConnectionsIsExact(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	verdicts := make([]Admission, 100)
	var all sync.WaitGroup
	for n := range verdicts {
		all.Go(func() { verdicts[n] = b.Admit(guest(r, fmt.Sprint("guest-", n)), ptr.To(int32(7)), 1000) })
	}
	all.Wait()
	admitted := 0
	for _, v := range verdicts {
		if v == Admitted {
			admitted++
		} else if v != SessionFull {
			t.Errorf("verdict is %v", v)
		}
	}
	if admitted != 7 {
		t.Errorf("%d were admitted, want 7", admitted)
	}
}

func TestTable(t *testing.T) {
	first, second := session("first"), session("second")
	for sentence, run := range map[string]func(t *testing.T, b *book){
		"a place once given stays": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			if pod := b.place(first, pods(1, 10, "b")); pod != "a" {
				t.Errorf("it moved to %q", pod)
			}
		},
		"who waits is woken when a session goes": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			if pod := b.place(second, pods(1, 10, "a")); pod != "" {
				t.Fatalf("placed on %q, which is full", pod)
			}
			b.Delete(first.UID)
			if !slices.Contains(b.woken, "second") || b.place(second, pods(1, 10, "a")) != "a" {
				t.Errorf("woken are %v", b.woken)
			}
		},
		"a session that loses its pod keeps its connections' places": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			b.Admit(guest(first, "guest"), nil, 10)
			b.Unassign(first.UID, "a")
			if view := b.Session(first.UID); view.Pod != "" || !view.Known {
				t.Errorf("it is on %q, known %v", view.Pod, view.Known)
			}
			if !b.Connection(first.UID, "uid-guest").Admitted || b.place(first, pods(1, 10, "b")) != "b" || b.Loads()["b"].Connections != 1 {
				t.Errorf("loads are %v", b.Loads())
			}
		},
		"losing a pod that it is not on any more changes nothing": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "b"))
			b.Unassign(first.UID, "a")
			if pod := b.Session(first.UID).Pod; pod != "b" {
				t.Errorf("it is on %q", pod)
			}
		},
		"a pod that is retired gets nothing": func(t *testing.T, b *book) {
			if !b.Cordon("a") || b.place(first, pods(1, 10, "a")) != "" {
				t.Error("it got a room")
			}
		},
		"a pod with a room is not retired": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			if b.Cordon("a") {
				t.Error("it was")
			}
		},
		"pods on the node of a failure are not preferred": func(t *testing.T, b *book) {
			b.Failed("gone", "node-of-a")
			if pod := b.place(first, pods(1, 10, "a", "b")); pod != "b" {
				t.Errorf("placed on %q", pod)
			}
		},
		"a connection waits while the pod is full, and is woken": func(t *testing.T, b *book) {
			b.place(first, pods(2, 1, "a"))
			b.place(second, pods(2, 2, "a"))
			b.Admit(guest(first, "in"), nil, 1)
			if v := b.Admit(guest(second, "out"), nil, 1); v != PodFull {
				t.Fatalf("verdict is %v", v)
			}
			if b.Release(guest(first, "in").Name, ""); !slices.Contains(b.woken, "out") {
				t.Errorf("woken are %v", b.woken)
			}
			if v := b.Admit(guest(second, "out"), nil, 1); v != Admitted {
				t.Errorf("verdict is %v", v)
			}
		},
		"a connection of a session that waits is turned away": func(t *testing.T, b *book) {
			b.place(first, nil)
			if v := b.Admit(guest(first, "guest"), nil, 1); v != SessionUnplaced {
				t.Errorf("verdict is %v", v)
			}
			b.place(first, pods(1, 1, "a"))
			if !slices.Contains(b.woken, "guest") {
				t.Errorf("woken are %v", b.woken)
			}
		},
		"a connection with the name of one that is gone does not inherit its place": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			b.Admit(guest(first, "guest"), nil, 10)
			again := guest(first, "guest")
			again.UID = "other"
			b.Admit(again, nil, 10)
			if b.Connection(first.UID, "uid-guest").Admitted || b.Loads()["a"].Connections != 1 {
				t.Errorf("loads are %v", b.Loads())
			}
		},
		"who was admitted stays so when the limit falls": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			b.Admit(guest(first, "guest"), nil, 10)
			if v := b.Admit(guest(first, "guest"), ptr.To(int32(0)), 0); v != Admitted {
				t.Errorf("verdict is %v", v)
			}
		},
	} {
		t.Run(sentence, func(t *testing.T) { run(t, newBook()) })
	}
}

// Each Connection that is woken is looked at: a leave on a pod that 50,000 wait for must not be as
// much work as all of them.
func TestAsManyAreWokenAsThereArePlaces(t *testing.T) {
	first, second, third := session("first"), session("second"), session("third")
	setup := func() *book {
		b := newBook(Reservation{Session: first, Pod: "a"}, Reservation{Session: second, Pod: "a"}, Reservation{Session: third, Pod: "b"})
		for n := range 4 {
			b.Admit(guest([]Session{first, second}[n%2], fmt.Sprint("in-", n)), nil, 4)
		}
		return b
	}
	// crowd turns many away, in turns.
	crowd := func(b *book, n int) {
		for i := range n {
			if v := b.Admit(guest([]Session{second, first}[i%2], fmt.Sprint("out-", i)), nil, 4); v != PodFull {
				t.Fatalf("verdict is %v", v)
			}
		}
		b.woken = nil
	}
	name := func(r Session, n string) types.NamespacedName { return guest(r, n).Name }
	for sentence, test := range map[string]struct {
		run  func(b *book)
		want []string
	}{
		"one leaves, and the first in line is woken": {func(b *book) { crowd(b, 1000); b.Release(name(first, "in-0"), "") }, []string{"out-0"}},
		"two leave at once, and whoever is woken has not come yet": {func(b *book) {
			crowd(b, 1000)
			b.Release(name(first, "in-0"), "")
			b.Release(name(second, "in-1"), "")
		}, []string{"out-0", "out-0", "out-1"}},
		"who was woken goes away without the place": {func(b *book) {
			crowd(b, 1000)
			b.Release(name(first, "in-0"), "")
			b.Release(name(second, "out-0"), "uid-out-0")
		}, []string{"out-0", "out-1"}},
		"who was woken may not come in any more": {func(b *book) {
			crowd(b, 1000)
			b.Release(name(first, "in-0"), "")
			b.Admit(guest(second, "out-0"), ptr.To(int32(1)), 4)
		}, []string{"out-0", "out-1"}},
		"a Session goes with all that were in it": {func(b *book) { crowd(b, 1000); b.Delete(first.UID) }, []string{"out-0", "out-2"}},
		"a Session's own limit is one, too": {func(b *book) {
			for i := range 1000 {
				if v := b.Admit(guest(first, fmt.Sprint("out-", i)), ptr.To(int32(2)), 9); v != SessionFull {
					t.Fatalf("verdict is %v", v)
				}
			}
			b.woken = nil
			b.Release(name(second, "in-1"), "") // of another Session: no place for them
			b.Release(name(first, "in-0"), "")
		}, []string{"out-0"}},
		"who waits for a full Session does not keep others out": {func(b *book) {
			b.Admit(guest(second, "limited"), ptr.To(int32(2)), 4)
			crowd(b, 1000)
			b.Release(name(first, "in-0"), "")
		}, []string{"out-1"}},
		"a leave on another pod concerns nobody": {func(b *book) {
			b.Admit(guest(third, "elsewhere"), nil, 4)
			crowd(b, 1000)
			b.Release(name(third, "elsewhere"), "")
		}, nil},
		"who asks again keeps the place in line": {func(b *book) {
			crowd(b, 1000)
			b.Admit(guest(second, "out-0"), nil, 4)
			b.Release(name(first, "in-0"), "")
		}, []string{"out-0"}},
		"another of the same name is at the end of the line": {func(b *book) {
			crowd(b, 1000)
			again := guest(second, "out-0")
			again.UID = "another"
			b.Admit(again, nil, 4)
			b.Release(name(first, "in-0"), "")
		}, []string{"out-1"}},
		"a Session moves, and leaves places": {func(b *book) {
			crowd(b, 1000)
			b.Move(first.UID, "a", pods(3, 9, "b"), v1alpha1.PlacementPacked)
		}, []string{"out-0", "out-2", "out-1", "out-3"}},
		"all are told of their Session's pod": {func(b *book) {
			crowd(b, 4)
			b.Unassign(second.UID, "a")
			b.Assign(second, pods(9, 9, "a"), v1alpha1.PlacementPacked)
		}, []string{"out-0", "out-2"}},
		"all are told of other limits": {func(b *book) { crowd(b, 2); b.PoolChanged("pool") }, []string{"first", "out-0", "out-1", "second", "third"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			b := setup()
			test.run(b)
			got := b.woken
			if strings.HasPrefix(sentence, "all") {
				slices.Sort(got)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("woken are %v, want %v", got, test.want)
			}
		})
	}
}

// The same holds for Sessions that wait for a pod.
func TestAsManySessionsAreWokenAsThereArePlaces(t *testing.T) {
	full := func() *book {
		b := newBook()
		for n := range 4 {
			b.place(session(fmt.Sprint("in-", n)), pods(2, 3, "a", "b"))
		}
		for n := range 200 {
			if pod := b.place(session(fmt.Sprint("out-", n)), pods(2, 3, "a", "b")); pod != "" {
				t.Fatalf("out-%d is on %s", n, pod)
			}
		}
		return b
	}
	end := func(b *book, name string) { b.Delete(session(name).UID) }
	for sentence, test := range map[string]struct {
		run  func(b *book)
		want []string
	}{
		"one ends, and the first in line is woken": {func(b *book) { end(b, "in-0") }, []string{"out-0"}},
		"two end at once, on two pods, and whoever is woken has not come yet": {func(b *book) {
			end(b, "in-0")
			end(b, "in-3")
		}, []string{"out-0", "out-0", "out-1"}},
		"who was woken is deleted": {func(b *book) {
			end(b, "in-0")
			end(b, "out-0")
		}, []string{"out-0", "out-1"}},
		"who was woken takes the place": {func(b *book) {
			end(b, "in-0")
			b.place(session("out-0"), pods(2, 3, "a", "b"))
			end(b, "in-1")
		}, []string{"out-0", "out-1"}},
		"a user leaves, and there is a place for no Session": {func(b *book) {
			b.Admit(guest(session("in-0"), "guest"), nil, 3)
			b.Release(guest(session("in-0"), "guest").Name, "")
		}, nil},
		"a Session ends on a pod that takes no more users": {func(b *book) {
			on := b.Session(session("in-0").UID).Pod
			other := "in-1"
			if b.Session(session(other).UID).Pod != on {
				other = "in-2"
			}
			for n := range 3 {
				b.Admit(guest(session(other), fmt.Sprint("guest-", n)), nil, 3)
			}
			end(b, "in-0")
			b.Release(guest(session(other), "guest-0").Name, "")
		}, []string{"out-0"}},
		"a pod that is gone has no places": {func(b *book) {
			b.Forget(b.Session(session("in-0").UID).Pod)
			end(b, "in-0")
		}, nil},
		"who has more users than there is room for lets the next one go first": {func(b *book) {
			b.Admit(guest(session("in-0"), "one"), nil, 3)
			b.Admit(guest(session("in-0"), "two"), nil, 3)
			b.Admit(guest(session("in-3"), "three"), nil, 3)
			b.Admit(guest(session("in-3"), "four"), nil, 3)
			b.Unassign(session("in-0").UID, b.Session(session("in-0").UID).Pod)
			b.place(session("out-0"), pods(2, 3, "a", "b"))
			b.Admit(guest(session("out-0"), "five"), nil, 3)
			b.Admit(guest(session("out-0"), "six"), nil, 3)
			end(b, "in-2")
		}, []string{"out-1"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			b := full()
			if test.run(b); !slices.Equal(b.woken, test.want) {
				t.Errorf("woken are %v, want %v", b.woken, test.want)
			}
		})
	}
}

// Whatever happens, in the end nobody waits while there is a place, when everybody who is woken
// asks again.
func TestNobodyIsForgottenInTheLine(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rooms := []Session{session("first"), session("second"), session("third")}
		b := newBook(Reservation{Session: rooms[0], Pod: "a"}, Reservation{Session: rooms[1], Pod: "a"}, Reservation{Session: rooms[2], Pod: "a"})
		limits := []*int32{nil, ptr.To(int32(1 + random.IntN(4))), ptr.To(int32(1 + random.IntN(4)))}
		of := make(map[string]int)
		ask := func(name string) { b.Admit(guest(rooms[of[name]], name), limits[of[name]], 5) }
		answer := func() {
			for len(b.woken) > 0 {
				name := b.woken[0]
				b.woken = b.woken[1:]
				if _, there := of[name]; there {
					ask(name)
				}
			}
		}
		for n := range 30 {
			name := fmt.Sprint("guest-", n)
			of[name] = random.IntN(3)
			ask(name)
		}
		for len(of) > 8 {
			for name := range of { // any
				delete(of, name)
				b.Release(types.NamespacedName{Namespace: "ns", Name: name}, "")
				if random.IntN(3) > 0 {
					answer()
				}
				break
			}
		}
		answer()
		for name, n := range of {
			if in := int32(len(b.rooms[rooms[n].UID].admitted)); !b.Connection(rooms[n].UID, types.UID("uid-"+name)).Admitted && b.Loads()["a"].Connections < 5 && (limits[n] == nil || in < *limits[n]) {
				t.Fatalf("%s waits although there is a place: %+v, %d in the room", name, b.Loads(), in)
			}
		}
	}
}
