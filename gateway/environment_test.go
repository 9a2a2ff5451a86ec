package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kuberest "k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/test/apiserver"
	"mediarooms.dev/mediarooms/test/wait"
)

const (
	systemNamespace = "mediarooms-system"
	password        = "MY_SECRET"
	// bound is how long a test waits for anything; nothing takes nearly as long.
	bound = 30 * time.Second
)

// The tests of this package talk to one real API server, as the service account that config/gateway
// gives rights to.
var (
	admin   client.Client
	account *kuberest.Config
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	log.SetLogger(logr.Discard())
	return apiserver.Run(m, prepare)
}

// prepare installs what an installation has.
func prepare(cluster *kuberest.Config) error {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return err
	}
	if admin, err = client.New(cluster, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	account = kuberest.CopyConfig(cluster)
	account.Impersonate = kuberest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + systemNamespace + ":mediarooms-gateway",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace, "system:authenticated"},
	}
	ctx := context.Background()
	if err := admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}); err != nil {
		return err
	}
	if err := admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "mediarooms-rest"},
		Data:       map[string][]byte{"secret": []byte(password)},
	}); err != nil {
		return err
	}
	for _, part := range []string{"gateway", "console"} {
		if err := apply(ctx, filepath.Join("..", "config", part, "rbac.yaml")); err != nil {
			return err
		}
	}
	return nil
}

// apply creates the objects of a file.
func apply(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := admin.Create(ctx, &object); err != nil {
			return fmt.Errorf("creating %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// running is a gateway that runs.
type running struct {
	*testing.T
	config gateway.Config
	stop   context.CancelFunc
	ended  chan error
	asked  int // requests to the REST API so far
}

// start starts a gateway; it goes away with the test.
func start(t *testing.T, kubernetes *kuberest.Config, authority *mtlstest.Authority, change func(*gateway.Config)) *running {
	t.Helper()
	config := gateway.Config{
		Address: freeAddress(t), HealthAddress: freeAddress(t), MetricsAddress: freeAddress(t),
		TLSDirectory:           authority.Directory(t, mtls.Gateway),
		Namespace:              systemNamespace,
		DefaultTenantNamespace: "default",
		DrainDelay:             10 * time.Millisecond,
		DrainTime:              10 * time.Millisecond,
	}
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, err := gateway.New(ctx, kubernetes, config)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	r := &running{T: t, config: config, stop: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := r.wait(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// wait waits for the gateway's end.
func (r *running) wait() error {
	r.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(bound):
		return errors.New("the gateway does not end")
	}
}

// nextPort is where freeAddress looks next. It is below the ports that the kernel gives to others
// who ask for any, such as tests of other packages that run at the same time.
var nextPort atomic.Int32

func init() { nextPort.Store(15000 + rand.Int32N(8000)) }

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", nextPort.Add(1))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// get returns the status and the body of a page; 0 when nobody answers.
func (r *running) get(address, path string) (int, string, http.Header) {
	r.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, "", nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, string(body), response.Header
}

func (r *running) ready() bool {
	r.Helper()
	status, _, _ := r.get(r.config.HealthAddress, "/readyz")
	return status == http.StatusOK
}

func (r *running) untilReady() {
	r.Helper()
	eventually(r.T, "the gateway to be ready", r.ready)
	eventually(r.T, "the gateway to serve", func() bool {
		status, _, _ := r.get(r.config.Address, "/")
		return status != 0
	})
}

// ask calls the REST API as the default tenant.
func (r *running) ask(method, path, body string) int {
	r.Helper()
	return r.askWith(password, method, path, body)
}

// askWith calls the REST API with a secret, as if from an address of its own each time.
func (r *running) askWith(secret, method, path, body string) int {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), method, "http://"+r.config.Address+"/openvidu/api"+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	r.asked++
	request.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.%d.%d", 2+r.asked/256, r.asked%256))
	request.SetBasicAuth("OPENVIDUAPP", secret)
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Timeout: bound}).Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// dial opens a signalling socket and returns what the media pod says first; "" and the status for a
// refusal.
func (r *running) dial(query string) (*websocket.Conn, string, int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	socket, response, err := websocket.Dial(ctx, "ws://"+r.config.Address+"/openvidu?"+query, nil)
	if err != nil {
		if response == nil {
			r.Fatal(err)
		}
		return nil, "", response.StatusCode
	}
	r.Cleanup(func() { _ = socket.CloseNow() })
	_, message, err := socket.Read(ctx)
	if err != nil {
		r.Fatal(err)
	}
	return socket, string(message), response.StatusCode
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	wait.For(t, bound, what, wait.True(holds))
}

// startPod starts a media pod's signalling, and creates the Pod object for it. Each socket first
// gets the pod's name and the routing key.
func startPod(t *testing.T, authority *mtlstest.Authority, name string) *corev1.Pod {
	t.Helper()
	config, err := mtls.Server(authority.Directory(t, mtls.MediaPod), mtls.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rooms/demo/signal" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if digests := r.Header.Get(podhttp.HeaderSecretDigests); (digests != "") == strings.HasPrefix(r.URL.Query().Get("sessionId"), "acme.") {
			t.Errorf("of the secrets in %s the pod is told %q", r.URL.Query().Get("sessionId"), digests)
		}
		socket, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = socket.CloseNow() }()
		if socket.Write(r.Context(), websocket.MessageText, []byte(name+" "+r.URL.Query().Get("sessionId"))) == nil {
			_, _, _ = socket.Read(r.Context())
		}
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	address, ok := server.Listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP address")
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: systemNamespace, Name: name,
			Labels: map[string]string{v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "mediapod", Image: "none",
			Ports: []corev1.ContainerPort{{Name: "signalling", ContainerPort: int32(address.Port)}}, //nolint:gosec // A port.
		}}},
	}
	create(t, pod)
	pod.Status.PodIP = "127.0.0.1"
	pod.Status.PodIPs = []corev1.PodIP{{IP: "127.0.0.1"}}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// create creates an object; it goes away with the test.
func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := admin.Delete(context.Background(), object, client.GracePeriodSeconds(0))
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
}

// place creates a Session and puts it on a pod, as the operator does.
func place(t *testing.T, namespace, name, pod string) *v1alpha1.Session {
	t.Helper()
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	create(t, session)
	session.Status.PodName = pod
	session.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonProgrammed, LastTransitionTime: metav1.Now(),
	}}
	if err := admin.Status().Update(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	return session
}
