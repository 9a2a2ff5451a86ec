package route

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const (
	system  = "mediarooms-system"
	primary = "default"
)

func newDirectory(t *testing.T, objects ...client.Object) *Directory {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&v1alpha1.Session{}, routingKeyIndex, routingKeys(primary)).Build()
	return &Directory{reader: reader, podNamespace: system}
}

func session(namespace, name, id, pod string, conditions ...metav1.Condition) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.SessionSpec{SessionID: id},
		Status:     v1alpha1.SessionStatus{PodName: pod, Conditions: conditions},
	}
}

func programmedAs(status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: status, Reason: reason}
}

func mediaPod(name, ip string, phase corev1.PodPhase, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name, Labels: map[string]string{v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "mediapod", Ports: []corev1.ContainerPort{
			{Name: "control", ContainerPort: 7443},
			{Name: signallingPort, ContainerPort: 17444},
		}}}},
		Status: corev1.PodStatus{PodIP: ip, Phase: phase, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

func TestFind(t *testing.T) {
	is := programmedAs(metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	unreachable := programmedAs(metav1.ConditionFalse, v1alpha1.ReasonPodUnreachable)
	waits := programmedAs(metav1.ConditionFalse, v1alpha1.ReasonWaitingForAck)
	younger := session(primary, "younger", "twice", "stopped", is)
	younger.CreationTimestamp = metav1.NewTime(time.Unix(2000, 0))
	older := session(primary, "older", "twice", "ready", is)
	older.CreationTimestamp = metav1.NewTime(time.Unix(1000, 0))
	// Of Sessions of one second the placed one has the id, then the first by UID: naming.Holder.
	tied := func(name, id, pod string, uid types.UID) *v1alpha1.Session {
		s := session(primary, name, id, pod, is)
		s.CreationTimestamp, s.UID = metav1.NewTime(time.Unix(1000, 0)), uid
		return s
	}
	directory := newDirectory(t,
		session(primary, "demo", "", "ready", is),
		session("team", "demo", "", "draining", is),
		session("team", "upper", "Upper_Case", "ready", is),
		session(primary, "placed", "", "ready", waits),
		session(primary, "silent", "", "ready"),
		session(primary, "lonely", "", "ready", unreachable),
		session(primary, "homeless", "", ""),
		session(primary, "lost", "", "gone", is),
		session(primary, "crashed", "", "stopped", is),
		session(primary, "early", "", "starting", is),
		older, younger,
		tied("tie-a", "tie", "stopped", "uid-2"), tied("tie-b", "tie", "ready", "uid-1"),
		tied("half-a", "half-tie", "", "uid-1"), tied("half-b", "half-tie", "ready", "uid-2"),
		mediaPod("ready", "10.0.0.1", corev1.PodRunning, corev1.ConditionTrue),
		mediaPod("draining", "fd00::2", corev1.PodRunning, corev1.ConditionFalse),
		mediaPod("stopped", "10.0.0.3", corev1.PodFailed, corev1.ConditionFalse),
		mediaPod("starting", "", corev1.PodPending, corev1.ConditionFalse),
	)
	for name, test := range map[string]struct {
		key  string
		want Room
	}{
		"a Session of the default tenant has a bare key":         {"demo", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444", Programmed: true}},
		"a pod that is not ready may still have the room":        {"team.demo", Room{Known: true, Namespace: "team", Address: "[fd00::2]:17444", Programmed: true}},
		"a session id is not the object's name":                  {"team.Upper_Case", Room{Known: true, Namespace: "team", Address: "10.0.0.1:17444", Programmed: true}},
		"the name of an object with a session id is no key":      {"team.upper", Room{}},
		"a pod that was not told yet":                            {"placed", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444"}},
		"a Session that nothing was said of":                     {"silent", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444"}},
		"a pod that the operator can't reach still has the room": {"lonely", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444", Programmed: true}},
		"a Session without a pod":                                {"homeless", Room{Known: true, Namespace: primary}},
		"a pod that is gone is none":                             {"lost", Room{Known: true, Namespace: primary, Programmed: false}},
		"a pod that has ended is none":                           {"crashed", Room{Known: true, Namespace: primary, Programmed: true}},
		"a pod without an address is none":                       {"early", Room{Known: true, Namespace: primary, Programmed: true}},
		"of two of one second the first by UID has it":           {"tie", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444", Programmed: true}},
		"of two of one second the placed one has it":             {"half-tie", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444", Programmed: true}},
		"of two Sessions with one id the older has it":           {"twice", Room{Known: true, Namespace: primary, Address: "10.0.0.1:17444", Programmed: true}},
		"no Session":                {"nobody", Room{}},
		"the empty key is nobody's": {"", Room{}},
		"another tenant's Session is not reached without its namespace": {"Upper_Case", Room{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := directory.Find(t.Context(), test.key)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("Find = %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestReady(t *testing.T) {
	leaving := mediaPod("leaving", "10.0.0.5", corev1.PodRunning, corev1.ConditionTrue)
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Unix(1000, 0)}
	leaving.Finalizers = []string{"test/keep"}
	stranger := mediaPod("stranger", "10.0.0.6", corev1.PodRunning, corev1.ConditionTrue)
	stranger.Labels = nil
	directory := newDirectory(t,
		mediaPod("one", "10.0.0.1", corev1.PodRunning, corev1.ConditionTrue),
		mediaPod("two", "10.0.0.2", corev1.PodRunning, corev1.ConditionTrue),
		mediaPod("draining", "10.0.0.3", corev1.PodRunning, corev1.ConditionFalse),
		mediaPod("starting", "", corev1.PodPending, corev1.ConditionFalse),
		leaving, stranger,
	)
	got, err := directory.Ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if want := []string{"10.0.0.1:17444", "10.0.0.2:17444"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Ready = %v, want %v", got, want)
	}
}

func TestBroadcastWakesEverybodyWhoWaited(t *testing.T) {
	var b broadcast
	b.notify() // Nobody waits.
	first, second := b.next(), b.next()
	select {
	case <-first:
		t.Fatal("woken without a change")
	default:
	}
	b.handler().OnUpdate(nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, woken := range []<-chan struct{}{first, second} {
		select {
		case <-woken:
		case <-ctx.Done():
			t.Fatal("not woken by a change")
		}
	}
	select {
	case <-b.next():
		t.Error("woken by a change before the call")
	default:
	}
}
