package connection

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/token"
)

func TestVisits(t *testing.T) {
	const pending, active, disconnected = v1alpha1.ConnectionStatePending, v1alpha1.ConnectionStateActive, v1alpha1.ConnectionStateDisconnected
	came, went := &metav1.Time{Time: now}, &metav1.Time{Time: now.Add(90 * time.Second)}
	for sentence, test := range map[string]struct {
		before, after v1alpha1.ConnectionStatus
		want          string
	}{
		"it waits": {v1alpha1.ConnectionStatus{}, v1alpha1.ConnectionStatus{State: pending}, ""},
		"the user comes": {
			v1alpha1.ConnectionStatus{State: pending}, v1alpha1.ConnectionStatus{State: active, ActiveTime: came},
			"Normal UserJoined: Connection guest (con_) is in the room",
		},
		"the user is there": {
			v1alpha1.ConnectionStatus{State: active, ActiveTime: came}, v1alpha1.ConnectionStatus{State: active, ActiveTime: came}, "",
		},
		"the user goes": {
			v1alpha1.ConnectionStatus{State: active, ActiveTime: came},
			v1alpha1.ConnectionStatus{State: disconnected, ActiveTime: came, DisconnectedTime: went, DisconnectReason: "disconnect"},
			"Normal ClientDisconnected: Connection guest (con_) has left after 1m30s: disconnect",
		},
		"the user has come and gone unseen": {
			v1alpha1.ConnectionStatus{State: pending},
			v1alpha1.ConnectionStatus{State: disconnected, ActiveTime: came, DisconnectedTime: went, DisconnectReason: "forceDisconnectByUser"},
			"Normal UserJoined: Connection guest (con_) is in the room; " +
				"Normal ForceDisconnected: Connection guest (con_) has left after 1m30s: forceDisconnectByUser",
		},
		"the clocks of two pods differ": {
			v1alpha1.ConnectionStatus{State: active, ActiveTime: went},
			v1alpha1.ConnectionStatus{State: disconnected, ActiveTime: went, DisconnectedTime: came, DisconnectReason: "networkDisconnect"},
			"Normal NetworkDisconnected: Connection guest (con_) has left after 0s: networkDisconnect",
		},
		"the pod is lost, and when the user came is not known": {
			v1alpha1.ConnectionStatus{State: active},
			v1alpha1.ConnectionStatus{State: disconnected, DisconnectedTime: went, DisconnectReason: "nodeCrashed"},
			"Warning NetworkDisconnected: Connection guest (con_) has left: nodeCrashed",
		},
		"a reason that is not known is not repeated": {
			v1alpha1.ConnectionStatus{State: active},
			v1alpha1.ConnectionStatus{State: disconnected, DisconnectedTime: went, DisconnectReason: "<script>"},
			"Normal NetworkDisconnected: Connection guest (con_) has left: unknown",
		},
		"who has left stays out": {
			v1alpha1.ConnectionStatus{State: disconnected}, v1alpha1.ConnectionStatus{State: active, ActiveTime: came}, "",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Name: "guest", UID: "uid-guest"}}
			var got []string
			for _, v := range visits(c, test.before, test.after, nil) {
				got = append(got, v.kind+" "+v.reason+": "+strings.ReplaceAll(v.note, token.ConnectionID(string(c.UID)), "con_"))
			}
			if got := strings.Join(got, "; "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestVisitsAreTimedByThePod(t *testing.T) {
	c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Name: "guest", UID: "uid-guest"}}
	after := v1alpha1.ConnectionStatus{
		State: v1alpha1.ConnectionStateDisconnected, ActiveTime: &metav1.Time{Time: now}, DisconnectedTime: &metav1.Time{Time: now},
	}
	seen := &controlv1.ConnectionStatus{ActiveUnixMs: now.Add(5 * time.Millisecond).UnixMilli(), DisconnectedUnixMs: now.Add(2 * time.Second).UnixMilli()}
	got := visits(c, v1alpha1.ConnectionStatus{}, after, seen)
	if !got[0].at.Equal(now.Add(5 * time.Millisecond)) {
		t.Errorf("the user came at %s, want what the pod says", got[0].at)
	}
	if !got[1].at.Equal(now) {
		t.Errorf("the user left at %s, want what status says when the pod means another time", got[1].at)
	}
}

func TestVisitEvent(t *testing.T) {
	c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{
		Namespace: "tenant", Name: strings.Repeat("c", 63), UID: "8a3b2f0e-4a55-4ba0-9d06-6d1a3c1b0f11",
	}}
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: strings.Repeat("s", 63), UID: "session"}}
	before, after := visit{at: now, part: left}, visit{at: now.Add(time.Second), part: joined}
	first, second := visitEvent(c, session, before), visitEvent(c, session, after)
	if problems := validation.IsDNS1123Subdomain(first.Name); len(problems) > 0 {
		t.Errorf("%q: %v", first.Name, problems)
	}
	if first.Name >= second.Name {
		t.Errorf("%q comes before %q", second.Name, first.Name)
	}
	if again := visitEvent(c, session, before); again.Name != first.Name {
		t.Errorf("the same visit is called %q and %q", again.Name, first.Name)
	}
	if came := visitEvent(c, session, visit{at: now, part: joined}); came.Name == first.Name {
		t.Error("who comes and goes within a second does so under one name")
	}
	if first.Regarding.UID != session.UID || first.Related.UID != c.UID || first.Namespace != "tenant" {
		t.Errorf("it is %+v", first)
	}
	if alone := visitEvent(c, nil, before); alone.Regarding.UID != c.UID || alone.Related != nil {
		t.Errorf("without a Session it is %+v", alone)
	}
}

// TestEndOfARoom: who is in a room that is closed has not crashed, and is not awaited.
func TestEndOfARoom(t *testing.T) {
	o := admitted()
	seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(&o)
	o.connection.Status = makeStatus(o, nil, true)
	o.room.Seen, o.pod.State, o.room.Known = nil, fleet.Lost, true
	o.session.DeletionTimestamp = &metav1.Time{Time: now}
	if got := makeStatus(o, nil, true); got.State != v1alpha1.ConnectionStateDisconnected || got.DisconnectReason != "sessionClosedByServer" {
		t.Errorf("it is %s because of %q", got.State, got.DisconnectReason)
	}
}
