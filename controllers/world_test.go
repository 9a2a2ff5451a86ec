package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/session"
	"mediarooms.dev/mediarooms/controllers/webhook"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/test/apiserver"
	"mediarooms.dev/mediarooms/test/podtest"
	"mediarooms.dev/mediarooms/test/wait"
	"mediarooms.dev/mediarooms/test/workertest"
)

const (
	systemNamespace = "mediarooms-system"
	tenantNamespace = "default"
	// bound is how long a test waits for anything; nothing takes nearly as long.
	bound = 30 * time.Second
)

var (
	cluster *rest.Config
	// operator is how the operator itself talks to the cluster: with the rights that its manifests
	// give it, and no others.
	operator *rest.Config
	scheme   = runtime.NewScheme()
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	return apiserver.Run(m, func(started *rest.Config) (err error) {
		cluster = started
		cluster.QPS, cluster.Burst = 500, 1000
		if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
			return err
		}
		operator, err = operatorConfig(context.Background(), cluster)
		return err
	})
}

// world is a cluster with two nodes, a kubelet that starts media pods without media, and the
// operator.
type world struct {
	testing.TB
	client.Client
	kubelet *kubelet
	stop    func()
	records records
	// metrics are those of the operator that was started last.
	metrics *prometheus.Registry
}

// newWorld starts everything; it goes away with the test.
func newWorld(t testing.TB) *world {
	t.Helper()
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, Client: c}
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}})
	for n, name := range []string{"node1", "node2"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		w.ensure(node)
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.0.2.%d", n+1)}}
		if err := c.Status().Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	w.kubelet = startKubelet(t, c, systemNamespace, 1)
	w.startOperator()
	// Cleanups run last in, first out: the objects go while the operator is still there to let
	// them.
	t.Cleanup(func() { w.stop() })
	t.Cleanup(w.clear)
	return w
}

// ensure creates an object, or reads the one that is there.
func (w *world) ensure(o client.Object) {
	w.Helper()
	if err := w.Create(w.Context(), o); apierrors.IsAlreadyExists(err) {
		err = w.Get(w.Context(), client.ObjectKeyFromObject(o), o)
		if err != nil {
			w.Fatal(err)
		}
	} else if err != nil {
		w.Fatal(err)
	}
}

// startOperator starts the operator; stop ends it.
func (w *world) startOperator() {
	w.Helper()
	w.stop = w.run(operator, systemNamespace, "")
}

// run starts an operator and returns what ends it.
func (w *world) run(config *rest.Config, namespace string, installation class.Name) (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:     scheme,
		Cache:      controllers.CacheOptions(namespace),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: ptr.To(true)},
		Logger:     ctrl.Log,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.metrics = prometheus.NewRegistry()
	err = controllers.SetupAll(mgr, controllers.Config{
		Namespace: namespace, Class: installation, DefaultTenantNamespace: tenantNamespace, Version: "test",
		Image: podspec.Image{Name: "mediarooms.dev/mediarooms:test"}, CalmPeriod: time.Second,
		Garbage: session.Garbage{Interval: time.Second, Threshold: time.Hour},
		Metrics: w.metrics, Webhooks: webhook.Guard{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, CDR: &w.records,
	})
	if err != nil {
		w.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	var once sync.Once
	return func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				w.Errorf("running the operator: %v", err)
			}
		})
	}
}

// clear removes all objects of the test.
func (w *world) clear() {
	ctx := context.Background()
	for _, kind := range []client.Object{&v1alpha1.Connection{}, &v1alpha1.Session{}, &v1alpha1.Webhook{}, &v1alpha1.Recording{}} {
		if err := w.DeleteAllOf(ctx, kind, client.InNamespace(tenantNamespace)); err != nil {
			w.Error(err)
		}
	}
	var pools v1alpha1.MediaPoolList
	w.eventually("everything is gone", func() error {
		var sessions v1alpha1.SessionList
		var connections v1alpha1.ConnectionList
		var recordings v1alpha1.RecordingList
		for _, list := range []client.ObjectList{&sessions, &connections, &recordings} {
			if err := w.List(ctx, list); err != nil {
				return err
			}
		}
		if n := len(sessions.Items) + len(connections.Items) + len(recordings.Items); n > 0 {
			return fmt.Errorf("%d objects are left", n)
		}
		if err := w.List(ctx, &pools); err != nil {
			return err
		}
		for i := range pools.Items {
			if err := w.Delete(ctx, &pools.Items[i]); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
		if len(pools.Items) > 0 {
			return fmt.Errorf("%d pools are left", len(pools.Items))
		}
		return nil
	})
}

// eventually waits until a condition holds.
func (w *world) eventually(what string, condition func() error) {
	w.Helper()
	if err := wait.Poll(context.Background(), bound, condition); err != nil {
		w.Fatalf("waiting until %s: %v", what, err)
	}
}

// pool creates a MediaPool, the default one.
func (w *world) pool(change func(*v1alpha1.MediaPoolSpec)) *v1alpha1.MediaPool {
	w.Helper()
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{Name: "standard", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}},
		Spec:       v1alpha1.MediaPoolSpec{PublicURL: "https://rooms.example.org", DrainSeconds: 1},
	}
	if change != nil {
		change(&pool.Spec)
	}
	if err := w.Create(w.Context(), pool); err != nil {
		w.Fatal(err)
	}
	return pool
}

func (w *world) session(name string, change func(*v1alpha1.SessionSpec)) *v1alpha1.Session {
	w.Helper()
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: name}}
	if change != nil {
		change(&session.Spec)
	}
	if err := w.Create(w.Context(), session); err != nil {
		w.Fatal(err)
	}
	return session
}

func (w *world) connection(name, session string, change func(*v1alpha1.ConnectionSpec)) *v1alpha1.Connection {
	w.Helper()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: name},
		Spec:       v1alpha1.ConnectionSpec{SessionName: session},
	}
	if change != nil {
		change(&connection.Spec)
	}
	if err := w.Create(w.Context(), connection); err != nil {
		w.Fatal(err)
	}
	return connection
}

// await reads an object until its condition has the status and the reason.
func (w *world) await(o client.Object, condition string, status metav1.ConditionStatus, reason string) {
	w.Helper()
	w.eventually(fmt.Sprintf("%s is %s=%s (%s)", o.GetName(), condition, status, reason), func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		var conditions []metav1.Condition
		switch o := o.(type) {
		case *v1alpha1.Session:
			conditions = o.Status.Conditions
		case *v1alpha1.Connection:
			conditions = o.Status.Conditions
		case *v1alpha1.Webhook:
			conditions = o.Status.Conditions
		case *v1alpha1.MediaPool:
			conditions = o.Status.Conditions
		case *v1alpha1.Recording:
			conditions = o.Status.Conditions
		}
		c := meta.FindStatusCondition(conditions, condition)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
}

func (w *world) ready(o client.Object) {
	w.Helper()
	w.await(o, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// gone waits until an object is gone.
func (w *world) gone(o client.Object) {
	w.Helper()
	w.eventually(o.GetName()+" is gone", func() error {
		err := w.Get(w.Context(), client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it is there, finalizers %v", o.GetFinalizers())
		}
		return err
	})
}

func (w *world) delete(o client.Object) {
	w.Helper()
	if err := w.Delete(w.Context(), o); err != nil {
		w.Fatal(err)
	}
}

// state waits until a Connection has come so far.
func (w *world) state(c *v1alpha1.Connection, state v1alpha1.ConnectionState) {
	w.Helper()
	w.eventually(fmt.Sprintf("%s is %s", c.Name, state), func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		if c.Status.State != state {
			return fmt.Errorf("it is %q", c.Status.State)
		}
		return nil
	})
}

// host waits until a Session is on a pod that runs and returns the pod: a Connection can be ready
// before the status of its Session names it.
func (w *world) host(session *v1alpha1.Session) *podtest.Pod {
	w.Helper()
	var pod *podtest.Pod
	w.eventually("Session "+session.Name+" is on a pod that runs", func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		if pod = w.kubelet.pod(session.Status.PodName); pod == nil {
			return fmt.Errorf("it is on %q", session.Status.PodName)
		}
		return nil
	})
	return pod
}

// join has a Connection's user come into the room.
func (w *world) join(pod *podtest.Pod, c *v1alpha1.Connection, clientData string) {
	w.Helper()
	if err := pod.Join(string(c.UID), clientData); err != nil {
		w.Fatal(err)
	}
}

// leave has a Connection's user go out of the room.
func (w *world) leave(pod *podtest.Pod, c *v1alpha1.Connection, reason reasons.Reason) {
	w.Helper()
	if err := pod.Leave(string(c.UID), reason); err != nil {
		w.Fatal(err)
	}
}

// publish has a Connection's user send a stream.
func (w *world) publish(pod *podtest.Pod, c *v1alpha1.Connection, stream string) {
	w.Helper()
	if err := pod.Publish(string(c.UID), stream); err != nil {
		w.Fatal(err)
	}
}

// held waits until a Connection's deletion waits for its pod: its token comes first (ADR 7).
func (w *world) held(c *v1alpha1.Connection) {
	w.Helper()
	w.eventually(c.Name+" has its finalizer", func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		if !slices.Contains(c.Finalizers, v1alpha1.ConnectionFinalizer) {
			return fmt.Errorf("they are %v", c.Finalizers)
		}
		return nil
	})
}

// events returns the reasons of the Events about an object.
func (w *world) events(o client.Object) []string {
	w.Helper()
	var list corev1.EventList
	if err := w.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	var reasons []string
	for _, event := range list.Items {
		if event.InvolvedObject.UID == o.GetUID() {
			reasons = append(reasons, event.Reason)
		}
	}
	return reasons
}

// kubelet stands in for the scheduler and the kubelets: it binds media pods to nodes and starts a
// process for each.
type kubelet struct {
	t      testing.TB
	client client.Client
	core   *kubernetes.Clientset
	// namespace of the pods, and network, the third part of their addresses.
	namespace string
	network   int

	mu   sync.Mutex // guards what follows
	pods map[string]*podtest.Pod
	next int
	// workers are the recorders.
	workers map[string]*workertest.Worker
}

func startKubelet(t testing.TB, c client.Client, namespace string, network int) *kubelet {
	t.Helper()
	core, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{
		t: t, client: c, core: core, namespace: namespace, network: network,
		pods: make(map[string]*podtest.Pod), workers: make(map[string]*workertest.Worker),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			k.sync(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, pod := range k.pods {
			pod.Stop()
		}
		for _, worker := range k.workers {
			worker.Stop()
		}
	})
	return k
}

// sync looks at all pods once.
func (k *kubelet) sync(ctx context.Context) {
	var list corev1.PodList
	if err := k.client.List(ctx, &list, client.InNamespace(k.namespace)); err != nil {
		return
	}
	for i := range list.Items {
		pod := &list.Items[i]
		switch {
		case !pod.DeletionTimestamp.IsZero():
			k.end(pod.Name)
			_ = k.client.Delete(ctx, pod, client.GracePeriodSeconds(0)) // tried again
		case pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "":
			if err := k.start(ctx, pod); err != nil && ctx.Err() == nil {
				k.t.Logf("starting pod %s: %v", pod.Name, err)
			}
		}
	}
	present := make(map[string]bool)
	for i := range list.Items {
		present[list.Items[i].Name] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, pod := range k.pods {
		if !present[name] {
			pod.Stop()
			delete(k.pods, name)
		}
	}
	for name, worker := range k.workers {
		if !present[name] {
			worker.Stop()
			delete(k.workers, name)
		}
	}
}

func (k *kubelet) start(ctx context.Context, pod *corev1.Pod) error {
	records := pod.Labels[v1alpha1.ComponentLabel] == v1alpha1.ComponentRecorder
	var secret corev1.Secret
	name := certs.MediaPodSecret
	if records {
		name = certs.WorkerSecret
	}
	if err := k.client.Get(ctx, types.NamespacedName{Namespace: k.namespace, Name: name}, &secret); err != nil {
		return err
	}
	identity, err := identityOf(&secret)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[pod.Name] != nil || k.workers[pod.Name] != nil {
		return nil
	}
	k.next++
	n := k.next
	if pod.Spec.NodeName == "" {
		err := k.core.CoreV1().Pods(k.namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name},
			Target:     corev1.ObjectReference{Kind: "Node", Name: fmt.Sprintf("node%d", n%2+1)},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	ip := fmt.Sprintf("127.0.%d.%d", k.network, n)
	if records {
		worker, err := workertest.Start(workertest.Config{Address: ip + ":7443", UID: string(pod.UID), Identity: identity})
		if err != nil {
			return err
		}
		k.workers[pod.Name] = worker
	} else {
		process, err := podtest.Start(podtest.Config{Address: ip + ":7443", UID: string(pod.UID), Identity: identity, Token: k.token})
		if err != nil {
			return err
		}
		k.pods[pod.Name] = process
	}
	base := pod.DeepCopy()
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, ip
	pod.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	pod.Status.StartTime = &metav1.Time{Time: time.Now()}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return k.client.Status().Patch(ctx, pod, client.MergeFrom(base))
}

// token returns the token of a Connection, as its user has it; "" when it has none.
func (k *kubelet) token(uid string) string {
	var list v1alpha1.ConnectionList
	if err := k.client.List(context.Background(), &list); err != nil {
		return ""
	}
	for i := range list.Items {
		if string(list.Items[i].UID) == uid {
			return token.FromURL(list.Items[i].Status.Token)
		}
	}
	return ""
}

// says has the kubelet write into a pod's status.
func (k *kubelet) says(name, status string) {
	k.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: k.namespace, Name: name}}
	patch := client.RawPatch(types.StrategicMergePatchType, []byte(`{"status":`+status+`}`))
	if err := k.client.Status().Patch(context.Background(), pod, patch); err != nil {
		k.t.Error(err)
	}
}

// ready is the status of a pod that the kubelet calls ready, or not.
func ready(status corev1.ConditionStatus) string {
	return fmt.Sprintf(`{"conditions":[{"type":"Ready","status":%q}]}`, status)
}

func (k *kubelet) end(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if pod := k.pods[name]; pod != nil {
		pod.Stop()
		delete(k.pods, name)
	}
	if worker := k.workers[name]; worker != nil {
		worker.Stop()
		delete(k.workers, name)
	}
}

func (k *kubelet) pod(name string) *podtest.Pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pods[name]
}

// identityOf reads the certificate of a Secret.
func identityOf(secret *corev1.Secret) (*mtls.Memory, error) {
	return mtls.FromPEM(secret.Data[mtls.CertificateFile], secret.Data[mtls.PrivateKeyFile], secret.Data[mtls.CAFile])
}
