package controllers_test

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/podtest"
)

// levels waits until a Session shows service levels that are as wanted.
func (w *world) levels(session *v1alpha1.Session, what string, wanted func(*v1alpha1.ServiceLevels) bool) {
	w.Helper()
	w.eventually(what, func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		if !wanted(session.Status.ServiceLevels) {
			return fmt.Errorf("they are %+v", session.Status.ServiceLevels)
		}
		return nil
	})
}

func TestServiceLevelsAreShown(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	first, second := w.connection("first", "demo", nil), w.connection("second", "demo", nil)
	for _, o := range []client.Object{session, first, second} {
		w.ready(o)
	}
	pod := w.host(session)
	w.levels(session, "there are no figures of an idle room", func(l *v1alpha1.ServiceLevels) bool { return l == nil })
	w.join(pod, first, "")
	pod.Measure()
	w.levels(session, "a join is counted", func(l *v1alpha1.ServiceLevels) bool { return l != nil && l.Joins == 1 })
	if l := session.Status.ServiceLevels; int64(l.MedianJoinMilliseconds) < podtest.JoinTime.Milliseconds() || l.FailedJoins != 0 || l.SinceTime.IsZero() {
		t.Errorf("they are %+v", l)
	}

	// The next leader leaves them as they are, until the pod says something else.
	w.stop()
	w.startOperator()
	w.join(pod, second, "")
	pod.Measure()
	w.levels(session, "another join is counted", func(l *v1alpha1.ServiceLevels) bool { return l != nil && l.Joins == 2 })
	pod.Restart()
	w.levels(session, "another process knows nothing of them", func(l *v1alpha1.ServiceLevels) bool { return l == nil })
}
