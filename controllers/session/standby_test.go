package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

const (
	behind = controlv1.StandbyState_STANDBY_STATE_BEHIND
	able   = controlv1.StandbyState_STANDBY_STATE_READY
)

// warm is a room that is to have a standby, in a pool with a pod on another node.
func warm(o *observed) {
	o.pool.Spec.MaxPods = 3
	o.candidates = []placement.Candidate{{Pod: "pod", Node: "node"}, {Pod: "other", Node: "node-2"}}
}

// followed is a room with a standby, of which its pod was told.
func followed(state controlv1.StandbyState) func(o *observed) {
	return func(o *observed) {
		warm(o)
		o.room.Standby = rooms.StandbyView{Pod: "standby", Follows: "pod", Secret: []byte("secret"), State: state}
		o.standby = fleet.PodView{
			Pod: fleet.Pod{Name: "standby", UID: "uid-standby", Node: "node-3"}, Known: true, State: fleet.Synced, Usable: true,
			Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.3"}},
		}
		o.room.Sending.Standby = roomStandby(*o, false)
	}
}

// drained is a room on a pod that drains.
func drained(o *observed) {
	o.pod.Draining, o.pod.Usable = true, false
	o.candidates = slices.DeleteFunc(o.candidates, func(c placement.Candidate) bool { return c.Pod == "pod" })
}

// Each sentence is a state that is observed; the golden file has what is planned then.
func TestPlansOfStandbys(t *testing.T) {
	type changes = []func(o *observed)
	sought := func(o *observed) { o.room.Standby.Sought = true }
	alone := func(o *observed) { o.candidates = o.candidates[:1] }
	near := func(o *observed) { o.standby.Node = "node" }
	gone := func(o *observed) { o.standby = fleet.PodView{State: fleet.Lost} }
	cut := func(o *observed) { o.standby.State, o.standby.Usable, o.standby.CutOff = fleet.Broken, false, now }
	silent := func(o *observed) { o.standby.State, o.standby.Usable = fleet.Broken, false }
	unassigned := func(o *observed) { o.pod, o.room.Pod, o.room.Lost = fleet.PodView{State: fleet.Lost}, "", now }
	states := map[string]changes{
		"a room gets a standby":                                                      {warm},
		"a room in a pool of one pod gets none":                                      {},
		"a room gets none before its pod is heard of":                                {warm, func(o *observed) { o.pod.State = fleet.Broken }},
		"a room in a pool with one usable pod waits for another":                     {warm, alone},
		"a room without a standby does not look for one before there is another pod": {warm, alone, sought},
		"a room without a standby finds one when there is another pod":               {warm, sought},
		"a Session that wants none gets none":                                        {warm, func(o *observed) { o.session.Spec.Standby = v1alpha1.StandbyNone }},
		"a Session that wants none any more has none":                                {followed(able), func(o *observed) { o.session.Spec.Standby = v1alpha1.StandbyNone }},
		"a Session of a pool without standbys may want one": {warm, func(o *observed) {
			o.pool.Spec.Standby, o.session.Spec.Standby = v1alpha1.StandbyNone, v1alpha1.StandbyWarm
		}},
		"all is done, with a standby":    {followed(able)},
		"the pod is told of the standby": {followed(behind), func(o *observed) { o.room.Sending.Standby = nil }},
		"the pod is told of the standby's other addresses": {followed(able), func(o *observed) {
			o.standby.Advertised = []*controlv1.TransportAddress{{Ip: "192.0.2.4", UdpPort: 20000}}
		}},
		"the pod is told that there is no standby": {warm, sought, alone, func(o *observed) {
			o.room.Sending.Standby = &controlv1.RoomStandby{}
		}},
		"a standby that is silent for a moment stays":                       {followed(able), silent},
		"a standby that is cut off is replaced":                             {followed(able), cut},
		"a standby that drains is replaced":                                 {followed(able), func(o *observed) { o.standby.Draining = true }},
		"a standby that is lost is replaced":                                {followed(able), gone},
		"a standby that is lost goes, if there is no other":                 {followed(able), gone, alone, sought},
		"a standby that is cut off stays, if there is no other":             {followed(able), cut, alone},
		"a standby that is cut off is not sought again without another pod": {followed(able), cut, alone, sought},
		"a standby on the same node makes way for one on another":           {followed(able), near},
		"a standby on the same node stays, if there is no other":            {followed(able), near, alone, sought},
		"a standby on the same node is not exchanged for its like":          {followed(able), near, sought, func(o *observed) { o.candidates[1].Node = "node" }},

		"a room whose pod is lost waits for a standby that is silent":                    {followed(able), silent, unassigned, guests("Active")},
		"a room whose pod is lost waits for a standby that this leader has not heard of": {followed(0), func(o *observed) { o.standby.State = fleet.Connecting }, unassigned},
		"a room whose pod is lost does not wait for a standby that is cut off":           {followed(able), cut, unassigned},
		"a room whose pod is lost does not wait for a standby that is lost":              {followed(able), gone, unassigned},
		"a room whose pod is lost does not wait for a standby that was behind":           {followed(behind), silent, unassigned},
		"a room whose pod is lost is put on its standby":                                 {followed(able), func(o *observed) { o.pod.State = fleet.Lost }, guests("Active"), lostPod},
		"a standby that has taken over is told of the users, as another's": {warm, sought, alone, guests("Active", "Pending"), func(o *observed) {
			o.room.Sending = rooms.Sending{Outdated: true}
			o.room.Taken = rooms.Takeover{From: "before", To: "pod", Cause: rooms.CauseEnded}
		}},

		"a room with users leaves a pod that drains for its standby":               {followed(able), drained, guests("Active", "Pending")},
		"a room without users leaves a pod that drains for its standby, too":       {followed(able), drained},
		"a room with users stays on a pod that drains while its standby is behind": {followed(behind), drained, guests("Active")},
		"a room with users stays on a pod that drains while its standby is silent": {followed(able), silent, drained, guests("Active")},
		"a room with users stays on a pod that drains and is not heard":            {followed(able), drained, guests("Active"), func(o *observed) { o.pod.State = fleet.Broken }},
		"a room that its last pod has not given up yet stays":                      {followed(able), drained, guests("Active"), func(o *observed) { o.room.Leaves = "before" }},
		"a room on a pod that drains gets a standby first":                         {warm, drained, guests("Active")},
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
			if strings.Contains(fmt.Sprintf("%+v", a.reason), "secret") {
				t.Errorf("%s: the secret is in %q", sentence, a.reason)
			}
		}
		fmt.Fprintf(&out, "%s\n%s", sentence, describe(p))
	}
	golden(t, "standbys", out.String())
}

func TestProtected(t *testing.T) {
	for sentence, test := range map[string]struct {
		change []func(o *observed)
		want   string
	}{
		"none is wanted":    {nil, "False NotWanted: neither the Session nor its MediaPool wants a standby: users come back by themselves when their media pod is lost"},
		"there is none":     {[]func(*observed){warm}, "False NoStandby: no other media pod of the MediaPool can follow the room now"},
		"there is no room":  {[]func(*observed){warm, nowhere}, "False NoStandby: the room is on no media pod"},
		"it is ready":       {[]func(*observed){followed(able)}, "True StandbyReady: calls go on at media pod standby when this one is lost"},
		"it is behind":      {[]func(*observed){followed(behind)}, "False StandbyBehind: media pod standby, the standby, does not know all of the room yet"},
		"it is on the node": {[]func(*observed){followed(able), func(o *observed) { o.standby.Node = "node" }}, "True StandbyReady: calls go on at media pod standby when this one is lost, but not when their node is: both are on it, since no media pod is on another one"},
		"it is cut off":     {[]func(*observed){followed(able), func(o *observed) { o.standby.CutOff = now }}, "False PodUnreachable: the operator has not heard of media pod standby, the standby, since 2026-01-02T03:04:05Z"},
		"the leader is new": {[]func(*observed){followed(able), func(o *observed) {
			o.session.Status = makeStatus(*o, true)
			o.room.Standby.State, o.standby.State = 0, fleet.Connecting
		}}, "True StandbyReady: calls go on at media pod standby when this one is lost"},
	} {
		o := placed()
		for _, change := range test.change {
			change(&o)
		}
		c := protectedCondition(o)
		if got := fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message); got != test.want {
			t.Errorf("%s: got  %s\nwant %s", sentence, got, test.want)
		}
		s := makeStatus(o, true)
		if s.StandbyPodName != o.room.Standby.Pod || s.StandbyNodeName != o.standby.Node || strings.Contains(fmt.Sprint(s), "secret") {
			t.Errorf("%s: the status is %+v", sentence, s)
		}
	}
}

// Whoever looks at a call reads when it would not outlive its pod, and when it would again; of an
// empty room nobody cares.
func TestItIsToldWhenACallIsProtectedNoMore(t *testing.T) {
	status := func(users int32, protected metav1.ConditionStatus, reason, message string) v1alpha1.SessionStatus {
		return v1alpha1.SessionStatus{ActiveConnections: users, Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionProtected, Status: protected, Reason: reason, Message: message},
		}}
	}
	ready := status(2, metav1.ConditionTrue, v1alpha1.ReasonStandbyReady, "calls go on")
	lagging := status(2, metav1.ConditionFalse, v1alpha1.ReasonStandbyBehind, "it does not know all")
	none := status(2, metav1.ConditionFalse, v1alpha1.ReasonNoStandby, "there is no other pod")
	unwanted := status(2, metav1.ConditionFalse, v1alpha1.ReasonNotWanted, "nobody wants one")
	empty := status(0, metav1.ConditionFalse, v1alpha1.ReasonNoStandby, "there is no other pod")
	recorder := events.NewFakeRecorder(20)
	r := Reconciler{Recorder: recorder}
	for _, step := range [][2]v1alpha1.SessionStatus{
		{{}, ready}, {ready, ready}, {ready, lagging}, {lagging, none}, {none, ready}, {ready, unwanted}, {ready, empty}, {empty, ready},
	} {
		r.publishProtection(&v1alpha1.Session{}, step[0], step[1])
	}
	close(recorder.Events)
	var told []string
	for event := range recorder.Events {
		told = append(told, event)
	}
	want := []string{"Warning Degraded Degraded, no standby: it does not know all", "Normal Protected Protected: calls go on"}
	if !slices.Equal(told, want) {
		t.Errorf("told was %q", told)
	}
}
