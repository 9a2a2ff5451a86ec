package connection

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

var update = flag.Bool("update", false, "write the golden files")

// owned is a Secret of the Connection.
func owned(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{UID: "uid-guest", Controller: ptr.To(true)}}}}
}

// Each sentence is a state that is observed; the golden file has what is planned then.
func TestPlans(t *testing.T) {
	states := map[string]func(o *observed){
		"all is done": func(*observed) {},
		"a new one is told to the pod, and adopted after its token is out": func(o *observed) {
			o.connection.Finalizers, o.room.Programmed = nil, 0
		},
		"an earlier version has made the Session its owner": func(o *observed) {
			o.connection.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Session", Name: "demo"}}
		},
		"somebody else's owner stays": func(o *observed) {
			o.connection.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "demo"}}
		},
		"who is refused asks again, and the rest waits for a place": func(o *observed) {
			o.admission, o.connection.Finalizers, o.room.Programmed = rooms.SessionFull, nil, 0
		},
		"the token goes into its Secret": func(o *observed) { o.connection.Spec.TokenSecretName = "s" },
		"a Secret that has it is left alone": func(o *observed) {
			o.connection.Spec.TokenSecretName = "s"
			o.secret = &corev1.Secret{Data: map[string][]byte{"token": []byte(o.tokenURL)}}
			o.secret.OwnerReferences = []metav1.OwnerReference{{UID: "uid-guest", Controller: ptr.To(true)}}
		},
		"a Secret of somebody else is left alone": func(o *observed) {
			o.connection.Spec.TokenSecretName = "s"
			o.secret = &corev1.Secret{}
		},
		"the Secret of before goes once the token is in another": func(o *observed) {
			o.connection.Spec.TokenSecretName, o.outdated = "s", owned("before")
		},
		"the Secret of before goes when the token is in status": func(o *observed) { o.outdated = owned("before") },
		"the Secret of before stays while the other is not ours": func(o *observed) {
			o.connection.Spec.TokenSecretName, o.secret, o.outdated = "s", &corev1.Secret{}, owned("before")
		},
		"a Secret of before that is somebody else's by now stays": func(o *observed) { o.outdated = &corev1.Secret{} },
		"who has left frees the place":                            seen(controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED),
		"who has left is deleted once status says so": func(o *observed) {
			seen(controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED)(o)
			o.connection.Spec.WhenDisconnected = v1alpha1.WhenDisconnectedDelete
			o.connection.Status.State = v1alpha1.ConnectionStateDisconnected
		},
		"a token that has expired waits for its status": unused(60),
		"a token that has expired frees its place, and the pod forgets it": func(o *observed) {
			unused(60)(o)
			o.connection.Status = makeStatus(*o, nil, true)
		},
		"a token that has expired is deleted with its place": func(o *observed) {
			unused(60)(o)
			o.connection.Status = makeStatus(*o, nil, true)
			o.connection.Spec.WhenDisconnected, o.room.Admitted = v1alpha1.WhenDisconnectedDelete, false
		},
		"who has left for long is not sent again": func(o *observed) {
			o.connection.Status.State, o.room.Seen, o.room.Admitted, o.room.Programmed = v1alpha1.ConnectionStateDisconnected, nil, false, 0
		},
		"a new one asks for a place first": func(o *observed) {
			o.admission, o.room.Admitted, o.room.Programmed, o.room.Seen = rooms.SessionUnplaced, false, 0, nil
			o.connection.Finalizers = nil
		},
		"who has left asks for no place": func(o *observed) {
			seen(controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED)(o)
			o.room.Admitted = false
		},
		"there is no Session":    func(o *observed) { o.session, o.admission = nil, rooms.SessionUnplaced },
		"its Session is deleted": func(o *observed) { o.session.DeletionTimestamp, o.room.Programmed = &metav1.Time{Time: now}, 0 },
		"it is an IP camera": func(o *observed) {
			o.connection.Spec.Type, o.admission = v1alpha1.ConnectionTypeIPCam, rooms.SessionUnplaced
		},
		"its user may come back to another pod": func(o *observed) {
			seen(controlv1.ConnectionState_CONNECTION_STATE_ACTIVE)(o)
			o.pod.State = fleet.Lost
		},
		"its user has no other pod to come back to": func(o *observed) {
			o.connection.Status.State = v1alpha1.ConnectionStateActive
			turnedAway(o)
		},
	}
	var out strings.Builder
	for _, sentence := range slices.Sorted(maps.Keys(states)) {
		o := admitted()
		states[sentence](&o)
		plan := makePlan(o)
		for _, a := range slices.Concat(plan.first, plan.then) {
			if a.reason == "" {
				t.Errorf("%s: %s has no reason", sentence, a.kind)
			}
		}
		fmt.Fprintln(&out, sentence)
		for _, a := range plan.first {
			fmt.Fprintf(&out, "    -> %s: %s\n", a.kind, a.reason)
		}
		for _, a := range plan.then {
			fmt.Fprintf(&out, "    after the status -> %s: %s\n", a.kind, a.reason)
		}
		if len(plan.first)+len(plan.then) == 0 {
			fmt.Fprintln(&out, "    nothing")
		}
	}
	path := filepath.Join("testdata", "plans.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != string(want) {
		t.Errorf("the plans differ from %s (go test -update writes it):\n%s", path, got)
	}
}
