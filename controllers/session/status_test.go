package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/token"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var (
	keys       = token.Keys{Current: make([]byte, token.MinKeySize)}
	identities desired.Identities
)

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
		room: rooms.View{
			Known: true, Assignment: rooms.Assignment{Pod: "pod", Epoch: 1}, Generation: 1, Admitted: map[types.UID]bool{},
			Sending: rooms.Sending{Generation: 1, At: now},
		},
		pod: pod, candidates: []placement.Candidate{{Pod: "other"}}, now: now, keys: keys,
		identity: func(c *v1alpha1.Connection) desired.Identity { return identities.Of("uid", keys, c) },
	}
}

// nowhere is a Session that waits.
func nowhere(o *observed) {
	o.pod, o.room = fleet.PodView{State: fleet.Lost}, rooms.View{Known: true, Admitted: map[types.UID]bool{}}
}

func guests(states ...v1alpha1.ConnectionState) func(o *observed) {
	return func(o *observed) {
		for n, state := range states {
			c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("guest-", n), UID: types.UID(fmt.Sprint("guest-", n))}}
			c.Status.State = state
			o.connections = append(o.connections, c)
			o.room.Admitted[c.UID] = true
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
			func(o *observed) { o.pod.State = fleet.Broken },
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the stream broke before the pod has applied the room": {
			func(o *observed) { o.pod.State, o.room.Generation = fleet.Broken, 0 },
			"Accepted=True Accepted, Programmed=False PodUnreachable, Ready=False PodUnreachable",
		},
		"the leader is new and has not heard of the pod: what was said holds": {
			func(o *observed) {
				o.session.Status = makeStatus(*o, true)
				o.pod.State, o.room.Generation = fleet.Connecting, 0
			},
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"no pod has room": {
			nowhere, "Accepted=False NoCapacity, Programmed=False WaitingForPod, Ready=False NoCapacity",
		},
		"nobody has decided": {
			func(o *observed) { nowhere(o); o.room.Known = false },
			"Accepted=Unknown Pending, Programmed=Unknown Pending, Ready=Unknown Pending",
		},
		"the named pool does not exist": {
			func(o *observed) { nowhere(o); o.room.Known, o.pool, o.session.Spec.PoolName = false, nil, "other" },
			"Accepted=False PoolNotFound, Programmed=False NotAccepted, Ready=False PoolNotFound",
		},
		"there is no default pool": {
			func(o *observed) { nowhere(o); o.room.Known, o.pool = false, nil },
			"Accepted=False PoolNotFound, Programmed=False NotAccepted, Ready=False PoolNotFound",
		},
		"the pool goes": {
			func(o *observed) { nowhere(o); o.pool.DeletionTimestamp = &metav1.Time{Time: now} },
			"Accepted=False PoolNotFound, Programmed=False NotAccepted, Ready=False PoolNotFound",
		},
		"the pool does not host the namespace": {
			func(o *observed) { nowhere(o); o.room.Known, o.foreign = false, true },
			"Accepted=False NamespaceNotAllowed, Programmed=False NotAccepted, Ready=False NamespaceNotAllowed",
		},
		"the pool does not host the namespace any more, and the room has a place": {
			func(o *observed) { o.foreign = true }, "Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"an older Session has the id": {
			func(o *observed) { nowhere(o); o.room.Known, o.rival = false, &v1alpha1.Session{} },
			"Accepted=False SessionIDInUse, Programmed=False NotAccepted, Ready=False SessionIDInUse",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := placed()
			test.change(&o)
			var got []string
			for _, c := range makeStatus(o, true).Conditions {
				if c.Type == v1alpha1.ConditionProtected {
					continue // it depends on none of this
				}
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
	o.room.Admitted["guest-4"] = false // it was turned away
	// The pod knows more than status says yet.
	o.room.Seen = map[types.UID]*controlv1.ConnectionStatus{"guest-0": {State: controlv1.ConnectionState_CONNECTION_STATE_ACTIVE}}
	o.room.Publishers, o.room.Media = 3, v1alpha1.MediaConnections{UDP: 4, TCP: 1}
	s := makeStatus(o, true)
	if s.ActiveConnections != 2 || s.PendingConnections != 1 || s.Publishers != 3 {
		t.Errorf("%d are active, %d pending, and %d streams", s.ActiveConnections, s.PendingConnections, s.Publishers)
	}
	if s.MediaConnections != o.room.Media {
		t.Errorf("media goes over %+v", s.MediaConnections)
	}
	if s.SessionID != "demo" || s.URL != "wss://rooms.example.org" || s.PoolName != "pool" || s.PodName != "pod" || s.NodeName != "node" {
		t.Errorf("it is %+v", s)
	}
	o.session.Status, o.now = s, now.Add(time.Hour)
	if got := makeStatus(o, true); !equality.Semantic.DeepEqual(got, s) {
		t.Errorf("deriving it again gives %+v", got)
	}
	o.room.Publishers = 4
	if got := urgencyOf(s, makeStatus(o, true), o); got != status.Lazy {
		t.Errorf("a count is of urgency %d", got)
	}
	nowhere(&o)
	if got := urgencyOf(s, makeStatus(o, true), o); got != status.Urgent {
		t.Errorf("a lost pod is of urgency %d", got)
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
		o := observed{due: test.due, now: test.now, room: rooms.View{Visited: test.visited}}
		if got := r.untilCollection(o); got != test.want {
			t.Errorf("%s: got %v, want %v", sentence, got, test.want)
		}
	}
}
