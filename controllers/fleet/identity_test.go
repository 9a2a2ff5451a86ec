package fleet

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// book is the events that the fleet passes on.
type book struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (b *book) write(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
}

func (b *book) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines = nil
	return lines
}

func (b *book) Checkpoint(pod, _ string, journal *controlv1.RoomJournal) {
	b.write("%s stands %s of %s", pod, journal.GetRoom().GetUid(), journal.GetRoom().GetTenant())
}

func (b *book) Append(pod, _ string, hosted bool, events *controlv1.RoomEvents) {
	b.write("%s tells %s of %s, hosted: %t", pod, events.GetRoom().GetUid(), events.GetRoom().GetTenant(), hosted)
}

func (b *book) Ended(session types.UID) { b.write("ended %s", session) }

// A pod tells of the rooms that it was given, under the identity that they were given with, and of
// no others.
func TestAPodTellsOfItsOwnRoomsOnly(t *testing.T) {
	f := newToldFleet(t)
	told, acks := f.told, f.config.Outbox.queues["a"].acks
	f.link.remember(&controlv1.Room{Uid: "sent", Tenant: "team", Name: "sent", SessionId: "s"})
	for sentence, c := range map[string]struct {
		identity *controlv1.RoomIdentity
		want     []string
	}{
		"a room with its proof": {
			&controlv1.RoomIdentity{Uid: "room", Tenant: "team", Proof: []byte("proof of room team")},
			[]string{"a stands room of team", "a tells room of team, hosted: true"},
		},
		"a room of a Session that is gone, with its proof": {
			&controlv1.RoomIdentity{Uid: "gone", Tenant: "team", Proof: []byte("proof of gone team")},
			[]string{"a stands gone of team", "a tells gone of team, hosted: true"},
		},
		"a room with a proof, of another tenant": {
			&controlv1.RoomIdentity{Uid: "room", Tenant: "victim", Proof: []byte("proof of room team")}, nil,
		},
		"another room with the proof of its own": {
			&controlv1.RoomIdentity{Uid: "gone", Tenant: "victim", Proof: []byte("proof of room team")}, nil,
		},
		"a room that nobody knows, without a proof":   {&controlv1.RoomIdentity{Uid: "gone", Tenant: "victim"}, nil},
		"a room that was not sent to the pod":         {&controlv1.RoomIdentity{Uid: "room", Tenant: "victim"}, nil},
		"no room":                                     {nil, nil},
		"a pod of an older version, of a room of its": {&controlv1.RoomIdentity{Uid: "sent", Tenant: "victim"}, []string{"a stands sent of team", "a tells sent of team, hosted: true"}},
	} {
		for _, message := range []*controlv1.PodMessage{
			{Message: &controlv1.PodMessage_Journal{Journal: &controlv1.RoomJournal{Room: c.identity}}},
			{Message: &controlv1.PodMessage_Events{Events: &controlv1.RoomEvents{Room: c.identity, Events: []*controlv1.RoomEvent{{Sequence: 9}}}}},
		} {
			clear(acks)
			if err := f.Fleet.take(t.Context(), f.link, message, f.parts); err != nil {
				t.Fatal(err)
			}
			if _, acked := acks[types.UID(c.identity.GetUid())]; message.GetEvents() != nil && acked != (c.want == nil) {
				t.Errorf("%s: the pod may forget it: %t", sentence, acked)
			}
		}
		if got := told.take(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", sentence, got, c.want)
		}
	}
	for uid, want := range map[string][]string{"room": {"ended room"}, "gone": nil} {
		removed := &controlv1.PodMessage{Message: &controlv1.PodMessage_RoomRemoved{RoomRemoved: &controlv1.RoomRemoved{Uid: uid, Ended: true}}}
		if err := f.Fleet.take(t.Context(), f.link, removed, f.parts); err != nil {
			t.Fatal(err)
		}
		if got := told.take(); !slices.Equal(got, want) {
			t.Errorf("the end of %s: got %q, want %q", uid, got, want)
		}
	}
}
