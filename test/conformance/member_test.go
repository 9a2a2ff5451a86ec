//go:build e2e

package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// patience is how long an answer or a notification may take while many tests run on a small machine; a client waits as long.
const patience = 10 * time.Second

// member is a raw client, in the room once it has joined.
type member struct {
	*roomclient.Client
	t *testing.T
	// name in transcripts and errors.
	name string
	// token is the URL that it was dialled with.
	token string
	// connection is the name of its Connection object, when the room made it.
	connection string
	// joined is what joinRoom told, nil before.
	joined *roomclient.Joined
}

// dial opens a socket with a token. It is closed at the end of the test.
func dial(t *testing.T, name, token string) *member {
	t.Helper()
	return dialWith(t, name, roomclient.Options{Token: token})
}

// dialWith is dial with all options.
func dialWith(t *testing.T, name string, options roomclient.Options) *member {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := roomclient.Dial(ctx, options)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		client.Close()
		for _, n := range client.Notifications() {
			if !slices.Contains(sentNotifications, n.Method) {
				t.Errorf("%s was told %s %s, which no server like this one sends", name, n.Method, n.Params)
			}
		}
		for _, message := range client.Messages() {
			if failure := message.Err; failure != nil && !slices.Contains(sentCodes, failure.Code) && !slices.Contains(jsonrpcCodes, failure.Code) {
				t.Errorf("%s was refused with %v, a code that no server like this one sends", name, failure)
			}
		}
	})
	return &member{Client: client, t: t, name: name, token: options.Token}
}

// join dials with the token of a new Connection and joins.
func (r *room) join(t *testing.T, name string, role v1alpha1.Role) *member {
	t.Helper()
	return r.joinWith(t, name, func(spec *v1alpha1.ConnectionSpec) { spec.Role = role })
}

// joinWith dials with the token of a new Connection that change has changed, unless nil, and joins.
func (r *room) joinWith(t *testing.T, name string, change func(*v1alpha1.ConnectionSpec)) *member {
	t.Helper()
	connection := r.connection(t, change)
	m := dial(t, name, connection.Status.Token)
	m.connection = connection.Name
	m.join()
	return m
}

// join calls joinRoom. The client's data is its name.
func (m *member) join() {
	m.t.Helper()
	var err error
	if m.joined, err = m.Join(m.t.Context(), m.name); err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
}

// call sends a request, which must succeed, and returns its result.
func (m *member) call(method string, params any) map[string]any {
	m.t.Helper()
	var result map[string]any
	if err := m.Call(m.t.Context(), method, params, &result); err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
	return result
}

// refused sends a request, which must be answered with this error.
func (m *member) refused(method string, params any, code int, text string) {
	m.t.Helper()
	err := m.Call(m.t.Context(), method, params, nil)
	var refusal *roomclient.Error
	if !errors.As(err, &refusal) {
		m.t.Fatalf("%s: %s gave %v, want the error %d %q", m.name, method, err, code, text)
	}
	if refusal.Code != code || refusal.Message != text {
		m.t.Errorf("%s: %s was refused with %d %q, want %d %q", m.name, method, refusal.Code, refusal.Message, code, text)
	}
}

// gets waits for a notification whose members have these values, also one that came already, and returns all its members.
func (m *member) gets(method string, want map[string]any) map[string]any {
	m.t.Helper()
	return m.getsWithin(patience, method, want)
}

// getsWithin is gets with another patience.
func (m *member) getsWithin(within time.Duration, method string, want map[string]any) map[string]any {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), within)
	defer cancel()
	var found map[string]any
	_, err := m.WaitNotification(ctx, method, func(raw json.RawMessage) bool {
		var params map[string]any
		if json.Unmarshal(raw, &params) != nil {
			return false
		}
		for name, value := range want {
			if params[name] != value {
				return false
			}
		}
		found = params
		return true
	})
	if err != nil {
		var got []string
		for _, message := range m.Messages() {
			got = append(got, string(message.Raw))
		}
		m.t.Fatalf("%s: waiting for %s %v: %v; it got %q", m.name, method, want, err, got)
	}
	return found
}

// id is the connection id.
func (m *member) id() string { return m.joined.ID }

// answer sends a text as it is and returns the answer with an id, which is JSON text.
func (m *member) answer(text, id string) map[string]json.RawMessage {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	before := len(m.Messages())
	if err := m.Send(ctx, []byte(text)); err != nil {
		m.t.Fatalf("%s: sending %.200s: %v", m.name, text, err)
	}
	return m.answered(before, id)
}

// answered waits for the answer with an id among the messages from an index on.
func (m *member) answered(from int, id string) map[string]json.RawMessage {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	seen := 0
	var found map[string]json.RawMessage
	_, err := m.WaitMessage(ctx, func(message roomclient.Message) bool {
		seen++
		var parsed map[string]json.RawMessage
		if seen <= from || json.Unmarshal(message.Raw, &parsed) != nil || string(parsed["id"]) != id || parsed["method"] != nil {
			return false
		}
		found = parsed
		return true
	})
	if err != nil {
		m.t.Fatalf("%s: waiting for the answer %s: %v", m.name, id, err)
	}
	return found
}

// failure is the error of an answer.
func (m *member) failure(answer map[string]json.RawMessage) roomclient.Error {
	m.t.Helper()
	var failure roomclient.Error
	if answer["error"] == nil {
		m.t.Errorf("%s: no error in the answer %s", m.name, answer)
	} else if err := json.Unmarshal(answer["error"], &failure); err != nil {
		m.t.Fatal(err)
	}
	return failure
}

// closed waits until the socket has ended; Err says why.
func (m *member) closed(within time.Duration) {
	m.t.Helper()
	select {
	case <-m.Done():
	case <-time.After(within):
		m.t.Fatalf("%s: the socket is still open after %v", m.name, within)
	}
}

// contextWithin ends with the test, or when the time is over.
func contextWithin(t *testing.T, within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), within)
}
