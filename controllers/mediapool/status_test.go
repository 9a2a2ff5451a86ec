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
	pod := podSpec(pool, "ns", "pod", podspec.Image{}, createPod{port: 31000}).Pod()
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

// The status says how the last pod has ended, and a rollout that fails is not ready.
func TestPodsThatFailToStart(t *testing.T) {
	ended := func(exitCode int32, reason, message string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Status.Phase = corev1.PodFailed
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: exitCode, Reason: reason, Message: message,
			}}}}
		}
	}
	unschedulable := func(message string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: message}}
		}
	}
	noPorts := unschedulable("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.")
	for name, test := range map[string]struct {
		pod    func(*corev1.Pod)
		ports  v1alpha1.PortRange
		status metav1.ConditionStatus
		says   string
	}{
		"an image without the program": {
			ended(128, "StartError", "exec: \"/mediapod\": no such file"), v1alpha1.PortRange{}, metav1.ConditionFalse,
			`media pod new has failed to start: 3 in a row; its container ended with exit code 128 (StartError): exec: "/mediapod": no such file`,
		},
		"of a log, the last line": {
			ended(1, "Error", "one\ntwo\x1b[31m "+strings.Repeat("x", 400)+"\n"), v1alpha1.PortRange{}, metav1.ConditionFalse,
			"media pod new has failed to start: 3 in a row; its container ended with exit code 1 (Error): two[31m " + strings.Repeat("x", 292) + "...",
		},
		"a port that a process has": {
			ended(1, "Error", "listen udp :31001: bind: address already in use"), v1alpha1.PortRange{}, metav1.ConditionFalse,
			"media pod new has failed to start: 3 in a row; port 31001 is taken: its container ended with exit code 1 (Error): listen udp :31001: bind: address already in use",
		},
		"a pod that its kubelet refuses": {
			func(pod *corev1.Pod) {
				pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "NodePorts", "Predicate NodePorts failed"
			}, v1alpha1.PortRange{}, metav1.ConditionFalse,
			"media pod new has failed to start: 3 in a row; port 31001 is taken: its node has ended it (NodePorts): Predicate NodePorts failed",
		},
		"a port that all nodes have given": {
			noPorts, v1alpha1.PortRange{}, metav1.ConditionFalse,
			"media pod new has failed to start: 3 in a row; port 31001 is taken: its ports are taken on every node that it could be on: " +
				"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
		},
		"the only port": {
			noPorts, v1alpha1.PortRange{First: 31001, Last: 31001}, metav1.ConditionTrue,
			"pods are replaced by those of the current template: port 31001 is taken: a pod can't be scheduled: " +
				"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
		},
		"no node": {
			unschedulable("1 Insufficient cpu"), v1alpha1.PortRange{}, metav1.ConditionTrue,
			"pods are replaced by those of the current template: a pod can't be scheduled: 1 Insufficient cpu",
		},
		"an image that can't be pulled": {
			func(pod *corev1.Pod) {
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"},
				}}}
			}, v1alpha1.PortRange{}, metav1.ConditionFalse,
			"a pod can't start: ImagePullBackOff: no such image",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool()
			pod := podSpec(pool, "ns", "old", podspec.Image{Name: "v1"}, createPod{port: 31000}).Pod()
			old := podFacts{pod: pod, view: fleet.PodView{Known: true, State: fleet.Synced, Usable: true}, addresses: []*controlv1.TransportAddress{{}}}
			if test.ports.First != 0 {
				pool.Spec.Exposure.PortRange = &test.ports
			}
			pod = podSpec(pool, "ns", "new", podspec.Image{Name: "v2"}, createPod{port: 31001, failures: 2}).Pod()
			pod.Status.Phase = corev1.PodPending
			test.pod(pod)
			o := observed{
				pool: pool, exposure: podspec.Media.Exposed(pool.Spec.Exposure), hash: templateHash(pool, podspec.Image{Name: "v2"}),
				pods: []podFacts{old, {pod: pod}}, now: start,
			}
			used := map[int32]int{31000: 1}
			if !finished(pod) {
				used[31001]++
			}
			o.ports = newPortMemory().ports([]corev1.Pod{*pod}, used, start)
			after := makeStatus(o, nil)
			progressing := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionProgressing)
			if progressing.Status != test.status || progressing.Message != test.says {
				t.Errorf("Progressing is %s: %s\nwant %s: %s", progressing.Status, progressing.Message, test.status, test.says)
			}
			ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
			if ready.Status != test.status || after.ReadyPods != 1 {
				t.Errorf("%d pods are ready, and Ready is %+v", after.ReadyPods, ready)
			}
			recorder := events.NewFakeRecorder(10)
			r := Reconciler{Recorder: recorder}
			r.publish(o, v1alpha1.MediaPoolStatus{}, after)
			r.publish(o, after, after)
			if told := len(recorder.Events); told != map[metav1.ConditionStatus]int{metav1.ConditionFalse: 1}[test.status] {
				t.Errorf("%d Events tell of it", told)
			}
		})
	}
}
