package rooms

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

const (
	behind  = controlv1.StandbyState_STANDBY_STATE_BEHIND
	able    = controlv1.StandbyState_STANDBY_STATE_READY
	serving = controlv1.StandbyState_STANDBY_STATE_SERVING
)

// hostOf is a pod that serves a room.
func hostOf(pod string) Host {
	return Host{Pod: pod, Node: "node-of-" + pod, UID: "uid-" + pod, Address: pod + ":7443"}
}

// protect has one of some pods follow a room that is on a pod.
func (b *book) protect(of Session, on string, candidates ...string) string {
	pod, _ := b.Protect(of.UID, hostOf(on), pods(9, 9, candidates...), false)
	return pod
}

// says has a pod say how far it is as a room's standby.
func (b *book) says(pod string, of Session, state controlv1.StandbyState, cause string) bool {
	return b.ObserveStandby(pod, &controlv1.StandbyStatus{Uid: string(of.UID), State: state, Cause: cause})
}

// secret is what a pod was sent last as the secret of a room.
func (b *book) secret(pod string) []byte {
	messages := b.pods.sent[pod]
	return messages[len(messages)-1].GetStandby().GetSecret()
}

// named is what the snapshot of a pod names.
func (b *book) named(t *testing.T, pod string) string {
	t.Helper()
	messages, err := b.Snapshot(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, message := range messages {
		lines = append(lines, written(message))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// counted returns how many takeovers have a cause.
func counted(t *testing.T, cause string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var n float64
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == cause {
				n += metric.GetCounter().GetValue()
			}
		}
	}
	return n
}

// followed is a room on pod a with a user, which pod b follows.
func followed(t *testing.T, state controlv1.StandbyState) (*book, Session) {
	t.Helper()
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a", Connections: []Connection{guest(r, "guest")}})
	b.send(r, "guest")
	b.answers("a", r, 1, seen("guest", active))
	if pod := b.protect(r, "a", "a", "b"); pod != "b" {
		t.Fatalf("the standby is %q", pod)
	}
	if !b.says("b", r, state, "") {
		t.Fatal("the standby is not believed")
	}
	b.want(t, "before", "a", "uid-room@1: uid-guest")
	b.want(t, "before", "b", "~uid-room of uid-a at a:7443")
	b.woken = nil
	return b, r
}

func TestBothPodsAreToldASecret(t *testing.T) {
	r := session("room")
	b := newBook(Reservation{Session: r, Pod: "a"})
	b.protect(r, "a", "b")
	first := b.secret("b")
	if len(first) != 32 || !bytes.Equal(first, b.Session(r.UID).Standby.Secret) || bytes.Equal(first, make([]byte, 32)) {
		t.Errorf("the secret is %x, its pod's %x", first, b.Session(r.UID).Standby.Secret)
	}
	if !slices.Contains(b.woken, "room") {
		t.Error("the room's pod is not told")
	}
	b.protect(r, "a", "c")
	b.want(t, "when it is replaced", "b", "~uid-room of uid-a at a:7443, ~uid-room dropped")
	if second := b.secret("c"); bytes.Equal(first, second) || len(second) != 32 {
		t.Errorf("the next standby has secret %x after %x", second, first)
	}
	// A leader that is new gives another one.
	again := newBook(Reservation{Session: r, Pod: "a", Standby: "c", Host: hostOf("a")})
	view := again.Session(r.UID).Standby
	if view.Pod != "c" || view.Follows != "a" || view.State != 0 || len(view.Secret) != 32 || bytes.Equal(view.Secret, b.secret("c")) {
		t.Errorf("the next leader has %+v", view)
	}
	if named := again.named(t, "c"); named != "~uid-room of uid-a at a:7443" {
		t.Errorf("the next leader names %q", named)
	}
}

func TestSnapshotsNameWhatAPodFollows(t *testing.T) {
	b, r := followed(t, able)
	if named := b.named(t, "a"); named != "uid-room@1: uid-guest" {
		t.Errorf("the room's pod is named %q", named)
	}
	if named := b.named(t, "b"); named != "~uid-room of uid-a at a:7443" {
		t.Errorf("the standby is named %q", named)
	}
	b.Unprotect(r.UID)
	b.want(t, "when none is wanted", "b", "~uid-room dropped")
	if named := b.named(t, "b"); named != "" {
		t.Errorf("a pod that is no standby any more is named %q", named)
	}
	// Of a pod that is not known there is nothing to say.
	lost := newBook(Reservation{Session: r, Pod: "a", Standby: "b", Host: Host{Pod: "a"}})
	if named := lost.named(t, "b"); named != "" || lost.Session(r.UID).Standby.Pod != "b" {
		t.Errorf("the standby of a pod that is not known is named %q", named)
	}
}

func TestAStandbyTakesOver(t *testing.T) {
	b, r := followed(t, able)
	before := counted(t, CauseEnded)
	// Its pod is full, and its own pod is to be sent something.
	other := session("other")
	b.Assign(other, pods(1, 1, "b"), v1alpha1.PlacementPacked)
	b.Require(r.UID, "uid-new", 1)
	b.send(r, "guest", "new")
	b.woken = nil
	if !b.says("b", r, serving, CauseEnded) {
		t.Fatal("the standby is not believed")
	}
	view := b.Session(r.UID)
	if view.Pod != "b" || view.Taken != (Takeover{From: "a", To: "b", Cause: CauseEnded}) || view.Standby.Pod != "" || !view.Lost.IsZero() {
		t.Errorf("it is %+v", view)
	}
	if !slices.Contains(b.woken, "room") || !slices.Contains(b.woken, "guest") {
		t.Errorf("woken are %v", b.woken)
	}
	if view.Held["uid-guest"] || view.Seen["uid-guest"].GetState() != active || !view.Admitted["uid-guest"] {
		t.Error("the user is not told of")
	}
	if !b.send(r, "guest") {
		t.Fatal("the standby is not sent the room")
	}
	b.want(t, "what was not sent yet, and nothing of an end", "a", "")
	b.want(t, "it needs the room", "b", "uid-room@3: uid-guest")
	if named := b.named(t, "a"); named != "" {
		t.Errorf("the pod before is named %q", named)
	}
	// It says so again on each stream.
	b.says("b", r, serving, CauseEnded)
	if n := counted(t, CauseEnded) - before; n != 1 || b.Session(r.UID).Epoch != view.Epoch {
		t.Errorf("%v were counted, and the room was put there again", n)
	}
	// Whoever finds the pod before lost, after that, ends nothing.
	b.Unassign(r.UID, "a")
	if b.MarkLost("a"); b.Session(r.UID).Pod != "b" || !b.Session(r.UID).Lost.IsZero() {
		t.Error("the loss of the pod before has taken the room away")
	}
}

func TestOnlyTheStandbyIsBelieved(t *testing.T) {
	b, r := followed(t, able)
	if b.says("c", r, serving, CauseEnded) || b.says("b", session("unknown"), serving, CauseEnded) {
		t.Error("a pod takes over what it does not follow")
	}
	b.protect(r, "a", "d")
	if b.says("b", r, serving, CauseSilent) {
		t.Error("a standby that was replaced takes over")
	}
	if !b.says("a", r, serving, CauseSilent) { // it is where the room is
		t.Error("the room's own pod is not believed")
	}
	if view := b.Session(r.UID); view.Pod != "a" || view.Taken != (Takeover{}) || view.Standby.Pod != "d" {
		t.Errorf("it is %+v", view)
	}
}

func TestARoomWhosePodIsLostIsPutOnItsStandby(t *testing.T) {
	for _, state := range []controlv1.StandbyState{behind, able} {
		b, r := followed(t, state)
		b.MarkLost("a")
		b.Unassign(r.UID, "a")
		full := append(pods(9, 9, "c"), pods(0, 0, "b")...)
		want, drop := "b", ""
		if state == behind {
			want, drop = "c", "~uid-room dropped"
		}
		if pod, _ := b.Assign(r, full, v1alpha1.PlacementPacked); pod != want {
			t.Errorf("with a standby that is %s it is put on %q", state, pod)
		}
		b.want(t, state.String(), "b", drop)
		if taken := b.Session(r.UID).Taken; (taken == Takeover{From: "a", To: "b"}) != (want == "b") {
			t.Errorf("with a standby that is %s it has come by %+v", state, taken)
		}
		if want == "b" {
			b.says("b", r, serving, "of a later version")
			if cause := b.Session(r.UID).Taken.Cause; cause != causeUnknown {
				t.Errorf("the cause is %q", cause)
			}
		}
	}
	// One that is not among the candidates gets nothing.
	b, r := followed(t, able)
	b.Unassign(r.UID, "a")
	if pod := b.place(r, pods(9, 9, "c")); pod != "c" {
		t.Errorf("it is put on %q", pod)
	}
	// The standby may say so while the room is nowhere.
	b, r = followed(t, able)
	b.Unassign(r.UID, "a")
	b.says("b", r, serving, CauseEnded)
	if view := b.Session(r.UID); view.Pod != "b" || view.Taken.From != "a" {
		t.Errorf("it is %+v", view)
	}
}

func TestAPodHandsARoomOver(t *testing.T) {
	b, r := followed(t, able)
	if _, handed := b.HandOver(r.UID, "c"); handed {
		t.Error("a pod hands over what it has not")
	}
	if pod, handed := b.HandOver(r.UID, "a"); !handed || pod != "b" {
		t.Fatalf("it is handed to %q", pod)
	}
	b.send(r, "guest")
	b.want(t, "it is told nothing", "a", "")
	b.want(t, "it is sent the room", "b", "uid-room@2: uid-guest")
	// Until the standby has the room, the pod before is told of it as before, and may not go.
	if named := b.named(t, "a"); named != "uid-room@1: uid-guest" {
		t.Errorf("the pod before is named %q", named)
	}
	known, here := b.Has(r.UID, "a")
	if !known || !here || !b.Hosting("a") || !b.Occupied("a") || b.Loads()["a"].Sessions != 1 || b.Cordon("a") || b.Session(r.UID).Leaves != "a" {
		t.Error("the pod before is free already")
	}
	if _, moved := b.Move(r.UID, "b", pods(9, 9, "c"), v1alpha1.PlacementPacked); moved {
		t.Error("it is moved before it has come")
	}
	b.says("b", r, serving, CauseMoved)
	b.woken = nil
	b.answers("b", r, 2, seen("guest", active))
	if named := b.named(t, "a"); named != "" || b.Hosting("a") || b.Occupied("a") || b.Loads()["a"].Sessions != 0 || !b.Cordon("a") {
		t.Errorf("the pod before is not free, and is named %q", named)
	}
	if view := b.Session(r.UID); view.Leaves != "" || view.Taken.Cause != CauseMoved || !slices.Contains(b.woken, "room") {
		t.Errorf("it is %+v, woken are %v", view, b.woken)
	}
	b.want(t, "it is told nothing at all", "a", "")

	for sentence, change := range map[string]func(*book, Session){
		"a standby that is behind":    func(b *book, r Session) { b.says("b", r, behind, "") },
		"a standby that is gone":      func(b *book, _ Session) { b.pods.gone = map[string]bool{"b": true} },
		"a standby that is no pod":    func(b *book, _ Session) { b.MarkLost("b") },
		"a standby that is to go":     func(b *book, _ Session) { b.Cordon("b") },
		"a room that is being closed": func(b *book, r Session) { b.Close(r.UID, false) },
	} {
		b, r := followed(t, able)
		change(b, r)
		if _, handed := b.HandOver(r.UID, "a"); handed || b.Session(r.UID).Pod != "a" {
			t.Errorf("%s: it is handed over", sentence)
		}
	}
}

func TestARoomThatEndsHasNoStandby(t *testing.T) {
	b, r := followed(t, able)
	b.Delete(r.UID)
	b.want(t, "its pod closes it", "a", "-uid-room@0")
	b.want(t, "its standby drops it", "b", "~uid-room dropped")

	// A room that is being handed over ends on both pods.
	b, r = followed(t, able)
	b.HandOver(r.UID, "a")
	b.send(r, "guest")
	if b.Close(r.UID, false) {
		t.Error("it is closed at once")
	}
	b.want(t, "the pod before closes it", "a", "-uid-room@0")
	b.want(t, "the next pod closes it", "b", "uid-room@2: uid-guest, -uid-room@3")

	// A standby that takes a room over which is being closed closes it.
	b, r = followed(t, able)
	b.Close(r.UID, false)
	b.says("b", r, serving, CauseEnded)
	if b.Close(r.UID, false) {
		t.Error("it is closed although it goes on at the standby")
	}
	b.want(t, "the standby closes it", "b", "-uid-room@3")
}

func TestALostStandbyIsReplaced(t *testing.T) {
	b, r := followed(t, able)
	b.MarkLost("b")
	if view := b.Session(r.UID); view.Pod != "a" || view.Standby.Pod != "" || !view.Standby.Sought || !slices.Equal(b.woken, []string{"room"}) {
		t.Errorf("it is %+v, woken are %v", view, b.woken)
	}
	b.woken = nil
	b.PodsChanged("pool", "c", nil)
	b.PodsChanged("another pool", "c", nil)
	if !slices.Equal(b.woken, []string{"room"}) {
		t.Errorf("woken for another pod are %v", b.woken)
	}
	if pod := b.protect(r, "a", "a"); pod != "" {
		t.Errorf("it has %q", pod)
	}
	b.protect(r, "a", "c")
	b.woken = nil
	b.PodsChanged("pool", "d", nil)
	if b.PodsChanged("pool", "c", nil); !slices.Equal(b.woken, []string{"room"}) {
		t.Errorf("woken for its standby are %v", b.woken)
	}
	// What is not found changes nothing, unless the standby is of no use.
	if _, found := b.Protect(r.UID, hostOf("a"), nil, true); found || b.Session(r.UID).Standby.Pod != "c" {
		t.Error("a standby that is to be kept is gone")
	}
	if b.protect(r, "a"); b.Session(r.UID).Standby.Pod != "" {
		t.Error("a standby that is of no use stays")
	}
	if b.protect(r, "b", "c"); b.Session(r.UID).Standby.Pod != "" {
		t.Error("a room gets a standby for a pod that it is not on")
	}
}

func TestStandbysAreSpread(t *testing.T) {
	b := newBook()
	for n := range 6 {
		r := session(fmt.Sprint("room-", n))
		b.Assign(r, pods(9, 9, "a"), v1alpha1.PlacementPacked)
		b.protect(r, "a", "a", "b", "c", "d")
	}
	loads := b.Loads()
	for _, pod := range []string{"b", "c", "d"} {
		if loads[pod] != (Load{Standbys: 2}) {
			t.Errorf("pod %s has %+v", pod, loads[pod])
		}
	}
	if b.Hosting("b") || b.Occupied("b") {
		t.Error("a standby takes places")
	}
}

// What is built for one pod does not reach another, which would not know of the users.
func TestARoomThatWasBuiltForThePodBeforeIsNotSent(t *testing.T) {
	b, r := followed(t, able)
	need := b.Session(r.UID).Sending.Need
	b.says("b", r, serving, CauseEnded)
	b.Send("a", &controlv1.Room{Uid: string(r.UID), Generation: 1}, nil, need)
	if !b.Session(r.UID).Sending.Outdated {
		t.Error("the standby was sent what is not for it")
	}
	b.want(t, "nothing is sent", "a", "")
	b.want(t, "nothing is sent", "b", "")
}
