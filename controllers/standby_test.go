package controllers_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/test/podtest"
)

// follows waits until another pod is told to follow a room, and the room's own pod of it, by
// another secret than before. It returns the other pod and the secret.
func (w *world) follows(session *v1alpha1.Session, before []byte) (*podtest.Pod, []byte) {
	w.Helper()
	var standby *podtest.Pod
	var secret []byte
	w.eventually("both pods are told of each other", func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		uid := string(session.UID)
		host := w.kubelet.pod(session.Status.PodName)
		if standby = w.kubelet.pod(session.Status.StandbyPodName); standby == nil || host == nil || standby == host {
			return fmt.Errorf("the room is on %q, and its standby is %q", session.Status.PodName, session.Status.StandbyPodName)
		}
		told, follows := host.Room(uid).GetStandby(), standby.Follows(uid)
		secret = follows.GetSecret()
		if len(secret) != 32 || bytes.Equal(secret, before) || !bytes.Equal(secret, told.GetSecret()) {
			return errors.New("they have no new secret")
		}
		if len(told.GetAdvertised()) == 0 || follows.GetAddress() == "" || follows.GetPodUid() == told.GetPodUid() {
			return fmt.Errorf("they are told of %s at %v, and of %s at %q", told.GetPodUid(), told.GetAdvertised(), follows.GetPodUid(), follows.GetAddress())
		}
		return nil
	})
	return standby, secret
}

// reports has a pod say how far it is as the standby of a room.
func (w *world) reports(pod *podtest.Pod, session *v1alpha1.Session, state controlv1.StandbyState, cause string) {
	w.Helper()
	if err := pod.Report(string(session.UID), state, cause); err != nil {
		w.Fatal(err)
	}
}

func TestAStandbyGoesOnWithARoom(t *testing.T) {
	w := newWorld(t)
	w.pool(func(s *v1alpha1.MediaPoolSpec) { s.MinPods, s.ReconnectWindowSeconds = ptr.To(int32(2)), 300 })
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(session)
	w.ready(guest)
	host := w.host(session)
	w.join(host, guest, "data")
	w.state(guest, v1alpha1.ConnectionStateActive)
	standby, secret := w.follows(session, nil)
	if session.Status.StandbyNodeName == session.Status.NodeName || session.Status.StandbyNodeName == "" {
		t.Errorf("both pods are on node %q", session.Status.NodeName)
	}
	w.reports(standby, session, controlv1.StandbyState_STANDBY_STATE_READY, "")
	w.await(session, v1alpha1.ConditionProtected, metav1.ConditionTrue, v1alpha1.ReasonStandbyReady)

	// A new leader leaves it as it is.
	w.stop()
	w.startOperator()
	if again, _ := w.follows(session, secret); again != standby {
		t.Error("the new leader has chosen another standby")
	}

	// The standby takes over before anybody else has noticed anything.
	w.reports(standby, session, controlv1.StandbyState_STANDBY_STATE_SERVING, "silent")
	w.eventually("the room is on the standby", func() error {
		if now := w.host(session); now != standby {
			return fmt.Errorf("it is on %s", session.Status.PodName)
		}
		return nil
	})
	// The standby was told that the user is in the room.
	w.await(guest, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReconnecting)
	w.state(guest, v1alpha1.ConnectionStateActive)
	if len(host.Closed()) != 0 || host.Evicted(string(guest.UID)) != "" {
		t.Errorf("the pod before has closed %v, and put the user out because of %q", host.Closed(), host.Evicted(string(guest.UID)))
	}
	w.eventually("it is told of", func() error {
		if events := w.events(session); !slices.Contains(events, "TakenOver") || slices.Contains(events, "PodLost") {
			return fmt.Errorf("the Events are %v", events)
		}
		return nil
	})
	w.eventually("it has another standby", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		if w.kubelet.pod(session.Status.StandbyPodName) != host || host.Follows(string(session.UID)) == nil {
			return fmt.Errorf("it is %q", session.Status.StandbyPodName)
		}
		return nil
	})
}
