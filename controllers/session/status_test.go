package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/creation"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// placed is a Session whose room is on a pod, which has applied it.
func placed() observed {
	pod := fleet.PodView{Pod: fleet.Pod{Name: "pod", Node: "node"}, Known: true, State: fleet.Synced, Usable: true}
	return observed{
		session: &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{
			Name: "demo", UID: "uid", Generation: 1, Finalizers: []string{v1alpha1.SessionFinalizer},
		}},
		pool: &v1alpha1.MediaPool{
			ObjectMeta: metav1.ObjectMeta{Name: "pool"}, Spec: v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org/"},
		},
		known: true, pod: "pod", podState: fleet.Synced, candidates: []placement.Candidate{{Pod: "other"}},
		view: fleet.RoomView{Pod: pod, Generation: 1}, now: now, admitted: map[types.UID]bool{},
	}
}

// nowhere is a Session that waits.
func nowhere(o *observed) {
	o.pod, o.podState, o.view = "", fleet.Lost, fleet.RoomView{Pod: fleet.PodView{State: fleet.Lost}}
}

func guests(states ...v1alpha1.ConnectionState) func(o *observed) {
	return func(o *observed) {
		for n, state := range states {
			c := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint("guest-", n))}}
			c.Status.State = state
			o.connections = append(o.connections, c)
			o.admitted[c.UID] = true
		}
	}
}

func TestConditions(t *testing.T) {
	for sentence, test := range map[string]struct {
		change func(o *observed)
		want   string
	}{
		"the room runs": {
			func(*observed) {}, "Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the pod does not know this generation": {
			func(o *observed) { o.session.Generation = 2 },
			"Accepted=True Accepted, Programmed=False WaitingForAck, Ready=False WaitingForAck",
		},
		"the stream to the pod is broken, but it has applied the room": {
			func(o *observed) { o.podState = fleet.Broken },
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the stream broke before the pod has applied the room": {
			func(o *observed) { o.podState, o.view.Generation = fleet.Broken, 0 },
			"Accepted=True Accepted, Programmed=False PodUnreachable, Ready=False PodUnreachable",
		},
		"the leader is new and has not heard of the pod: what was said holds": {
			func(o *observed) {
				o.session.Status = makeStatus(*o, true)
				o.podState, o.view.Generation = fleet.Connecting, 0
			},
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"no pod has room": {
			nowhere, "Accepted=False NoCapacity, Programmed=False WaitingForPod, Ready=False NoCapacity",
		},
		"nobody has decided": {
			func(o *observed) { nowhere(o); o.known = false },
			"Accepted=Unknown Pending, Programmed=Unknown Pending, Ready=Unknown Pending",
		},
		"the named pool does not exist": {
			func(o *observed) { nowhere(o); o.known, o.pool, o.session.Spec.PoolName = false, nil, "other" },
			"Accepted=False PoolNotFound, Programmed=False NotAccepted, Ready=False PoolNotFound",
		},
		"there is no default pool": {
			func(o *observed) { nowhere(o); o.known, o.pool = false, nil },
			"Accepted=False PoolNotFound, Programmed=False NotAccepted, Ready=False PoolNotFound",
		},
		"the pool goes": {
			func(o *observed) { nowhere(o); o.pool.DeletionTimestamp = &metav1.Time{Time: now} },
			"Accepted=False PoolNotFound, Programmed=False NotAccepted, Ready=False PoolNotFound",
		},
		"the pool does not host the namespace": {
			func(o *observed) { nowhere(o); o.known, o.foreign = false, true },
			"Accepted=False NamespaceNotAllowed, Programmed=False NotAccepted, Ready=False NamespaceNotAllowed",
		},
		"the pool does not host the namespace any more, and the room has a place": {
			func(o *observed) { o.foreign = true }, "Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"an older Session has the id": {
			func(o *observed) { nowhere(o); o.known, o.rival = false, &v1alpha1.Session{} },
			"Accepted=False SessionIDInUse, Programmed=False NotAccepted, Ready=False SessionIDInUse",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := placed()
			test.change(&o)
			var got []string
			for _, c := range makeStatus(o, true).Conditions {
				got = append(got, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
				if c.ObservedGeneration != o.session.Generation || c.Message == "" {
					t.Errorf("%s is of generation %d, with message %q", c.Type, c.ObservedGeneration, c.Message)
				}
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	o := placed()
	guests(v1alpha1.ConnectionStatePending, v1alpha1.ConnectionStateActive, v1alpha1.ConnectionStateDisconnected, "", "")(&o)
	o.admitted["guest-4"] = false // it was turned away
	// The pod knows more than status says yet.
	o.view.Seen = map[types.UID]*controlv1.ConnectionStatus{"guest-0": {State: controlv1.ConnectionState_CONNECTION_STATE_ACTIVE}}
	o.view.Publishers, o.view.Media = 3, v1alpha1.MediaConnections{UDP: 4, TCP: 1}
	s := makeStatus(o, true)
	if s.ActiveConnections != 2 || s.PendingConnections != 1 || s.Publishers != 3 {
		t.Errorf("%d are active, %d pending, and %d streams", s.ActiveConnections, s.PendingConnections, s.Publishers)
	}
	if s.MediaConnections != o.view.Media {
		t.Errorf("media goes over %+v", s.MediaConnections)
	}
	if s.SessionID != "demo" || s.URL != "wss://rooms.example.org" || s.PoolName != "pool" || s.PodName != "pod" || s.NodeName != "node" {
		t.Errorf("it is %+v", s)
	}
	o.session.Status, o.now = s, now.Add(time.Hour)
	if got := urgencyOf(s, makeStatus(o, true), o); got != pace.Unchanged {
		t.Errorf("deriving it again is of urgency %d", got)
	}
	o.view.Publishers = 4
	if got := urgencyOf(s, makeStatus(o, true), o); got != pace.Lazy {
		t.Errorf("a count is of urgency %d", got)
	}
	nowhere(&o)
	if got := urgencyOf(s, makeStatus(o, true), o); got != pace.Urgent {
		t.Errorf("a lost pod is of urgency %d", got)
	}
}

func TestPlan(t *testing.T) {
	deleteWhenEmpty := func(o *observed) { o.session.Spec.WhenEmpty = v1alpha1.WhenEmptyDelete }
	for sentence, test := range map[string]struct {
		change []func(o *observed)
		want   string
	}{
		"all is done": {nil, ""},
		"a new Session gets its finalizer before its place": {[]func(o *observed){nowhere, func(o *observed) {
			o.known, o.session.Finalizers = false, nil
		}}, "AddFinalizer Place"},
		"one that waits is tried again":                     {[]func(o *observed){nowhere}, "Place"},
		"one whose pod is lost is put on another":           {[]func(o *observed){func(o *observed) { o.podState = fleet.Lost }}, "Displace Place"},
		"one whose pod is silent for a moment stays":        {[]func(o *observed){func(o *observed) { o.podState = fleet.Broken }}, ""},
		"another generation is told":                        {[]func(o *observed){func(o *observed) { o.session.Generation = 2 }}, "Tell"},
		"one whose pool is gone gives up its place":         {[]func(o *observed){nowhere, func(o *observed) { o.pool = nil }}, "Vacate"},
		"one whose pool is gone stays while its pod lives":  {[]func(o *observed){func(o *observed) { o.pool = nil }}, ""},
		"one that the pool does not host gets no place":     {[]func(o *observed){nowhere, func(o *observed) { o.known, o.foreign = false, true }}, ""},
		"one that waits, and the pool does not host, goes":  {[]func(o *observed){nowhere, func(o *observed) { o.foreign = true }}, "Vacate"},
		"a room that the pool does not host any more stays": {[]func(o *observed){func(o *observed) { o.foreign, o.session.Generation = true, 2 }}, "Tell"},
		"nor is it moved within the pool":                   {[]func(o *observed){func(o *observed) { o.foreign, o.draining = true, true }}, ""},
		"its place is the last one":                         {[]func(o *observed){func(o *observed) { o.foreign, o.podState = true, fleet.Lost }}, "Displace Vacate"},
		"one with an older rival gives up its place":        {[]func(o *observed){func(o *observed) { o.rival = &v1alpha1.Session{} }}, "Vacate"},
		"one with an older rival gets none": {[]func(o *observed){nowhere, func(o *observed) {
			o.known, o.rival, o.session.Finalizers = false, &v1alpha1.Session{}, nil
		}}, ""},
		"a room without users leaves a pod that drains": {[]func(o *observed){func(o *observed) { o.draining = true }, guests("Pending")}, "Move"},
		"a room with users stays on a pod that drains":  {[]func(o *observed){func(o *observed) { o.draining = true }, guests("Active")}, ""},
		"a room stays on a pod that drains while there is no other": {[]func(o *observed){func(o *observed) {
			o.draining, o.candidates = true, nil
		}}, ""},
		"an empty room that nobody was in is kept":               {[]func(o *observed){deleteWhenEmpty, guests("Pending")}, ""},
		"a room is kept while somebody is in it":                 {[]func(o *observed){deleteWhenEmpty, guests("Active", "Disconnected")}, ""},
		"a room goes with its last user":                         {[]func(o *observed){deleteWhenEmpty, guests("Pending", "Disconnected")}, "Remove"},
		"a room goes with a last user that is gone":              {[]func(o *observed){deleteWhenEmpty, func(o *observed) { o.session.Status.ActiveConnections = 1 }}, "Remove"},
		"a room goes with a last user that came and went unseen": {[]func(o *observed){deleteWhenEmpty, func(o *observed) { o.view.Visited = true }}, "Remove"},
		"a room is kept until its last user is put out": {[]func(o *observed){deleteWhenEmpty, guests("Active"), func(o *observed) {
			o.view.Visited, o.leaving, o.connections = true, o.connections, nil
		}}, ""},
		"garbage is collected":                      {[]func(o *observed){deleteWhenEmpty, guests("Pending"), func(o *observed) { o.due = now }}, "Collect"},
		"garbage that waits for a pod is collected": {[]func(o *observed){nowhere, deleteWhenEmpty, func(o *observed) { o.due = now }}, "Collect"},
		"what is to be garbage one day is not yet":  {[]func(o *observed){deleteWhenEmpty, func(o *observed) { o.due = now.Add(1) }}, ""},
		"a room with a user is no garbage":          {[]func(o *observed){deleteWhenEmpty, guests("Active"), func(o *observed) { o.due = now }}, ""},
		"a room whose last user is being put out is no garbage": {[]func(o *observed){deleteWhenEmpty, guests("Active"), func(o *observed) {
			o.due, o.leaving, o.connections = now, o.connections, nil
		}}, ""},
		"a room that somebody was in is no garbage": {[]func(o *observed){deleteWhenEmpty, func(o *observed) { o.due, o.view.Visited = now, true }}, "Remove"},
		"nothing is garbage while nobody knows who is in it": {[]func(o *observed){deleteWhenEmpty, func(o *observed) {
			o.due, o.podState = now, fleet.Connecting
		}}, ""},
		"a room that is to be kept is, without users": {[]func(o *observed){guests("Disconnected")}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := placed()
			for _, change := range test.change {
				change(&o)
			}
			var got []string
			for _, a := range makePlan(o) {
				if a.reason == "" {
					t.Errorf("%s has no reason", a.kind)
				}
				got = append(got, string(a.kind))
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhatIsGarbage(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	byREST := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Annotations: creation.Stamp(created)}, Spec: v1alpha1.SessionSpec{WhenEmpty: v1alpha1.WhenEmptyDelete}}
	byHand, kept := byREST.DeepCopy(), byREST.DeepCopy()
	byHand.Annotations = nil
	kept.Spec.WhenEmpty = v1alpha1.WhenEmptyKeep
	usual := Garbage{Interval: 15 * time.Minute, Threshold: time.Hour}
	for sentence, test := range map[string]struct {
		garbage Garbage
		session *v1alpha1.Session
		want    time.Time
	}{
		"the first collection after an hour":       {usual, byREST, time.Date(2026, 1, 2, 4, 15, 0, 0, time.UTC)},
		"the very moment of a collection":          {Garbage{Interval: 5 * time.Second, Threshold: time.Hour}, byREST, created.Add(time.Hour)},
		"no collections":                           {Garbage{Threshold: time.Hour}, byREST, time.Time{}},
		"a Session that a person made":             {usual, byHand, time.Time{}},
		"a Session that is to be there when empty": {usual, kept, time.Time{}},
	} {
		if got := test.garbage.due(test.session); !got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", sentence, got, test.want)
		}
	}
	r := Reconciler{Garbage: usual}
	for sentence, test := range map[string]struct {
		due, now time.Time
		visited  bool
		want     time.Duration
	}{
		"it is no garbage ever":                 {time.Time{}, created, false, 0},
		"it is due in a minute":                 {created.Add(time.Minute), created, false, time.Minute},
		"somebody has been there":               {created.Add(time.Minute), created, true, 0},
		"it was due but could not be collected": {created.Add(-time.Minute), created, false, 10*time.Minute + 55*time.Second},
	} {
		o := observed{due: test.due, now: test.now, view: fleet.RoomView{Visited: test.visited}}
		if got := r.untilCollection(o); got != test.want {
			t.Errorf("%s: got %v, want %v", sentence, got, test.want)
		}
	}
}
