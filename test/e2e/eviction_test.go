//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// A message needs some time from the pod to the page's event handler, on a machine that encodes
// video meanwhile, while kubectl learns of the deletion on another path.
const pageDelay = 500 * time.Millisecond

func TestDeletingAConnectionEvictsItsUser(t *testing.T) {
	applySamples(t)
	a, b := call(t, cluster.DefaultTenant, guest1, guest2)

	start := time.Now()
	if _, err := kube.Kubectl(t.Context(), "delete", "connection", guest2); err != nil {
		t.Fatal(err)
	}
	returned := time.Now()

	out := b.disconnected(t, 5*time.Second)
	if out.Reason != "forceDisconnectByServer" {
		t.Errorf("%s was told reason %q, want forceDisconnectByServer", b.Name, out.Reason)
	}
	left := a.event(t, 5*time.Second, "connectionDestroyed of "+b.Name, func(e browser.Event) bool {
		return e.Name == "connectionDestroyed" && e.ConnectionID == b.joined.ConnectionID
	})
	ended := a.event(t, 5*time.Second, "streamDestroyed of "+b.Name, func(e browser.Event) bool {
		return e.On == "session" && e.Name == "streamDestroyed" && e.StreamID == b.streamID
	})
	for _, event := range []browser.Event{left, ended} {
		if event.Reason != "forceDisconnectByServer" {
			t.Errorf("%s was told %s with reason %q, want forceDisconnectByServer", a.Name, event.Name, event.Reason)
		}
	}
	for _, event := range []browser.Event{out, left, ended} {
		if took := event.Time().Sub(start); took > 2*time.Second {
			t.Errorf("%s came after %v, want at most 2 s", event.Name, took)
		}
		if event.Time().After(returned.Add(pageDelay)) {
			t.Errorf("%s came %v after kubectl delete had returned", event.Name, event.Time().Sub(returned))
		}
	}
	t.Logf("evicted after %v, the other told after %v, kubectl delete returned after %v",
		out.Time().Sub(start), left.Time().Sub(start), returned.Sub(start))

	events, err := a.Events()
	if err != nil {
		t.Fatal(err)
	}
	order := func(wanted browser.Event) int {
		return slices.IndexFunc(events, func(e browser.Event) bool { return e == wanted })
	}
	if order(ended) > order(left) {
		t.Errorf("%s got connectionDestroyed before streamDestroyed", a.Name)
	}
	if _, err := kube.Connection(cluster.DefaultTenant, guest2); !apierrors.IsNotFound(err) {
		t.Errorf("kubectl delete returned, but Connection %s is still there (error %v)", guest2, err)
	}
	a.stillThere(t)
	wait.For(t, 5*time.Second, "the Session to count one user", func() error {
		session, err := kube.Session(cluster.DefaultTenant, demo)
		if err != nil {
			return err
		}
		if s := session.Status; s.ActiveConnections != 1 || s.PendingConnections != 0 || s.Publishers != 1 {
			return fmt.Errorf("active %d, pending %d, publishers %d", s.ActiveConnections, s.PendingConnections, s.Publishers)
		}
		return nil
	})
}

// stillThere checks that a guest was not thrown out, and that its socket works.
func (g *guest) stillThere(t *testing.T) {
	t.Helper()
	if err := g.Signal("still-there", g.Name); err != nil {
		t.Errorf("%s can't signal any more: %v", g.Name, err)
	}
	events, err := g.Events()
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(events, func(e browser.Event) bool { return e.Name == "sessionDisconnected" || e.Name == "reconnecting" }) {
		t.Errorf("%s was disconnected: %+v", g.Name, events)
	}
}

func TestDeletingAConnectionThatNobodyUsedMakesItsTokenWorthless(t *testing.T) {
	applySamples(t)
	token := kube.WaitConnection(t, 20*time.Second, cluster.DefaultTenant, guest2).Status.Token
	if _, err := kube.Kubectl(t.Context(), "delete", "connection", guest2); err != nil {
		t.Fatal(err)
	}
	refused(t, token, token, 401, fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", demo, token))

	page := chromium(t, 0).OpenParticipant(t, site, "late guest")
	_, err := page.Join(token, "late")
	var failure *browser.Failure
	if !errors.As(err, &failure) || failure.Code != 401 {
		t.Errorf("the browser joined with a dead token: %v", err)
	}
}

// refused checks that joinRoom is answered with an error. The socket is opened with one token and
// joinRoom is called with another, as text, so that also what is no URL can be tried.
func refused(t *testing.T, socketToken, token string, code int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client, err := roomclient.Dial(ctx, roomclient.Options{Token: socketToken})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.JoinWith(ctx, token, "")
	var answer *roomclient.Error
	if !errors.As(err, &answer) {
		t.Errorf("joinRoom gave %v, want error %d", err, code)
		return
	}
	if answer.Code != code || answer.Message != text {
		t.Errorf("joinRoom gave %d %q, want %d %q", answer.Code, answer.Message, code, text)
	}
}

func TestDeletingASessionEvictsEverybodyAndFreesThePod(t *testing.T) {
	removeSamples(t)
	quiet(t)
	before := sessions(t)
	applySamples(t)
	a, b := call(t, cluster.DefaultTenant, guest1, guest2)
	wait.For(t, 10*time.Second, "the pool to count the Session", func() error { return poolCounts(before + 1) })

	start := time.Now()
	if _, err := kube.Kubectl(t.Context(), "delete", "session", demo); err != nil {
		t.Fatal(err)
	}
	returned := time.Now()
	for _, g := range []*guest{a, b} {
		out := g.disconnected(t, 5*time.Second)
		if out.Reason != "sessionClosedByServer" {
			t.Errorf("%s was told reason %q, want sessionClosedByServer", g.Name, out.Reason)
		}
		if took := out.Time().Sub(start); took > 2*time.Second {
			t.Errorf("%s was told after %v, want at most 2 s", g.Name, took)
		}
		if out.Time().After(returned.Add(pageDelay)) {
			t.Errorf("%s was told %v after kubectl delete had returned", g.Name, out.Time().Sub(returned))
		}
	}
	for _, name := range []string{guest1, guest2} {
		connection, err := kube.Connection(cluster.DefaultTenant, name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wait.For(t, 10*time.Second, "Connection "+name+" to be gone", func() error { return kube.Gone(connection) })
	}
	wait.For(t, 10*time.Second, "the pod to be free again", func() error { return poolCounts(before) })
}

// sessions is how many Sessions there are, of all tenants.
func sessions(t *testing.T) int32 {
	t.Helper()
	var list v1alpha1.SessionList
	if err := kube.Client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return int32(len(list.Items))
}

// poolCounts gives no error when the default pool counts that many Sessions.
func poolCounts(want int32) error {
	pool, err := kube.Pool(cluster.DefaultPool)
	if err != nil {
		return err
	}
	if pool.Status.Sessions != want {
		return fmt.Errorf("the pool counts %d Sessions, want %d", pool.Status.Sessions, want)
	}
	return nil
}
