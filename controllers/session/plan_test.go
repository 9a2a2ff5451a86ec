package session

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

var update = flag.Bool("update", false, "write the golden files")

// describe writes a plan down, one action a line.
func describe(p plan) string {
	var out strings.Builder
	for _, a := range p.actions {
		fmt.Fprintf(&out, "    -> %s: %s\n", a.kind, a.reason)
		for _, user := range a.users {
			fmt.Fprintf(&out, "       %s\n", user)
		}
		for _, candidate := range a.candidates {
			fmt.Fprintf(&out, "       by %s on %s\n", candidate.Pod, candidate.Node)
		}
		if a.keep {
			fmt.Fprintln(&out, "       or as it is")
		}
		if a.sent == nil {
			continue
		}
		room := a.sent.room
		fmt.Fprintf(&out, "       %s of generation %d", room.GetKey(), room.GetGeneration())
		if standby := room.GetStandby(); standby != nil {
			fmt.Fprintf(&out, " with standby %s", standby.GetPodUid())
			for _, at := range standby.GetAdvertised() {
				fmt.Fprintf(&out, " at %s:%d", at.GetIp(), at.GetUdpPort())
			}
		}
		if room.GetForceMute() {
			fmt.Fprint(&out, ", to be mute")
		}
		for _, c := range room.GetConnections() {
			fmt.Fprintf(&out, ", %s", a.sent.names[types.UID(c.GetUid())].Name)
			switch {
			case c.GetPresence() != nil:
				fmt.Fprintf(&out, " (in the room, %q)", c.GetPresence().GetClientData())
			case c.GetSpent():
				fmt.Fprint(&out, " (spent)")
			}
		}
		fmt.Fprintln(&out)
	}
	if p.again > 0 {
		fmt.Fprintf(&out, "    .. looks again after %s\n", p.again)
	}
	if out.Len() == 0 {
		return "    nothing\n"
	}
	return out.String()
}

// lostPod is a pod that is lost, which has told of all who are in the room.
func lostPod(o *observed) {
	o.pod.State = fleet.Lost
	o.room.Seen, o.room.Held = make(map[types.UID]*controlv1.ConnectionStatus), make(map[types.UID]bool)
	for _, c := range o.connections {
		o.room.Held[c.UID] = true
		if c.Status.State == v1alpha1.ConnectionStateActive {
			o.room.Seen[c.UID] = &controlv1.ConnectionStatus{State: controlv1.ConnectionState_CONNECTION_STATE_ACTIVE, ClientData: "of the pod"}
		}
	}
}

// lostFor is a room that has been on no pod for a while.
func lostFor(while time.Duration) func(o *observed) {
	return func(o *observed) { o.room.Lost = now.Add(-while) }
}

// Each sentence is a state that is observed; the golden file has what is planned then.
func TestPlans(t *testing.T) {
	deleteWhenEmpty := func(o *observed) { o.session.Spec.WhenEmpty = v1alpha1.WhenEmptyDelete }
	type changes = []func(o *observed)
	states := map[string]changes{
		"all is done": {},
		"a new Session gets its finalizer before its place": {nowhere, func(o *observed) {
			o.room.Known, o.session.Finalizers = false, nil
		}},
		"one that waits is tried again":                    {nowhere},
		"one whose pod is lost is put on another":          {func(o *observed) { o.pod.State = fleet.Lost }},
		"one whose pod is lost is as mute on another":      {func(o *observed) { o.pod.State = fleet.Lost; o.room.ForceMute = true }},
		"one whose pod is silent for a moment stays":       {func(o *observed) { o.pod.State = fleet.Broken }},
		"one whose pod is cut off stays":                   {func(o *observed) { o.pod.State, o.pod.CutOff = fleet.Broken, now }, guests("Active")},
		"another generation is told":                       {func(o *observed) { o.session.Generation = 2 }},
		"one whose pool is gone gives up its place":        {nowhere, func(o *observed) { o.pool = nil }},
		"one whose pool is gone stays while its pod lives": {func(o *observed) { o.pool = nil }},
		"one that the pool does not host gets no place":    {nowhere, func(o *observed) { o.room.Known, o.foreign = false, true }},
		"one that waits, and the pool does not host, goes": {nowhere, func(o *observed) { o.foreign = true }},
		"users come along when their pod is lost":          {guests("Active", "Pending", "Disconnected"), lostPod},
		"users whose status says more than nothing come along": {guests("Active"), lostPod, func(o *observed) {
			o.room.Seen, o.connections[0].Status.ClientData = nil, "of the status"
		}},
		"the next pod is told of users until it has told of them": {guests("Active", "Active"), func(o *observed) {
			o.room.Sending.Outdated, o.room.Held = true, map[types.UID]bool{"guest-1": true}
		}},
		"users wait for another pod":                                  {guests("Active"), nowhere, lostFor(comebackBound - time.Second)},
		"users who have waited for another pod for long are given up": {deleteWhenEmpty, guests("Active", "Pending"), nowhere, lostFor(comebackBound)},
		"users whose pool is gone with their pod are given up":        {guests("Active"), lostPod, func(o *observed) { o.pool = nil }},
		"users whom the pool does not host any more are given up":     {guests("Active"), lostPod, func(o *observed) { o.foreign = true }},
		"a rival puts users out whose pod is lost":                    {guests("Active"), lostPod, func(o *observed) { o.rival = &v1alpha1.Session{} }},
		"a rival leaves putting users out to their pod":               {guests("Active"), func(o *observed) { o.rival = &v1alpha1.Session{} }},
		"a room that the pool does not host any more stays":           {func(o *observed) { o.foreign, o.session.Generation = true, 2 }},
		"nor is it moved within the pool":                             {func(o *observed) { o.foreign, o.pod.Draining = true, true }},
		"its place is the last one":                                   {func(o *observed) { o.foreign, o.pod.State = true, fleet.Lost }},
		"one with an older rival gives up its place":                  {func(o *observed) { o.rival = &v1alpha1.Session{} }},
		"one with an older rival gets none": {nowhere, func(o *observed) {
			o.room.Known, o.rival, o.session.Finalizers = false, &v1alpha1.Session{}, nil
		}},
		"a room without users leaves a pod that drains": {func(o *observed) { o.pod.Draining = true }, guests("Pending")},
		"a room with users stays on a pod that drains":  {func(o *observed) { o.pod.Draining = true }, guests("Active")},
		"a room stays on a pod that drains while there is no other": {func(o *observed) {
			o.pod.Draining, o.candidates = true, nil
		}},
		"an empty room that nobody was in is kept":               {deleteWhenEmpty, guests("Pending")},
		"a room is kept while somebody is in it":                 {deleteWhenEmpty, guests("Active", "Disconnected")},
		"a room goes with its last user":                         {deleteWhenEmpty, guests("Pending", "Disconnected")},
		"a room goes with a last user that is gone":              {deleteWhenEmpty, func(o *observed) { o.session.Status.ActiveConnections = 1 }},
		"a room goes with a last user that came and went unseen": {deleteWhenEmpty, func(o *observed) { o.room.Visited = true }},
		"a room is kept until its last user is put out": {deleteWhenEmpty, guests("Active"), func(o *observed) {
			o.room.Visited, o.leaving, o.connections = true, o.connections, nil
		}},
		"garbage is collected":                      {deleteWhenEmpty, guests("Pending"), func(o *observed) { o.due = now }},
		"garbage that waits for a pod is collected": {nowhere, deleteWhenEmpty, func(o *observed) { o.due = now }},
		"what is to be garbage one day is not yet":  {deleteWhenEmpty, func(o *observed) { o.due = now.Add(1) }},
		"a room with a user is no garbage":          {deleteWhenEmpty, guests("Active"), func(o *observed) { o.due = now }},
		"a room whose last user is being put out is no garbage": {deleteWhenEmpty, guests("Active"), func(o *observed) {
			o.due, o.leaving, o.connections = now, o.connections, nil
		}},
		"a room that somebody was in is no garbage": {deleteWhenEmpty, func(o *observed) { o.due, o.room.Visited = now, true }},
		"nothing is garbage while nobody knows who is in it": {deleteWhenEmpty, func(o *observed) {
			o.due, o.pod.State = now, fleet.Connecting
		}},
		"who has left a while ago is not sent": {guests("Active", "Disconnected", "Disconnected", "Disconnected"), func(o *observed) {
			o.session.Generation = 2
			o.connections[1].Status.DisconnectedTime = &metav1.Time{Time: now.Add(-overPeriod)}
			o.connections[2].Status.DisconnectedTime = &metav1.Time{Time: now.Add(1 - overPeriod)}
			o.connections[3].Status.DisconnectReason = string(reasons.TokenExpired)
		}},
		"an empty room is kept that nobody came to in time": {deleteWhenEmpty, guests("Disconnected"), func(o *observed) {
			o.connections[0].Status.DisconnectReason = string(reasons.TokenExpired)
		}},
		"a room that is to be kept is, without users": {guests("Disconnected")},
		"somebody was admitted":                       {guests("Pending"), func(o *observed) { o.room.Sending.Need, o.room.Sending.Outdated = 2, true }},
		"somebody was admitted while the pod's answer is awaited": {guests("Pending"), func(o *observed) {
			o.room.Sending.Need, o.room.Sending.Outdated, o.room.Sending.After = 2, true, 60*time.Millisecond
		}},
		"the pod was sent nothing yet": {guests("Active", "Pending"), func(o *observed) { o.room.Sending, o.room.Sending.Outdated = rooms.Sending{}, true }},
		"who was refused is not in the room, who has left is": {guests("Pending", "Disconnected", "Pending"), func(o *observed) {
			o.room.Sending.Outdated, o.room.Admitted["guest-1"], o.room.Admitted["guest-2"] = true, false, false
		}},
		"the credentials that were sent expire":                     {func(o *observed) { o.room.Sending.At = now.Add(-desired.Period) }},
		"a pod that drains is told of changes if there is no other": {func(o *observed) { o.pod.Draining, o.room.Sending.Outdated = true, true }, guests("Pending")},
	}
	var out strings.Builder
	for _, sentence := range slices.Sorted(maps.Keys(states)) {
		o := placed()
		for _, change := range states[sentence] {
			change(&o)
		}
		p := makePlan(o)
		for _, a := range p.actions {
			if a.reason == "" {
				t.Errorf("%s: %s has no reason", sentence, a.kind)
			}
		}
		fmt.Fprintf(&out, "%s\n%s", sentence, describe(p))
	}
	golden(t, "plans", out.String())
}

// golden compares a text with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the plans differ from %s (go test -update writes it):\n%s", path, got)
	}
}
