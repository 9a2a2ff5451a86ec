package opentok

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// webhooks returns the Webhooks of the project's namespace, by name.
func (w *world) webhooks() map[string]v1alpha1.Webhook {
	w.Helper()
	var list v1alpha1.WebhookList
	if err := w.List(w.Context(), &list, client.InNamespace(w.project.Namespace)); err != nil {
		w.Fatal(err)
	}
	byName := make(map[string]v1alpha1.Webhook, len(list.Items))
	for _, hook := range list.Items {
		byName[hook.Name] = hook
	}
	return byName
}

func TestCallbacks(t *testing.T) {
	w := newWorld(t)
	const at = below + "/callback"
	declared := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.project.Namespace, Name: "declared"}, Spec: v1alpha1.WebhookSpec{URL: "https://app.example.org"},
	}
	if err := w.Create(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	if got := w.want(200, http.MethodGet, at, ""); got.body != "[]" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("before there is one: %s", got.body)
	}
	body := func(group, event, url string) string {
		return fmt.Sprintf(`{"group":%q,"event":%q,"url":%q}`, group, event, url)
	}
	const url = "https://app.example.org:8443/events?key=a"
	ids := map[string]bool{}
	for name, want := range map[string]v1alpha1.WebhookEvent{
		"session.created": v1alpha1.EventSessionCreated, "session.destroyed": v1alpha1.EventSessionDestroyed,
		"connection.created": v1alpha1.EventParticipantJoined, "connection.destroyed": v1alpha1.EventParticipantLeft,
		"stream.created": v1alpha1.EventWebRTCConnectionCreated, "stream.destroyed": v1alpha1.EventWebRTCConnectionDestroyed,
		"archive.status": v1alpha1.EventRecordingStatusChanged,
	} {
		group, event, _ := strings.Cut(name, ".")
		got := w.want(200, http.MethodPost, at, body(group, event, url))
		var callback callbackJSON
		if err := json.Unmarshal([]byte(got.body), &callback); err != nil {
			t.Fatal(err)
		}
		ids[callback.ID] = true
		spec := w.webhooks()[callback.ID].Spec
		if callback.Group != group || callback.Event != event || callback.URL != url || callback.CreatedAt == 0 ||
			spec.URL != url || spec.Format != v1alpha1.WebhookFormatOpenTok || len(spec.Events) != 1 || spec.Events[0] != want {
			t.Errorf("%s: got %s, and a Webhook with %+v", name, got.body, spec)
		}
		if again := w.want(200, http.MethodPost, at, body(group, event, url)); again.body != got.body {
			t.Errorf("%s again: got %s", name, again.body)
		}
	}
	var list []callbackJSON
	if err := json.Unmarshal([]byte(w.want(200, http.MethodGet, at, "").body), &list); err != nil || len(list) != len(ids) || len(ids) != 7 {
		t.Errorf("of %d callbacks there are %+v, %v", len(ids), list, err)
	}
	// With the one that somebody has declared there are eight.
	w.want(409, http.MethodPost, at, body("session", "created", "https://app.example.org/other"))
	w.want(404, http.MethodDelete, at+"/declared", "")
	w.want(404, http.MethodDelete, at+"/none", "")
	for _, callback := range list {
		w.want(204, http.MethodDelete, at+"/"+callback.ID, "")
		w.want(404, http.MethodDelete, at+"/"+callback.ID, "")
	}
	if left := w.webhooks(); len(left) != 1 || left["declared"].Name == "" {
		t.Errorf("there are left %v", left)
	}
}

// What an address leads to, the operator checks when it calls it.
func TestCallbacksThatCannotBe(t *testing.T) {
	w := newWorld(t)
	const at = below + "/callback"
	for body, want := range map[string]int{
		"": 400, "[]": 400, `{"group":5}`: 400, `{"group":"stream","event":"created"}`: 400,
		`{"group":"stream","event":"muted","url":"https://a.example"}`: 400, `{"group":"archive","event":"created","url":"https://a.example"}`: 400,
		`{"group":"broadcast","event":"status","url":"https://a.example"}`: 501,
	} {
		w.want(want, http.MethodPost, at, body)
	}
	for _, url := range []string{
		"ftp://a.example", "a.example", "//a.example", "https://", "https://user:password@a.example", "https://a.example/#fragment", "https://a.example/a b",
		"https://a.example:0", "file:///etc/passwd", "https://a.example/" + strings.Repeat("a", 2048),
	} {
		if got := w.want(400, http.MethodPost, at, fmt.Sprintf(`{"group":"stream","event":"created","url":%q}`, url)); !strings.Contains(got.body, "'url' must start with") {
			t.Errorf("%s: got %s", url, got.body)
		}
	}
	if made := w.webhooks(); len(made) != 0 {
		t.Errorf("there are %v", made)
	}
	request := w.request(http.MethodPost, at, `{"group":"stream","event":"created","url":"https://a.example"}`)
	request.Header.Set(authHeader, connectToken(t, w.newSession(), nil))
	if got := w.do(request); got.status != http.StatusForbidden || len(w.webhooks()) != 0 {
		t.Errorf("with a connect token: got %d %s", got.status, got.body)
	}
}
