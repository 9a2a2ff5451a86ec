//go:build e2e

package rest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// A media pod is never restarted: when it is gone, its rooms go to other pods, where its users may
// come back. Sessions that REST made go with their last user: when nobody has come back in time.
func TestTheLossOfAMediaPod(t *testing.T) {
	t.Parallel()
	Shows(t, 169, 170, 172, 188)
	n := newTenant(t)
	pool := kube.NewPool(t, nil)
	create := func(id string) string {
		t.Helper()
		return n.want(t, 200, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q,"mediaNode":{"id":%q}}`, id, pool.Name)).body
	}
	create("used")
	unused := create("unused")
	a, b := n.join(t, "used", "a", ""), n.join(t, "used", "b", `{"role":"SUBSCRIBER"}`)
	m := rawclient.NewMedia(t)
	b.Receives(m, a.Publishes(m, camera).StreamID)
	n.active(a)
	n.active(b)
	waiting := n.connection(t, "unused", "")

	pods, err := kube.MediaPods(pool.Name)
	if err != nil || len(pods) != 1 {
		t.Fatalf("the pool has %d pods, %v", len(pods), err)
	}
	if err := kube.KillPod(t.Context(), &pods[0]); err != nil {
		t.Fatal(err)
	}
	late := create("late")
	n.want(t, 200, "GET", "/sessions/used", "") // they may come back
	a.Ends(patience)
	b.Close() // who only receives would stay, and be offered the stream anew
	wait.For(t, patience, "the session that was in use to be gone", func() error {
		if got := n.call(t, "GET", "/sessions/used", ""); got.status != 404 {
			return fmt.Errorf("got %d %s", got.status, got.body)
		}
		return nil
	})
	want := strings.Replace(unused, emptyList, `{"numberOfElements":1,"content":[`+waiting.text+`]}`, 1)
	if got := n.want(t, 200, "GET", "/sessions?pendingConnections=true", ""); got.body != `{"numberOfElements":2,"content":[`+want+","+late+`]}` {
		t.Errorf("what is left: got %s\nwant %s\nand %s", got.body, want, late)
	}
	// The token of before is good on the pod that comes, and so is a new one.
	wait.For(t, time.Minute, "another pod", func() error {
		var session v1alpha1.SessionList
		if err := kube.Client.List(t.Context(), &session, client.InNamespace(n.namespace.Name)); err != nil {
			return err
		}
		for i := range session.Items {
			if err := cluster.Ready(&session.Items[i], session.Items[i].Status.Conditions); err != nil {
				return err
			}
		}
		return nil
	})
	n.active(enter(t, waiting, "late"))
	n.active(n.join(t, "late", "late", ""))
}

// Where no media pod can be had, a session is as good as any other until somebody wants to join.
func TestSessionsWithoutAMediaPod(t *testing.T) {
	t.Parallel()
	Shows(t, 171)
	n := newTenant(t)
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.MinPods = new(int32(0))
		spec.Template.NodeSelector = map[string]string{"mediarooms.dev/nowhere": "true"}
	})
	created := n.want(t, 200, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":"S1","mediaNode":{"id":%q}}`, pool.Name))
	if got := n.call(t, "POST", "/sessions/S1/connection", ""); got.status != 503 || !strings.Contains(got.body, "waits for a media pod") {
		t.Errorf("a connection: got %d %s", got.status, got.body)
	}
	if got := n.want(t, 200, "GET", "/sessions?pendingConnections=true", ""); got.body != `{"numberOfElements":1,"content":[`+created.body+`]}` {
		t.Errorf("listed: got %s\nwant %s", got.body, created.body)
	}
	n.want(t, 204, "DELETE", "/sessions/S1", "")
	n.want(t, 404, "GET", "/sessions/S1", "")
}

// A browser that crashes says nothing; its user is out when it has not come back in time.
func TestTheLossOfABrowser(t *testing.T) {
	t.Parallel()
	Shows(t, 187)
	s := shared.session(t, "")
	a, b := shared.join(t, s, "a", ""), shared.join(t, s, "b", "")
	a.Publishes(rawclient.NewMedia(t), camera)
	shared.active(a)
	shared.active(b)
	a.Close()
	b.Gets("participantLeft", map[string]any{"connectionId": a.connection.ID, "reason": "networkDisconnect"})
	wait.For(t, patience, "the connection to be gone", func() error {
		if got := shared.call(t, "GET", "/sessions/"+s+"/connection/"+a.connection.ID, ""); got.status != 404 {
			return fmt.Errorf("got %d %s", got.status, got.body)
		}
		return nil
	})
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait.For(t, patience, "the session to be gone", func() error {
		if got := shared.call(t, "GET", "/sessions/"+s, ""); got.status != 404 {
			return fmt.Errorf("got %d %s", got.status, got.body)
		}
		return nil
	})
}
