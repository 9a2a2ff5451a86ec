package status_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/status"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fixture is a MediaPool and the Writer of its status.
type fixture struct {
	*testing.T
	status.Writer[*v1alpha1.MediaPool, v1alpha1.MediaPoolStatus]
	clock *clocktesting.FakePassiveClock
	pool  *v1alpha1.MediaPool
	// refuse is what the API server answers; nil lets a write through.
	refuse error
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, clock: clocktesting.NewFakePassiveClock(start)}
	f.pool = &v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "uid", Generation: 3}}
	f.Writer.Client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(f.pool).WithObjects(f.pool).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(
			ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, options ...client.SubResourcePatchOption,
		) error {
			if f.refuse != nil {
				return f.refuse
			}
			return c.SubResource(name).Patch(ctx, o, p, options...)
		}}).Build()
	f.Owner, f.Clock = "test", f.clock
	f.Status = func(p *v1alpha1.MediaPool) *v1alpha1.MediaPoolStatus { return &p.Status }
	f.Conditions = func(s *v1alpha1.MediaPoolStatus) *[]metav1.Condition { return &s.Conditions }
	f.read()
	return f
}

// read reads the pool as a pass does.
func (f *fixture) read() {
	f.Helper()
	if err := f.Client.Get(f.Context(), client.ObjectKey{Name: "pool"}, f.pool); err != nil {
		f.Fatal(err)
	}
}

// pods writes a status with a number of pods, and returns whether it was written or how long it has
// to wait.
func (f *fixture) pods(n int32, urgency status.Urgency, conditions ...metav1.Condition) (bool, time.Duration) {
	f.Helper()
	after := *f.pool.Status.DeepCopy()
	after.Pods = n
	status.SetConditions(&after.Conditions, f.pool.Generation, f.clock.Now(), conditions...)
	written, wait, err := f.Write(f.Context(), f.pool, after, urgency)
	if err != nil {
		f.Fatal(err)
	}
	f.read()
	if written && f.pool.Status.Pods != n {
		f.Errorf("%d pods are written, want %d", f.pool.Status.Pods, n)
	}
	return written, wait
}

func (f *fixture) pass(d time.Duration) { f.clock.SetTime(f.clock.Now().Add(d)) }

func TestCountsAreCoalesced(t *testing.T) {
	f := newFixture(t)
	if written, _ := f.pods(1, status.Lazy); !written {
		t.Error("the first status is not written at once")
	}
	if written, wait := f.pods(1, status.Urgent); written || wait != 0 {
		t.Errorf("the same status is written: %t, or waits %s", written, wait)
	}
	f.pass(status.DefaultInterval / 4)
	if written, wait := f.pods(2, status.Lazy); written || wait != status.DefaultInterval*3/4 {
		t.Errorf("the second is written: %t, or waits %s", written, wait)
	}
	if written, _ := f.pods(3, status.Urgent); !written {
		t.Error("one that somebody waits for is not written at once")
	}
	f.pass(status.DefaultInterval)
	if written, _ := f.pods(4, status.Lazy); !written {
		t.Error("one that comes after the interval is not written")
	}
	f.Forget(client.ObjectKeyFromObject(f.pool))
	if written, _ := f.pods(5, status.Lazy); !written {
		t.Error("an object that is forgotten has to wait")
	}
}

func TestChangedConditionsDoNotWait(t *testing.T) {
	f := newFixture(t)
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "A", Message: "a"}
	f.pods(1, status.Lazy, ready)
	ready.Message = "b"
	if written, _ := f.pods(2, status.Lazy, ready); written {
		t.Error("a message is written at once")
	}
	ready.Reason = "B"
	if written, _ := f.pods(2, status.Lazy, ready); !written {
		t.Error("a reason is not written at once")
	}
	f.pass(time.Minute)
	ready.Status = metav1.ConditionFalse
	f.pods(3, status.Lazy, ready)
	got := meta.FindStatusCondition(f.pool.Status.Conditions, v1alpha1.ConditionReady)
	if got == nil || got.ObservedGeneration != 3 || !got.LastTransitionTime.Time.Equal(start.Add(time.Minute)) {
		t.Errorf("the condition is %+v", got)
	}
}

func TestAnAnswerIsAwaited(t *testing.T) {
	f := newFixture(t)
	if _, wait := f.pods(1, status.Awaiting); wait != status.Patience {
		t.Errorf("it waits %s", wait)
	}
	f.pass(status.Patience / 5)
	if _, wait := f.pods(1, status.Awaiting); wait != status.Patience*4/5 {
		t.Errorf("asking again has it wait %s", wait)
	}
	f.pass(status.Patience)
	if written, _ := f.pods(1, status.Awaiting); !written {
		t.Error("it is not written although no answer came")
	}
	f.pass(time.Hour)
	if _, wait := f.pods(2, status.Awaiting); wait != status.Patience {
		t.Errorf("the next time it waits %s", wait)
	}
}

func TestAPauseHoldsForUrgentWrites(t *testing.T) {
	f := newFixture(t)
	f.Interval, f.Pause = 15*time.Second, 2*time.Second
	f.pods(1, status.Lazy)
	if _, wait := f.pods(2, status.Urgent); wait != 2*time.Second {
		t.Errorf("an urgent one waits %s", wait)
	}
	if _, wait := f.pods(2, status.Lazy); wait != 15*time.Second {
		t.Errorf("a lazy one waits %s", wait)
	}
	f.pass(2 * time.Second)
	if written, _ := f.pods(2, status.Urgent); !written {
		t.Error("an urgent one is not written after the pause")
	}
}

// A count of 0 is there, and a status that was lost is written again as a whole.
func TestZeroesAreWritten(t *testing.T) {
	f := newFixture(t)
	f.pods(1, status.Urgent)
	if written, _ := f.pods(0, status.Urgent); !written || f.pool.Status.Pods != 0 {
		t.Errorf("it is written: %t, and there are %d pods", written, f.pool.Status.Pods)
	}
}

func TestAFailedWrite(t *testing.T) {
	f := newFixture(t)
	f.pods(1, status.Urgent)
	f.refuse = errors.New("not now")
	before := f.pool.DeepCopy()
	written, _, err := f.Write(t.Context(), f.pool, v1alpha1.MediaPoolStatus{Pods: 7}, status.Urgent)
	if written || !errors.Is(err, f.refuse) {
		t.Errorf("written is %t, the error %v", written, err)
	}
	if f.pool.Status.Pods != before.Status.Pods {
		t.Errorf("the object claims %d pods", f.pool.Status.Pods)
	}
	f.refuse = nil
	if written, _ := f.pods(7, status.Urgent); !written {
		t.Error("it is not written the next time")
	}
}

func TestAnObjectThatCanNotBeObserved(t *testing.T) {
	f := newFixture(t)
	f.pods(4, status.Urgent, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "A"})
	cause := errors.New("listing Nodes: refused")
	for range 2 {
		if err := f.Unobserved(t.Context(), f.pool, cause); !errors.Is(err, cause) {
			t.Errorf("the error is %v", err)
		}
		f.read()
		ready := meta.FindStatusCondition(f.pool.Status.Conditions, v1alpha1.ConditionReady)
		if ready.Status != metav1.ConditionUnknown || ready.Reason != v1alpha1.ReasonNotObserved || !strings.Contains(ready.Message, "listing Nodes") {
			t.Errorf("the condition is %+v", ready)
		}
		if f.pool.Status.Pods != 4 {
			t.Errorf("the pods are %d", f.pool.Status.Pods)
		}
	}
}

func TestAnObjectThatIsGone(t *testing.T) {
	f := newFixture(t)
	f.refuse = apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("mediapools").GroupResource(), f.pool.Name)
	if written, _, err := f.Write(t.Context(), f.pool, v1alpha1.MediaPoolStatus{Pods: 7}, status.Urgent); written || err != nil {
		t.Errorf("written is %t, the error %v", written, err)
	}
}
