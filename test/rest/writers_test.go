//go:build e2e

package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/test/wait"
)

const (
	// writersPerSide write by REST, and as many as kubectl does.
	writersPerSide = 10
	// writing is how long they write.
	writing = time.Minute
	// writersPause is between two writes of a writer: other tests run at the same time.
	writersPause = 200 * time.Millisecond
	// contested is how many session ids they share.
	contested = 4
)

// membership is a connection that a writer knows of.
type membership struct{ session, connection string }

// writers change the sessions and connections of one tenant from both sides.
type writers struct {
	tenant *tenant

	mu       sync.Mutex // guards what follows
	known    []membership
	problems []string
	done     map[string]int // what was done and answered -> how often
}

func (w *writers) note(format string, arguments ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, arguments...))
}

func (w *writers) count(what string, answer any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[fmt.Sprintf("%s: %v", what, answer)]++
}

func (w *writers) remember(m membership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = append(w.known, m)
}

// pick takes one of the connections that are known; forget says that it is to be known no more.
func (w *writers) pick(forget bool) (membership, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) == 0 {
		return membership{}, false
	}
	i := rand.IntN(len(w.known))
	m := w.known[i]
	if forget {
		w.known = slices.Delete(w.known, i, i+1)
	}
	return m, true
}

func someSession() string { return fmt.Sprintf("w%d", rand.IntN(contested)) }

// byREST makes one change by REST.
func (w *writers) byREST(ctx context.Context) {
	session := someSession()
	switch n := rand.IntN(100); {
	case n < 15:
		w.rest(ctx, "POST", "/sessions", fmt.Sprintf(`{"customSessionId":%q}`, session), 200, 409)
	case n < 18:
		w.rest(ctx, "DELETE", "/sessions/"+session, "", 204, 404)
	case n < 50:
		got := w.rest(ctx, "POST", "/sessions/"+session+"/connection", `{"data":"by REST"}`, 200, 404)
		var made connection
		if got.status == http.StatusOK && json.Unmarshal([]byte(got.body), &made) == nil {
			w.remember(membership{session, made.ID})
		}
	case n < 75:
		if m, found := w.pick(false); found {
			role := []string{"PUBLISHER", "SUBSCRIBER", "MODERATOR"}[rand.IntN(3)]
			w.rest(ctx, "PATCH", "/sessions/"+m.session+"/connection/"+m.connection, fmt.Sprintf(`{"role":%q,"record":%t}`, role, rand.IntN(2) == 0), 200, 404)
		}
	default:
		if m, found := w.pick(true); found {
			w.rest(ctx, "DELETE", "/sessions/"+m.session+"/connection/"+m.connection, "", 204, 404, 400)
		}
	}
}

// rest asks as the tenant. Any other status than those wanted is a problem.
func (w *writers) rest(ctx context.Context, method, path, body string, wanted ...int) answer {
	made, err := request(method, path, body)
	if err != nil {
		w.note("%s %s: %v", method, path, err)
		return answer{}
	}
	as(w.tenant.secret)(made)
	// The next one may go to another gateway.
	made.Close = rand.IntN(4) == 0
	got, err := send(ctx, made)
	if err != nil || !slices.Contains(wanted, got.status) {
		w.note("%s %s %s: got %d %s, %v", method, path, body, got.status, got.body, err)
	}
	w.count("REST "+method+strings.Repeat(" connection", min(1, strings.Count(path, "/connection"))), got.status)
	return got
}

// asKubectl makes one change as kubectl does.
func (w *writers) asKubectl(ctx context.Context) {
	session := someSession()
	object := metav1.ObjectMeta{Namespace: w.tenant.namespace.Name, Name: session}
	switch n := rand.IntN(100); {
	case n < 15:
		w.kube("create Session", kube.Client.Create(ctx, &v1alpha1.Session{ObjectMeta: object}), apierrors.IsAlreadyExists)
	case n < 18:
		w.kube("delete Session", kube.Client.Delete(ctx, &v1alpha1.Session{ObjectMeta: object}), apierrors.IsNotFound)
	case n < 50:
		made := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, GenerateName: "guest-"}}
		made.Spec = v1alpha1.ConnectionSpec{SessionName: session, Data: "by kubectl"}
		err := kube.Client.Create(ctx, made)
		w.kube("create Connection", err)
		if err == nil {
			w.remember(membership{session, token.ConnectionID(string(made.UID))})
		}
	default:
		m, found := w.pick(n >= 75)
		if !found {
			return
		}
		var list v1alpha1.ConnectionList
		err := kube.Client.List(ctx, &list, client.InNamespace(object.Namespace), client.MatchingFields{v1alpha1.ConnectionIDField: m.connection})
		w.kube("look up Connection", err)
		if err != nil || len(list.Items) != 1 {
			return
		}
		c := &list.Items[0]
		if n >= 75 {
			w.kube("delete Connection", kube.Client.Delete(ctx, c), apierrors.IsNotFound)
			return
		}
		before := c.DeepCopy()
		c.Spec.Role = []v1alpha1.Role{v1alpha1.RolePublisher, v1alpha1.RoleSubscriber, v1alpha1.RoleModerator}[rand.IntN(3)]
		c.Spec.Record = ptr.To(rand.IntN(2) == 0)
		w.kube("patch Connection", kube.Client.Patch(ctx, c, client.MergeFrom(before)), apierrors.IsNotFound)
	}
}

// kube notes an error that is none of those expected.
func (w *writers) kube(what string, err error, expected ...func(error) bool) {
	switch {
	case err == nil:
		w.count("kubectl "+what, "done")
	case slices.ContainsFunc(expected, func(is func(error) bool) bool { return is(err) }):
		w.count("kubectl "+what, apierrors.ReasonForError(err))
	default:
		w.note("kubectl %s: %v", what, err)
	}
}

func TestWritersOnBothSidesAgreeInTheEnd(t *testing.T) {
	t.Parallel()
	w := &writers{tenant: newTenant(t), done: map[string]int{}}
	end := time.Now().Add(writing)
	var group sync.WaitGroup
	for range writersPerSide {
		for _, write := range []func(context.Context){w.byREST, w.asKubectl} {
			group.Go(func() {
				pause := time.NewTicker(writersPause)
				defer pause.Stop()
				for time.Now().Before(end) && t.Context().Err() == nil {
					write(t.Context())
					<-pause.C
				}
			})
		}
	}
	group.Wait()
	total := 0
	for _, what := range slices.Sorted(func(yield func(string) bool) {
		for what := range w.done {
			if !yield(what) {
				return
			}
		}
	}) {
		t.Logf("%6d %s", w.done[what], what)
		total += w.done[what]
	}
	for _, problem := range w.problems[:min(len(w.problems), 20)] {
		t.Error(problem)
	}
	if len(w.problems) > 0 || total < 1000 {
		t.Errorf("%d changes, of which %d went wrong", total, len(w.problems))
	}
	// Several times, since there are several gateways.
	for range 4 {
		wait.For(t, patience, "both views to agree", func() error { return w.compare(t.Context()) })
	}
}

// compare gives no error when REST shows exactly what there is.
func (w *writers) compare(ctx context.Context) error {
	in := client.InNamespace(w.tenant.namespace.Name)
	var sessions v1alpha1.SessionList
	if err := kube.Client.List(ctx, &sessions, in); err != nil {
		return err
	}
	var members v1alpha1.ConnectionList
	if err := kube.Client.List(ctx, &members, in); err != nil {
		return err
	}
	want := map[string]map[string]string{}
	for i := range sessions.Items {
		s := &sessions.Items[i]
		if !s.DeletionTimestamp.IsZero() {
			return fmt.Errorf("Session %s is still being deleted", s.Name)
		}
		want[s.Name] = map[string]string{}
	}
	for i := range members.Items {
		c := &members.Items[i]
		if !c.DeletionTimestamp.IsZero() {
			return fmt.Errorf("Connection %s is still being deleted", c.Name)
		}
		if of, found := want[c.Spec.SessionName]; found {
			if c.Status.Token == "" || c.Status.ObservedGeneration != c.Generation {
				return fmt.Errorf("Connection %s has no token, or its status is late", c.Name)
			}
			of[c.Status.ConnectionID] = fmt.Sprintf("%s %s %t %s %s %d", strings.ToUpper(string(c.Spec.Role)), strings.ToLower(string(c.Status.State)),
				ptr.Deref(c.Spec.Record, true), c.Spec.Data, c.Status.Token, creation.Milliseconds(c))
		}
	}
	got := map[string]map[string]string{}
	var shown struct {
		Content []struct {
			ID          string
			Connections connections
		}
	}
	if err := w.read(ctx, "/sessions?pendingConnections=true", &shown); err != nil {
		return err
	}
	for _, s := range shown.Content {
		got[s.ID] = map[string]string{}
		for _, listed := range s.Connections.Content {
			var c connection
			if err := w.read(ctx, "/sessions/"+s.ID+"/connection/"+listed.ID, &c); err != nil {
				return err
			}
			got[s.ID][c.ID] = fmt.Sprintf("%s %s %t %s %s %d", *c.Role, c.Status, c.Record, c.ServerData, ptr.Deref(c.Token, ""), c.CreatedAt)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("REST shows\n%v\nand there is\n%v", got, want)
	}
	return nil
}

// read reads by REST, at whatever gateway.
func (w *writers) read(ctx context.Context, path string, into any) error {
	made, err := request("GET", path, "")
	if err != nil {
		return err
	}
	as(w.tenant.secret)(made)
	made.Close = true
	got, err := send(ctx, made)
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return fmt.Errorf("GET %s: got %d %s", path, got.status, got.body)
	}
	return json.Unmarshal([]byte(got.body), into)
}
