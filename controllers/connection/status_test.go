package connection

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/pace"
	"mediarooms.dev/mediarooms/controllers/placement"
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
				OwnerReferences: []metav1.OwnerReference{{UID: session.UID}},
			},
			Spec: v1alpha1.ConnectionSpec{SessionName: "demo", Type: v1alpha1.ConnectionTypeWebRTC},
		},
		session: session, pool: &v1alpha1.MediaPool{}, decided: true, verdict: placement.Admitted, tokenURL: "ws://x?token=tok_X", now: now,
		view: fleet.ConnectionView{
			Pod:  fleet.PodView{Pod: fleet.Pod{Name: "pod"}, State: fleet.Synced, Usable: true},
			Seen: &controlv1.ConnectionStatus{State: controlv1.ConnectionState_CONNECTION_STATE_PENDING, Generation: 1}, Programmed: 1,
		},
	}
}

func seen(state controlv1.ConnectionState) func(o *observed) {
	return func(o *observed) {
		o.view.Seen.State = state
		o.view.Seen.ActiveUnixMs = now.UnixMilli()
		if state == controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED {
			o.view.Seen.DisconnectReason = "disconnect"
		}
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
		"the pod does not know this generation": {
			func(o *observed) { o.connection.Generation = 2 },
			"Accepted=True Accepted, Programmed=False WaitingForAck, Ready=False WaitingForAck",
		},
		"the stream to the pod is broken": {
			func(o *observed) { o.view.Programmed, o.view.Pod.State = 0, fleet.Broken },
			"Accepted=True Accepted, Programmed=False PodUnreachable, Ready=False PodUnreachable",
		},
		"the stream is broken, but the pod has applied it": {
			func(o *observed) { o.view.Pod.State = fleet.Broken },
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the leader is new and has not heard of the pod: what was said holds": {
			func(o *observed) {
				o.connection.Status.Conditions = makeStatus(*o, nil, true).Conditions
				o.view = fleet.ConnectionView{Pod: fleet.PodView{State: fleet.Connecting}}
			},
			"Accepted=True Accepted, Programmed=True Programmed, Ready=True Ready",
		},
		"the leader is new, and so is the generation": {
			func(o *observed) {
				o.connection.Status.Conditions = makeStatus(*o, nil, true).Conditions
				o.connection.Generation = 2
				o.view = fleet.ConnectionView{Pod: fleet.PodView{State: fleet.Connecting}}
			},
			"Accepted=True Accepted, Programmed=False PodUnreachable, Ready=False PodUnreachable",
		},
		"the pod is lost and the Session waits for another": {
			func(o *observed) { o.view = fleet.ConnectionView{Pod: fleet.PodView{State: fleet.Lost}} },
			"Accepted=True Accepted, Programmed=False WaitingForPod, Ready=False WaitingForPod",
		},
		"there is no such Session": {
			func(o *observed) { o.session, o.decided, o.verdict = nil, false, placement.SessionUnplaced },
			"Accepted=False SessionNotFound, Programmed=False NotAccepted, Ready=False SessionNotFound",
		},
		"the Session goes": {
			func(o *observed) { o.session.DeletionTimestamp = &metav1.Time{Time: now} },
			"Accepted=False Deleting, Programmed=False NotAccepted, Ready=False Deleting",
		},
		"the Session was not decided on": {
			func(o *observed) { o.decided, o.verdict = false, placement.SessionUnplaced },
			"Accepted=Unknown Pending, Programmed=Unknown Pending, Ready=Unknown Pending",
		},
		"the Session waits for a pod": {
			func(o *observed) { o.verdict = placement.SessionUnplaced },
			"Accepted=False SessionNotAccepted, Programmed=False NotAccepted, Ready=False SessionNotAccepted",
		},
		"the Session is refused": {
			func(o *observed) {
				o.decided, o.verdict = false, placement.SessionUnplaced
				meta.SetStatusCondition(&o.session.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse})
			},
			"Accepted=False SessionNotAccepted, Programmed=False NotAccepted, Ready=False SessionNotAccepted",
		},
		"the Session is full": {
			func(o *observed) { o.verdict = placement.SessionFull },
			"Accepted=False SessionFull, Programmed=False NotAccepted, Ready=False SessionFull",
		},
		"the pod is full": {
			func(o *observed) { o.verdict = placement.PodFull },
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
	t.Run("an active user without a pod is out", func(t *testing.T) {
		o := admitted()
		o.connection.Status.State = v1alpha1.ConnectionStateActive
		o.view = fleet.ConnectionView{Pod: fleet.PodView{State: fleet.Lost}}
		status := makeStatus(o, nil, true)
		if status.State != v1alpha1.ConnectionStateDisconnected || status.DisconnectReason != "nodeCrashed" {
			t.Errorf("it is %s, %s", status.State, status.DisconnectReason)
		}
	})
	t.Run("a pending token outlives the pod", func(t *testing.T) {
		o := admitted()
		o.connection.Status = makeStatus(o, nil, true)
		o.view = fleet.ConnectionView{Pod: fleet.PodView{State: fleet.Lost}}
		status := makeStatus(o, nil, true)
		if status.State != v1alpha1.ConnectionStatePending || status.Token != o.tokenURL {
			t.Errorf("it is %s, %q", status.State, status.Token)
		}
	})
	t.Run("who is turned away has no token, no state and no id", func(t *testing.T) {
		o := admitted()
		o.verdict = placement.SessionFull
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
		if got := urgencyOf(o.connection.Status, makeStatus(o, nil, true), o); got != pace.Unchanged {
			t.Errorf("urgency is %d", got)
		}
	})
}

func TestUrgency(t *testing.T) {
	for sentence, test := range map[string]struct {
		before, after func(o *observed)
		want          pace.Urgency
	}{
		"a token is waited for":                     {func(o *observed) { o.verdict = placement.SessionFull }, func(*observed) {}, pace.Urgent},
		"a join is told at once":                    {func(*observed) {}, seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE), pace.Urgent},
		"a refusal is told at once":                 {func(*observed) {}, func(o *observed) { o.verdict = placement.SessionFull }, pace.Urgent},
		"the pod is about to confirm":               {func(*observed) {}, func(o *observed) { o.connection.Generation = 2 }, pace.Awaiting},
		"nothing is expected of a pod that is gone": {func(*observed) {}, func(o *observed) { o.view.Programmed, o.view.Pod.State = 0, fleet.Broken }, pace.Urgent},
		"streams have time": {seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE), func(o *observed) {
			seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(o)
			o.view.Seen.Subscribers = []string{"a"}
		}, pace.Lazy},
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

// owned is a Secret of the Connection.
func owned(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{UID: "uid-guest", Controller: ptr.To(true)}}}}
}

func TestPlan(t *testing.T) {
	for sentence, test := range map[string]struct {
		change func(o *observed)
		want   string
	}{
		"all is done": {func(*observed) {}, ""},
		"a new one is told to the pod, and adopted after its token is out": {func(o *observed) {
			o.connection.Finalizers, o.connection.OwnerReferences, o.view.Programmed = nil, nil, 0
		}, "Tell, Adopt"},
		"one with another Session of the name is adopted by this one": {func(o *observed) { o.connection.OwnerReferences[0].UID = "other" }, ", Adopt"},
		"who is turned away is not touched": {func(o *observed) {
			o.verdict, o.connection.Finalizers, o.view.Programmed = placement.SessionFull, nil, 0
		}, ""},
		"the token goes into its Secret": {func(o *observed) { o.connection.Spec.TokenSecretName = "s" }, "WriteSecret"},
		"a Secret that has it is left alone": {func(o *observed) {
			o.connection.Spec.TokenSecretName = "s"
			o.secret = &corev1.Secret{Data: map[string][]byte{"token": []byte(o.tokenURL)}}
			o.secret.OwnerReferences = []metav1.OwnerReference{{UID: "uid-guest", Controller: ptr.To(true)}}
		}, ""},
		"a Secret of somebody else is left alone": {func(o *observed) {
			o.connection.Spec.TokenSecretName = "s"
			o.secret = &corev1.Secret{}
		}, ""},
		"the Secret of before goes once the token is in another": {func(o *observed) {
			o.connection.Spec.TokenSecretName, o.outdated = "s", owned("before")
		}, "WriteSecret DropSecret"},
		"the Secret of before goes when the token is in status": {func(o *observed) { o.outdated = owned("before") }, "DropSecret"},
		"the Secret of before stays while the other is not ours": {func(o *observed) {
			o.connection.Spec.TokenSecretName, o.secret, o.outdated = "s", &corev1.Secret{}, owned("before")
		}, ""},
		"a Secret of before that is somebody else's by now stays": {func(o *observed) { o.outdated = &corev1.Secret{} }, ""},
		"who has left frees the place":                            {seen(controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED), "Dismiss"},
		"who has left is deleted once status says so": {func(o *observed) {
			seen(controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED)(o)
			o.connection.Spec.WhenDisconnected = v1alpha1.WhenDisconnectedDelete
			o.connection.Status.State = v1alpha1.ConnectionStateDisconnected
		}, "Dismiss Remove"},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := admitted()
			test.change(&o)
			var got []string
			plan := makePlan(o)
			for _, a := range slices.Concat(plan.first, plan.then) {
				if a.reason == "" {
					t.Errorf("%s has no reason", a.kind)
				}
			}
			for n, a := range plan.first {
				got = append(got, strings.Repeat(" ", min(n, 1))+string(a.kind))
			}
			for _, a := range plan.then {
				got = append(got, ", "+string(a.kind))
			}
			if got := strings.Join(got, ""); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAConnectionOfAnEarlierSessionIsKnownByItsOwner(t *testing.T) {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"}}
	owner := func(kind, name, uid string) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: types.UID(uid)}
	}
	for sentence, test := range map[string]struct {
		owners []metav1.OwnerReference
		want   bool
	}{
		"nobody owns it":                 {nil, false},
		"the Session owns it":            {[]metav1.OwnerReference{owner("Session", "demo", "now")}, false},
		"an earlier Session owned it":    {[]metav1.OwnerReference{owner("Session", "demo", "before")}, true},
		"both do":                        {[]metav1.OwnerReference{owner("Session", "demo", "before"), owner("Session", "demo", "now")}, false},
		"something else owns it":         {[]metav1.OwnerReference{owner("Other", "demo", "before")}, false},
		"a Session of another name does": {[]metav1.OwnerReference{owner("Session", "other", "before")}, false},
	} {
		c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{OwnerReferences: test.owners}}
		if got := ofEarlier(c, session); got != test.want {
			t.Errorf("%s: got %t", sentence, got)
		}
	}
}
