//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

func TestCallsGoOnWhileTheOperatorIsKilledAndWhatHappenedIsInStatusAfterwards(t *testing.T) {
	namespace := kube.NewNamespace(t)
	kube.CreateSession(t, namespace, "room")
	for _, name := range []string{"alice", "bob", "carol", "dave", "erin"} {
		kube.CreateConnection(t, namespace, "room", name, nil)
	}
	a, b := call(t, namespace, "alice", "bob")
	dave := signalling(t, namespace, "dave")
	erin := signalling(t, namespace, "erin")
	carolToken := kube.WaitConnection(t, 20*time.Second, namespace, "carol").Status.Token
	wait.For(t, 5*time.Second, "the status to count four users", func() error {
		return active(namespace, "room", 4)
	})
	for _, pair := range [][2]*guest{{a, b}, {b, a}} {
		if err := pair[0].Watch(pair[1].joined.ConnectionID); err != nil {
			t.Fatal(err)
		}
	}

	down := time.Now()
	start := killOperator(t)
	// Joins, leaves and deletions while there is no operator. The pod admits tokens that it knows.
	dial(t, "carol", carolToken).Joins()
	if err := dave.Leave(t.Context()); err != nil {
		t.Fatalf("leaving while the operator is down: %v", err)
	}
	if _, err := kube.Kubectl(t.Context(), "delete", "connection", "erin", "-n", namespace, "--wait=false"); err != nil {
		t.Fatal(err)
	}
	session, err := kube.Session(namespace, "room")
	if err != nil {
		t.Fatal(err)
	}
	if session.Status.ActiveConnections != 4 {
		t.Errorf("the status shows %d users although the operator is down: it is not", session.Status.ActiveConnections)
	}
	up := time.Now()
	start()

	// A killed leader keeps its lease for some seconds.
	wait.For(t, 60*time.Second, "everything that happened meanwhile to be in the status", func() error {
		connection, err := kube.Connection(namespace, "carol")
		if err != nil {
			return err
		}
		if s := connection.Status; s.State != v1alpha1.ConnectionStateActive || s.ClientData != "carol" || s.ActiveTime == nil ||
			s.ActiveTime.Time.Before(down.Truncate(time.Second)) || s.ActiveTime.After(up) {
			return fmt.Errorf("carol, who joined: %+v", s)
		}
		if connection, err = kube.Connection(namespace, "dave"); err != nil {
			return err
		}
		if s := connection.Status; s.State != v1alpha1.ConnectionStateDisconnected || s.DisconnectReason != "disconnect" ||
			s.DisconnectedTime == nil || s.DisconnectedTime.Time.Before(down.Truncate(time.Second)) || s.DisconnectedTime.After(up) {
			return fmt.Errorf("dave, who left: %+v", s)
		}
		erin := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "erin"}}
		if err := kube.Gone(erin); err != nil {
			return err
		}
		return active(namespace, "room", 3)
	})
	t.Logf("the operator was down for %v; the status was complete %v after its start", up.Sub(down), time.Since(up))
	erin.Gets("participantEvicted", map[string]any{"connectionId": erin.ID(), "reason": "forceDisconnectByServer"})
	evicted, err := erin.WaitNotification(t.Context(), "participantEvicted", nil)
	if err != nil {
		t.Fatal(err)
	}
	if evicted.At.Before(up) {
		t.Errorf("erin was evicted %v before the operator was back", up.Sub(evicted.At))
	}
	for _, pair := range [][2]*guest{{a, b}, {b, a}} {
		gaps, err := pair[0].Gaps(pair[1].joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s from %s: no frame for at most %.0f ms, no audio packet for at most %.0f ms",
			pair[0].Name, pair[1].Name, gaps.VideoMilliseconds, gaps.AudioMilliseconds)
		if gaps.VideoMilliseconds > 2000 || gaps.AudioMilliseconds > 2000 {
			t.Errorf("%s from %s: media stopped for %+v", pair[0].Name, pair[1].Name, gaps)
		}
		pair[0].stillThere(t)
	}
}

// killOperator kills the operator's processes and keeps it from coming back until the returned
// function is called, at the latest at the end of the test.
func killOperator(t *testing.T) (start func()) {
	t.Helper()
	ctx := context.Background()
	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.ManagerDeployment}
	if err := kube.Client.Get(ctx, key, deployment); err != nil {
		t.Fatal(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	operators := func() ([]corev1.Pod, error) {
		var pods corev1.PodList
		err := kube.Client.List(ctx, &pods, client.InNamespace(cluster.Namespace), client.MatchingLabelsSelector{Selector: selector})
		return pods.Items, err
	}
	pods, err := operators()
	if err != nil {
		t.Fatal(err)
	}
	if len(pods) == 0 {
		t.Fatal("there is no operator to kill")
	}
	for i := range pods {
		if err := kube.KillPod(ctx, &pods[i]); err != nil {
			t.Fatal(err)
		}
	}
	scale := func(replicas int32) {
		if _, err := kube.Kubectl(ctx, "scale", "-n", cluster.Namespace, "deployment/"+deployment.Name,
			"--replicas="+strconv.Itoa(int(replicas))); err != nil {
			t.Error(err)
		}
	}
	replicas := int32(1)
	if deployment.Spec.Replicas != nil {
		replicas = *deployment.Spec.Replicas
	}
	scale(0)
	t.Cleanup(func() {
		scale(replicas)
		if _, err := kube.Kubectl(ctx, "rollout", "status", "-n", cluster.Namespace, "deployment/"+deployment.Name,
			"--timeout=60s"); err != nil {
			t.Error(err)
		}
	})
	wait.For(t, 60*time.Second, "the operator's pods to be gone", func() error {
		left, err := operators()
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d pods", len(left))
		}
		return err
	})
	return func() { scale(replicas) }
}

// active gives no error when the status of a Session counts that many users.
func active(namespace, session string, users int32) error {
	s, err := kube.Session(namespace, session)
	if err != nil {
		return err
	}
	if s.Status.ActiveConnections != users {
		return fmt.Errorf("the Session counts %d users, want %d", s.Status.ActiveConnections, users)
	}
	return nil
}

// dial opens a socket with a token; it is closed at the end of the test.
func dial(t *testing.T, name, token string) *rawclient.Client {
	t.Helper()
	return rawclient.Dial(t, name, 20*time.Second, roomclient.Options{Token: token})
}

// signalling joins with the token of a Connection, without media.
func signalling(t *testing.T, namespace, connection string) *rawclient.Client {
	t.Helper()
	c := dial(t, connection, kube.WaitConnection(t, 20*time.Second, namespace, connection).Status.Token)
	c.Joins()
	return c
}
