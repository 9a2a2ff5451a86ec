//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

// told is one event as the endpoint of a Webhook got it.
type told struct {
	id   string
	keys int

	Event           string
	SessionID       string
	UniqueSessionID string
	Timestamp       int64
	StartTime       int64
	Reason          string
	ConnectionID    string
	ReceivingFrom   string
	StreamID        string
	Connection      string
}

// endpoint is a receiver of events that can be killed and started again at the same address.
type endpoint struct {
	t       *testing.T
	address string

	mu            sync.Mutex // guards what follows
	server        *http.Server
	events        []told // each once, in the order in which they came first
	seen          map[string]bool
	repeated      int
	authorization string // of the last request
	problem       error
}

// newEndpoint starts a receiver that the cluster's pods can reach.
func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	// This machine's address in the network of the nodes; nothing is sent.
	probe, err := net.Dial("udp", net.JoinHostPort(kube.Nodes[0].IP, "9"))
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(probe.LocalAddr().String())
	_ = probe.Close()
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{t: t, address: net.JoinHostPort(host, "0"), seen: make(map[string]bool)}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func (e *endpoint) start() {
	e.t.Helper()
	listener, err := net.Listen("tcp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	e.mu.Lock()
	e.address, e.server = listener.Addr().String(), server
	e.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // it ends with kill
}

// kill ends the receiver at once.
func (e *endpoint) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.server.Close() // what is on its way is lost, as it is meant to be
}

// ServeHTTP takes an event.
func (e *endpoint) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the receiver was killed meanwhile
	}
	event, keys := told{id: r.Header.Get("Mediarooms-Event-Id")}, map[string]any{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, err := range []error{json.Unmarshal(body, &event), json.Unmarshal(body, &keys)} {
		if err != nil {
			e.problem = fmt.Errorf("reading %s: %w", body, err)
		}
	}
	event.keys = len(keys)
	if kind := r.Header.Get("Content-Type"); r.Method != http.MethodPost || kind != "application/json" || event.id == "" {
		e.problem = fmt.Errorf("%s with %s and id %q", r.Method, kind, event.id)
	}
	e.authorization = r.Header.Get("Authorization")
	if e.seen[event.id] {
		e.repeated++
		return
	}
	e.seen[event.id] = true
	e.events = append(e.events, event)
}

// of returns what was told of a session so far.
func (e *endpoint) of(session string) []told {
	e.mu.Lock()
	defer e.mu.Unlock()
	var events []told
	for _, event := range e.events {
		if event.SessionID == session {
			events = append(events, event)
		}
	}
	return events
}

// wait waits until so many events of a kind have come of a session.
func (e *endpoint) wait(within time.Duration, session, name string, n int) {
	e.t.Helper()
	wait.For(e.t, within, fmt.Sprintf("%d %s of %s", n, name, session), func() error {
		got := 0
		for _, event := range e.of(session) {
			if event.Event == name {
				got++
			}
		}
		if got != n {
			return fmt.Errorf("%d have come", got)
		}
		return nil
	})
}

// keysOf returns how many keys the event must have, with "event" (REST case 158, openvidu-rest
// 5.3). All streams of the test have video.
func (event told) keysOf() int {
	inbound := 0
	if event.Connection == "INBOUND" {
		inbound = 1
	}
	return map[string]int{
		"sessionCreated": 4, "sessionDestroyed": 7, "participantJoined": 11, "participantLeft": 14,
		"webrtcConnectionCreated": 13 + inbound, "webrtcConnectionDestroyed": 16 + inbound,
	}[event.Event]
}

// TestEveryEventArrivesInOrderWhoeverIsKilled: whatever dies between a room and the endpoint of a
// Webhook, each event arrives, in the order of its session, and what begins also ends.
func TestEveryEventArrivesInOrderWhoeverIsKilled(t *testing.T) {
	cases.Shows(t, 158, 163, 166)
	namespace := kube.NewNamespace(t)
	receiver := newEndpoint(t)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.WebhookSecretName}, StringData: map[string]string{"auth": "Bearer one"},
	}
	hook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "receiver"}, Spec: v1alpha1.WebhookSpec{
		URL: "http://" + receiver.address + "/events", Headers: []v1alpha1.WebhookHeader{{Name: "Authorization", SecretKey: "auth"}},
	}}
	for _, object := range []client.Object{secret, hook} {
		if err := kube.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	hookIs := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		wait.For(t, 20*time.Second, "the Webhook's Ready to be "+reason, func() error {
			if err := kube.Client.Get(t.Context(), client.ObjectKeyFromObject(hook), hook); err != nil {
				return err
			}
			for _, c := range hook.Status.Conditions {
				if c.Type == v1alpha1.ConditionReady && c.Status == status && c.Reason == reason {
					return nil
				}
			}
			return fmt.Errorf("%+v", hook.Status)
		})
	}
	hookIs(metav1.ConditionTrue, v1alpha1.ReasonReady)

	media := rawclient.NewMedia(t)
	sessions := []string{"keep", "brief"}
	kube.CreateSession(t, namespace, "keep")
	brief := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "brief"}, Spec: v1alpha1.SessionSpec{WhenEmpty: v1alpha1.WhenEmptyDelete}}
	if err := kube.Client.Create(t.Context(), brief); err != nil {
		t.Fatal(err)
	}
	people := []string{"a", "b", "c", "d", "e", "f"}
	tokens, in := make(map[string]string), make(map[string]*rawclient.Client)
	for _, session := range sessions {
		for _, name := range people {
			kube.CreateConnection(t, namespace, session, session+"-"+name, nil)
		}
	}
	for _, session := range sessions {
		for _, name := range people {
			tokens[session+"-"+name] = kube.WaitConnection(t, 20*time.Second, namespace, session+"-"+name).Status.Token
		}
	}
	streams := make(map[string]string)
	var paths []io.Closer // the clients' peer connections
	joins := func(name string, receives bool) {
		t.Helper()
		for _, session := range sessions {
			c := dial(t, name, tokens[session+"-"+name])
			c.Joins()
			in[session+"-"+name] = c
			if receives {
				paths = append(paths, c.Receives(media, streams[session]))
			}
		}
	}
	leaves := func(name string) {
		t.Helper()
		for _, session := range sessions {
			if err := in[session+"-"+name].Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}

	joins("a", false)
	for _, session := range sessions {
		published := in[session+"-a"].Publishes(media, roomclient.Stream{VideoFrameRate: 10, Video: roomclient.Fixed(1, 200)})
		streams[session], paths = published.StreamID, append(paths, published)
	}
	joins("b", true)
	receiver.wait(10*time.Second, "keep", "webrtcConnectionCreated", 2)

	t.Log("the receiver is killed")
	receiver.kill()
	joins("c", true)
	leaves("b")
	hookIs(metav1.ConditionFalse, v1alpha1.ReasonRetrying)
	secret.StringData = map[string]string{"auth": "Bearer two"}
	if err := kube.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	receiver.start()
	hookIs(metav1.ConditionTrue, v1alpha1.ReasonReady)
	receiver.wait(20*time.Second, "brief", "participantLeft", 1)

	t.Log("the operator is killed")
	down := time.Now()
	joins("d", true)
	start := killOperator(t)
	leaves("c")
	start()
	joins("e", true)
	receiver.wait(60*time.Second, "brief", "participantJoined", 5)
	t.Logf("events came again %v after the operator was killed", time.Since(down))

	t.Log("the gateways are killed")
	killGateways(t)
	// These clients don't reconnect. While their media went on they would stay.
	for _, path := range paths {
		if err := path.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range sessions {
		receiver.wait(40*time.Second, session, "participantLeft", 5) // d and e and a were cut off
	}
	receiver.wait(20*time.Second, "brief", "sessionDestroyed", 1)
	sessions = sessions[:1]
	joins("f", false)
	if _, err := kube.Kubectl(t.Context(), "delete", "session", "keep", "-n", namespace); err != nil {
		t.Fatal(err)
	}
	receiver.wait(20*time.Second, "keep", "sessionDestroyed", 1)

	lost := map[string]string{"a": "networkDisconnect", "b": "disconnect", "c": "disconnect", "d": "networkDisconnect", "e": "networkDisconnect"}
	receiver.judge("brief", brief, lost, "lastParticipantLeft", func(name string) string { return in["brief-"+name].ID() })
	lost["f"] = "sessionClosedByServer"
	receiver.judge("keep", nil, lost, "sessionClosedByServer", func(name string) string { return in["keep-"+name].ID() })
	if receiver.authorization != "Bearer two" {
		t.Errorf("the last request says %q", receiver.authorization)
	}
	if receiver.problem != nil {
		t.Error(receiver.problem)
	}
	t.Logf("%d events, %d came twice", len(receiver.events), receiver.repeated)
	out, err := kube.Kubectl(t.Context(), "get", "webhooks", "-n", namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out)
}

// judge checks all that was told of a session. lost says why each user left.
func (e *endpoint) judge(session string, object *v1alpha1.Session, lost map[string]string, end string, idOf func(string) string) {
	e.t.Helper()
	events := e.of(session)
	e.mu.Lock()
	defer e.mu.Unlock()
	var transcript strings.Builder
	for _, event := range events {
		fmt.Fprintf(&transcript, "  %s %s %s %s %s\n", event.id, event.Event, cmp.Or(event.Connection, "-"), event.ConnectionID, event.Reason)
	}
	fail := func(format string, args ...any) {
		e.t.Helper()
		e.t.Errorf("%s: "+format+"\n%s", append(append([]any{session}, args...), transcript.String())...)
	}
	if first, last := events[0], events[len(events)-1]; first.Event != "sessionCreated" || last.Event != "sessionDestroyed" || last.Reason != end ||
		last.StartTime != first.Timestamp {
		fail("the first and the last event are wrong")
	}
	if object != nil && events[0].Timestamp/1000 != object.CreationTimestamp.Unix() {
		fail("it was created at %d, not at %d", object.CreationTimestamp.UnixMilli(), events[0].Timestamp)
	}
	open := make(map[string]int64) // what has begun -> when
	reasons := make(map[string]string)
	var before uint64
	for _, event := range events {
		if event.keys != event.keysOf() {
			fail("%s has %d keys, want %d", event.Event, event.keys, event.keysOf())
		}
		if unique := session + "_" + strconv.FormatInt(events[0].Timestamp, 10); event.UniqueSessionID != unique {
			fail("uniqueSessionId is %s, want %s", event.UniqueSessionID, unique)
		}
		_, number, _ := strings.Cut(event.id, "-")
		sequence, err := strconv.ParseUint(number, 10, 64)
		if err != nil || sequence <= before {
			fail("%s comes after %d", event.id, before)
		}
		before = sequence
		what := event.ConnectionID
		if strings.HasPrefix(event.Event, "webrtc") {
			what += " " + event.StreamID + " " + event.ReceivingFrom
		}
		switch event.Event {
		case "participantJoined", "webrtcConnectionCreated":
			if _, twice := open[what]; twice {
				fail("%s begins twice", what)
			}
			open[what] = event.Timestamp
		case "participantLeft", "webrtcConnectionDestroyed":
			if began, there := open[what]; !there || began != event.StartTime || event.Reason == "" {
				fail("%s ends, but has not begun at %d", what, event.StartTime)
			}
			delete(open, what)
		}
		if event.Event == "participantLeft" {
			reasons[event.ConnectionID] = event.Reason
		}
	}
	if len(open) > 0 {
		fail("never ended: %v", open)
	}
	for name, want := range lost {
		if got := reasons[idOf(name)]; got != want {
			fail("%s left because of %q, want %q", name, got, want)
		}
	}
	count := func(name string) int {
		return len(slices.DeleteFunc(slices.Clone(events), func(event told) bool { return event.Event != name }))
	}
	// All but the publisher, and whoever came when it had gone, received.
	if users, connections := count("participantJoined"), count("webrtcConnectionCreated"); users != len(lost) || connections != 5 {
		fail("%d users and %d WebRTC connections, want %d and 5", users, connections, len(lost))
	}
}

// killGateways kills the processes of all gateways, and returns when they are there again.
func killGateways(t *testing.T) {
	t.Helper()
	var pods corev1.PodList
	err := kube.Client.List(context.Background(), &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{v1alpha1.ComponentLabel: "gateway"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("there are %d gateways: %v", len(pods.Items), err)
	}
	for i := range pods.Items {
		if err := kube.KillPod(context.Background(), &pods.Items[i]); err != nil {
			t.Fatal(err)
		}
	}
	restarts := make(map[string]int32)
	for _, pod := range pods.Items {
		restarts[pod.Name] = pod.Status.ContainerStatuses[0].RestartCount
	}
	wait.For(t, 60*time.Second, "the gateways to be back", func() error {
		if err := kube.Client.List(context.Background(), &pods, client.InNamespace(cluster.Namespace), client.MatchingLabels{v1alpha1.ComponentLabel: "gateway"}); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if s := pod.Status.ContainerStatuses; len(s) == 0 || !s[0].Ready || s[0].RestartCount == restarts[pod.Name] {
				return fmt.Errorf("%s is not back", pod.Name)
			}
		}
		return nil
	})
}
