package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
)

// A Session keeps its pod, its users and what was observed of them while the pod is cut off, and
// says so once.
func TestASessionWhosePodIsCutOff(t *testing.T) {
	o := placed()
	guests(v1alpha1.ConnectionStateActive, v1alpha1.ConnectionStatePending)(&o)
	o.room.Publishers, o.room.Pod = 2, "host"
	before := makeStatus(o, true)
	o.session.Status = before

	since := now.Add(-4 * time.Second)
	for _, state := range []fleet.State{fleet.Broken, fleet.Connecting} {
		o.pod.State, o.pod.CutOff, o.pod.Usable = state, since, false
		if p := makePlan(o); len(p.actions) != 0 {
			t.Errorf("in state %d the plan is\n%s", state, describe(p))
		}
		during := makeStatus(o, true)
		if during.PodName != "host" || during.ActiveConnections != 1 || during.PendingConnections != 1 || during.Publishers != 2 {
			t.Errorf("in state %d the status is %+v", state, during)
		}
		ready := meta.FindStatusCondition(during.Conditions, v1alpha1.ConditionReady)
		if ready.Status != metav1.ConditionTrue || ready.Reason != v1alpha1.ReasonPodUnreachable || !strings.Contains(ready.Message, "since 2026-01-02T03:04:01Z") {
			t.Errorf("in state %d Ready is %+v", state, ready)
		}
		later := o
		later.session = o.session.DeepCopy()
		later.session.Status, later.now = during, now.Add(time.Hour)
		if again := makeStatus(later, true); !equality.Semantic.DeepEqual(again, during) {
			t.Errorf("deriving it again gives %+v", again)
		}
	}

	during := makeStatus(o, true)
	o.pod = placed().pod
	after := makeStatus(o, true)
	recorder := events.NewFakeRecorder(10)
	r := Reconciler{Recorder: recorder}
	for _, step := range [][2]v1alpha1.SessionStatus{{before, during}, {during, during}, {during, after}, {after, after}} {
		r.publishReach(o.session, step[0], step[1])
	}
	close(recorder.Events)
	var told []string
	for event := range recorder.Events {
		told = append(told, event)
	}
	want := []string{
		"Warning PodUnreachable The operator does not hear of media pod host; calls there go on",
		"Normal PodReachable The operator hears of media pod host again",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told was %q", told)
	}
}
