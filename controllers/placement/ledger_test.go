package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// book is a seeded ledger, and who was woken.
type book struct {
	*Ledger
	woken []string
}

func newBook(placed ...Placed) *book {
	b := &book{}
	wake := func(name types.NamespacedName) { b.woken = append(b.woken, name.Name) }
	b.Ledger = NewLedger(Wakers{Session: wake, Connection: wake, Pool: func(string) {}})
	b.Seed(placed)
	return b
}

func room(name string) Room {
	return Room{UID: types.UID("uid-" + name), Name: types.NamespacedName{Namespace: "ns", Name: name}, Pool: "pool"}
}

func guest(room Room, name string) Guest {
	return Guest{UID: types.UID("uid-" + name), Name: types.NamespacedName{Namespace: "ns", Name: name}, Room: room.UID}
}

func pods(sessions, connections int32, names ...string) []Candidate {
	var out []Candidate
	for _, name := range names {
		out = append(out, Candidate{Pod: name, Node: "node-of-" + name, MaxSessions: sessions, MaxConnections: connections})
	}
	return out
}

func (b *book) place(r Room, candidates []Candidate) string {
	pod, _ := b.Place(r, candidates, v1alpha1.PlacementPacked, now)
	return pod
}

func TestCapacityIsReservedWhenItIsGivenOut(t *testing.T) {
	b := newBook()
	var placed sync.Map
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			r := room(fmt.Sprint("room-", n))
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
	r := room("room")
	b := newBook(Placed{Room: r, Pod: "a"})
	verdicts := make([]Verdict, 100)
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

func TestLedger(t *testing.T) {
	first, second := room("first"), room("second")
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
			b.Vacate(first.UID)
			if !slices.Contains(b.woken, "second") || b.place(second, pods(1, 10, "a")) != "a" {
				t.Errorf("woken are %v", b.woken)
			}
		},
		"a session that loses its pod keeps its connections' places": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			b.Admit(guest(first, "guest"), nil, 10)
			b.Displace(first.UID, "a")
			if pod, known := b.Pod(first.UID); pod != "" || !known {
				t.Errorf("it is on %q, known %v", pod, known)
			}
			if !b.IsAdmitted(first.UID, "uid-guest") || b.place(first, pods(1, 10, "b")) != "b" || b.Loads()["b"].Connections != 1 {
				t.Errorf("loads are %v", b.Loads())
			}
		},
		"losing a pod that it is not on any more changes nothing": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "b"))
			b.Displace(first.UID, "a")
			if pod, _ := b.Pod(first.UID); pod != "b" {
				t.Errorf("it is on %q", pod)
			}
		},
		"a pod that is retired gets nothing": func(t *testing.T, b *book) {
			if !b.Retire("a") || b.place(first, pods(1, 10, "a")) != "" {
				t.Error("it got a room")
			}
		},
		"a pod with a room is not retired": func(t *testing.T, b *book) {
			b.place(first, pods(1, 10, "a"))
			if b.Retire("a") {
				t.Error("it was")
			}
		},
		"pods on the node of a failure are not preferred": func(t *testing.T, b *book) {
			b.Failed("gone", "node-of-a", now)
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
			if of, had := b.Dismiss(guest(first, "in").Name, ""); !had || of != first.UID || !slices.Contains(b.woken, "out") {
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
			b.WakeGuests(first.UID)
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
			if b.IsAdmitted(first.UID, "uid-guest") || b.Loads()["a"].Connections != 1 {
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

// Each Connection that is woken is looked at: a leave on a pod that 50,000 wait for must not be as much work as all of them.
func TestAsManyAreWokenAsThereArePlaces(t *testing.T) {
	first, second, third := room("first"), room("second"), room("third")
	setup := func() *book {
		b := newBook(Placed{Room: first, Pod: "a"}, Placed{Room: second, Pod: "a"}, Placed{Room: third, Pod: "b"})
		for n := range 4 {
			b.Admit(guest([]Room{first, second}[n%2], fmt.Sprint("in-", n)), nil, 4)
		}
		return b
	}
	// crowd turns many away, in turns.
	crowd := func(b *book, n int) {
		for i := range n {
			if v := b.Admit(guest([]Room{second, first}[i%2], fmt.Sprint("out-", i)), nil, 4); v != PodFull {
				t.Fatalf("verdict is %v", v)
			}
		}
		b.woken = nil
	}
	name := func(r Room, n string) types.NamespacedName { return guest(r, n).Name }
	for sentence, test := range map[string]struct {
		run  func(b *book)
		want []string
	}{
		"one leaves, and the first in line is woken": {func(b *book) { crowd(b, 1000); b.Dismiss(name(first, "in-0"), "") }, []string{"out-0"}},
		"two leave at once, and whoever is woken has not come yet": {func(b *book) {
			crowd(b, 1000)
			b.Dismiss(name(first, "in-0"), "")
			b.Dismiss(name(second, "in-1"), "")
		}, []string{"out-0", "out-0", "out-1"}},
		"who was woken goes away without the place": {func(b *book) {
			crowd(b, 1000)
			b.Dismiss(name(first, "in-0"), "")
			b.Dismiss(name(second, "out-0"), "uid-out-0")
		}, []string{"out-0", "out-1"}},
		"who was woken may not come in any more": {func(b *book) {
			crowd(b, 1000)
			b.Dismiss(name(first, "in-0"), "")
			b.Admit(guest(second, "out-0"), ptr.To(int32(1)), 4)
		}, []string{"out-0", "out-1"}},
		"a Session goes with all that were in it": {func(b *book) { crowd(b, 1000); b.Vacate(first.UID) }, []string{"out-0", "out-2"}},
		"a Session's own limit is one, too": {func(b *book) {
			for i := range 1000 {
				if v := b.Admit(guest(first, fmt.Sprint("out-", i)), ptr.To(int32(2)), 9); v != SessionFull {
					t.Fatalf("verdict is %v", v)
				}
			}
			b.woken = nil
			b.Dismiss(name(second, "in-1"), "") // of another Session: no place for them
			b.Dismiss(name(first, "in-0"), "")
		}, []string{"out-0"}},
		"who waits for a full Session does not keep others out": {func(b *book) {
			b.Admit(guest(second, "limited"), ptr.To(int32(2)), 4)
			crowd(b, 1000)
			b.Dismiss(name(first, "in-0"), "")
		}, []string{"out-1"}},
		"a leave on another pod concerns nobody": {func(b *book) {
			b.Admit(guest(third, "elsewhere"), nil, 4)
			crowd(b, 1000)
			b.Dismiss(name(third, "elsewhere"), "")
		}, nil},
		"who asks again keeps the place in line": {func(b *book) {
			crowd(b, 1000)
			b.Admit(guest(second, "out-0"), nil, 4)
			b.Dismiss(name(first, "in-0"), "")
		}, []string{"out-0"}},
		"another of the same name is at the end of the line": {func(b *book) {
			crowd(b, 1000)
			again := guest(second, "out-0")
			again.UID = "another"
			b.Admit(again, nil, 4)
			b.Dismiss(name(first, "in-0"), "")
		}, []string{"out-1"}},
		"a Session moves, and leaves places": {func(b *book) {
			crowd(b, 1000)
			b.Move(first.UID, pods(3, 9, "b"), v1alpha1.PlacementPacked, now)
		}, []string{"out-0", "out-2", "out-1", "out-3"}},
		"all are told of their Session's pod": {func(b *book) { crowd(b, 4); b.WakeGuests(second.UID) }, []string{"out-0", "out-2"}},
		"all are told of other limits":        {func(b *book) { crowd(b, 2); b.WakeTurnedAway("pool") }, []string{"out-0", "out-1"}},
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

// Whatever happens, in the end nobody waits while there is a place, when everybody who is woken asks again.
func TestNobodyIsForgottenInTheLine(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rooms := []Room{room("first"), room("second"), room("third")}
		b := newBook(Placed{Room: rooms[0], Pod: "a"}, Placed{Room: rooms[1], Pod: "a"}, Placed{Room: rooms[2], Pod: "a"})
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
				b.Dismiss(types.NamespacedName{Namespace: "ns", Name: name}, "")
				if random.IntN(3) > 0 {
					answer()
				}
				break
			}
		}
		answer()
		for name, n := range of {
			if in := int32(len(b.rooms[rooms[n].UID].guests)); !b.IsAdmitted(rooms[n].UID, types.UID("uid-"+name)) && b.Loads()["a"].Connections < 5 && (limits[n] == nil || in < *limits[n]) {
				t.Fatalf("%s waits although there is a place: %+v, %d in the room", name, b.Loads(), in)
			}
		}
	}
}
