package opentok

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kuberest "k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/test/apiserver"
	"mediarooms.dev/mediarooms/test/operatortest"
	"mediarooms.dev/mediarooms/test/wait"
)

const (
	apiKey    = "46000001"
	apiSecret = "MY_SECRET"
	// bound is how long a test waits for anything; nothing takes nearly as long.
	bound = 30 * time.Second
)

var (
	cluster *kuberest.Config
	scheme  = runtime.NewScheme()
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	return apiserver.Run(m, func(started *kuberest.Config) error {
		cluster = started
		cluster.QPS = -1
		log.SetLogger(logr.Discard())
		return errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme))
	})
}

// world is a project in a namespace of its own, an operator for it, and a gateway.
type world struct {
	*testing.T
	client.Client
	project  *tenant.Project
	operator *operatortest.Operator
	rooms    *rooms
	gateway  *httptest.Server
}

// Fetch implements download.Recorders: each file says where it was fetched from.
func (w *world) Fetch(_ context.Context, pool, method, path string, header http.Header) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(method, path, http.NoBody)
	request.Header = header
	http.ServeContent(recorder, request, path, time.Unix(1700000000, 0), strings.NewReader(pool+" "+path))
	return recorder.Result(), nil
}

// Find implements Projects.
func (w *world) Find(_ context.Context, name string) (*tenant.Project, error) {
	if w.project.Is(name) {
		return w.project, nil
	}
	return nil, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	live, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "project-"}}
	if err := live.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Client: live, rooms: &rooms{in: map[string][]string{}}, project: &tenant.Project{
		Namespace: namespace.Name,
		Project:   credential.Project{APIKey: apiKey, Secrets: [][]byte{[]byte(apiSecret)}},
	}}
	w.operator = operatortest.Start(t, cluster, live, namespace.Name)
	w.startGateway()
	return w
}

func (w *world) startGateway() {
	w.Helper()
	open := func(namespace string) (cache.Cache, error) {
		return cache.New(cluster, cache.Options{Scheme: scheme, DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	}
	shared, err := open(w.project.Namespace)
	if err != nil {
		w.Fatal(err)
	}
	store, err := objects.New(w.Context(), shared, open, w.Client)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(store.Close)
	api, err := New(Config{Projects: w, Address: addressOf, Objects: store, Rooms: w.rooms, Files: w, Registry: prometheus.NewRegistry()})
	if err != nil {
		w.Fatal(err)
	}
	operatortest.InBackground(w.T, shared.Start)
	if !shared.WaitForCacheSync(w.Context()) {
		w.Fatal("the caches were not filled")
	}
	w.gateway = httptest.NewServer(api)
	w.Cleanup(w.gateway.Close)
}

// addressHeader has a request come from an address that belongs to its value, and to no other.
const addressHeader = "Test-Address"

func addressOf(r *http.Request) netip.Prefix {
	if value := r.Header.Get(addressHeader); value != "" {
		sum := sha256.Sum256([]byte(value))
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(sum[:16])), 128)
	}
	return netip.MustParsePrefix("192.0.2.1/32")
}

// rooms is the media pods as the API sees them: it notes what was sent.
type rooms struct {
	mu   sync.Mutex          // guards what follows
	in   map[string][]string // session id -> the connections in its room
	sent []string            // one JSON text per signal
	err  error
}

// Send implements Rooms.
func (r *rooms) Send(_ context.Context, _, sessionID string, signal route.Signal) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.in[sessionID]
	if r.err != nil || len(in) == 0 || slices.ContainsFunc(signal.To, func(id string) bool { return !slices.Contains(in, id) }) {
		return false, r.err
	}
	text, err := json.Marshal(signal)
	r.sent = append(r.sent, string(text))
	return err == nil, err
}

// Mute implements Rooms. The only stream that is there is str_here.
func (r *rooms) Mute(_ context.Context, _, sessionID string, mute podhttp.Mute) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || len(r.in[sessionID]) == 0 || mute.Stream != "" && mute.Stream != "str_here" {
		return false, r.err
	}
	text, err := json.Marshal(mute)
	r.sent = append(r.sent, string(text))
	return err == nil, err
}

// take returns what was sent since it was asked before.
func (r *rooms) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func (r *rooms) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// answer is what the gateway said.
type answer struct {
	status int
	header http.Header
	body   string
}

// restToken returns a REST token of the project.
func restTokenOf(t *testing.T, changes jwt.MapClaims) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{"iss": apiKey, "ist": "project", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for name, value := range changes {
		claims[name] = value
	}
	return sign(t, claims, apiSecret)
}

// connectToken returns a connect token of the project for a session.
func connectToken(t *testing.T, sessionID string, changes jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"session_id": sessionID, "role": "publisher", "scope": "session.connect", "initial_layout_class_list": ""}
	for name, value := range changes {
		claims[name] = value
	}
	return restTokenOf(t, claims)
}

func sign(t *testing.T, claims jwt.MapClaims, secret string) string {
	t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// request returns a request as the Node library makes it.
func (w *world) request(method, path, body string) *http.Request {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.gateway.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("User-Agent", nodeLibrary+"2.23.2")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("headers", "[object Object]")
	request.Header.Set(authHeader, restTokenOf(w.T, nil))
	request.Header.Set("Content-Type", "application/json")
	return request
}

// do sends a request. An error must have a JSON body.
func (w *world) do(request *http.Request) answer {
	w.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	if response.StatusCode >= 400 {
		var problem problemJSON
		if err := json.Unmarshal(body, &problem); err != nil || problem.Code != response.StatusCode || problem.Message == "" ||
			response.Header.Get("Content-Type") != "application/json" {
			w.Errorf("%s %s: the error is %d %s", request.Method, request.URL.Path, response.StatusCode, body)
		}
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// want asks as a server does, and checks the status.
func (w *world) want(status int, method, path, body string) answer {
	w.Helper()
	got := w.do(w.request(method, path, body))
	if got.status != status {
		w.Fatalf("%s %s %s: got %d %s, want %d", method, path, body, got.status, got.body, status)
	}
	return got
}

// ask asks to join, as the client library does.
func (w *world) ask(sessionID, token string) answer {
	w.Helper()
	return w.askFrom("", sessionID, token)
}

// askFrom does so from an address that belongs to a text; that of all others for "".
func (w *world) askFrom(from, sessionID, token string) answer {
	w.Helper()
	body, err := json.Marshal(joinRequest{APIKey: apiKey, SessionID: sessionID, Token: token})
	if err != nil {
		w.Fatal(err)
	}
	request := w.request(http.MethodPost, JoinPath, string(body))
	request.Header.Del(authHeader)
	request.Header.Set("Origin", "https://app.example.org")
	request.Header.Set(addressHeader, hex.EncodeToString([]byte(from)))
	return w.do(request)
}

// enter joins with a token that has some claims, makes the Connection's user active as the operator
// does, and returns the Connection.
func (w *world) enter(sessionID string, changes jwt.MapClaims) *v1alpha1.Connection {
	w.Helper()
	got := w.ask(sessionID, connectToken(w.T, sessionID, changes))
	if got.status != http.StatusOK {
		w.Fatalf("joining: got %d %s", got.status, got.body)
	}
	var answer joinAnswer
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		w.Fatal(err)
	}
	_, name, _ := strings.Cut(answer.URL, "token=tok_")
	var connection v1alpha1.Connection
	if err := w.Get(w.Context(), types.NamespacedName{Namespace: w.project.Namespace, Name: name}, &connection); err != nil {
		w.Fatal(err)
	}
	before := connection.DeepCopy()
	id := objects.ConnectionID(&connection)
	connection.Status.State = v1alpha1.ConnectionStateActive
	connection.Status.Publishers = []v1alpha1.PublisherStatus{{
		StreamID: "str_CAM_A1b2_" + id, CreatedTime: metav1.Now(), HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA",
	}}
	if err := w.Status().Patch(w.Context(), &connection, client.MergeFrom(before)); err != nil {
		w.Fatal(err)
	}
	w.rooms.mu.Lock()
	defer w.rooms.mu.Unlock()
	w.rooms.in[sessionID] = append(w.rooms.in[sessionID], id)
	return &connection
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	wait.For(t, bound, what, wait.True(holds))
}
