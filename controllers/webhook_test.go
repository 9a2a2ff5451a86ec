package controllers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/rest"
)

// records keeps the call detail records of an operator.
type records struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (r *records) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

// of returns the lines about a Session.
func (r *records) of(session string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for line := range strings.Lines(r.text.String()) {
		if strings.Contains(line, `"sessionId":"`+session+`"`) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// inbox is the endpoint of a Webhook.
type inbox struct {
	mu            sync.Mutex // guards what follows
	bodies        []string
	authorization string
	down          bool
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || b.down {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	b.bodies = append(b.bodies, string(body))
	b.authorization = r.Header.Get("Authorization")
}

func (b *inbox) stop(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

// has gives no error once so many events have come, the last of them with some authorization.
func (b *inbox) has(n int, authorization string) func() error {
	return func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.bodies) != n || b.authorization != authorization {
			return fmt.Errorf("%d have come, the last with %q: %v", len(b.bodies), b.authorization, b.bodies)
		}
		return nil
	}
}

func TestWebhooks(t *testing.T) {
	rest.Shows(t, 165)
	w := newWorld(t)
	w.pool(nil)
	inbox := &inbox{}
	server := httptest.NewServer(inbox)
	defer server.Close()
	hook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "hook"}, Spec: v1alpha1.WebhookSpec{
		URL: server.URL, Headers: []v1alpha1.WebhookHeader{{Name: "Authorization", SecretKey: "auth"}},
	}}
	w.ensure(hook)
	w.await(hook, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonHeaderSecretMissing)
	w.await(hook, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonHeaderSecretMissing)

	session := w.session("room", nil)
	w.ready(session)
	pod := w.host(session)
	uid := string(session.UID)
	room := pod.Room(uid)
	if room.Tenant != tenantNamespace || room.Name != "room" || room.CreatedUnixMs/1000 != session.CreationTimestamp.Unix() || room.EndsWhenEmpty || room.Known {
		t.Errorf("the pod is told %v", room)
	}
	user := w.connection("user", "room", nil)
	w.ready(user)
	w.join(pod, user, "")
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: v1alpha1.WebhookSecretName}, StringData: map[string]string{"auth": "one"},
	}
	w.ensure(secret)
	t.Cleanup(func() {
		if err := w.Delete(context.Background(), secret); err != nil {
			t.Error(err)
		}
	})
	w.eventually("what waited has come", inbox.has(2, "one"))
	w.await(hook, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	acknowledged := func() error {
		if told, got := pod.Events(uid); got != told || told == 0 {
			return fmt.Errorf("up to %d of %d", got, told)
		}
		return nil
	}
	w.eventually("the pod may forget it", acknowledged)

	// The endpoint is down for a while, and the Secret changes.
	inbox.stop(true)
	if err := pod.Signal(string(user.UID)); err != nil {
		t.Fatal(err)
	}
	w.await(hook, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRetrying)
	if acknowledged() == nil {
		t.Error("what was not delivered is acknowledged")
	}
	secret.StringData = map[string]string{"auth": "two"}
	if err := w.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	inbox.stop(false)
	w.eventually("what was refused has come", inbox.has(3, "two"))
	w.await(hook, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)

	w.delete(session)
	w.gone(session)
	w.eventually("the end has come", inbox.has(5, "two"))
	inbox.mu.Lock()
	defer inbox.mu.Unlock()
	var names []string
	for i, line := range w.records.of("room") {
		var record map[string]map[string]any
		var body map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || json.Unmarshal([]byte(inbox.bodies[i]), &body) != nil || len(record) != 1 {
			t.Fatalf("record %s, body %s: %v", line, inbox.bodies[i], err)
		}
		for name, document := range record {
			names = append(names, name)
			document["event"] = name
			if fmt.Sprint(document) != fmt.Sprint(body) {
				t.Errorf("the record is %v, the body %v", document, body)
			}
			if unique := fmt.Sprintf("room_%d", room.CreatedUnixMs); body["uniqueSessionId"] != unique {
				t.Errorf("the session is called %v", body["uniqueSessionId"])
			}
		}
	}
	want := "[sessionCreated participantJoined signalSent participantLeft sessionDestroyed]"
	if got := fmt.Sprint(names); got != want {
		t.Errorf("the records are %s, want %s", got, want)
	}
}

// A Session that nobody ever joined and that is collected ends without a word; one that is deleted
// does not.
func TestCollectedSessionsEndSilently(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	for _, name := range []string{"collected", "deleted"} {
		session := w.session(name, nil)
		w.ready(session)
		pod, uid := w.host(session), string(session.UID)
		w.eventually("the beginning was told", func() error {
			if told, got := pod.Events(uid); got != told || told == 0 {
				return fmt.Errorf("acknowledged is %d of %d", got, told)
			}
			return nil
		})
		if name == "collected" {
			w.change(session, func() { session.Annotations = map[string]string{v1alpha1.CollectedAnnotation: "true"} })
		}
		w.delete(session)
		w.gone(session)
	}
	w.eventually("the other one has ended", func() error {
		if n := len(w.records.of("deleted")); n != 2 {
			return fmt.Errorf("there are %d records", n)
		}
		return nil
	})
	if n := len(w.records.of("collected")); n != 1 {
		t.Errorf("there are %d records of the one that was collected: %q", n, w.records.of("collected"))
	}
}
