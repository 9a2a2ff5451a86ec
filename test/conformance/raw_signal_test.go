//go:build e2e

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
)

// secret is the REST password of the default tenant.
func secret(t *testing.T) string {
	t.Helper()
	object := &corev1.Secret{}
	key := client.ObjectKey{Namespace: cluster.DefaultTenant, Name: "mediarooms-rest"}
	if err := kube.Client.Get(t.Context(), key, object); err != nil {
		t.Fatalf("reading the REST password: %v", err)
	}
	return string(bytes.TrimSpace(object.Data["secret"]))
}

// rest makes a request of OpenVidu's REST API and returns the status and the body. body is JSON, or
// nothing when nil.
func rest(t *testing.T, method, path string, body any) (int, string) {
	t.Helper()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(encoded)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, kube.GatewayURL+"/openvidu/api"+path, content)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("OPENVIDUAPP", secret(t))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// signal is the parameter of sendMessage.
func signal(t *testing.T, to []string, kind, data string) map[string]any {
	t.Helper()
	message, err := json.Marshal(map[string]any{"to": to, "type": kind, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"message": string(message)}
}

func TestSignalsReachWhoTheyAreForInTheirOrder(t *testing.T) {
	t.Parallel()
	covers(t, "2.9-sendMessage", "3.6-sendMessage", "9-25", "2.9-errors", "6-600", "6-601")
	s, a, b, c := threeClients(t)
	// To all, the sender too, before the sender's answer.
	b.call("sendMessage", signal(t, []string{}, "signal:chat", "to all"))
	before := map[*member]int{}
	for _, m := range []*member{a, b, c} {
		told := m.Gets("sendMessage", map[string]any{"data": "to all"})
		if len(told) != 3 || told["type"] != "signal:chat" || told["from"] != b.ID() {
			t.Errorf("%s was told %v", m.Name, told)
		}
		before[m] = len(m.Notifications())
	}
	messages := b.Messages()
	if last := messages[len(messages)-1]; last.Answers != "sendMessage" {
		t.Errorf("the sender's last message is %s, want the answer", last.Raw)
	}
	// Absent recipients mean all, too; the type and the data are the sender's affair.
	b.call("sendMessage", map[string]any{"message": `{"data":"bare"}`})
	if told := a.Gets("sendMessage", map[string]any{"data": "bare"}); len(told) != 2 {
		t.Errorf("a was told %v, want data and from", told)
	}
	// To some, each once, maybe the sender.
	b.call("sendMessage", signal(t, []string{c.ID(), b.ID(), c.ID()}, "signal:chat", "to some"))
	b.Gets("sendMessage", map[string]any{"data": "to some"})
	c.Gets("sendMessage", map[string]any{"data": "to some"})
	// Nobody gets what is not for existing connections only.
	b.refused("sendMessage", signal(t, []string{c.ID(), "con_Nobody1234"}, "signal:chat", "lost"), 601,
		`Signal "to" field invalid format: some connectionId does not exist in this session. Code: 601`)
	for _, message := range []string{"hello", "[]", `"text"`, `{"to":[`, ""} {
		b.refused("sendMessage", map[string]any{"message": message}, 600, "Provided signal object '"+message+"' has not a valid JSON format. Code: 600")
	}
	for _, message := range []string{`{"to":"con_A"}`, `{"to":[1]}`, `{"to":{}}`} {
		if refusal := b.refusal("sendMessage", map[string]any{"message": message}); refusal.Code != 601 || !strings.HasPrefix(refusal.Message, `Signal "to" field invalid format: `) {
			t.Errorf("%s was refused with %v", message, refusal)
		}
	}
	// The order of one sender is the same at everybody.
	const many = 50
	for i := range many {
		b.call("sendMessage", signal(t, []string{}, "signal:count", fmt.Sprint(i)))
	}
	s.barrier()
	for _, m := range []*member{a, b, c} {
		count, some := 0, 0
		for _, n := range m.Notifications() {
			var params map[string]any
			if err := json.Unmarshal(n.Params, &params); err != nil {
				t.Fatal(err)
			}
			switch {
			case params["data"] == "lost":
				t.Errorf("%s got a signal that was refused", m.Name)
			case params["data"] == "to some":
				some++
			case params["type"] == "signal:count":
				if params["data"] != fmt.Sprint(count) {
					t.Errorf("%s got %v after %d", m.Name, params["data"], count)
				}
				count++
			}
		}
		if want := map[*member]int{a: 0, b: 1, c: 1}[m]; count != many || some != want {
			t.Errorf("%s got %d of %d signals, and %d to some, want %d", m.Name, count, many, some, want)
		}
	}
}

func TestSignalsOfTheServer(t *testing.T) {
	t.Parallel()
	covers(t, "3.6-server")
	r := newRoom(t, nil)
	if status, body := rest(t, http.MethodPost, "/signal", map[string]any{"session": r.name, "type": "x", "data": "nobody"}); status != http.StatusNotAcceptable {
		t.Errorf("a signal to an empty room: %d %s", status, body)
	}
	a, b := r.join(t, "a", v1alpha1.RolePublisher), r.join(t, "b", v1alpha1.RoleSubscriber)
	for _, c := range []struct {
		body   map[string]any
		status int
		want   map[string]any // what the recipients get
		b      bool           // b is one of them
	}{
		{map[string]any{"type": "chat", "data": "1"}, 200, map[string]any{"type": "signal:chat", "data": "1"}, true},
		{map[string]any{"type": "signal:chat", "data": "2"}, 200, map[string]any{"type": "signal:chat", "data": "2"}, true},
		{map[string]any{"data": "3", "to": []string{a.ID()}}, 200, map[string]any{"data": "3"}, false},
		{map[string]any{"data": "4", "to": []string{}}, 200, map[string]any{"data": "4"}, true},
		{map[string]any{"data": "5", "to": []string{a.ID(), "con_Nobody1234"}}, 406, nil, false},
	} {
		c.body["session"] = r.name
		status, body := rest(t, http.MethodPost, "/signal", c.body)
		if status != c.status {
			t.Errorf("%v: %d %s, want %d", c.body, status, body, c.status)
		}
		if c.want == nil {
			continue
		}
		if told := a.Gets("sendMessage", c.want); len(told) != len(c.want) {
			t.Errorf("a was told %v, want %v only", told, c.want)
		}
		if c.b {
			b.Gets("sendMessage", c.want)
		}
	}
	if status, body := rest(t, http.MethodPost, "/signal", map[string]any{"session": "nobody-made-this", "type": "x"}); status != http.StatusNotFound {
		t.Errorf("a signal to no room: %d %s", status, body)
	}
	for _, n := range b.Notifications() {
		if strings.Contains(string(n.Params), `"data":"3"`) || strings.Contains(string(n.Params), `"data":"5"`) {
			t.Errorf("b got %s", n.Params)
		}
	}
}
