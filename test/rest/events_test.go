//go:build e2e

package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// event is one event as a Webhook's endpoint got it.
type event struct {
	// text is the whole of it.
	text string

	Event, SessionID, UniqueSessionID, ConnectionID, ReceivingFrom, Connection, StreamID, Reason string

	Timestamp, StartTime int64
	From, Type, Data     *string
	To                   []string
}

// receiver is the endpoint of a Webhook. It is safe for concurrent use.
type receiver struct {
	url string
	// taken ends the wait of requests; nil when they do not wait.
	taken chan struct{}

	mu      sync.Mutex // guards what follows
	events  []event
	problem error
}

// listen starts a receiver that the cluster's pods can reach, until the end of the test. One that
// hangs answers nothing until then.
func listen(t *testing.T, hangs bool) *receiver {
	t.Helper()
	// This machine's address in the network of the nodes; nothing is sent.
	probe, err := net.Dial("udp", net.JoinHostPort(kube.Nodes[0].IP, "9"))
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(probe.LocalAddr().String())
	_ = probe.Close() // it has said what it was for
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "http://" + listener.Addr().String() + "/events"}
	if hangs {
		r.taken = make(chan struct{})
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }() // it ends with Close
	t.Cleanup(func() {
		if hangs {
			close(r.taken)
		}
		_ = server.Close() // nobody needs an answer any more
	})
	return r
}

// ServeHTTP takes an event.
func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	got := event{text: string(body)}
	if err == nil {
		err = json.Unmarshal(body, &got)
	}
	if kind := request.Header.Get("Content-Type"); err == nil && (request.Method != http.MethodPost || kind != "application/json") {
		err = fmt.Errorf("%s of %s", request.Method, kind)
	}
	r.mu.Lock()
	if err != nil {
		r.problem = fmt.Errorf("reading %s: %w", body, err)
	} else {
		r.events = append(r.events, got)
	}
	r.mu.Unlock()
	if r.taken != nil {
		<-r.taken
	}
}

// of returns what came of a session so far.
func (r *receiver) of(session string) ([]event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []event
	for _, e := range r.events {
		if e.SessionID == session {
			events = append(events, e)
		}
	}
	return events, r.problem
}

// until waits until the last event of a session is of a kind, and so many came before it, and
// returns them.
func (r *receiver) until(t *testing.T, session string, n int, kind string) []event {
	t.Helper()
	var events []event
	wait.For(t, patience, fmt.Sprintf("%d events of %s, the last %s", n, session, kind), func() (err error) {
		if events, err = r.of(session); err != nil {
			return err
		}
		if len(events) < n || events[len(events)-1].Event != kind {
			return fmt.Errorf("%d came: %v", len(events), events)
		}
		return nil
	})
	return events
}

// hook makes a Webhook of the tenant's and waits until it is used.
func (n *tenant) hook(t *testing.T, r *receiver) {
	t.Helper()
	hook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: n.namespace.Name, Name: "receiver"}, Spec: v1alpha1.WebhookSpec{URL: r.url}}
	if err := kube.Client.Create(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	wait.For(t, patience, "the Webhook to be accepted", func() error {
		if err := kube.Client.Get(t.Context(), client.ObjectKeyFromObject(hook), hook); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(hook.Status.Conditions, v1alpha1.ConditionAccepted) {
			return fmt.Errorf("%+v", hook.Status)
		}
		return nil
	})
}

// keysOf is how many members an event of a stream with video has.
func keysOf(e event) int {
	inbound := 0
	if e.Connection == "INBOUND" {
		inbound = 1
	}
	return map[string]int{
		"sessionCreated": 4, "sessionDestroyed": 7, "participantJoined": 11, "participantLeft": 14, "signalSent": 8,
		"webrtcConnectionCreated": 13 + inbound, "webrtcConnectionDestroyed": 16 + inbound,
	}[e.Event]
}

// story is events in short, with names for connections: "participantLeft b disconnect".
func story(t *testing.T, events []event, names map[string]string) []string {
	t.Helper()
	var lines []string
	for _, e := range events {
		if got := len(keys(t, e.text)); got != keysOf(e) {
			t.Errorf("%s has %d members, want %d: %s", e.Event, got, keysOf(e), e.text)
		}
		words := []string{e.Event, names[e.ConnectionID], e.Connection, names[e.ReceivingFrom], e.Reason}
		lines = append(lines, strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " "))
	}
	return lines
}

// tells checks that the events of a session are exactly these, in this order.
func tells(t *testing.T, events []event, names map[string]string, want ...string) {
	t.Helper()
	if got := story(t, events, names); !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	for _, e := range events {
		if unique := fmt.Sprintf("%s_%d", e.SessionID, events[0].Timestamp); e.UniqueSessionID != unique {
			t.Errorf("uniqueSessionId is %s, want %s", e.UniqueSessionID, unique)
		}
	}
}

func TestEventsOfARoomByTheirReasons(t *testing.T) {
	t.Parallel()
	Shows(t, 158, 161, 162, 163, 166)
	n := newTenant(t)
	r := listen(t, false)
	n.hook(t, r)
	var created struct{ CreatedAt int64 }
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"S1"}`).decode(t, &created)
	// Nobody needs to have joined.
	if first := r.until(t, "S1", 1, "sessionCreated")[0]; first.Timestamp != created.CreatedAt {
		t.Errorf("the session was created at %d, the event says %s", created.CreatedAt, first.text)
	}
	m := rawclient.NewMedia(t)
	a := n.join(t, "S1", "a", `{"role":"MODERATOR","data":"SERVER_DATA"}`)
	b := n.join(t, "S1", "b", `{"role":"PUBLISHER"}`)
	names := map[string]string{a.connection.ID: "a", b.connection.ID: "b"}
	call := func(who *member, method string, params map[string]any) {
		t.Helper()
		if err := who.Call(t.Context(), method, params, nil); err != nil {
			t.Fatal(err)
		}
	}
	r.until(t, "S1", 3, "participantJoined")
	publish := func(who *member) string { return who.Publishes(m, camera).StreamID }
	stream := publish(a)
	b.Receives(m, stream)
	call(a, "sendMessage", map[string]any{"message": `{"to":[],"type":"signal:chat","data":"HELLO"}`})
	n.want(t, 200, "POST", "/signal", fmt.Sprintf(`{"session":"S1","to":[%q],"type":"server1","data":"FROM_SERVER"}`, b.connection.ID))
	call(b, "unsubscribeFromVideo", map[string]any{"sender": a.connection.ID})
	b.Receives(m, stream)
	call(a, "unpublishVideo", map[string]any{})
	stream = publish(a)
	b.Receives(m, stream)
	n.want(t, 204, "DELETE", "/sessions/S1/stream/"+stream, "")
	call(a, "forceUnpublish", map[string]any{"streamId": publish(b)})
	// Three more come and go, each in another way.
	for _, name := range []string{"c", "d", "e"} {
		guest := n.join(t, "S1", name, "")
		names[guest.connection.ID] = name
		switch name {
		case "c":
			call(a, "forceDisconnect", map[string]any{"connectionId": guest.connection.ID})
		case "d":
			n.active(guest)
			n.want(t, 204, "DELETE", "/sessions/S1/connection/"+guest.connection.ID, "")
		case "e":
			if err := guest.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a.Gets("participantLeft", map[string]any{"connectionId": guest.connection.ID})
	}
	ofA, ofB := publish(a), publish(b)
	a.Receives(m, ofB)
	b.Receives(m, ofA)
	n.active(a)
	n.active(b)
	n.want(t, 204, "DELETE", "/sessions/S1", "")

	events := r.until(t, "S1", 2, "sessionDestroyed")
	const atTheEnd = 7
	tells(t, events[:len(events)-atTheEnd], names,
		"sessionCreated", "participantJoined a", "participantJoined b",
		"webrtcConnectionCreated a OUTBOUND", "webrtcConnectionCreated b INBOUND a", "signalSent", "signalSent",
		"webrtcConnectionDestroyed b INBOUND a unsubscribe", "webrtcConnectionCreated b INBOUND a",
		"webrtcConnectionDestroyed b INBOUND a unpublish", "webrtcConnectionDestroyed a OUTBOUND unpublish",
		"webrtcConnectionCreated a OUTBOUND", "webrtcConnectionCreated b INBOUND a",
		"webrtcConnectionDestroyed b INBOUND a forceUnpublishByServer", "webrtcConnectionDestroyed a OUTBOUND forceUnpublishByServer",
		"webrtcConnectionCreated b OUTBOUND", "webrtcConnectionDestroyed b OUTBOUND forceUnpublishByUser",
		"participantJoined c", "participantLeft c forceDisconnectByUser", "participantJoined d", "participantLeft d forceDisconnectByServer",
		"participantJoined e", "participantLeft e disconnect",
		"webrtcConnectionCreated a OUTBOUND", "webrtcConnectionCreated b OUTBOUND", "webrtcConnectionCreated a INBOUND b", "webrtcConnectionCreated b INBOUND a")
	// Who is put out first does not matter, as long as a user's connections go before it and the
	// session last.
	last := story(t, events[len(events)-atTheEnd:], names)
	for name, other := range map[string]string{"a": "b", "b": "a"} {
		left := slices.Index(last, "participantLeft "+name+" sessionClosedByServer")
		for _, connection := range []string{name + " OUTBOUND", name + " INBOUND " + other} {
			if at := slices.Index(last, "webrtcConnectionDestroyed "+connection+" sessionClosedByServer"); at < 0 || at > left {
				t.Errorf("%s of %s ends in place %d, its user in %d of %v", connection, name, at, left, last)
			}
		}
	}
	if last[atTheEnd-1] != "sessionDestroyed sessionClosedByServer" || events[len(events)-1].StartTime != created.CreatedAt {
		t.Errorf("the last event is %s", events[len(events)-1].text)
	}
	signals := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Event != "signalSent" })
	fromA, fromServer := signals[0], signals[1]
	both := []string{a.connection.ID, b.connection.ID}
	slices.Sort(both)
	slices.Sort(fromA.To)
	if fromA.From == nil || *fromA.From != a.connection.ID || *fromA.Type != "chat" || *fromA.Data != "HELLO" || !slices.Equal(fromA.To, both) {
		t.Errorf("the client's signal: %s", fromA.text)
	}
	if fromServer.From != nil || *fromServer.Type != "server1" || *fromServer.Data != "FROM_SERVER" || !slices.Equal(fromServer.To, []string{b.connection.ID}) {
		t.Errorf("the server's signal: %s", fromServer.text)
	}
}

func TestEventsOfTheEndsOfSessions(t *testing.T) {
	t.Parallel()
	Shows(t, 166)
	n := newTenant(t)
	r := listen(t, false)
	n.hook(t, r)
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"unused"}`)
	r.until(t, "unused", 1, "sessionCreated") // one that is deleted before the operator has seen it has no events
	n.want(t, 204, "DELETE", "/sessions/unused", "")
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"used"}`)
	a := n.join(t, "used", "a", "")
	names := map[string]string{a.connection.ID: "a"}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	tells(t, r.until(t, "used", 4, "sessionDestroyed"), names,
		"sessionCreated", "participantJoined a", "participantLeft a disconnect", "sessionDestroyed lastParticipantLeft")
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"evicted"}`)
	b := n.join(t, "evicted", "b", "")
	names[b.connection.ID] = "b"
	n.active(b)
	n.want(t, 204, "DELETE", "/sessions/evicted/connection/"+b.connection.ID, "")
	tells(t, r.until(t, "evicted", 4, "sessionDestroyed"), names,
		"sessionCreated", "participantJoined b", "participantLeft b forceDisconnectByServer", "sessionDestroyed lastParticipantLeft")
	tells(t, r.until(t, "unused", 2, "sessionDestroyed"), names, "sessionCreated", "sessionDestroyed sessionClosedByServer")
}

func TestAReceiverThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	Shows(t, 167)
	n := newTenant(t)
	r := listen(t, true)
	n.hook(t, r)
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	r.until(t, "S1", 1, "sessionCreated")
	// It has no answer until the test is over; everything else goes on.
	a, b := n.join(t, "S1", "a", ""), n.join(t, "S1", "b", "")
	stream := a.Publishes(rawclient.NewMedia(t), camera).StreamID
	b.Gets("participantPublished", map[string]any{"id": a.connection.ID})
	n.shows(a, "the stream", func(c connection) bool { return len(c.Publishers) == 1 })
	n.want(t, 204, "DELETE", "/sessions/S1/stream/"+stream, "")
	n.want(t, 204, "DELETE", "/sessions/S1/connection/"+b.connection.ID, "")
	n.want(t, 204, "DELETE", "/sessions/S1", "")
	n.want(t, 200, "POST", "/sessions", `{"customSessionId":"S1"}`)
	n.want(t, 204, "DELETE", "/sessions/S1", "")
}
