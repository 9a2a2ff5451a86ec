package eventlog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/openvidu"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// reader is a recipient that notes what it is given.
type reader struct {
	without v1alpha1.WebhookEvent // is not taken

	mu      sync.Mutex // guards entries and dropped
	entries []*Entry
	dropped int
}

func (r *reader) Offer(e *Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Name == r.without {
		return false
	}
	r.entries = append(r.entries, e)
	return true
}

func (r *reader) Drop(e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped++
	r.entries = slices.DeleteFunc(r.entries, func(other *Entry) bool { return other == e })
}

// desk is a log with two readers and a note of what was acknowledged.
type desk struct {
	*Log
	t    *testing.T
	a, b *reader
	acks []string
	next map[string]uint64
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, a: &reader{}, b: &reader{}, next: make(map[string]uint64)}
	d.Log = New(func(pod string, session types.UID, sequence uint64) {
		d.acks = append(d.acks, fmt.Sprintf("%s %s %d", pod, session, sequence))
	}, clocktesting.NewFakePassiveClock(time.UnixMilli(1700000020000)))
	return d
}

func identity(uid string) *controlv1.RoomIdentity {
	named := proto.CloneOf(room)
	named.Uid = uid
	return named
}

// happen has a pod tell of events, with the next sequences.
func (d *desk) happen(pod, uid string, hosted bool, events ...*controlv1.RoomEvent) *controlv1.RoomEvents {
	message := &controlv1.RoomEvents{Room: identity(uid)}
	for _, event := range events {
		d.next[pod]++
		event = proto.CloneOf(event)
		event.Sequence, event.TimeUnixMs = d.next[pod], int64(1700000010000+d.next[pod])
		message.Events = append(message.Events, event)
	}
	d.Append(pod, "instance", hosted, message)
	return message
}

// finish has a reader be done with its oldest events.
func (d *desk) finish(r *reader, n int) {
	for range n {
		e := r.entries[0]
		r.entries = r.entries[1:]
		d.Done(e, r)
	}
}

// has compares what a reader has, one line per event.
func (d *desk) has(r *reader, want ...string) {
	d.t.Helper()
	var got []string
	for _, e := range r.entries {
		var document map[string]any
		if err := json.Unmarshal(openvidu.Body(e.Room, e.Event), &document); err != nil {
			d.t.Fatal(err)
		}
		parts := []string{string(e.Session), string(e.Name)}
		for _, key := range []string{"connectionId", "receivingFrom", "reason"} {
			if value, there := document[key]; there {
				parts = append(parts, fmt.Sprint(value))
			}
		}
		got = append(got, strings.Join(parts, " "))
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (d *desk) acked(want ...string) {
	d.t.Helper()
	if !slices.Equal(d.acks, want) {
		d.t.Errorf("acknowledged are %q, want %q", d.acks, want)
	}
	d.acks = nil
}

func TestAcknowledgedWhenAllAreDone(t *testing.T) {
	d := newDesk(t)
	d.happen("p", "x", true, begins()) // nobody wants it
	d.acked("p x 1")
	d.Add("team", d.a)
	d.Add(AllTenants, d.b)
	d.Add("other", &reader{})
	d.happen("p", "x", true, joined("A"), joined("B"))
	d.happen("p", "y", true, begins())
	d.happen("p", "x", true, left("A", "disconnect"))
	want := []string{"x participantJoined A", "x participantJoined B", "y sessionCreated", "x participantLeft A disconnect"}
	d.has(d.a, want...)
	d.has(d.b, want...)
	d.finish(d.a, 4)
	d.acked()
	if n := d.Waiting("p"); n != 4 {
		t.Errorf("%d events wait", n)
	}
	d.finish(d.b, 1)
	d.acked("p x 2")
	e := d.b.entries[0]
	d.b.entries = d.b.entries[1:]
	d.finish(d.b, 2)
	d.acked("p y 4") // that of x is behind another one
	d.Done(e, d.b)
	d.Done(e, d.b) // twice
	d.acked("p x 5")
	if n := d.Waiting("p"); n != 0 || d.bytes != 0 || len(d.tenants) != 0 {
		t.Errorf("%d events wait, %d bytes", n, d.bytes)
	}
	d.a.without = v1alpha1.EventSignalSent
	d.b.without = v1alpha1.EventSignalSent
	d.happen("p", "x", true, joined("C"), signal(&controlv1.SignalSent{}), joined("D"))
	d.finish(d.a, 2)
	d.finish(d.b, 1)
	d.acked("p x 7")
	d.Remove(AllTenants, d.b) // with what it has
	d.acked("p x 8")
	if n := d.Waiting("p"); n != 0 {
		t.Errorf("%d events wait", n)
	}
}

func TestWhatComesAgainIsToldOnce(t *testing.T) {
	d := newDesk(t)
	d.Add("team", d.a)
	first := d.happen("p", "x", true, begins(), joined("A"))
	d.Checkpoint("p", "instance", &controlv1.RoomJournal{Room: identity("x")})
	d.Append("p", "instance", true, first)
	d.has(d.a, "x sessionCreated", "x participantJoined A")
	if d.a.entries[0].ID != "instance-1" || d.a.entries[1].ID != "instance-2" {
		t.Errorf("the ids are %s and %s", d.a.entries[0].ID, d.a.entries[1].ID)
	}
}

// A leader that starts anew is told how rooms stood and what was not acknowledged, and knows what
// has to end.
func TestLostPod(t *testing.T) {
	d := newDesk(t)
	d.Add("team", d.a)
	open := []*controlv1.RoomEvent{joined("A"), created("A", "", camera), joined("B"), created("B", "A", camera)}
	for i, event := range open {
		event.Sequence, event.TimeUnixMs = uint64(i+1), int64(1700000001000+i)
	}
	d.Inherit(identity("x"), "p", []*controlv1.RoomEvent{joined("Z")}) // the pod knows better
	d.Checkpoint("p", "instance", &controlv1.RoomJournal{Room: identity("x"), Open: open, Begun: true})
	d.Checkpoint("p", "instance", &controlv1.RoomJournal{Room: identity("y")})
	d.next["p"] = 10
	d.happen("p", "x", true, created("B", "", camera), created("A", "B", camera), left("C", "disconnect"))
	d.happen("p", "y", true, begins(), joined("D"), left("D", "disconnect"))
	d.a.entries = nil
	d.Lost("p")
	d.has(d.a) // another pod may go on with it
	d.GiveUp("x")
	d.GiveUp("y")
	d.GiveUp("z")
	d.has(d.a,
		"x webrtcConnectionDestroyed B A nodeCrashed", "x webrtcConnectionDestroyed A B nodeCrashed", "x webrtcConnectionDestroyed A nodeCrashed",
		"x participantLeft A nodeCrashed",
		"x webrtcConnectionDestroyed B nodeCrashed", "x participantLeft B nodeCrashed",
	)
	if !d.Known("x") || !d.Known("y") || d.Known("z") {
		t.Error("what was told is not known")
	}
	var one struct{ StartTime, Timestamp int64 }
	if err := json.Unmarshal(openvidu.Body(d.a.entries[3].Room, d.a.entries[3].Event), &one); err != nil || one.StartTime != 1700000001000 || one.Timestamp != 1700000020000 {
		t.Errorf("A was there from %d to %d", one.StartTime, one.Timestamp)
	}
	d.a.entries = nil
	d.Lost("p")
	d.GiveUp("x")
	d.Conclude(Conclusion{Room: identity("x"), Emptied: true})
	d.Conclude(Conclusion{Room: identity("x"), Emptied: true})
	d.Conclude(Conclusion{Room: identity("y"), Emptied: true})
	d.has(d.a, "x sessionDestroyed nodeCrashed", "y sessionDestroyed lastParticipantLeft")
	d.happen("p", "x", true, joined("E")) // it has ended
	d.has(d.a, "x sessionDestroyed nodeCrashed", "y sessionDestroyed lastParticipantLeft")
	if len(d.sessions) != 0 {
		t.Errorf("%d sessions are left", len(d.sessions))
	}
}

func TestLostPodOfAnEarlierLeader(t *testing.T) {
	d := newDesk(t)
	d.Add("team", d.a)
	d.Inherit(identity("x"), "p", []*controlv1.RoomEvent{joined("A"), created("A", "", camera)})
	d.happen("q", "x", true, joined("B"))
	d.GiveUp("x")
	d.has(d.a, "x participantJoined B", "x webrtcConnectionDestroyed A nodeCrashed", "x participantLeft A nodeCrashed", "x participantLeft B nodeCrashed")
}

// What has begun on a pod that is lost ends on the next one, once.
func TestARoomThatGoesOnElsewhere(t *testing.T) {
	d := newDesk(t)
	d.Add("team", d.a)
	d.happen("p", "x", true, begins(), joined("A"), created("A", "", camera), joined("B"), created("B", "A", camera), joined("C"))
	d.a.entries = nil
	d.Lost("p")
	d.happen("q", "x", true, destroyed("B", "A", camera), left("B", "networkDisconnect"))
	d.has(d.a, "x webrtcConnectionDestroyed B A networkDisconnect", "x participantLeft B networkDisconnect")

	// A leader that is told by the pod how the room stands takes nobody for two.
	d.a.entries = nil
	open := []*controlv1.RoomEvent{joined("A"), created("A", "", camera)}
	for i, event := range open {
		event.Sequence = uint64(i + 1)
	}
	d.Checkpoint("r", "instance", &controlv1.RoomJournal{Room: identity("x"), Open: open, Begun: true})
	d.Conclude(Conclusion{Room: identity("x")})
	d.has(d.a,
		"x participantLeft C sessionClosedByServer", "x webrtcConnectionDestroyed A sessionClosedByServer", "x participantLeft A sessionClosedByServer",
		"x sessionDestroyed sessionClosedByServer",
	)
}

func TestBeginningsAndEnds(t *testing.T) {
	for sentence, test := range map[string]struct {
		play func(*desk)
		want []string
	}{
		"the pod tells of the end": {func(d *desk) {
			d.happen("p", "x", true, begins(), ends("sessionClosedByServer"))
			d.Ended("x")
			d.Conclude(Conclusion{Room: identity("x")})
		}, []string{"x sessionCreated", "x sessionDestroyed sessionClosedByServer"}},
		"a pod told an earlier leader of the end": {func(d *desk) {
			d.Inherit(identity("x"), "p", []*controlv1.RoomEvent{joined("A")})
			d.Ended("x")
			d.Conclude(Conclusion{Room: identity("x")})
		}, nil},
		"it was never on a pod": {func(d *desk) {
			d.Conclude(Conclusion{Room: identity("x")})
		}, []string{"x sessionCreated", "x sessionDestroyed sessionClosedByServer"}},
		"it is collected": {func(d *desk) {
			d.happen("p", "x", true, begins())
			d.Conclude(Conclusion{Room: identity("x"), Silent: true})
		}, []string{"x sessionCreated"}},
		"the pod does not confirm": {func(d *desk) {
			d.happen("p", "x", true, begins(), joined("A"))
			d.Conclude(Conclusion{Room: identity("x")})
		}, []string{"x sessionCreated", "x participantJoined A", "x participantLeft A sessionClosedByServer", "x sessionDestroyed sessionClosedByServer"}},
		"it moves to another pod": {func(d *desk) {
			d.happen("p", "x", true, begins(), joined("A"))
			d.happen("q", "x", true, begins())
			d.happen("p", "x", false, left("A", "sessionClosedByServer"), ends("sessionClosedByServer"))
			d.happen("q", "x", true, joined("B"))
		}, []string{"x sessionCreated", "x participantJoined A", "x participantLeft A sessionClosedByServer", "x participantJoined B"}},
		"its room is closed and made again": {func(d *desk) {
			d.happen("p", "x", true, begins(), ends("sessionClosedByServer"))
			d.happen("p", "x", true, begins(), joined("A"))
		}, []string{"x sessionCreated", "x sessionDestroyed sessionClosedByServer", "x sessionCreated", "x participantJoined A"}},
		"its beginning was not delivered by the leader before": {func(d *desk) {
			d.Inherit(identity("x"), "p", nil)
			d.Checkpoint("p", "instance", &controlv1.RoomJournal{Room: identity("x")})
			d.happen("p", "x", true, begins())
		}, []string{"x sessionCreated"}},
		"its beginning was delivered by the leader before": {func(d *desk) {
			d.Checkpoint("p", "instance", &controlv1.RoomJournal{Room: identity("x"), Begun: true})
			d.happen("q", "x", true, begins())
		}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			d := newDesk(t)
			d.Add("team", d.a)
			test.play(d)
			d.has(d.a, test.want...)
			if len(test.want) > 0 {
				d.finish(d.a, len(test.want))
			}
			if d.Waiting("p")+d.Waiting("q") != 0 || d.bytes != 0 {
				t.Errorf("%d bytes wait", d.bytes)
			}
		})
	}
}

func TestTooMuchWaits(t *testing.T) {
	d := newDesk(t)
	d.Add("team", d.a)
	d.Add(AllTenants, d.b)
	d.happen("p", "x", true, begins())
	size := d.bytes
	d.limits = limits{tenant: 3 * size, total: 4 * size}
	for range 3 {
		d.happen("p", "x", true, begins(), ends("")) // the second is larger than the first
		d.finish(d.a, len(d.a.entries))
	}
	if d.bytes > d.limits.tenant || d.b.dropped == 0 || d.a.dropped != 0 {
		t.Errorf("%d bytes wait, %d of %d were dropped", d.bytes, d.b.dropped, d.a.dropped)
	}
	if len(d.acks) == 0 {
		t.Error("what was dropped is not acknowledged")
	}
	other := identity("y")
	other.Tenant = "quiet"
	event := begins()
	event.Sequence = 1
	before := d.b.dropped
	for range 2 {
		d.Append("q", "instance", true, &controlv1.RoomEvents{Room: other, Events: []*controlv1.RoomEvent{event}})
		event.Sequence++
	}
	if last := d.b.entries[len(d.b.entries)-1]; last.Tenant != "quiet" {
		t.Errorf("that of %s is the last", last.Tenant)
	}
	if d.bytes > d.limits.total {
		t.Errorf("%d bytes wait, %d were dropped, %d before", d.bytes, d.b.dropped, before)
	}
}

// Whoever signals much costs nobody the events of who was there.
func TestSignalsAreDroppedFirst(t *testing.T) {
	d := newDesk(t)
	d.Add("team", d.a)
	d.happen("p", "x", true, begins(), joined("A"))
	size := d.bytes
	d.limits = limits{tenant: 3 * size, total: 100 * size}
	for range 100 {
		d.happen("p", "x", true, signal(&controlv1.SignalSent{From: "con_A"}))
	}
	d.happen("p", "x", true, joined("B"))
	var kept []string
	signals := 0
	for _, e := range d.a.entries {
		if e.Name == v1alpha1.EventSignalSent {
			signals++
			continue
		}
		kept = append(kept, string(e.Name))
	}
	if want := []string{"sessionCreated", "participantJoined", "participantJoined"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %v, want %v", kept, want)
	}
	if d.bytes > d.limits.tenant || signals == 0 || signals+d.a.dropped != 100 || d.tenants["team"].signals.Len() != signals {
		t.Errorf("%d bytes wait; %d signals, %d dropped", d.bytes, signals, d.a.dropped)
	}
	d.finish(d.a, len(d.a.entries))
	if d.bytes != 0 || len(d.tenants) != 0 || d.acks[len(d.acks)-1] != "p x 103" {
		t.Errorf("%d bytes wait, acknowledged is %v", d.bytes, d.acks)
	}
}
