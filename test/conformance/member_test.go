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
	"mediarooms.dev/mediarooms/test/rawclient"
)

// patience is how long an answer or a notification may take while many tests run on a small
// machine; a client waits as long.
const patience = 10 * time.Second

// member is a raw client, in the room once it has joined.
type member struct {
	*rawclient.Client
	// token is the URL that it was dialled with.
	token string
	// connection is the name of its Connection object, when the room made it.
	connection string
}

// dial opens a socket with a token. It is closed at the end of the test.
func dial(t *testing.T, name, token string) *member {
	t.Helper()
	return dialWith(t, name, roomclient.Options{Token: token})
}

// dialWith is dial with all options. At the end of the test it checks that nothing came that no
// server like this one sends.
func dialWith(t *testing.T, name string, options roomclient.Options) *member {
	t.Helper()
	client := rawclient.Dial(t, name, patience, options)
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
	return &member{Client: client, token: options.Token}
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
	m.Joins()
	return m
}

// call sends a request, which must succeed, and returns its result.
func (m *member) call(method string, params any) map[string]any {
	m.T.Helper()
	var result map[string]any
	if err := m.Call(m.T.Context(), method, params, &result); err != nil {
		m.T.Fatalf("%s: %v", m.Name, err)
	}
	return result
}

// refused sends a request, which must be answered with this error.
func (m *member) refused(method string, params any, code int, text string) {
	m.T.Helper()
	err := m.Call(m.T.Context(), method, params, nil)
	var refusal *roomclient.Error
	if !errors.As(err, &refusal) {
		m.T.Fatalf("%s: %s gave %v, want the error %d %q", m.Name, method, err, code, text)
	}
	if refusal.Code != code || refusal.Message != text {
		m.T.Errorf("%s: %s was refused with %d %q, want %d %q", m.Name, method, refusal.Code, refusal.Message, code, text)
	}
}

// answer sends a text as it is and returns the answer with an id, which is JSON text.
func (m *member) answer(text, id string) map[string]json.RawMessage {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), patience)
	defer cancel()
	before := len(m.Messages())
	if err := m.Send(ctx, []byte(text)); err != nil {
		m.T.Fatalf("%s: sending %.200s: %v", m.Name, text, err)
	}
	return m.answered(before, id)
}

// answered waits for the answer with an id among the messages from an index on.
func (m *member) answered(from int, id string) map[string]json.RawMessage {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), patience)
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
		m.T.Fatalf("%s: waiting for the answer %s: %v", m.Name, id, err)
	}
	return found
}

// failure is the error of an answer.
func (m *member) failure(answer map[string]json.RawMessage) roomclient.Error {
	m.T.Helper()
	var failure roomclient.Error
	if answer["error"] == nil {
		m.T.Errorf("%s: no error in the answer %s", m.Name, answer)
	} else if err := json.Unmarshal(answer["error"], &failure); err != nil {
		m.T.Fatal(err)
	}
	return failure
}

// contextWithin ends with the test, or when the time is over.
func contextWithin(t *testing.T, within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), within)
}
