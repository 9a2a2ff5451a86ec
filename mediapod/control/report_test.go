package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// greetedForParts connects as an operator that puts parts together.
func (p *pod) greetedForParts() *operator {
	p.t.Helper()
	o := p.connect()
	greeting := hello("pod-uid")
	greeting.GetHello().TakesParts = true
	o.send(greeting)
	if first := o.receive(); !first.GetHello().GetTakesParts() {
		p.t.Fatalf("got %v", first)
	}
	return o
}

// whole returns the next state of a room, put together, and the size of its largest part.
func (o *operator) whole() (whole *controlv1.RoomStatus, largest int) {
	o.t.Helper()
	for {
		part := o.status()
		largest = max(largest, proto.Size(part))
		if whole != nil {
			part.Connections = append(whole.Connections, part.Connections...)
		}
		whole = part
		if !part.GetMore() {
			return whole, largest
		}
	}
}

// However much clients say of themselves, no message is large, and what does not change is not told
// again.
func TestNoMessageIsLarge(t *testing.T) {
	p := newPod(t) // an operator that takes 4 MiB at once, as gRPC does by itself
	metadata := strings.Repeat("\U0001F600", 16<<10)
	var names []string
	for i := range room.MaxMetadataBytes / len(metadata) {
		names = append(names, fmt.Sprint("c", i))
	}
	o := p.greetedForParts()
	o.send(told("r", 1, names...), told("other", 2, "B"), snapshotEnd())
	for range 2 {
		o.checkpoint()
	}
	for range 2 {
		o.events()
	}
	for range 2 {
		o.whole()
	}
	if o.receive().GetSnapshotEnd() == nil {
		t.Fatal("the snapshot does not end")
	}
	where, _ := p.rooms.Lookup("key-r")
	var first *room.Participant
	for _, name := range names {
		request := room.JoinRequest{Token: "tok_" + name, Client: room.Client{Metadata: metadata}}
		if err := where.Join(request, &link{}, func(j room.Joined) {
			if first == nil {
				first = j.Participant
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	// The events come first, the joins are told once each.
	toldTimes := make(map[string]int)
	for len(toldTimes) < len(names) {
		message := o.receive()
		if size := proto.Size(message); size > 2*partBytes {
			t.Errorf("a message has %d bytes", size)
		}
		for _, c := range message.GetRoom().GetConnections() {
			if c.GetClientData() == metadata {
				toldTimes[c.GetUid()]++
			}
		}
	}
	options := room.StreamOptions{HasAudio: true}
	if err := first.Publish(t.Context(), room.PublishRequest{StreamID: "stream", Options: options, SDPOffer: "offer"}, func(room.Stream, string) {}); err != nil {
		t.Fatal(err)
	}
	for {
		message := o.receive()
		status := message.GetRoom()
		if status == nil || len(status.GetConnections()) > 0 && len(status.GetConnections()[0].GetPublishers()) == 0 {
			continue // of the joins
		}
		if c := status.GetConnections(); !status.GetChanges() || len(c) != 1 || !c[0].GetSameClient() || proto.Size(message) > 1000 {
			t.Errorf("a change of one connection is told by %d bytes: %v", proto.Size(message), c[0].GetUid())
		}
		break
	}
	for uid, n := range toldTimes {
		if n != 1 {
			t.Errorf("the metadata of %s was told %d times", uid, n)
		}
	}

	// To an operator that comes anew everything is told, in parts.
	again := p.greetedForParts()
	again.send(told("r", 1, names...), told("other", 2, "B"), snapshotEnd())
	largest := 0
	for {
		message := again.receive()
		largest = max(largest, proto.Size(message))
		if status := message.GetRoom(); status.GetUid() == "r" {
			for _, c := range status.GetConnections() {
				if c.GetClientData() == metadata {
					toldTimes[c.GetUid()]++
				}
			}
		}
		if message.GetSnapshotEnd() != nil {
			break
		}
	}
	if largest > 2*partBytes {
		t.Errorf("the largest message has %d bytes", largest)
	}
	for uid, n := range toldTimes {
		if n != 2 {
			t.Errorf("to another operator the metadata of %s was told %d times", uid, n-1)
		}
	}
}

// What is told in changes is together what is told whole.
func TestChangesAreTheWhole(t *testing.T) {
	p := newPod(t)
	o := p.greetedForParts()
	o.send(desired("r", 1, "A", "B", "C"), snapshotEnd())
	known := make(map[string]*controlv1.ConnectionStatus)
	take := func() *controlv1.RoomStatus {
		status, _ := o.whole()
		if !status.GetChanges() {
			before := known
			known = make(map[string]*controlv1.ConnectionStatus)
			for _, c := range status.GetConnections() {
				known[c.GetUid()] = before[c.GetUid()]
			}
		}
		for _, uid := range status.GetGone() {
			delete(known, uid)
		}
		for _, c := range status.GetConnections() {
			if c.GetSameClient() {
				last := known[c.GetUid()]
				c.ClientData, c.Ip, c.Platform, c.SameClient = last.GetClientData(), last.GetIp(), last.GetPlatform(), false
			}
			known[c.GetUid()] = c
		}
		return status
	}
	take()
	o.receive()
	wants := func(what string, reached func() bool) {
		t.Helper()
		for !reached() {
			take()
		}
		whole, _ := p.rooms.Snapshot("r")
		if len(whole.Connections) != len(known) {
			t.Errorf("%s: %d connections are known, of %d", what, len(known), len(whole.Connections))
		}
		for _, c := range whole.Connections {
			if !proto.Equal(connectionStatus(c), known[c.UID]) {
				t.Errorf("%s: known is %v", what, known[c.UID])
			}
		}
	}
	state := func(name string) controlv1.ConnectionState { return known["uid-"+name].GetState() }
	a, _ := p.join("r", "A")
	wants("a join", func() bool { return state("A") == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE })
	b, _ := p.join("r", "B")
	if err := a.Publish(t.Context(), room.PublishRequest{StreamID: "stream", Options: room.StreamOptions{HasAudio: true}, SDPOffer: "offer"}, func(room.Stream, string) {}); err != nil {
		t.Fatal(err)
	}
	wants("a stream", func() bool {
		return len(known["uid-A"].GetPublishers()) == 1 && state("B") == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	})
	// B receives the stream, and wants next to nothing of it.
	if _, err := b.Subscribe(t.Context(), "stream", "stream"); err != nil {
		t.Fatal(err)
	}
	if err := b.Answer(t.Context(), "stream", "answer", false, func() {}); err != nil {
		t.Fatal(err)
	}
	if err := b.Deliver("stream", media.Delivery{NoAudio: true}); err != nil {
		t.Fatal(err)
	}
	wants("a wish", func() bool { return len(known["uid-B"].GetWithheld()) == 1 })
	if err := b.Deliver("stream", media.Delivery{}); err != nil {
		t.Fatal(err)
	}
	wants("the end of it", func() bool { return len(known["uid-B"].GetWithheld()) == 0 })
	if err := b.Leave(); err != nil {
		t.Fatal(err)
	}
	wants("a departure", func() bool { return state("B") == controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED })
	o.send(desired("r", 2, "A", "D"))
	applied := false
	wants("another room", func() bool { applied = applied || take().GetRevision() == 2; return applied })
	if slices.Contains([]bool{known["uid-D"] != nil, known["uid-B"] == nil, known["uid-C"] == nil}, false) {
		t.Errorf("known are %v", known)
	}
	o.send(remove("r", 3))
	o.removed("r")
	clear(known)
	o.send(desired("r", 4, "A"))
	take()
	if c := known["uid-A"]; c.GetSameClient() || c.GetState() != controlv1.ConnectionState_CONNECTION_STATE_PENDING {
		t.Errorf("a room that is made anew: %v", c)
	}
}

func TestARoomThatComesInPartsIsAppliedWhole(t *testing.T) {
	p := newPod(t)
	o := p.greetedForParts()
	o.send(desired("r", 1, "A", "B", "C"), snapshotEnd())
	o.whole()
	o.receive()
	_, a := p.join("r", "A")
	part := func(revision uint64, more bool, names ...string) *controlv1.OperatorMessage {
		message := desired("r", revision, names...)
		message.GetRoom().More = more
		return message
	}
	o.send(part(2, true, "A"), desired("s", 1, "X"), part(3, true, "A"), part(3, true, "B"), part(3, false, "D"))
	for {
		status, _ := o.whole()
		if status.GetUid() != "r" || status.GetRevision() != 3 {
			continue
		}
		var uids []string
		for _, c := range status.GetConnections() {
			uids = append(uids, c.GetUid())
		}
		if want := []string{"uid-A", "uid-B", "uid-D"}; !slices.Equal(uids, want) {
			t.Errorf("it is %v, want %v", uids, want)
		}
		break
	}
	if a.heard("Evicted") {
		t.Error("A was put out meanwhile")
	}
}

func TestAnIdentityIsHandedBackWithItsProof(t *testing.T) {
	p := newPod(t)
	o := p.greetedForParts()
	first := told("r", 1, "A")
	first.GetRoom().Proof = []byte("proof")
	o.send(first, snapshotEnd())
	if got := o.receive().GetJournal().GetRoom().GetProof(); string(got) != "proof" {
		t.Errorf("how it stood comes with %q", got)
	}
	if got := o.receive().GetEvents().GetRoom().GetProof(); string(got) != "proof" {
		t.Errorf("events come with %q", got)
	}
	o.whole()
	o.receive()
	second := told("r", 2, "A")
	second.GetRoom().Proof = []byte("another")
	o.send(second)
	o.whole()
	p.join("r", "A")
	if got := o.receive().GetEvents().GetRoom().GetProof(); string(got) != "another" {
		t.Errorf("events come with %q", got)
	}
}

func TestWhatMediaGoesOverIsToldWhenItChanges(t *testing.T) {
	r := reports{inParts: true}
	snapshot := room.Snapshot{UID: "room", Connections: []room.ConnectionSnapshot{{UID: "a"}}}
	r.whole(snapshot, 1)
	if got := r.changes(snapshot, 1); len(got) != 0 {
		t.Errorf("nothing has changed, and this is told: %v", got)
	}
	snapshot.UDP, snapshot.TCP = 2, 1
	got := r.changes(snapshot, 1)
	if len(got) != 1 || got[0].GetRoom().GetUdpMedia() != 2 || got[0].GetRoom().GetTcpMedia() != 1 || len(got[0].GetRoom().GetConnections()) != 0 {
		t.Errorf("got %v", got)
	}
	if got := r.changes(snapshot, 1); len(got) != 0 {
		t.Errorf("it is told again: %v", got)
	}
}

func TestThatStreamsHaveToBeMutedIsToldWhenItChanges(t *testing.T) {
	r := reports{inParts: true}
	snapshot := room.Snapshot{UID: "room", Connections: []room.ConnectionSnapshot{{UID: "a"}}}
	r.whole(snapshot, 1)
	for _, muted := range []bool{true, false} {
		snapshot.ForceMute = muted
		if got := r.changes(snapshot, 1); len(got) != 1 || got[0].GetRoom().GetForceMute() != muted || len(got[0].GetRoom().GetConnections()) != 0 {
			t.Errorf("%v: got %v", muted, got)
		}
		if got := r.changes(snapshot, 1); len(got) != 0 {
			t.Errorf("%v is told again: %v", muted, got)
		}
	}
}
