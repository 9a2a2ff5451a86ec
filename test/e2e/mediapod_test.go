//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

func TestARoomComesBackOnAnotherPodWhenItsMediaPodIsKilled(t *testing.T) {
	cases.Shows(t, 170, 172)
	namespace := kube.NewNamespace(t)
	kube.CreateSession(t, namespace, "room")
	for _, name := range []string{"alice", "bob", "carol"} {
		kube.CreateConnection(t, namespace, "room", name, nil)
	}
	a, b := call(t, namespace, "alice", "bob")
	kube.WaitConnection(t, 20*time.Second, namespace, "carol")
	wait.For(t, 5*time.Second, "the status to count both users", func() error { return active(namespace, "room", 2) })
	session, err := kube.Session(namespace, "room")
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: session.Status.PodName}
	if err := kube.Client.Get(t.Context(), key, pod); err != nil {
		t.Fatalf("reading the pod that the Session names: %v", err)
	}
	if pod.Spec.NodeName != session.Status.NodeName {
		t.Errorf("the Session says node %q, its pod runs on %q", session.Status.NodeName, pod.Spec.NodeName)
	}

	killed := time.Now()
	if err := kube.KillPod(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	took := wait.For(t, 15*time.Second, "the Session to be Ready on another pod", func() error {
		session, err := kube.Session(namespace, "room")
		if err != nil {
			return err
		}
		if session.Status.PodName == pod.Name {
			return fmt.Errorf("it is on %s still", pod.Name)
		}
		return cluster.Ready(session, session.Status.Conditions)
	})
	t.Logf("the Session was Ready on another pod after %v", took)

	for _, g := range []*guest{a, b} {
		wait.For(t, 15*time.Second, "the Connection of "+g.Name+" to say that its user is gone", func() error {
			connection, err := kube.Connection(namespace, g.connection)
			if err != nil {
				return err
			}
			s := connection.Status
			if s.State != v1alpha1.ConnectionStateDisconnected || s.DisconnectReason != "nodeCrashed" || s.DisconnectedTime == nil ||
				s.DisconnectedTime.Time.Before(killed.Truncate(time.Second)) || len(s.Publishers) != 0 || len(s.Subscribers) != 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		// Its page must not go on as if nothing had happened: applications join again on this
		// reason.
		if end := g.disconnected(t, 30*time.Second); end.Reason != "nodeCrashed" {
			t.Errorf("%s was told %q", g.Name, end.Reason)
		}
	}
	wait.For(t, 10*time.Second, "the Session's counts to agree", func() error {
		session, err := kube.Session(namespace, "room")
		if err != nil {
			return err
		}
		if s := session.Status; s.ActiveConnections != 0 || s.PendingConnections != 1 || s.Publishers != 0 {
			return fmt.Errorf("active %d, pending %d, publishers %d", s.ActiveConnections, s.PendingConnections, s.Publishers)
		}
		return nil
	})

	// A token that was there before works on the new pod, and so does a new one; media flows.
	kube.CreateConnection(t, namespace, "room", "dave", nil)
	call(t, namespace, "carol", "dave")
	wait.For(t, 60*time.Second, "the pool to have a warm pod again", kube.Warm)
}
