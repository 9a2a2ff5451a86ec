package rest

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/operatortest"
)

// only returns the tenant's only Connection.
func (w *world) only() *v1alpha1.Connection {
	w.Helper()
	var list v1alpha1.ConnectionList
	if err := w.List(w.Context(), &list, client.InNamespace(w.namespace)); err != nil || len(list.Items) != 1 {
		w.Fatalf("got %d Connections, %v", len(list.Items), err)
	}
	return &list.Items[0]
}

// The numbers are those of section 9 of the REST reference.
func TestUpdateOfAConnection(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	created := w.want(200, "POST", "/sessions/S1/connection", `{"data":"d"}`)
	path := "/sessions/S1/connection/" + created.id(t)
	for _, test := range []struct {
		name, path, body string
		status           int
	}{
		{"175 role of another type", path, `{"role":false}`, 400},
		{"175 unknown role", path, `{"role":"WRONG"}`, 400},
		{"175 record as a number", path, `{"record":123}`, 400},
		{"175 record as a string", path, `{"record":"WRONG"}`, 400},
		{"175 unknown session with a bad body", "/sessions/NOT_EXISTS/connection/x", `{"role":false}`, 404},
		{"175 unknown session with bad JSON", "/sessions/NOT_EXISTS/connection/x", `{`, 404},
		{"175 unknown connection", "/sessions/S1/connection/con_x", `{"role":"SUBSCRIBER"}`, 404},
		{"175 bad JSON", path, `{`, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.call("PATCH", test.path, test.body); got.status != test.status {
				t.Errorf("got %d %s, want %d", got.status, got.body, test.status)
			}
		})
	}
	state := created.body
	update := func(name, body string, changes ...string) {
		t.Helper()
		state = strings.NewReplacer(changes...).Replace(state)
		if got := w.want(200, "PATCH", path, body); got.body != state || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %s\nwant %s", name, got.body, state)
		}
		for gateway := range w.gateways {
			if got := w.callAt(gateway, "GET", path, ""); got.body != state {
				t.Errorf("%s: GET at gateway %d: got %s\nwant %s", name, gateway, got.body, state)
			}
		}
	}
	generation := w.only().Generation
	update("175 nothing", "")
	update("175 nothing", `{}`)
	update("175 the same values", `{"role":"PUBLISHER","record":true}`)
	update("175 null", `{"role":null,"record":null}`)
	update("175 data", `{"data":"other","unknown":1}`)
	update("179 all that the Java client knows", `{"session":"S1","data":"other","record":null,"role":"PUBLISHER","type":"WEBRTC","customIceServers":[],"rtspUri":null}`)
	if got := w.only().Generation; got != generation {
		t.Errorf("updates that change nothing have changed the object: generation %d, was %d", got, generation)
	}
	for _, when := range []string{"pending", "active"} {
		update("176 role of one that is "+when, `{"role":"SUBSCRIBER"}`, `"role":"PUBLISHER"`, `"role":"SUBSCRIBER"`)
		update("176 record of one that is "+when, `{"record":false}`, `"record":true`, `"record":false`)
		update("176 both of one that is "+when, `{"record":true,"role":"PUBLISHER"}`, `"record":false`, `"record":true`, `"role":"SUBSCRIBER"`, `"role":"PUBLISHER"`)
		if when == "pending" {
			w.join(created.id(t))
			state = w.want(200, "GET", path, "").body
		}
	}
	if list := w.want(200, "GET", "/sessions/S1", ""); !strings.Contains(list.body, state) {
		t.Errorf("the session shows something else: %s\nwant %s", list.body, state)
	}
}

func TestAnUpdateHoldsWhenItIsAnswered(t *testing.T) {
	w := newWorld(t)
	w.want(200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	path := "/sessions/S1/connection/" + w.want(200, "POST", "/sessions/S1/connection", "{}").id(t)
	w.operator.Behave(operatortest.Behaviour{Silent: true})
	updated := make(chan answer, 1)
	go func() { updated <- w.call("PATCH", path, `{"role":"MODERATOR"}`) }()
	eventually(t, "the change", func() bool { return w.only().Spec.Role == v1alpha1.RoleModerator })
	select {
	case got := <-updated:
		t.Errorf("the answer comes before the media pod knows: %d", got.status)
	case <-time.After(100 * time.Millisecond):
	}
	w.operator.Behave(operatortest.Behaviour{})
	if err := w.operator.Reconcile(t.Context(), w.only()); err != nil {
		t.Fatal(err)
	}
	if got := <-updated; got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	w.operator.Behave(operatortest.Behaviour{Silent: true})
	started := time.Now()
	w.want(200, "PATCH", path, `{"role":"SUBSCRIBER"}`)
	if took := time.Since(started); took < applyTimeout || took > applyTimeout+5*time.Second {
		t.Errorf("without an operator the answer took %s", took)
	}
}
