package mediapool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// pods are media pods that are reached.
type pods struct{}

func (pods) Pod(string) fleet.PodView {
	return fleet.PodView{Known: true, State: fleet.Synced, Usable: true}
}
func (pods) Configure(string, *controlv1.PodConfig) {}
func (pods) GiveUp(string)                          {}

// sessions are rooms, by how many there are on each pod. No Session waits for a pod.
type sessions map[string]int32

func (sessions) Wait(context.Context) error      { return nil }
func (sessions) Waiting(string) int32            { return 0 }
func (sessions) Failed(string, string)           {}
func (sessions) FailedLately(time.Time) []string { return nil }
func (sessions) Forget(string)                   {}
func (sessions) PoolChanged(string)              {}

func (s sessions) Cordon(pod string) bool { return s[pod] == 0 }

func (s sessions) Loads() map[string]rooms.Load {
	loads := make(map[string]rooms.Load)
	for pod, n := range s {
		loads[pod] = rooms.Load{Sessions: n}
	}
	return loads
}

// undelivered is the number of events that wait, none.
type undelivered struct{}

func (undelivered) Waiting(string) int { return 0 }

// fixture is a pool with a pod that hosts a room.
type fixture struct {
	*testing.T
	*Reconciler
	around sessions
	// broken is what listing Nodes gives.
	broken error
	clock  *clocktesting.FakePassiveClock
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	f := &fixture{T: t, around: sessions{"pod": 1}, clock: clocktesting.NewFakePassiveClock(start)}
	pool := newPool()
	pool.Generation = 2
	pod := podSpec(pool, "ns", "pod", 31000, podspec.Image{}, nil).Pod()
	pod.Spec.NodeName, pod.Status.Phase, pod.Status.StartTime = "node", corev1.PodRunning, &metav1.Time{Time: start}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(pool).WithObjects(pool, pod, node).
		WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if _, nodes := list.(*corev1.NodeList); nodes && f.broken != nil {
					return f.broken
				}
				return c.List(ctx, list, options...)
			},
		}).Build()
	f.Reconciler = &Reconciler{
		Client: c, Fleet: pods{}, Rooms: f.around, Events: undelivered{}, Recorder: events.NewFakeRecorder(100), Clock: f.clock,
		Namespace: "ns", Media: &desired.MediaAddresses{},
	}
	f.begin()
	return f
}

// pass has the controller look at the pool after a while, and returns what is in its status then.
func (f *fixture) pass(wait time.Duration) (v1alpha1.MediaPoolStatus, metav1.Condition, error) {
	f.Helper()
	f.clock.SetTime(f.clock.Now().Add(wait))
	key := client.ObjectKey{Name: "pool"}
	_, failed := f.Reconcile(f.Context(), ctrl.Request{NamespacedName: key})
	var pool v1alpha1.MediaPool
	if err := f.Client.Get(f.Context(), key, &pool); apierrors.IsNotFound(err) {
		return v1alpha1.MediaPoolStatus{}, metav1.Condition{}, failed
	} else if err != nil {
		f.Fatal(err)
	}
	ready := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		f.Fatalf("there is no condition Ready in %+v", pool.Status)
	}
	return pool.Status, *ready, failed
}

// The status says that it could not be brought up to date, and keeps what was seen last.
func TestAPoolThatCanNotBeObserved(t *testing.T) {
	f := newFixture(t)
	before, ready, err := f.pass(0)
	if err != nil || ready.Status != metav1.ConditionTrue || before.ReadyPods != 1 || before.Sessions != 1 || before.ObservedGeneration != 2 {
		t.Fatalf("the status is %+v, the error %v", before, err)
	}
	f.broken = errors.New("the API server does not answer")
	after, ready, err := f.pass(time.Second)
	if !errors.Is(err, f.broken) {
		t.Errorf("the error is %v", err)
	}
	if ready.Status != metav1.ConditionUnknown || ready.Reason != v1alpha1.ReasonNotObserved ||
		!strings.Contains(ready.Message, "listing Nodes: the API server does not answer") {
		t.Errorf("Ready is %+v", ready)
	}
	if after.Pods != before.Pods || after.ReadyPods != before.ReadyPods || after.Sessions != before.Sessions {
		t.Errorf("the status is %+v, want the one before: %+v", after, before)
	}
	f.broken = nil
	if _, ready, err = f.pass(time.Second); err != nil || ready.Status != metav1.ConditionTrue {
		t.Errorf("Ready is %+v, the error %v", ready, err)
	}
}

// The status says which pods can't be reached, and what becomes of them.
func TestPodsThatAreCutOff(t *testing.T) {
	cutOff := fleet.PodView{Known: true, State: fleet.Broken, CutOff: start}
	waits := cutOff
	waits.Waits = true
	gone := fleet.PodView{Known: true, State: fleet.Lost}
	for want, views := range map[string][]fleet.PodView{
		"the minimum of pods can host rooms": {},
		"the minimum of pods can host rooms; 1 pod is not reached by the operator, and calls there go on":                                               {cutOff, gone},
		"the minimum of pods can host rooms; 2 pods are not reached by the operator, and calls there go on":                                             {cutOff, cutOff},
		"the minimum of pods can host rooms; 1 pod is not reached by the operator, and calls there go on; 2 pods are to be given up, one after another": {waits, cutOff, waits},
	} {
		f := newFixture(t)
		o, err := f.observe(t.Context(), newPool())
		if err != nil {
			t.Fatal(err)
		}
		for _, view := range views {
			facts := o.pods[0]
			facts.view = view
			o.pods = append(o.pods, facts)
		}
		after := makeStatus(o, nil)
		if ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady); ready.Message != want {
			t.Errorf("got  %s\nwant %s", ready.Message, want)
		}
		r := Reconciler{Recorder: events.NewFakeRecorder(10)}
		r.publish(o, makeStatus(observed{pool: o.pool, pods: o.pods[:1], now: start}, nil), after)
		if told := len(r.Recorder.(*events.FakeRecorder).Events); told != min(len(views), 1) {
			t.Errorf("%d Events tell of %q", told, want)
		}
	}
}

// The status says what the deletion waits for: the rooms, and after drainSeconds the pods
// themselves.
func TestAPoolThatIsBeingDeleted(t *testing.T) {
	f := newFixture(t)
	if _, _, err := f.pass(0); err != nil {
		t.Fatal(err)
	}
	if err := f.Client.Delete(t.Context(), newPool()); err != nil {
		t.Fatal(err)
	}
	// The clock of the cluster is not the test's.
	f.clock.SetTime(time.Now())
	after, ready, err := f.pass(0)
	if err != nil || ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonDeleting ||
		!strings.Contains(ready.Message, "there are 1, and 1 of them host rooms") {
		t.Errorf("Ready is %+v, the error %v", ready, err)
	}
	if after.Pods != 1 || after.Sessions != 1 {
		t.Errorf("the status is %+v", after)
	}
	f.around["pod"] = 0
	if _, _, err := f.pass(time.Second); err != nil {
		t.Fatal(err)
	}
	if _, ready, err = f.pass(time.Second); err != nil || ready.Type != "" {
		t.Errorf("the pool is still there: Ready is %+v, the error %v", ready, err)
	}
}
