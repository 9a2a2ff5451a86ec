//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

func TestATokenWorksOnceAndNoOtherTokenWorks(t *testing.T) {
	applySamples(t)
	// A second room of the same tenant, and one of another tenant.
	tenant := kube.NewNamespace(t)
	kube.CreateSession(t, tenant, demo)
	kube.CreateConnection(t, tenant, demo, "stranger", nil)
	other := kube.CreateSession(t, cluster.DefaultTenant, "e2e-other")
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(kube.Client.Delete(context.Background(), other)); err != nil {
			t.Error(err)
		}
		wait.For(t, 30*time.Second, "Session e2e-other to be gone", func() error { return kube.Gone(other) })
	})
	kube.CreateConnection(t, cluster.DefaultTenant, other.Name, "e2e-neighbour", nil)

	used := join(t, 0, cluster.DefaultTenant, guest1)
	fresh := kube.WaitConnection(t, 20*time.Second, cluster.DefaultTenant, guest2).Status.Token
	spent := kube.WaitConnection(t, 20*time.Second, cluster.DefaultTenant, guest1).Status.Token
	neighbour := kube.WaitConnection(t, 20*time.Second, cluster.DefaultTenant, "e2e-neighbour").Status.Token
	stranger := kube.WaitConnection(t, 20*time.Second, tenant, "stranger").Status.Token
	base, secret, found := strings.Cut(fresh, "&token=")
	if !found || !strings.HasPrefix(secret, "tok_") {
		t.Fatalf("the token URL of %s has no token= in it", guest2)
	}
	secretOf := func(token string) string {
		_, s, _ := strings.Cut(token, "&token=")
		return s
	}
	wait.For(t, 5*time.Second, "the status to show the first user", func() error {
		session, err := kube.Session(cluster.DefaultTenant, demo)
		if err != nil {
			return err
		}
		if session.Status.ActiveConnections != 1 || session.Status.PendingConnections != 1 {
			return fmt.Errorf("active %d, pending %d", session.Status.ActiveConnections, session.Status.PendingConnections)
		}
		return nil
	})
	quiet(t)
	before := everything(t)

	wrong := "tok_A" + strings.Repeat("a", len(secret)-5)
	unknown := strings.Replace(fresh, "sessionId="+demo, "sessionId=nobody", 1)
	refusals := []struct {
		name          string
		socket, token string // the socket is opened with the fresh token's URL when empty
		code          int
		text          string
	}{
		{name: "wrong", token: base + "&token=" + wrong},
		{name: "truncated by one character", token: fresh[:len(fresh)-1]},
		{name: "truncated to nothing", token: base + "&token="},
		{name: "without a token", token: base},
		{name: "longer by one character", token: fresh + "A"},
		{name: "in other case", token: base + "&token=" + strings.ToUpper(secret)},
		{name: "empty", token: ""},
		{name: "no URL at all", token: secret},
		{name: "reused", token: spent},
		{name: "of another Session of the tenant", token: base + "&token=" + secretOf(neighbour)},
		{name: "of another tenant", token: base + "&token=" + secretOf(stranger)},
		{
			name: "of a Session that does not exist", socket: unknown, token: unknown,
			code: 202, text: "Unable to join session. Session nobody cannot be found. Code: 202",
		},
	}
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			if refusal.socket == "" {
				refusal.socket = fresh
			}
			if refusal.code == 0 {
				refusal.code = 401
				refusal.text = fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", demo, refusal.token)
			}
			refused(t, refusal.socket, refusal.token, refusal.code, refusal.text)
		})
	}
	page := chromium(t, 1).OpenParticipant(t, site, "thief")
	_, err := page.Join(spent, "thief")
	var failure *browser.Failure
	if !errors.As(err, &failure) || failure.Code != 401 || !strings.Contains(failure.Message, "Token "+spent+" is not valid") {
		t.Errorf("the browser's connect() with a reused token gave %v, want the error 401 of the spec", err)
	}

	if after := everything(t); after != before {
		t.Errorf("refused joins changed something.\nbefore: %s\nafter: %s", before, after)
	}
	unchanged := bystanders(t)
	used.stillThere(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	guest, err := roomclient.Dial(ctx, roomclient.Options{Token: fresh})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	joined, err := guest.Join(ctx, "second")
	if err != nil {
		t.Fatalf("the token that thieves tried around does not work any more: %v", err)
	}
	if len(joined.Value) != 1 || joined.Value[0].ID != used.joined.ConnectionID {
		t.Errorf("the second user was told of %+v, want only %s", joined.Value, used.joined.ConnectionID)
	}
	refused(t, fresh, fresh, 401, fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", demo, fresh))

	// This join is written to the status after whatever the refusals might have changed.
	wait.For(t, 5*time.Second, "the status to show the second user", func() error {
		connection, err := kube.Connection(cluster.DefaultTenant, guest2)
		if err != nil {
			return err
		}
		if connection.Status.State != v1alpha1.ConnectionStateActive {
			return fmt.Errorf("state is %q", connection.Status.State)
		}
		return nil
	})
	if after := bystanders(t); after != unchanged {
		t.Errorf("refused joins changed something.\nbefore: %s\nafter: %s", unchanged, after)
	}
}

// quiet waits until the pool counts what the test did and nothing has changed for three times as
// long as the operator may hold a status back (a second): counts are written last.
func quiet(t *testing.T) {
	t.Helper()
	want := sessions(t)
	last, since := "", time.Now()
	wait.For(t, 30*time.Second, "everything to be written", func() error {
		if now := everything(t); now != last {
			last, since = now, time.Now()
		}
		if calm := time.Since(since); calm < 3*time.Second {
			return fmt.Errorf("something changed %v ago", calm)
		}
		return poolCounts(want)
	})
}

// bystanders is everything but the room and the guest that somebody joins last.
func bystanders(t *testing.T) string {
	t.Helper()
	return everythingBut(t, func(object client.Object) bool {
		return object.GetName() == demo || object.GetName() == guest2
	})
}

// everything is all objects of all tenants and all pools as text, with their resource versions but
// for those of Sessions, whose service levels count who is refused, too.
func everything(t *testing.T) string {
	t.Helper()
	return everythingBut(t, func(client.Object) bool { return false })
}

func everythingBut(t *testing.T, leaveOut func(client.Object) bool) string {
	t.Helper()
	var sessions v1alpha1.SessionList
	var connections v1alpha1.ConnectionList
	var pools v1alpha1.MediaPoolList
	for _, list := range []client.ObjectList{&sessions, &connections, &pools} {
		if err := kube.Client.List(context.Background(), list); err != nil {
			t.Fatalf("listing all objects: %v", err)
		}
	}
	var objects []client.Object
	for i := range sessions.Items {
		// The last minute's figures count refusals, and are told every ten seconds.
		sessions.Items[i].Status.ServiceLevels, sessions.Items[i].ResourceVersion, sessions.Items[i].ManagedFields = nil, "", nil
		objects = append(objects, &sessions.Items[i])
	}
	for i := range connections.Items {
		objects = append(objects, &connections.Items[i])
	}
	for i := range pools.Items {
		objects = append(objects, &pools.Items[i])
	}
	objects = slices.DeleteFunc(objects, leaveOut)
	text, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
