package plugin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/plugin/doctor"
	"mediarooms.dev/mediarooms/test/apiserver"
	"mediarooms.dev/mediarooms/test/wait"
)

// site is an installation in which everything is as it has to be, but for what a test changes
// before it is made.
type site struct {
	*world
	operator, gateway *appsv1.Deployment
	operatorPod       *corev1.Pod
	lease             *coordinationv1.Lease
	certificate       *corev1.Secret
	endpoints         *discoveryv1.EndpointSlice
	node              *corev1.Node
	pool              *v1alpha1.MediaPool
	pods              []*corev1.Pod
	others            []client.Object
	front             *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	w := newWorld(t)
	w.now = time.Now
	s := &site{world: w, operator: w.deployment("manager", 1), gateway: w.deployment("gateway", 2)}
	s.operatorPod = &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.system, Name: "mediarooms-manager-1", Labels: map[string]string{v1alpha1.ComponentLabel: "manager"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "mediarooms.dev/mediarooms:dev"}}},
	}
	s.lease = &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.system, Name: "mediarooms-manager"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("mediarooms-manager-1"), RenewTime: &metav1.MicroTime{Time: time.Now()}},
	}
	s.certificate = w.certificate(time.Now().Add(time.Hour))
	s.endpoints = &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: w.system, Name: "mediarooms-gateway-1", Labels: map[string]string{discoveryv1.LabelServiceName: "mediarooms-gateway"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.244.0.7"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}},
			{Addresses: []string{"10.244.1.7"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}},
		},
	}
	s.node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}, {Type: corev1.NodeExternalIP, Address: "203.0.113.1"}},
	}}
	s.front = httptest.NewServer(http.HandlerFunc(asGateway))
	t.Cleanup(s.front.Close)
	s.pool = w.pool(func(pool *v1alpha1.MediaPool) { pool.Spec.PublicURL = s.front.URL })
	return s
}

// asGateway answers as the gateway does to who wants no WebSocket.
func asGateway(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Upgrade", "websocket")
	http.Error(w, "WebSockets only", http.StatusUpgradeRequired)
}

func (w *world) deployment(component string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{v1alpha1.ComponentLabel: component}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.system, Name: "mediarooms-" + component, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: component, Image: "mediarooms.dev/mediarooms:dev"}}},
			},
		},
		Status: appsv1.DeploymentStatus{Replicas: replicas, ReadyReplicas: replicas},
	}
}

// certificate returns the gateway's Secret with a certificate that ends at a time.
func (w *world) certificate(end time.Time) *corev1.Secret {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.system, Name: "mediarooms-gateway-tls"},
		Data:       map[string][]byte{corev1.TLSCertKey: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})},
	}
}

// build makes what there is: each field that is not nil.
func (s *site) build() {
	s.Helper()
	for _, deployment := range []*appsv1.Deployment{s.operator, s.gateway} {
		if deployment != nil {
			status := deployment.Status
			s.create(deployment)
			deployment.Status = status
			s.writeStatus(deployment)
		}
	}
	if s.operatorPod != nil {
		status := s.operatorPod.Status
		s.create(s.operatorPod)
		s.operatorPod.Status = status
		s.writeStatus(s.operatorPod)
	}
	s.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.system, Name: "mediarooms-gateway"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "clients", Port: 4443}}},
	})
	if s.lease != nil {
		s.create(s.lease)
	}
	if s.certificate != nil {
		s.create(s.certificate)
	}
	if s.endpoints != nil {
		s.create(s.endpoints)
	}
	status := s.node.Status
	s.create(s.node)
	s.node.Status = status
	s.writeStatus(s.node)
	if s.pool != nil {
		s.create(s.pool)
	}
	for _, pod := range s.pods {
		status := pod.Status
		s.create(pod)
		pod.Status = status
		s.writeStatus(pod)
	}
	s.create(s.others...)
}

// nodeLease is by what the kubelet of the node says that it lives.
func (s *site) nodeLease(renewed time.Time) *coordinationv1.Lease {
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: "node-1"},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: renewed}},
	}
	s.Cleanup(func() {
		if err := s.Delete(context.WithoutCancel(s.Context()), lease); client.IgnoreNotFound(err) != nil {
			s.Error(err)
		}
	})
	return lease
}

// examined is what doctor prints.
func (s *site) examined(status int) string {
	s.Helper()
	c := s.start("doctor")
	c.end(status)
	if said := c.errors.String(); said != "" {
		s.Errorf("it also said %s", said)
	}
	return s.normal(c.out.String())
}

// broken examines the installation, and wants a problem with the cause.
func (s *site) broken(golden, cause string) {
	s.Helper()
	s.build()
	said := s.examined(StatusUnhealthy)
	s.golden(golden, said)
	if joined := strings.Join(strings.Fields(said), " "); !strings.Contains(joined, cause) {
		s.Errorf("it says\n%swant %q in it", said, cause)
	}
}

func TestDoctorFindsNothing(t *testing.T) {
	s := newSite(t)
	s.others = []client.Object{s.nodeLease(time.Now())}
	s.build()
	s.golden("doctor-healthy", s.examined(0))
	var report doctor.Report
	if err := json.Unmarshal([]byte(s.run("doctor", "-o", "json")), &report); err != nil || len(report.Findings) < 8 || report.Count(doctor.Problem) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	s.fails([]string{"doctor", "--call", "--duration", "1h"}, "--duration is 1h0m0s: it must be from 1s to 1m0s")
}

// The first of the broken installations: the definitions are not there.
func TestDoctorWithoutDefinitions(t *testing.T) {
	s := newSite(t)
	s.pool = nil
	s.withoutDefinitions()
	s.broken("doctor-no-definitions", "FAIL custom resources: the cluster does not have sessions.mediarooms.dev, connections.mediarooms.dev, mediapools.mediarooms.dev, recordings.mediarooms.dev, webhooks.mediarooms.dev")
	s.fails([]string{"rooms"}, "the cluster does not have the custom resources of Mediarooms: see kubectl mediarooms doctor")
}

// withoutDefinitions removes the definitions until the test ends.
func (s *site) withoutDefinitions() {
	s.Helper()
	s.Cleanup(func() {
		if _, err := envtest.InstallCRDs(testCluster, envtest.CRDInstallOptions{Paths: []string{apiserver.CRDs()}, ErrorIfPathMissing: true}); err != nil {
			s.Error(err)
		}
	})
	var all apiextensionsv1.CustomResourceDefinitionList
	if err := s.List(s.Context(), &all); err != nil {
		s.Fatal(err)
	}
	for i := range all.Items {
		if err := s.Delete(s.Context(), &all.Items[i]); err != nil {
			s.Fatal(err)
		}
		wait.For(s, patience, all.Items[i].Name+" to be gone", wait.True(func() bool {
			return apierrors.IsNotFound(s.Get(context.WithoutCancel(s.Context()), client.ObjectKeyFromObject(&all.Items[i]), &all.Items[i]))
		}))
	}
}

func TestDoctorWithDefinitionsOfAnOlderVersion(t *testing.T) {
	s := newSite(t)
	change := func(do func(properties map[string]apiextensionsv1.JSONSchemaProps)) {
		t.Helper()
		var definition apiextensionsv1.CustomResourceDefinition
		if err := s.Get(t.Context(), client.ObjectKey{Name: "mediapools.mediarooms.dev"}, &definition); err != nil {
			t.Fatal(err)
		}
		do(definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties)
		if err := s.Update(t.Context(), &definition); err != nil {
			t.Fatal(err)
		}
	}
	var standby, exposure apiextensionsv1.JSONSchemaProps
	change(func(properties map[string]apiextensionsv1.JSONSchemaProps) {
		current := properties["exposure"]
		standby, exposure = properties["standby"], *current.DeepCopy()
		delete(properties, "standby")
		older := properties["exposure"]
		delete(older.Properties, "service")
		older.XValidations = nil
		properties["exposure"] = older
	})
	defer change(func(properties map[string]apiextensionsv1.JSONSchemaProps) {
		properties["standby"], properties["exposure"] = standby, exposure
	})
	s.broken("doctor-older-definitions", "mediapools.mediarooms.dev is of an older version: it does not know spec.standby, spec.exposure.service")
}

func TestDoctorWithAnOperatorThatDoesNotStart(t *testing.T) {
	s := newSite(t)
	s.operator.Status.ReadyReplicas = 0
	s.operatorPod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "manager", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
		Reason: "ImagePullBackOff", Message: `Back-off pulling image "mediarooms.dev/mediarooms:dev"`,
	}}}}
	s.pool.Status = v1alpha1.MediaPoolStatus{}
	s.broken("doctor-operator", `FAIL operator: 0 of 1 pods are ready: mediarooms-manager-1 waits: ImagePullBackOff Back-off pulling image "mediarooms.dev/mediarooms:dev"`)
}

func TestDoctorWithAnOperatorThatIsSilent(t *testing.T) {
	s := newSite(t)
	s.lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-time.Hour)}
	s.build()
	if said := s.examined(StatusUnhealthy); !strings.Contains(said, "the one that leads was last heard of 1h0m") {
		t.Errorf("it says %s", said)
	}
}

func TestDoctorWithoutAnAddress(t *testing.T) {
	s := newSite(t)
	s.node.Annotations = map[string]string{v1alpha1.PublicAddressAnnotation: "rooms.example.org"}
	s.pool.Status.Conditions = conditions(v1alpha1.ConditionReady, v1alpha1.ReasonPodsNotReady, metav1.ConditionFalse,
		"0 of 1 pods are ready: media pod mediapod-default-nbx8n has no address")
	s.broken("doctor-no-address", `FAIL pool default: clients are told no address of node node-1: the annotation mediarooms.dev/public-address of node node-1 has "rooms.example.org"`)
}

func TestDoctorWithTooFewPorts(t *testing.T) {
	s := newSite(t)
	s.pool.Spec.Exposure = v1alpha1.Exposure{Type: v1alpha1.ExposureHostNetwork, PortRange: &v1alpha1.PortRange{First: 20000, Last: 20002}}
	s.broken("doctor-ports", "FAIL pool default: exposure.portRange, 20000 to 20002, has 3 ports; a pod with exposure HostNetwork takes 5")
}

// The gateway's pods wait for a certificate that is not there.
func TestDoctorWithoutACertificate(t *testing.T) {
	s := newSite(t)
	s.certificate, s.endpoints = nil, nil
	s.gateway.Status.ReadyReplicas = 0
	s.front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.broken("doctor-no-certificate", "FAIL gateway: its certificate, the Secret mediarooms-gateway-tls, does not exist: its pods wait for it")
}

func TestDoctorWithACertificateThatHasExpired(t *testing.T) {
	s := newSite(t)
	s.certificate = s.world.certificate(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s.build()
	if said := s.examined(StatusUnhealthy); !strings.Contains(said, "FAIL  gateway: its certificate has expired at 2026-01-02T03:04:05Z") {
		t.Errorf("it says %s", said)
	}
}

// Somebody who may see rooms only, as with the role view.
func TestDoctorWithoutRights(t *testing.T) {
	s := newSite(t)
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.tenant, Name: "viewer"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"mediarooms.dev"}, Resources: []string{"sessions", "webhooks"}, Verbs: []string{"get", "list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"get", "list", "watch"}},
		},
	}
	s.create(role, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.tenant, Name: "viewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "viewer"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "vera"}},
	})
	s.config = rest.CopyConfig(testCluster)
	s.config.Impersonate = rest.ImpersonationConfig{UserName: "vera", Groups: []string{"system:authenticated"}}
	wait.For(t, patience, "the API server to know the role", wait.True(func() bool {
		c := s.start("rooms")
		return <-c.ended == 0
	}))
	s.broken("doctor-no-rights", "FAIL your rights: you may not list connections in namespace team-xxxxx (for who)")
	s.fails([]string{"who", "demo"}, `there is no room "demo"`)
	s.fails([]string{"kick", "ann"}, "you may not:", "kubectl mediarooms doctor says which role allows it")
}

func TestDoctorWithAWayThatLeadsElsewhere(t *testing.T) {
	s := newSite(t)
	s.front.Config.Handler = http.NotFoundHandler()
	s.broken("doctor-elsewhere", "/openvidu is not the gateway's: it answers with status 404, the gateway with 426")
}

// Each of these is one more thing that is wrong, and what is said of it.
func TestDoctorSays(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*site)
		status int
		says   string
	}{
		"no pool": {func(s *site) { s.pool = nil }, StatusUnhealthy, "FAIL pool: there is no MediaPool"},
		"no default pool": {
			func(s *site) { s.pool.Annotations = nil }, 0, "WARN pool: none is the default pool: Sessions without poolName wait -> kubectl annotate mediapool default",
		},
		"a default pool of another installation": {
			func(s *site) {
				s.others = append(s.others, &v1alpha1.MediaPool{
					ObjectMeta: metav1.ObjectMeta{Name: "other", Annotations: s.pool.Annotations},
					Spec:       v1alpha1.MediaPoolSpec{ClassName: "other", PublicURL: s.pool.Spec.PublicURL},
				})
			}, StatusUnhealthy, "1 problem, 0 warnings", // the one of the operator that is not there
		},
		"no gateway": {func(s *site) { s.gateway = nil }, StatusUnhealthy, "FAIL gateway: there is none in namespace system-xxxxx"},
		"scaled to 0": {
			func(s *site) { s.operator.Spec.Replicas = ptr.To(int32(0)) }, StatusUnhealthy, "FAIL operator: the Deployment mediarooms-manager is scaled to 0",
		},
		"some gateways": {func(s *site) { s.gateway.Status.ReadyReplicas = 1 }, 0, "WARN gateway: 1 of 2 pods are ready"},
		"no endpoint": {
			func(s *site) {
				for i := range s.endpoints.Endpoints {
					s.endpoints.Endpoints[i].Conditions.Ready = ptr.To(false)
				}
			}, StatusUnhealthy, "FAIL gateway: the Service mediarooms-gateway has no ready endpoint",
		},
		"no leader": {func(s *site) { s.lease = nil }, StatusUnhealthy, "FAIL operator: it is ready, but none has ever led"},
		"nobody listens": {
			func(s *site) { s.front.Close() }, StatusUnhealthy, "FAIL publicURL: http://127.0.0.1:PORT: nobody listens there",
		},
		"a clock that is wrong": {
			func(s *site) { s.now = func() time.Time { return time.Now().Add(-time.Minute) } }, 0, "ahead of the one here -> have both machines keep their time by NTP",
		},
		"no node": {
			func(s *site) { s.node.Spec.Unschedulable = true }, StatusUnhealthy, "FAIL pool default: no node is ready and takes pods",
		},
		"no node with the labels": {
			func(s *site) { s.pool.Spec.Template.NodeSelector = map[string]string{"media": "yes"} }, StatusUnhealthy,
			"FAIL pool default: no node that is ready and takes pods has the labels media=yes",
		},
		"few ports": {
			func(s *site) { s.pool.Spec.Exposure.PortRange = &v1alpha1.PortRange{First: 31000, Last: 31001} }, 0,
			"WARN pool default: exposure.portRange, 31000 to 31001, has 2 ports: enough for 2 pods on 1 node, and maxPods is 4",
		},
		"node ports": {
			func(s *site) { s.pool.Spec.Exposure.PortRange = &v1alpha1.PortRange{First: 31000, Last: 31099} }, 0,
			"WARN pool default: exposure.portRange, 31000 to 31099, overlaps the usual node ports, 30000 to 32767",
		},
		"too few ports for the minimum": {
			func(s *site) {
				s.pool.Spec.MinPods, s.pool.Spec.Exposure.PortRange = ptr.To(int32(3)), &v1alpha1.PortRange{First: 20000, Last: 20001}
			}, StatusUnhealthy, "and minPods is 3",
		},
		"no TURN server": {
			func(s *site) { s.pool.Spec.Exposure.Type = v1alpha1.ExposureInternal }, StatusUnhealthy,
			"FAIL pool default: clients of exposure Internal come through a TURN server, and iceServers has none",
		},
		"the clock of a node": {
			func(s *site) { s.others = append(s.others, s.nodeLease(time.Now().Add(time.Hour))) }, 0, "WARN nodes' clocks: node node-1 says it is",
		},
		"a media pod that ends": {
			func(s *site) {
				pod := s.mediaPod("mediapod-default-nbx8n", "node-1")
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "mediapod", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ExitCode: 1, Reason: "Error", Message: "starting\nlistening for media: address already in use\n",
				}}}}
				s.pods = append(s.pods, pod)
			}, 0, "WARN media pod: mediapod-default-nbx8n has ended with exit code 1 (Error) listening for media: address already in use",
		},
		"no load balancer": {
			func(s *site) {
				s.pool.Spec.Exposure.Type = v1alpha1.ExposureLoadBalancer
				s.pods = append(s.pods, s.mediaPod("mediapod-default-nbx8n", "node-1"))
				s.others = append(s.others, &corev1.Service{
					ObjectMeta: metav1.ObjectMeta{Namespace: s.system, Name: "mediapod-default-nbx8n", Labels: map[string]string{v1alpha1.PoolLabel: "default"}},
					Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Name: "media-udp", Port: 7445, Protocol: corev1.ProtocolUDP}}},
				})
			}, StatusUnhealthy, "clients are told no address of media pod mediapod-default-nbx8n: the load balancer has no address yet -> does the cluster make load balancers for UDP",
		},
		"a webhook that refuses": {
			func(s *site) {
				s.others = append(s.others, &v1alpha1.Webhook{
					ObjectMeta: metav1.ObjectMeta{Namespace: s.tenant, Name: "app"}, Spec: v1alpha1.WebhookSpec{URL: "https://app.example.org/events"},
					Status: v1alpha1.WebhookStatus{
						Conditions: conditions(v1alpha1.ConditionReady, v1alpha1.ReasonRetrying, metav1.ConditionFalse, "it answers 503"), PendingEvents: 7,
					},
				})
			}, 0, "WARN webhooks: team-xxxxx/app (Retrying): it answers 503; 7 events wait",
		},
		"an operator that has decided nothing": {
			func(s *site) {
				s.pool.Status.Conditions = conditions(v1alpha1.ConditionReady, v1alpha1.ReasonPending, metav1.ConditionUnknown, "Waiting for the operator")
			}, StatusUnhealthy, "FAIL pool default: the operator has decided nothing about it yet",
		},
		"no address of a node": {
			func(s *site) { s.node.Status.Addresses = nil }, StatusUnhealthy, "node node-1 has neither an ExternalIP nor an InternalIP",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			test.change(s)
			s.build()
			if said := s.examined(test.status); !strings.Contains(strings.Join(strings.Fields(said), " "), test.says) {
				t.Errorf("it says\n%swant %q in it", said, test.says)
			}
		})
	}
}

func TestDoctorLooksAtWhatClientsAreTold(t *testing.T) {
	s := newSite(t)
	s.node.Status.Addresses = s.node.Status.Addresses[:1] // the internal one
	s.pool.Spec.PublicURL = "http://rooms.example.org"
	s.build()
	// The name leads to this test.
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.front.Listener.Addr().String())
	}}
	defer transport.CloseIdleConnections()
	report := doctor.Examine(t.Context(), doctor.Installation{
		Objects: s, Config: testCluster, SystemNamespace: s.system, Namespace: s.tenant, HTTP: &http.Client{Transport: transport},
	}, nil)
	var warnings []string
	for _, finding := range report.Findings {
		if finding.Verdict == doctor.Warning {
			warnings = append(warnings, finding.Text)
		}
	}
	if want := []string{
		"clients are told private addresses: 10.0.0.1", "http://rooms.example.org is not HTTPS: browsers give cameras to no page from there",
	}; !slices.Equal(warnings, want) || report.Count(doctor.Problem) != 0 {
		t.Errorf("it found %+v", report.Findings)
	}
}

// metered answers the API server's proxy for media pods, whose kubelet is not there.
type metered struct {
	http.RoundTripper
	buffers map[string]int // by pod
}

func (m metered) RoundTrip(request *http.Request) (*http.Response, error) {
	path := strings.Split(request.URL.Path, "/")
	if !strings.HasSuffix(request.URL.Path, "/proxy/metrics") || len(path) < 7 {
		return m.RoundTripper.RoundTrip(request)
	}
	pod, _, _ := strings.Cut(path[6], ":")
	text := fmt.Sprintf("# HELP x\nmediarooms_media_receive_buffer_bytes %d\n", m.buffers[pod])
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: request,
	}, nil
}

func TestDoctorLooksAtBuffers(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"mediapod-default-a", "mediapod-default-b"} {
		pod := s.mediaPod(name, "node-1")
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		s.pods = append(s.pods, pod)
	}
	s.build()
	buffers := map[string]int{"mediapod-default-a": 4 << 20, "mediapod-default-b": 212992}
	s.config = rest.CopyConfig(testCluster)
	s.config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return metered{inner, buffers} })
	if said := strings.Join(strings.Fields(s.examined(0)), " "); !strings.Contains(said, "WARN socket buffers: the kernel keeps little of what arrives at once: node node-1 (208 KiB)") {
		t.Errorf("it says %s", said)
	}
	buffers["mediapod-default-b"] = 4 << 20
	if said := s.examined(0); !strings.Contains(said, "ok    socket buffers: those of 2 media pods are large enough") {
		t.Errorf("it says %s", said)
	}
}

// What a certificate lacks is told.
func TestDoctorLooksAtTheCertificateOfThePublicURL(t *testing.T) {
	s := newSite(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(asGateway))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	s.pool.Spec.PublicURL = secure.URL
	s.build()
	if said := strings.Join(strings.Fields(s.examined(StatusUnhealthy)), " "); !strings.Contains(said, "its certificate is by an authority that is unknown here") {
		t.Errorf("it says %s", said)
	}
}

func TestDoctorWithAnAPIServerThatDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	w.config = &rest.Config{Host: "https://127.0.0.1:1"}
	c := w.start("doctor")
	c.end(StatusUnhealthy)
	if said := c.out.String(); !strings.Contains(said, "FAIL  API server: it does not answer") || strings.Contains(said, "operator") {
		t.Errorf("it says %s", said)
	}
}

// Each golden file is somebody's.
func TestGoldenFilesAreUsed(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, file := range []string{"doctor_test.go", "rooms_test.go", "system_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(text)
	}
	for _, entry := range entries {
		if name, _ := strings.CutSuffix(entry.Name(), ".golden"); !strings.Contains(sources.String(), `"`+name+`"`) {
			t.Errorf("nobody uses testdata/%s", entry.Name())
		}
	}
}
