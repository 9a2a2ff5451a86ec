package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
)

var at = time.UnixMilli(1700000000000)

func join(id string) *controlv1.RoomEvent {
	return events.ParticipantJoined(at, &controlv1.ParticipantIdentity{ConnectionId: id})
}

func leave(id string) *controlv1.RoomEvent {
	return events.ParticipantLeft(at, &controlv1.ParticipantIdentity{ConnectionId: id}, at, reasons.Disconnect)
}

func identity(uid string) *controlv1.RoomIdentity { return &controlv1.RoomIdentity{Uid: uid} }

// book is an outbox with rooms that are named by a letter.
func book(limits Limits, rooms ...string) *Outbox {
	j := New(limits)
	for _, room := range rooms {
		j.Open(identity(room), false)
	}
	return j
}

// show writes batches as "room:sequence,sequence".
func show(batches []*controlv1.RoomEvents) string {
	var parts []string
	for _, b := range batches {
		var sequences []string
		for _, e := range b.Events {
			sequences = append(sequences, fmt.Sprint(e.Sequence))
		}
		part := b.Room.Uid + ":" + strings.Join(sequences, ",")
		if b.Dropped > 0 {
			part += fmt.Sprintf("(-%d)", b.Dropped)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func open(j *Outbox) string {
	standings, _ := j.Replay()
	var parts []string
	for _, s := range standings {
		var ids []string
		for _, e := range s.Open {
			ids = append(ids, e.GetParticipantJoined().GetParticipant().GetConnectionId())
		}
		parts = append(parts, s.Room.Uid+":"+strings.Join(ids, ","))
	}
	return strings.Join(parts, " ")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOrderAndAcknowledgement(t *testing.T) {
	j := book(DefaultLimits, "a", "b")
	for _, room := range []string{"a", "a", "b", "a", "b"} {
		j.Append(room, signal(""))
	}
	j.Append("c", signal("")) // no such room
	want(t, show(j.After(0)), "a:1,2 b:3 a:4 b:5")
	want(t, show(j.After(3)), "a:4 b:5")
	want(t, show(j.After(5)), "")
	j.Acknowledge("a", 3)
	want(t, show(j.After(0)), "b:3 a:4 b:5")
	j.Acknowledge("a", 1) // an older one
	j.Acknowledge("x", 9)
	want(t, show(j.After(0)), "b:3 a:4 b:5")
	j.Acknowledge("b", 5)
	j.Acknowledge("a", 9)
	want(t, show(j.After(0)), "")
	if waiting, dropped := j.Kept(); waiting != 0 || dropped != 0 || j.bytes != 0 {
		t.Errorf("%d events wait, %d are dropped, %d bytes", waiting, dropped, j.bytes)
	}
}

func TestChanged(t *testing.T) {
	j := book(DefaultLimits, "a")
	j.Append("a", join("A"))
	j.Append("a", join("B"))
	<-j.Changed()
	j.Append("a", join("C"))
	want(t, show(j.After(2)), "a:3")
	select {
	case <-j.Changed():
		t.Error("it has changed after everything was read")
	default:
	}
}

func TestWhatIsOpenStaysKnown(t *testing.T) {
	j := book(DefaultLimits, "a")
	j.Append("a", join("A"))
	j.Append("a", join("B"))
	j.Append("a", leave("A"))
	want(t, open(j), "a:")
	j.Acknowledge("a", 2)
	want(t, open(j), "a:A,B")
	want(t, show(j.After(0)), "a:3")
	j.Acknowledge("a", 3)
	want(t, open(j), "a:B")
	if standings, _ := j.Replay(); standings[0].Begun {
		t.Error("the beginning was never told")
	}

	j.Append("a", begins("A", ""))
	j.Append("a", begins("A", "B"))
	j.Append("a", ends("A", ""))
	j.Acknowledge("a", 6)
	standings, _ := j.Replay()
	if still := standings[0].Open; len(still) != 2 || still[1].GetWebrtcConnectionCreated().GetConnection().GetReceivingFrom() != "B" {
		t.Errorf("open are %+v", still)
	}
}

func TestRoomsThatAreGone(t *testing.T) {
	j := book(DefaultLimits, "a", "b")
	j.Append("a", join("A"))
	j.Append("a", events.SessionDestroyed(at, ""))
	j.Close("a")
	j.Append("a", join("B")) // too late
	want(t, show(j.After(0)), "a:1,2")
	if !j.Ended("a") || j.Ended("b") {
		t.Error("the end of a was not noted, or that of b was")
	}
	j.Acknowledge("a", 2)
	want(t, open(j), "b:")
	if !j.Ended("a") {
		t.Error("the end of a is not known any more")
	}
	j.Close("b") // silently, and nothing waits
	want(t, open(j), "")
	j.Open(identity("b"), false)
	j.Append("b", join("A"))
	want(t, show(j.After(0)), "b:3")
	for i := range maxEnded {
		uid := fmt.Sprint(i)
		j.Open(identity(uid), false)
		j.Append(uid, events.SessionDestroyed(at, ""))
		j.Close(uid)
	}
	if j.Ended("a") || j.ended.Len() != maxEnded {
		t.Errorf("%d ends are remembered", j.ended.Len())
	}
}

func TestLimits(t *testing.T) {
	j := book(Limits{RoomEvents: 3, RoomBytes: 1 << 20, PodBytes: 1 << 20}, "a", "b")
	j.Append("b", join("X"))
	for _, id := range []string{"A", "B", "C", "D", "E"} {
		j.Append("a", join(id))
	}
	want(t, show(j.After(0)), "b:1 a:4,5,6(-2)")
	want(t, open(j), "a:A,B b:") // what was dropped is as good as acknowledged
	if waiting, dropped := j.Kept(); waiting != 4 || dropped != 2 {
		t.Errorf("%d wait, %d were dropped", waiting, dropped)
	}

	j = book(Limits{RoomEvents: 100, RoomBytes: 3 * fixedWeight, PodBytes: 5 * fixedWeight}, "a", "b", "c")
	for _, room := range []string{"a", "a", "a", "a"} {
		j.Append(room, events.SessionCreated(at))
	}
	want(t, show(j.After(0)), "a:2,3,4(-1)")
	for _, room := range []string{"b", "b", "c", "c"} {
		j.Append(room, events.SessionCreated(at)) // the pod is full: the largest room loses
	}
	if j.bytes > 5*fixedWeight || len(j.rooms["b"].records) == 0 || len(j.rooms["c"].records) == 0 {
		t.Errorf("%d bytes: %s", j.bytes, show(j.After(0)))
	}
	text := strings.Repeat("x", 10*fixedWeight)
	j.Append("a", signal(text)) // larger than everything
	if j.bytes > 5*fixedWeight {
		t.Errorf("%d bytes", j.bytes)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	j := book(DefaultLimits, "a")
	text := strings.Repeat("x", batchBytes/2)
	for range 5 {
		j.Append("a", signal(text))
	}
	want(t, show(j.After(0)), "a:1,2 a:3,4 a:5")
}

// Whatever is written and acknowledged, what waits is what was not acknowledged, in order.
func TestRandomly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rooms := []string{"a", "b", "c", "d"}
	j := book(DefaultLimits, rooms...)
	waiting := make(map[string][]uint64)
	for step := range uint64(5000) {
		room := rooms[random.IntN(len(rooms))]
		j.Append(room, join("A"))
		waiting[room] = append(waiting[room], step+1)
		if random.IntN(3) == 0 {
			room, upTo := rooms[random.IntN(len(rooms))], random.Uint64N(step+2)
			j.Acknowledge(room, upTo)
			waiting[room] = slices.DeleteFunc(waiting[room], func(s uint64) bool { return s <= upTo })
		}
	}
	got := make(map[string][]uint64)
	last := uint64(0)
	for _, batch := range j.After(0) {
		for _, e := range batch.Events {
			if e.Sequence <= last {
				t.Fatalf("%d comes after %d", e.Sequence, last)
			}
			last = e.Sequence
			got[batch.Room.Uid] = append(got[batch.Room.Uid], e.Sequence)
		}
	}
	for _, room := range rooms {
		if !slices.Equal(got[room], waiting[room]) {
			t.Errorf("of %s %d events wait, want %d", room, len(got[room]), len(waiting[room]))
		}
	}
	if len(j.entries) > 2*(len(j.entries)-j.done)+1 {
		t.Errorf("%d entries for %d that wait", len(j.entries), len(j.entries)-j.done)
	}
}

func signal(text string) *controlv1.RoomEvent {
	return events.SignalSent(at, &controlv1.SignalSent{Data: &text})
}

func say(size int) *controlv1.RoomEvent { return signal(strings.Repeat("x", size)) }

func connection(id, from string) *controlv1.WebrtcConnection {
	return &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: &controlv1.PublishedStream{StreamId: "s"}}
}

func begins(id, from string) *controlv1.RoomEvent {
	return events.WebRTCConnectionCreated(at, connection(id, from))
}

func ends(id, from string) *controlv1.RoomEvent {
	return events.WebRTCConnectionDestroyed(at, connection(id, from), at, "")
}

// Whoever says much, or begins and ends much, costs nobody the events of who was there.
func TestSignalsAreLostFirst(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		flood  func(j *Outbox)
		want   string
	}{
		"many signals": {
			Limits{RoomEvents: 6, RoomBytes: 1 << 20, PodBytes: 1 << 20},
			func(j *Outbox) {
				for range 100 {
					j.Append("a", say(1))
				}
			},
			"a:1,2,3,102,103(-98) b:104 a:105(-98)",
		},
		"large signals": {
			Limits{RoomEvents: 1000, RoomBytes: 10 * fixedWeight, PodBytes: 1 << 20},
			func(j *Outbox) {
				for range 100 {
					j.Append("a", say(4*fixedWeight))
				}
			},
			"a:1,2,3,103(-99) b:104 a:105(-99)",
		},
		"signals of another room": {
			Limits{RoomEvents: 1000, RoomBytes: 1 << 20, PodBytes: 6 * fixedWeight},
			func(j *Outbox) {
				for range 100 {
					j.Append("b", say(1))
				}
			},
			"a:1,2,3 b:104(-100) a:105",
		},
		"streams": {
			Limits{RoomEvents: 6, RoomBytes: 1 << 20, PodBytes: 1 << 20},
			func(j *Outbox) {
				for range 50 {
					j.Append("a", begins("A", ""))
					j.Append("a", ends("A", ""))
				}
			},
			"a:1,2,101,102,103(-98) b:104 a:105(-98)",
		},
		"signals before streams": {
			Limits{RoomEvents: 4, RoomBytes: 1 << 20, PodBytes: 1 << 20},
			func(j *Outbox) {
				for range 50 {
					j.Append("a", begins("A", ""))
					j.Append("a", say(1))
				}
			},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := book(c.limits, "a", "b")
			j.Append("a", events.SessionCreated(at))
			j.Append("a", join("A"))
			j.Append("a", begins("X", ""))
			c.flood(j)
			j.Append("b", join("B"))
			j.Append("a", leave("A"))
			if c.want != "" {
				want(t, show(j.After(0)), c.want)
			}
			var kinds []string
			for _, batch := range j.After(0) {
				for _, e := range batch.Events {
					if batch.Room.Uid == "a" && classOf(e) == 2 {
						kinds = append(kinds, events.Name(e))
					}
				}
			}
			if !slices.Equal(kinds, []string{"sessionCreated", "participantJoined", "participantLeft"}) {
				t.Errorf("of a are left %v", kinds)
			}
			j.Acknowledge("a", 105)
			j.Acknowledge("b", 105)
			if waiting, _ := j.Kept(); waiting != 0 || j.bytes != 0 || j.rooms["a"].waiting != 0 || len(j.rooms["a"].records) != 0 {
				t.Errorf("%d wait, of %d bytes; %+v", waiting, j.bytes, j.rooms["a"])
			}
		})
	}
}

// What is dropped from between others takes no space any more.
func TestWhatIsDroppedIsForgotten(t *testing.T) {
	j := book(Limits{RoomEvents: 10, RoomBytes: 1 << 20, PodBytes: 1 << 20}, "a")
	j.Append("a", join("A")) // not acknowledged
	for range 10000 {
		j.Append("a", say(1))
	}
	if a := j.rooms["a"]; len(a.records) > 21 || len(j.entries) > 21 || len(a.classes[0].records) != 9 {
		t.Errorf("%d, %d and %d are kept", len(a.records), len(j.entries), len(a.classes[0].records))
	}
}
