package connection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// admitted is a Connection that holds a place in a room on a pod, which has applied it.
func admitted() observed {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "uid-demo"}}
	return observed{
		connection: &v1alpha1.Connection{
			ObjectMeta: metav1.ObjectMeta{
				Name: "guest", UID: "uid-guest", Generation: 1, Finalizers: []string{v1alpha1.ConnectionFinalizer},
			},
			Spec: v1alpha1.ConnectionSpec{SessionName: "demo", Type: v1alpha1.ConnectionTypeWebRTC},
		},
		session: session, pool: &v1alpha1.MediaPool{}, admission: rooms.Admitted, tokenURL: "ws://x?token=tok_X", now: now,
		pod: fleet.PodView{Pod: fleet.Pod{Name: "pod"}, State: fleet.Synced, Usable: true},
		room: rooms.ConnectionView{
			Known: true, Pod: "pod", Admitted: true,
			Seen: &controlv1.ConnectionStatus{State: controlv1.ConnectionState_CONNECTION_STATE_PENDING, Generation: 1}, Held: true, Programmed: 1,
		},
	}
}

// turnedAway is a Connection whose Session is not accepted any more.
func turnedAway(o *observed) {
	o.room, o.pod = rooms.ConnectionView{}, fleet.PodView{State: fleet.Lost}
	turnedAwayFor(v1alpha1.ReasonPoolNotFound)(o)
}

func turnedAwayFor(reason string) func(o *observed) {
	return func(o *observed) {
		meta.SetStatusCondition(&o.session.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: reason})
	}
}

func seen(state controlv1.ConnectionState) func(o *observed) {
	return func(o *observed) {
		o.room.Seen.State = state
		o.room.Seen.ActiveUnixMs = now.UnixMilli()
		if state == controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED {
			o.room.Seen.DisconnectReason = "disconnect"
		}
	}
}

// unused has a Connection be accepted for a minute, in a pool whose tokens expire.
func unused(pendingSeconds int32) func(o *observed) {
	return func(o *observed) {
		o.pool.Spec.PendingConnectionSeconds = pendingSeconds
		o.connection.Status.State = v1alpha1.ConnectionStatePending
		o.connection.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, LastTransitionTime: metav1.Time{Time: now.Add(-time.Minute)},
		}}
	}
}

// lines writes conditions as "Type=Status Reason".
func lines(conditions []metav1.Condition) string {
	var out []string
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
	}
	return strings.Join(out, ", ")
}

func TestConditions(t *testing.T) {
	const (
		active       = controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
		disconnected = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
	)
	for sentence, test := range map[string]struct {
		change func(o *observed)
		want   string
	}{
		"it is admitted and applied": {
			func(*observed) {}, "Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"its user is in the room": {
			seen(active), "Accepted=True Accepted, Programmed=True Programmed, Ready=True Active",
		},
		"its user has left": {
			seen(disconnected), "Accepted=True Accepted, Programmed=True Programmed, Ready=False Disconnected",
		},
		"its token has expired": {
			unused(60), "Accepted=True Accepted, Programmed=True Programmed, Ready=False TokenExpired",
		},
		"its token expires in a second": {
			unused(61), "Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"its token never expires": {
			unused(0), "Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"its token was used in time": {
			func(o *observed) { unused(60)(o); seen(active)(o) },
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Active",
		},
		"the pod does not know this generation": {
			func(o *observed) { o.connection.Generation = 2 },
			"Accepted=True Accepted, Programmed=False WaitingForAck, Ready=False WaitingForAck",
		},
		"the stream to the pod is broken": {
			func(o *observed) { o.room.Programmed, o.pod.State = 0, fleet.Broken },
			"Accepted=True Accepted, Programmed=False PodUnreachable, Ready=False PodUnreachable",
		},
		"the stream is broken, but the pod has applied it": {
			func(o *observed) { o.pod.State = fleet.Broken },
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the leader is new and has not heard of the pod: what was said holds": {
			func(o *observed) {
				o.connection.Status.Conditions = makeStatus(*o, nil, true).Conditions
				o.room, o.pod = rooms.ConnectionView{Known: o.room.Known}, fleet.PodView{State: fleet.Connecting}
			},
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the leader is new, and so is the generation": {
			func(o *observed) {
				o.connection.Status.Conditions = makeStatus(*o, nil, true).Conditions
				o.connection.Generation = 2
				o.room, o.pod = rooms.ConnectionView{Known: o.room.Known}, fleet.PodView{State: fleet.Connecting}
			},
			"Accepted=True Accepted, Programmed=False PodUnreachable, Ready=False PodUnreachable",
		},
		"the pod is lost and the Session waits for another": {
			func(o *observed) {
				o.room, o.pod = rooms.ConnectionView{Known: o.room.Known}, fleet.PodView{State: fleet.Lost}
			},
			"Accepted=True Accepted, Programmed=False WaitingForPod, Ready=False WaitingForPod",
		},
		"there is no such Session": {
			func(o *observed) { o.session, o.room.Known, o.admission = nil, false, rooms.SessionUnplaced },
			"Accepted=False SessionNotFound, Programmed=False NotAccepted, Ready=False SessionNotFound",
		},
		"the Session goes": {
			func(o *observed) { o.session.DeletionTimestamp = &metav1.Time{Time: now} },
			"Accepted=False Deleting, Programmed=False NotAccepted, Ready=False Deleting",
		},
		"the Session was not decided on": {
			func(o *observed) { o.room.Known, o.admission = false, rooms.SessionUnplaced },
			"Accepted=Unknown Pending, Programmed=Unknown Pending, Ready=Unknown Pending",
		},
		"the Session waits for a pod": {
			func(o *observed) { o.admission = rooms.SessionUnplaced },
			"Accepted=False SessionNotAccepted, Programmed=False NotAccepted, Ready=False SessionNotAccepted",
		},
		"the Session is refused": {
			func(o *observed) {
				o.room.Known, o.admission = false, rooms.SessionUnplaced
				meta.SetStatusCondition(&o.session.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse})
			},
			"Accepted=False SessionNotAccepted, Programmed=False NotAccepted, Ready=False SessionNotAccepted",
		},
		"the pod of a user is lost": {
			func(o *observed) {
				seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(o)
				o.pod, o.room.Pod, o.room.Programmed, o.room.Held = fleet.PodView{State: fleet.Lost}, "", 0, false
			},
			"Accepted=True Accepted, Programmed=False WaitingForPod, Ready=False Reconnecting",
		},
		"another pod is about to take the user": {
			func(o *observed) {
				seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(o)
				o.room.Programmed, o.room.Held = 0, false
			},
			"Accepted=True Accepted, Programmed=False WaitingForAck, Ready=False Reconnecting",
		},
		"another pod waits for the user": {
			func(o *observed) {
				seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(o)
				o.room.Seen.Restored = true
			},
			"Accepted=True Accepted, Programmed=True Programmed, Ready=False Reconnecting",
		},
		"the Session is full": {
			func(o *observed) { o.admission = rooms.SessionFull },
			"Accepted=False SessionFull, Programmed=False NotAccepted, Ready=False SessionFull",
		},
		"the pod is full": {
			func(o *observed) { o.admission = rooms.PodFull },
			"Accepted=False NoCapacity, Programmed=False NotAccepted, Ready=False NoCapacity",
		},
		"it is a camera": {
			func(o *observed) { o.connection.Spec.Type = v1alpha1.ConnectionTypeIPCam },
			"Accepted=False Unsupported, Programmed=False NotAccepted, Ready=False Unsupported",
		},
		"the token's Secret is somebody else's": {
			func(o *observed) { o.secret = &corev1.Secret{} },
			"Accepted=False TokenSecretInUse, Programmed=False NotAccepted, Ready=False TokenSecretInUse",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := admitted()
			test.change(&o)
			status := makeStatus(o, nil, true)
			if got := lines(status.Conditions); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, c := range status.Conditions {
				if c.ObservedGeneration != o.connection.Generation || c.Message == "" {
					t.Errorf("%s is of generation %d, with message %q", c.Type, c.ObservedGeneration, c.Message)
				}
			}
		})
	}
}

func TestStatus(t *testing.T) {
	t.Run("an error leaves observedGeneration where it was", func(t *testing.T) {
		o := admitted()
		o.connection.Generation = 5
		if got := makeStatus(o, nil, false).ObservedGeneration; got != 0 {
			t.Errorf("it is %d", got)
		}
	})
	t.Run("an active user whose pod is lost may come back, also while the Session waits for another", func(t *testing.T) {
		for _, waits := range []func(o *observed){func(*observed) {}, func(o *observed) { o.room.Known = false; turnedAwayFor(v1alpha1.ReasonNoCapacity)(o) }} {
			o := admitted()
			o.connection.Status.State = v1alpha1.ConnectionStateActive
			o.connection.Status.Publishers = []v1alpha1.PublisherStatus{{StreamID: "a"}}
			o.room, o.pod = rooms.ConnectionView{Known: o.room.Known}, fleet.PodView{State: fleet.Lost}
			waits(&o)
			status := makeStatus(o, nil, true)
			if status.State != v1alpha1.ConnectionStateActive || len(status.Publishers) != 1 || status.DisconnectReason != "" {
				t.Errorf("it is %+v", status)
			}
		}
	})
	t.Run("an active user without a pod is out when the Session is turned away", func(t *testing.T) {
		o := admitted()
		o.connection.Status.State = v1alpha1.ConnectionStateActive
		turnedAway(&o)
		status := makeStatus(o, nil, true)
		if status.State != v1alpha1.ConnectionStateDisconnected || status.DisconnectReason != "nodeCrashed" {
			t.Errorf("it is %s, %s", status.State, status.DisconnectReason)
		}
	})
	t.Run("a pending token outlives the pod", func(t *testing.T) {
		o := admitted()
		o.connection.Status = makeStatus(o, nil, true)
		o.room, o.pod = rooms.ConnectionView{Known: o.room.Known}, fleet.PodView{State: fleet.Lost}
		status := makeStatus(o, nil, true)
		if status.State != v1alpha1.ConnectionStatePending || status.Token != o.tokenURL {
			t.Errorf("it is %s, %q", status.State, status.Token)
		}
	})
	t.Run("who is turned away has no token, no state and no id", func(t *testing.T) {
		o := admitted()
		o.admission = rooms.SessionFull
		if s := makeStatus(o, nil, true); s.Token != "" || s.State != "" || s.ConnectionID != "" {
			t.Errorf("it is %+v", s)
		}
	})
	t.Run("with a Secret there is no token in status", func(t *testing.T) {
		o := admitted()
		o.connection.Spec.TokenSecretName = "s"
		o.connection.Status.Token = "old"
		if s := makeStatus(o, nil, true); s.Token != "" || s.State != v1alpha1.ConnectionStatePending {
			t.Errorf("it is %+v", s)
		}
	})
	t.Run("deriving it again changes nothing", func(t *testing.T) {
		o := admitted()
		seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(&o)
		o.connection.Status = makeStatus(o, nil, true)
		o.now = now.Add(time.Hour)
		if got := makeStatus(o, nil, true); !equality.Semantic.DeepEqual(got, o.connection.Status) {
			t.Errorf("it is %+v", got)
		}
	})
}

func TestUrgency(t *testing.T) {
	for sentence, test := range map[string]struct {
		before, after func(o *observed)
		want          status.Urgency
	}{
		"a token is waited for":                     {func(o *observed) { o.admission = rooms.SessionFull }, func(*observed) {}, status.Urgent},
		"a join is told at once":                    {func(*observed) {}, seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE), status.Urgent},
		"a refusal is a condition":                  {func(*observed) {}, func(o *observed) { o.admission = rooms.SessionFull }, status.Lazy},
		"the pod is about to confirm":               {func(*observed) {}, func(o *observed) { o.connection.Generation = 2 }, status.Awaiting},
		"nothing is expected of a pod that is gone": {func(*observed) {}, func(o *observed) { o.room.Programmed, o.pod.State = 0, fleet.Broken }, status.Lazy},
		"streams have time": {seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE), func(o *observed) {
			seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(o)
			o.room.Seen.Subscribers = []string{"a"}
		}, status.Lazy},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := admitted()
			test.before(&o)
			before := makeStatus(o, nil, true)
			o = admitted()
			o.connection.Status = before
			test.after(&o)
			if got := urgencyOf(before, makeStatus(o, nil, true), o); got != test.want {
				t.Errorf("it is %d, want %d", got, test.want)
			}
		})
	}
}
