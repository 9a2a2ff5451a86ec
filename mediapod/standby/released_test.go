package standby

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
)

var update = flag.Bool("update", false, "write the states that this version shares: only when it is released")

// releasedStates are those of a call that has long ended, as a release shares them.
var releasedStates = filepath.Join("testdata", "released.json")

// states are what is shared of a stream and of a subscription to it.
type states struct{ Publication, Subscription json.RawMessage }

// A pod of the release before is followed by one of this version, which goes on with its
// connections: during an upgrade each pod of the one has a standby of the other.
func TestTheReleaseBeforeIsFollowed(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	if *update {
		writeStates(t, ca)
	}
	content, err := os.ReadFile(releasedStates)
	if err != nil {
		t.Fatal(err)
	}
	var released states
	if err := json.Unmarshal(content, &released); err != nil {
		t.Fatal(err)
	}
	var publication publicationState
	sameState(t, released.Publication, &publication)
	var subscription subscriptionState
	sameState(t, released.Subscription, &subscription)

	p := startPod(t, ca)
	f := newFollowed("room", &follower{engine: p.Engine, rooms: map[string]*followed{}, wake: make(chan struct{}, 1)}, secret(1))
	t.Cleanup(f.leave)
	f.take(&standbyv1.Media{Uid: "room", StreamId: "stream", State: released.Publication})
	f.take(&standbyv1.Media{Uid: "room", StreamId: "stream", Participant: "B", Subscription: "A", State: newer(t, released.Subscription)})
	f.complete(&lease.Acks{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.publications) != 1 || len(f.subscriptions) != 1 {
		t.Fatalf("%d streams and %d subscriptions are followed", len(f.publications), len(f.subscriptions))
	}
	f.takeOver(lease.Block)
	for at, s := range f.subscriptions {
		before, now := subscription.State.Connection, s.Export().Connection
		if !reflect.DeepEqual(now.Keys, before.Keys) || now.Remote != before.Remote || now.Name != before.Name {
			t.Errorf("the connection of %v is another one", at)
		}
		for ssrc, index := range before.Sent {
			if now.Sent[ssrc] != index+lease.Block {
				t.Errorf("stream %d goes on after index %d, the release before has used %d", ssrc, now.Sent[ssrc], index)
			}
		}
	}
	if len(f.publications) != 1 || len(f.subscriptions) != 1 {
		t.Errorf("%d streams and %d subscriptions go on", len(f.publications), len(f.subscriptions))
	}
}

// sameState reads a state, and checks that nothing of it gets lost.
func sameState(t *testing.T, raw json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(into)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &got); err != nil {
		t.Fatal(err)
	}
	if !includes(got, want) {
		t.Errorf("of %s, this version reads %s", raw, again)
	}
}

// includes says whether one value of JSON has all that another has.
func includes(got, want any) bool {
	members, isObject := want.(map[string]any)
	if !isObject {
		return reflect.DeepEqual(got, want)
	}
	having, isObject := got.(map[string]any)
	for name, member := range members {
		isObject = isObject && includes(having[name], member)
	}
	return isObject
}

// newer is a state with something that this version does not know.
func newer(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	changed := bytes.Replace(raw, []byte(`"Connection":{`), []byte(`"Connection":{"OfALaterVersion":{"Some":[1]},`), 1)
	if bytes.Equal(changed, raw) {
		t.Fatal("the state has no connection")
	}
	return changed
}

// writeStates writes the states of a call by this version.
func writeStates(t *testing.T, ca *mtlstest.Authority) {
	t.Helper()
	c := &tappedCall{t: t, ca: ca, record: newRecord(t), keys: map[netip.AddrPort]transport.Keys{}}
	c.begin()
	c.serving.mu.Lock()
	items := c.serving.rooms["room"].items
	exported := map[string]json.RawMessage{}
	for at, item := range items {
		said, err := item.export()
		if err != nil {
			t.Fatal(err)
		}
		exported[at.participant] = said.state
	}
	c.serving.mu.Unlock()
	content, err := json.Marshal(states{Publication: exported[""], Subscription: exported["B"]})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(releasedStates, append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
