package webhook

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/eventlog"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/test/wait"
)

// bound is how long a test waits for anything.
const bound = 20 * time.Second

// bench is a log of events with deliveries from it, quick to try again.
type bench struct {
	*testing.T
	log       *eventlog.Log
	deliverer *Deliverer

	mu       sync.Mutex // guards what follows
	sequence uint64
	acked    map[string]uint64 // Session -> sequence
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, acked: make(map[string]uint64)}
	b.log = eventlog.New(func(_ string, session types.UID, sequence uint64) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.acked[string(session)] = max(b.acked[string(session)], sequence)
	}, clock.RealClock{})
	b.deliverer = NewDeliverer(b.log, func(types.NamespacedName) {})
	b.deliverer.pauses = pauses{first: 5 * time.Millisecond, last: 20 * time.Millisecond, asked: 50 * time.Millisecond}
	t.Cleanup(b.deliverer.stop)
	return b
}

// serve has a Webhook served; change, unless nil, changes its spec first.
func (b *bench) serve(name, address string, secret map[string][]byte, change func(*v1alpha1.WebhookSpec)) *refusal {
	b.Helper()
	hook := &v1alpha1.Webhook{}
	hook.Namespace, hook.Name, hook.UID = "team", name, types.UID(name)
	hook.Spec = v1alpha1.WebhookSpec{URL: address}
	if change != nil {
		change(&hook.Spec)
		hook.Generation = 2
	}
	s, refused := prepare(hook, nil, secret, loopback)
	b.deliverer.configure(named(name), s)
	return refused
}

// loopback is where the endpoints of tests are.
var loopback = Guard{Allowed: prefixes("127.0.0.0/8", "::1/128")}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "team", Name: name}
}

// happen has an event happen in a Session, a signal with some data.
func (b *bench) happen(session, data string) uint64 {
	b.mu.Lock()
	b.sequence++
	sequence := b.sequence
	b.mu.Unlock()
	b.log.Append("pod", "instance", true, &controlv1.RoomEvents{
		Room: &controlv1.RoomIdentity{Uid: session, Tenant: "team", Name: session, SessionId: session},
		Events: []*controlv1.RoomEvent{{Sequence: sequence, Event: &controlv1.RoomEvent_SignalSent{
			SignalSent: &controlv1.SignalSent{To: []string{"con_A"}, Data: ptr.To(data)},
		}}},
	})
	return sequence
}

func (b *bench) eventually(what string, condition func() error) {
	b.Helper()
	if err := wait.Poll(context.Background(), bound, condition); err != nil {
		b.Fatalf("waiting until %s: %v", what, err)
	}
}

// isAcked waits until the pod may forget an event.
func (b *bench) isAcked(session string, sequence uint64) {
	b.Helper()
	b.eventually(fmt.Sprintf("event %d of %s is acknowledged", sequence, session), func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.acked[session] < sequence {
			return fmt.Errorf("%d is", b.acked[session])
		}
		return nil
	})
}

// receiver is an endpoint that notes what it gets, and answers as it is told.
type receiver struct {
	answer func(got string, w http.ResponseWriter)

	mu   sync.Mutex // guards what follows
	got  []string   // "session data", also of what it refuses
	last http.Header
	ids  []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var event struct{ Event, SessionID, Data string }
	if err := json.Unmarshal(body, &event); err != nil || event.Event != "signalSent" || request.Method != http.MethodPost {
		http.Error(w, "what is that?", http.StatusBadRequest)
		return
	}
	got := event.SessionID + " " + event.Data
	r.mu.Lock()
	r.got = append(r.got, got)
	r.last = request.Header.Clone()
	r.ids = append(r.ids, request.Header.Get(IDHeader))
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(got, w)
	}
}

// of returns what came of a session.
func (r *receiver) of(session string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var data []string
	for _, got := range r.got {
		if of, what, _ := strings.Cut(got, " "); of == session {
			data = append(data, what)
		}
	}
	return strings.Join(data, " ")
}

func (r *receiver) header() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func TestOrderPerSession(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	r := &receiver{answer: func(got string, _ http.ResponseWriter) {
		if got == "x 1" {
			<-release
		}
	}}
	server := httptest.NewServer(r)
	defer server.Close()
	if err := b.serve("hook", server.URL, nil, nil); err != nil {
		t.Fatal(err)
	}
	var last uint64
	for i := range 50 {
		last = b.happen("x", fmt.Sprint(i+1))
	}
	b.eventually("the first of x has come", func() error {
		if got := r.of("x"); got == "" {
			return fmt.Errorf("of x came %q", got)
		}
		return nil
	})
	y := b.happen("y", "1")
	b.isAcked("y", y) // x holds nobody else up
	if got := r.of("x"); got != "1" {
		t.Errorf("of x came %q before the first was answered", got)
	}
	close(release)
	b.isAcked("x", last)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i+1))
	}
	if got := r.of("x"); got != strings.Join(want, " ") {
		t.Errorf("of x came %q", got)
	}
	if seen := b.deliverer.observe(named("hook")); seen.pending != 0 || seen.problem != "" || seen.lastDelivery.IsZero() {
		t.Errorf("%+v", seen)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.ids)
	if ids := slices.Compact(slices.Clone(r.ids)); len(ids) != 51 || !strings.HasPrefix(ids[0], "instance-") {
		t.Errorf("%d ids, such as %q", len(ids), ids[0])
	}
}

func TestAnswers(t *testing.T) {
	for sentence, test := range map[string]struct {
		status  int
		header  string
		want    string // what came of x, where 1 is answered so until it is 204 at the third time
		problem string // as long as it is answered so
	}{
		"created is as good as OK":       {201, "", "1 2", ""},
		"an error of the server":         {500, "", "1 1 1 2", "the endpoint answers 500 Internal Server Error"},
		"unavailable, with Retry-After":  {503, "0", "1 1 1 2", "the endpoint answers 503 Service Unavailable"},
		"unavailable, for a long time":   {503, "3600", "1 1 1 2", "the endpoint answers 503 Service Unavailable"},
		"too many requests":              {429, "", "1 1 1 2", "the endpoint answers 429 Too Many Requests"},
		"a timeout":                      {408, "", "1 1 1 2", "the endpoint answers 408 Request Timeout"},
		"a bad request is not repeated":  {400, "", "1 2", "the endpoint answers 400 Bad Request"},
		"nor is one that nobody answers": {404, "", "1 2", "the endpoint answers 404 Not Found"},
		"redirects are not followed":     {307, "", "1 2", "the endpoint answers 307 Temporary Redirect; redirects are not followed"},
	} {
		t.Run(sentence, func(t *testing.T) {
			b := newBench(t)
			var mu sync.Mutex
			attempts, problem := 0, ""
			r := &receiver{}
			r.answer = func(got string, w http.ResponseWriter) {
				mu.Lock()
				defer mu.Unlock()
				if attempts++; attempts == 2 {
					problem = b.deliverer.observe(named("hook")).problem
				}
				if got == "x 1" && attempts < 3 {
					w.Header().Set("Retry-After", test.header)
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(test.status)
					return
				}
				w.WriteHeader(http.StatusNoContent)
			}
			server := httptest.NewServer(r)
			defer server.Close()
			if err := b.serve("hook", server.URL, nil, nil); err != nil {
				t.Fatal(err)
			}
			b.happen("x", "1")
			b.isAcked("x", b.happen("x", "2"))
			mu.Lock()
			defer mu.Unlock()
			if got := r.of("x"); got != test.want || problem != test.problem {
				t.Errorf("came %q with the problem %q", got, problem)
			}
		})
	}
}

func TestDeadEndpointHurtsNobodyElse(t *testing.T) {
	b := newBench(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	hangs := make(chan struct{})
	slow, fast := &receiver{answer: func(string, http.ResponseWriter) { <-hangs }}, &receiver{}
	slowServer, fastServer := httptest.NewServer(slow), httptest.NewServer(fast)
	defer fastServer.Close()
	defer slowServer.Close()
	defer close(hangs)
	for name, where := range map[string]string{"dead": "http://" + address, "slow": slowServer.URL, "fast": fastServer.URL} {
		if err := b.serve(name, where, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	var want []string
	for i := range 200 {
		b.happen("x", fmt.Sprint(i))
		b.happen(fmt.Sprint("y", i), "1")
		want = append(want, fmt.Sprint(i))
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("telling of 400 events took %v", took)
	}
	b.eventually("the fast one has everything", func() error {
		if seen := b.deliverer.observe(named("fast")); seen.pending != 0 {
			return fmt.Errorf("%d wait", seen.pending)
		}
		return nil
	})
	if got := fast.of("x"); got != strings.Join(want, " ") {
		t.Errorf("of x the fast one got %q", got)
	}
	dead := b.deliverer.observe(named("dead"))
	if dead.pending != 400 || !dead.retrying || dead.problem != noAnswer {
		t.Errorf("of the dead one is seen %+v", dead)
	}
	if n := b.log.Waiting("pod"); n != 400 {
		t.Errorf("%d events of the pod wait", n)
	}

	// It is brought to life, at the same address, and the slow one is deleted.
	revived := &receiver{}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: revived, ReadHeaderTimeout: bound}
	defer server.Close()
	go func() { _ = server.Serve(listener) }() // it ends with Close
	b.deliverer.forget(named("slow"))
	b.eventually("nothing waits", func() error {
		if n := b.log.Waiting("pod"); n != 0 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	if got := revived.of("x"); got != strings.Join(want, " ") {
		t.Errorf("of x the revived one got %q", got)
	}
}

// As long as an endpoint does not answer, one Session's event is tried, for all.
func TestOneTriesWhileThereIsNoAnswer(t *testing.T) {
	b := newBench(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	within := func(limit time.Duration) (net.Conn, error) {
		if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		return listener.Accept()
	}
	if err := b.serve("silent", "http://"+listener.Addr().String(), nil, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * workers {
		b.happen(fmt.Sprint(i), "1")
	}
	var first []net.Conn
	for range workers {
		connection, err := within(bound)
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, connection)
	}
	_ = first[0].Close()
	for range 5 {
		connection, err := within(bound)
		if err != nil {
			t.Fatal(err)
		}
		// Those that began before end while one tries.
		for _, connection := range first[1:] {
			_ = connection.Close()
		}
		if another, err := within(5 * b.deliverer.pauses.last); err == nil {
			_ = another.Close()
			t.Error("a second one tries")
		}
		_ = connection.Close()
	}
	if seen := b.deliverer.observe(named("silent")); seen.pending != 3*workers || !seen.retrying {
		t.Errorf("%+v is seen", seen)
	}
}

func TestHeaders(t *testing.T) {
	b := newBench(t)
	r := &receiver{}
	server := httptest.NewServer(r)
	defer server.Close()
	withHeaders := func(spec *v1alpha1.WebhookSpec) {
		spec.Headers = []v1alpha1.WebhookHeader{{Name: "X-Team", Value: "video"}, {Name: "Authorization", SecretKey: "auth"}}
	}
	err := b.serve("hook", server.URL, nil, withHeaders)
	if err == nil || err.Error() != `HeaderSecretMissing: Secret "mediarooms-webhook" has no key "auth", which header "Authorization" needs` {
		t.Errorf("without the Secret: %v", err)
	}
	first := b.happen("x", "1") // waits
	if err := b.serve("hook", server.URL, map[string][]byte{"auth": []byte("two\nlines")}, withHeaders); err == nil || strings.Contains(err.Error(), "lines") {
		t.Errorf("with a value of two lines: %v", err)
	}
	if err := b.serve("hook", server.URL, map[string][]byte{"auth": []byte("Bearer one\n")}, withHeaders); err != nil {
		t.Fatal(err)
	}
	b.isAcked("x", first)
	if h := r.header(); h.Get("Authorization") != "Bearer one" || h.Get("X-Team") != "video" || h.Get("Content-Type") != "application/json" ||
		h.Get("User-Agent") != "mediarooms" || h.Get(IDHeader) != "instance-1" {
		t.Errorf("the headers are %v", h)
	}
	if err := b.serve("hook", server.URL, map[string][]byte{"auth": []byte("Bearer two")}, withHeaders); err != nil {
		t.Fatal(err)
	}
	b.isAcked("x", b.happen("x", "2"))
	if got := r.header().Get("Authorization"); got != "Bearer two" {
		t.Errorf("after the change of the Secret comes %q", got)
	}
	if err := b.serve("hook", server.URL, nil, func(spec *v1alpha1.WebhookSpec) {
		spec.Headers = []v1alpha1.WebhookHeader{{Name: "content-type", Value: "application/vnd.example"}}
		spec.Events = []v1alpha1.WebhookEvent{v1alpha1.EventSignalSent}
	}); err != nil {
		t.Fatal(err)
	}
	b.isAcked("x", b.happen("x", "3"))
	if got := r.header()["Content-Type"]; len(got) != 1 || got[0] != "application/vnd.example" {
		t.Errorf("the content type is %q", got)
	}
	if err := b.serve("hook", server.URL, nil, func(spec *v1alpha1.WebhookSpec) {
		spec.Events = []v1alpha1.WebhookEvent{v1alpha1.EventSessionCreated}
		spec.TimeoutSeconds = 3
	}); err != nil {
		t.Fatal(err)
	}
	b.deliverer.configure(named("hook"), settings{events: map[v1alpha1.WebhookEvent]bool{}, fingerprint: [32]byte{1}})
	b.isAcked("x", b.happen("x", "4")) // nobody wants it
	if got := r.of("x"); got != "1 2 3" {
		t.Errorf("came %q", got)
	}
}

func TestGivingUp(t *testing.T) {
	b := newBench(t)
	r := &receiver{answer: func(_ string, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }}
	server := httptest.NewServer(r)
	defer server.Close()
	once := func(spec *v1alpha1.WebhookSpec) { spec.RetrySeconds = ptr.To[int32](0) }
	if err := b.serve("hook", server.URL, nil, once); err != nil {
		t.Fatal(err)
	}
	b.isAcked("x", b.happen("x", "1"))
	if seen := b.deliverer.observe(named("hook")); seen.lost != 1 || seen.retrying || seen.problem == "" || r.of("x") != "1" {
		t.Errorf("%+v after %q", seen, r.of("x"))
	}
	// What can't be sent at all is given up, too.
	if err := b.serve("waits", server.URL, nil, func(spec *v1alpha1.WebhookSpec) {
		once(spec)
		spec.CABundle = "no certificate"
	}); err == nil {
		t.Error("a bundle without a certificate is good enough")
	}
	b.isAcked("x", b.happen("x", "2"))
}

func TestCertificates(t *testing.T) {
	b := newBench(t)
	r := &receiver{}
	server := httptest.NewTLSServer(r)
	defer server.Close()
	server.Config.ErrorLog = nil
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	if err := b.serve("hook", server.URL, nil, nil); err != nil {
		t.Fatal(err)
	}
	b.happen("x", "1")
	b.eventually("an unknown authority is refused", func() error {
		if seen := b.deliverer.observe(named("hook")); !strings.Contains(seen.problem, "unknown authority") {
			return fmt.Errorf("%+v", seen)
		}
		return nil
	})
	if err := b.serve("hook", server.URL, nil, func(spec *v1alpha1.WebhookSpec) { spec.CABundle = bundle }); err != nil {
		t.Fatal(err)
	}
	b.isAcked("x", 1)
	if err := b.serve("any", server.URL, nil, func(spec *v1alpha1.WebhookSpec) { spec.TLSVerification = v1alpha1.TLSVerificationNone }); err != nil {
		t.Fatal(err)
	}
	b.isAcked("x", b.happen("x", "2"))
}

func TestTimeout(t *testing.T) {
	b := newBench(t)
	hangs := make(chan struct{})
	server := httptest.NewServer(&receiver{answer: func(string, http.ResponseWriter) { <-hangs }})
	defer server.Close()
	defer close(hangs)
	if err := b.serve("hook", server.URL, nil, func(spec *v1alpha1.WebhookSpec) { spec.TimeoutSeconds = 1 }); err != nil {
		t.Fatal(err)
	}
	b.happen("x", "1")
	b.eventually("the timeout is seen", func() error {
		if seen := b.deliverer.observe(named("hook")); seen.problem != noAnswer || !seen.retrying {
			return fmt.Errorf("%+v", seen)
		}
		return nil
	})
}

// Whoever owns a Webhook does not learn from it which ports are open where only the operator can
// look.
func TestFailuresTellNothingOfThePort(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close() // nobody listens from here on
	silent, rude, other := listen(t, ""), listen(t, "close"), listen(t, "SSH-2.0-OpenSSH_10.0\r\n")
	for sentence, address := range map[string]string{
		"a closed port":                                 "http://" + closed.Addr().String(),
		"a port that nothing comes back from":           "http://" + silent,
		"a port that nothing comes back from, with TLS": "https://" + silent,
		"a port that hangs up":                          "http://" + rude,
		"a port that hangs up on TLS":                   "https://" + rude,
		"a port where something else speaks":            "http://" + other,
		"a port where something else than TLS speaks":   "https://" + other,
		"a name that nobody has":                        "http://nobody.invalid",
		"a closed port, called by a name with a port":   "http://localhost:" + strings.Split(closed.Addr().String(), ":")[1],
	} {
		t.Run(sentence, func(t *testing.T) {
			b := newBench(t)
			if err := b.serve("hook", address, nil, func(spec *v1alpha1.WebhookSpec) { spec.TimeoutSeconds = 1 }); err != nil {
				t.Fatal(err)
			}
			b.happen("x", "1")
			b.eventually("the problem is seen", func() error {
				if seen := b.deliverer.observe(named("hook")); seen.problem == "" {
					return fmt.Errorf("%+v", seen)
				}
				return nil
			})
			if seen := b.deliverer.observe(named("hook")); seen.problem != noAnswer || !seen.retrying {
				t.Errorf("%+v", seen)
			}
		})
	}
}

// listen starts something that says a text to whoever connects, hangs up at once, or says nothing
// at all.
func listen(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			defer connection.Close()
			if text == "close" {
				_ = connection.Close() // it has done its part
				continue
			}
			_, _ = io.WriteString(connection, text) // whoever does not read it has hung up
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}
