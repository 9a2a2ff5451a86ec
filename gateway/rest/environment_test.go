package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kuberest "k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/failures"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/test/apiserver"
	"mediarooms.dev/mediarooms/test/openapi"
	"mediarooms.dev/mediarooms/test/operatortest"
	"mediarooms.dev/mediarooms/test/wait"
)

const (
	password = "MY_SECRET"
	// bound is how long a test waits for anything; nothing takes nearly as long.
	bound = 30 * time.Second
)

// sessionIDPattern is what generated session ids look like.
var sessionIDPattern = regexp.MustCompile(`^ses_[A-Z][A-Za-z0-9]{9}$`)

// The tests of this package talk to one real API server.
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

// world is a tenant with a namespace of its own, an operator for it, and two gateways.
type world struct {
	*testing.T
	client.Client
	namespace string
	operator  *operatortest.Operator
	rooms     *rooms
	files     files
	gateways  [2]*httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	live, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	if err := live.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Client: live, namespace: namespace.Name, rooms: &rooms{in: map[string][]string{}, ready: []string{"192.0.2.9:1"}}}
	w.setPassword(password)
	w.operator = operatortest.Start(t, cluster, live, w.namespace)
	for i := range w.gateways {
		w.gateways[i] = startGateway(t, live, w.namespace, w.rooms, &w.files, "")
	}
	return w
}

// setPassword writes the tenant's REST Secret.
func (w *world) setPassword(value string) {
	w.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "mediarooms-rest"}}
	if _, err := controllerutil.CreateOrUpdate(w.Context(), w.Client, secret, func() error {
		secret.Data = map[string][]byte{"secret": []byte(value)}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
}

// held waits until the operator holds a Session by its finalizer, and returns it. Without it, it
// can go unseen.
func (w *world) held(sessionID string) *v1alpha1.Session {
	w.Helper()
	session := &v1alpha1.Session{}
	eventually(w.T, "the finalizer of Session "+sessionID, func() bool {
		key := client.ObjectKey{Namespace: w.namespace, Name: objects.Names(sessionID)[0]}
		return w.Get(w.Context(), key, session) == nil && len(session.Finalizers) > 0
	})
	return session
}

// clientHeader says in these tests which client a request comes from.
const clientHeader = "X-Client"

func clientOf(r *http.Request) netip.Prefix {
	address, err := netip.ParseAddr(r.Header.Get(clientHeader))
	if err != nil {
		address = netip.IPv4Unspecified()
	}
	return netip.PrefixFrom(address, address.BitLen())
}

// rooms is the media pods as the REST API sees them: it notes what was sent.
type rooms struct {
	mu   sync.Mutex          // guards what follows
	in   map[string][]string // session id -> the connections in its room
	sent []string            // one JSON text per signal
	err  error
	// ready is the media pods that can host rooms.
	ready []string
}

// Send implements Rooms.
func (r *rooms) Send(_ context.Context, namespace, sessionID string, signal route.Signal) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false, r.err
	}
	in := r.in[sessionID]
	if len(in) == 0 || slices.ContainsFunc(signal.To, func(id string) bool { return !slices.Contains(in, id) }) {
		return false, nil
	}
	text, err := json.Marshal(signal)
	if err != nil {
		return false, err
	}
	r.sent = append(r.sent, namespace+"/"+sessionID+" "+string(text))
	return true, nil
}

// files stands for the recorders.
type files struct {
	mu    sync.Mutex // guards asked
	asked []string
}

// Fetch implements download.Recorders.
func (f *files) Fetch(_ context.Context, pool, method, path string, header http.Header) (*http.Response, error) {
	f.mu.Lock()
	f.asked = append(f.asked, pool+" "+path)
	f.mu.Unlock()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(method, path, nil)
	request.Header = header
	http.ServeContent(recorder, request, path, time.Unix(1700000000, 0), strings.NewReader("0123456789abcdef"))
	return recorder.Result(), nil
}

// Ready implements Pods.
func (r *rooms) Ready(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready, nil
}

// take returns what was sent since it was asked before.
func (r *rooms) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func startGateway(
	t *testing.T, live client.Client, namespace string, rooms *rooms, files download.Recorders, installation class.Name,
) *httptest.Server {
	t.Helper()
	cached, err := cache.New(cluster, cache.Options{Scheme: scheme, DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := objects.New(t.Context(), cached, func(namespace string) (cache.Cache, error) {
		return cache.New(cluster, cache.Options{Scheme: scheme, DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	}, live)
	if err != nil {
		t.Fatal(err)
	}
	store.Class = installation
	api, err := NewAPI(Config{
		Tenants:  &tenant.Directory{Reader: cached},
		Address:  clientOf,
		Failures: &failures.Counter{},
		Rooms:    rooms,
		Pods:     rooms,
		Objects:  store,
		Registry: prometheus.NewRegistry(),

		Files: files, DefaultNamespace: namespace,

		GarbageInterval: 15 * time.Minute, GarbageThreshold: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	api.hosts = oneHost("")
	t.Cleanup(store.Close)
	if _, err := cached.GetInformer(t.Context(), &corev1.Secret{}); err != nil {
		t.Fatal(err)
	}
	operatortest.InBackground(t, cached.Start)
	if !cached.WaitForCacheSync(t.Context()) {
		t.Fatal("the caches were not filled")
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server
}

// oneHost is the one host name that is known; "" is none.
type oneHost string

func (h oneHost) LookupHost(_ context.Context, name string) ([]string, error) {
	if h == "" || string(h) != name {
		return nil, errors.New("no such host")
	}
	return []string{"192.0.2.1"}, nil
}

// answer is what a gateway said.
type answer struct {
	status int
	header http.Header
	body   string
}

// id returns the member "id" of the body.
func (a answer) id(t *testing.T) string {
	t.Helper()
	var body struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.ID == "" {
		t.Fatalf("no id in %s", a.body)
	}
	return body.ID
}

// decode reads the body.
func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("reading %s: %v", a.body, err)
	}
}

// call asks the first gateway.
func (w *world) call(method, path, body string) answer {
	w.Helper()
	return w.callAt(0, method, path, body)
}

// callAt asks one of the gateways, with the tenant's password. The path is below /openvidu/api.
func (w *world) callAt(gateway int, method, path, body string) answer {
	w.Helper()
	request := w.request(gateway, method, path, body)
	request.SetBasicAuth("OPENVIDUAPP", password)
	return w.do(request)
}

func (w *world) request(gateway int, method, path, body string) *http.Request {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.gateways[gateway].URL+"/openvidu/api"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

// do sends a request. Every answer must be one that the OpenAPI description promises.
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
	promised := openapi.Answer{Method: request.Method, Path: rename(request.URL.Path), Status: response.StatusCode, Header: response.Header, Body: body}
	if request.GetBody != nil {
		sent, err := request.GetBody()
		if err != nil {
			w.Fatal(err)
		}
		if promised.Request, err = io.ReadAll(sent); err != nil {
			w.Fatal(err)
		}
	}
	if err := openapi.Served().Check(promised); err != nil {
		w.Errorf("not as the OpenAPI description says: %v", err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(bytes.TrimSpace(body))}
}

// want calls and checks the status.
func (w *world) want(status int, method, path, body string) answer {
	w.Helper()
	got := w.call(method, path, body)
	if got.status != status {
		w.Fatalf("%s %s %s: got %d %s, want %d", method, path, body, got.status, got.body, status)
	}
	return got
}

// create creates an object of the tenant as kubectl does.
func (w *world) create(object client.Object) {
	w.Helper()
	object.SetNamespace(w.namespace)
	if err := w.Create(w.Context(), object); err != nil {
		w.Fatal(err)
	}
}

// join makes a Connection's user active, as the operator does.
func (w *world) join(connectionID string) {
	w.Helper()
	var list v1alpha1.ConnectionList
	if err := w.List(w.Context(), &list, client.InNamespace(w.namespace), client.MatchingFields{"status.connectionID": connectionID}); err != nil {
		w.Fatal(err)
	}
	if len(list.Items) != 1 {
		w.Fatalf("got %d Connections with id %s, want 1", len(list.Items), connectionID)
	}
	connection := &list.Items[0]
	before := connection.DeepCopy()
	now := metav1.Now()
	status := &connection.Status
	status.State, status.ActiveTime = v1alpha1.ConnectionStateActive, &now
	status.ClientData, status.IP, status.Platform = `{"clientData":"<Ann>"}`, "192.0.2.7", "Chrome 150 on Linux"
	status.Publishers = []v1alpha1.PublisherStatus{{
		StreamID: "str_CAM_A1b2_" + connectionID, CreatedTime: now, HasVideo: true, VideoActive: true,
		TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: `{"width":640,"height":480}`,
	}}
	if err := w.Status().Patch(w.Context(), connection, client.MergeFrom(before)); err != nil {
		w.Fatal(err)
	}
	w.rooms.mu.Lock()
	defer w.rooms.mu.Unlock()
	w.rooms.in[connection.Spec.SessionName] = append(w.rooms.in[connection.Spec.SessionName], connectionID)
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	wait.For(t, bound, what, wait.True(holds))
}
