package charts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestTheChartIsWhatKustomizeMakes compares the chart's objects with those of config/.
func TestTheChartIsWhatKustomizeMakes(t *testing.T) {
	overlay := func(t *testing.T, text string) string {
		t.Helper()
		folder, err := os.MkdirTemp("../config", ".test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(folder) })
		if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return folder
	}
	for name, test := range map[string]struct {
		kustomization string
		values        []string
	}{
		"by default": {"resources: [../default]\n", nil},
		"TLS in the gateway": {
			"resources: [../default]\ncomponents: [../https]\n", []string{"--set", "gateway.tls.secretName=mediarooms-gateway-serving"},
		},
		"the console": {
			"resources: [../default]\ncomponents: [../console]\n", []string{"--set", "gateway.console.enabled=true"},
		},
		"all components": {
			"resources: [../default]\ncomponents: [../network-policy, ../monitoring]\n",
			[]string{"--set", "networkPolicy.enabled=true,alerts.enabled=true,metrics.podMonitor.enabled=true,dashboard.enabled=true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, byName(t, kustomize(t, overlay(t, test.kustomization))), byName(t, render(t, test.values...)))
		})
	}
}

func byName(t *testing.T, all []*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	t.Helper()
	named := make(map[string]*unstructured.Unstructured)
	for _, object := range all {
		if named[name(object)] != nil {
			t.Errorf("there are two of %s", name(object))
		}
		named[name(object)] = object
	}
	return named
}

// compare says what differs. The chart has no Namespace, since Helm makes it, and definitions that
// Helm keeps.
func compare(t *testing.T, want, got map[string]*unstructured.Unstructured) {
	t.Helper()
	for name, object := range want {
		other := got[name]
		delete(got, name)
		if object.GetKind() == "Namespace" {
			continue
		}
		if other == nil {
			t.Errorf("the chart lacks %s", name)
			continue
		}
		if object.GetKind() == "CustomResourceDefinition" {
			annotations := other.GetAnnotations()
			if annotations["helm.sh/resource-policy"] != "keep" {
				t.Errorf("Helm removes %s, and with it all rooms, when the release is uninstalled", name)
			}
			delete(annotations, "helm.sh/resource-policy")
			other.SetAnnotations(annotations)
		}
		if w, g := normal(t, object), normal(t, other); !reflect.DeepEqual(w, g) {
			t.Errorf("%s differs: %s", name, difference("", w, g))
		}
	}
	for name := range got {
		t.Errorf("only the chart has %s", name)
	}
}

// normal is an object as JSON has it.
func normal(t *testing.T, object *unstructured.Unstructured) (plain any) {
	t.Helper()
	text, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(text, &plain)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// difference says where two values of JSON first differ.
func difference(path string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			for key := range got {
				if _, ok := want[key]; !ok {
					return fmt.Sprintf("%s.%s is only in the chart: %v", path, key, got[key])
				}
			}
			for key := range want {
				if !reflect.DeepEqual(want[key], got[key]) {
					return difference(path+"."+key, want[key], got[key])
				}
			}
		}
	case []any:
		if got, ok := got.([]any); ok && len(got) == len(want) {
			for i := range want {
				if !reflect.DeepEqual(want[i], got[i]) {
					return difference(fmt.Sprintf("%s[%d]", path, i), want[i], got[i])
				}
			}
		}
	}
	return fmt.Sprintf("%s is %v in the chart, want %v", path, got, want)
}

// everything turns all on that values can.
const everything = `
image: {digest: "sha256:` + digest + `", pullPolicy: Always}
imagePullSecrets: [registry]
defaultTenant: {namespace: rooms}
manager:
  replicas: 2
  args: [--cdr, "--webhook-allowed-networks=10.0.0.0/8"]
  resources: {limits: {memory: 2Gi, cpu: "2"}}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: rooms, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
  priorityClassName: system-cluster-critical
  podAnnotations: {example.org/a: b}
gateway:
  replicas: 3
  args: [--max-sockets=5000]
  trustedProxyNetworks: [10.244.0.0/16, "fd00::/8"]
  service:
    type: LoadBalancer
    port: 443
    nodePort: 30443
    annotations: {example.org/scheme: internet-facing}
    loadBalancerClass: example.org/nlb
    loadBalancerSourceRanges: [192.0.2.0/24]
    externalTrafficPolicy: Local
  tls:
    certManager: {enabled: true, issuerRef: {name: acme, kind: ClusterIssuer}, dnsNames: [rooms.example.org], duration: 2160h, renewBefore: 360h}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: rooms, operator: Exists}]
  priorityClassName: system-cluster-critical
  podAnnotations: {example.org/a: b}
metrics: {annotations: false, podMonitor: {enabled: true, interval: 10s, labels: {release: prometheus}}}
alerts: {enabled: true, labels: {release: prometheus}}
dashboard: {enabled: true, labels: {grafana_dashboard: rooms}}
networkPolicy: {enabled: true}
defaultPool: {enabled: true, name: main, spec: {publicURL: "https://rooms.example.org", minPods: 2}}
`

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func values(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAPIServersTakeTheChart has an API server check all objects, unknown fields included, without
// keeping them.
func TestAPIServersTakeTheChart(t *testing.T) {
	c := live(t)
	inNamespace(t, c, "elsewhere")
	inNamespace(t, c, "rooms")
	for name, arguments := range map[string][]string{
		"by default":     nil,
		"everything":     {"--values", values(t, everything)},
		"bare":           {"--set", "metrics.annotations=false,defaultTenant.rest=false,shared.crds=false,shared.roles=false"},
		"a second one":   {"--set", "class=next,shared.crds=false,shared.roles=false,defaultTenant.rest=false"},
		"a Secret's TLS": {"--set", "gateway.tls.secretName=rooms-tls"},
	} {
		t.Run(name, func(t *testing.T) {
			all := render(t, append(arguments, "--namespace", "elsewhere")...)
			if len(all) < 8 {
				t.Errorf("there are only %d objects", len(all))
			}
			for _, object := range all {
				if space := object.GetNamespace(); space != "" && space != "elsewhere" && object.GetName() != "mediarooms-rest" {
					t.Errorf("%s is in namespace %s", object.GetName(), space)
				}
				if object.GetKind() == "MediaPool" {
					continue // its definition is not kept: TestInstallUpgradeUninstall has one
				}
				err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.DryRunAll, client.FieldOwner("helm"))
				if err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
			}
		})
	}
}

func live(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

func inNamespace(t *testing.T, c client.Client, name string) {
	t.Helper()
	err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// TestWhatValuesDo looks at what no comparison with config/ shows.
func TestWhatValuesDo(t *testing.T) {
	find := func(kind, name string, arguments ...string) map[string]any {
		t.Helper()
		for _, object := range render(t, arguments...) {
			if object.GetKind() == kind && object.GetName() == name {
				return object.Object
			}
		}
		return nil
	}
	all := values(t, everything)
	for _, test := range []struct {
		kind, name string
		path       []string
		want       any
		arguments  []string
	}{
		{"Deployment", "mediarooms-manager", []string{"spec", "template", "spec", "containers", "0", "image"}, "mediarooms.dev/mediarooms@sha256:" + digest, []string{"--values", all}},
		{"Deployment", "mediarooms-manager", []string{"spec", "template", "spec", "containers", "0", "image"}, "registry.example.org/rooms:1.2.3", []string{"--set", "image.repository=registry.example.org/rooms,image.tag=1.2.3"}},
		{"Deployment", "mediarooms-manager", []string{"spec", "template", "spec", "containers", "0", "args"},
			[]any{"--default-tenant-namespace=rooms", "--cdr", "--webhook-allowed-networks=10.0.0.0/8"}, []string{"--values", all}},
		{"Deployment", "mediarooms-gateway", []string{"spec", "template", "spec", "containers", "0", "args"}, []any{
			"--default-tenant-namespace=rooms", "--trusted-proxy-networks=10.244.0.0/16,fd00::/8",
			"--serving-certificate-directory=/etc/mediarooms/serving", "--max-sockets=5000",
		}, []string{"--values", all}},
		{"Deployment", "mediarooms-gateway", []string{"spec", "template", "spec", "containers", "0", "args"},
			[]any{"--default-tenant-namespace=default", "--namespace=elsewhere"}, []string{"--namespace", "elsewhere"}},
		{"Deployment", "mediarooms-gateway", []string{"spec", "template", "spec", "volumes", "1", "secret", "secretName"}, "rooms-tls", []string{"--set", "gateway.tls.secretName=rooms-tls"}},
		{"Certificate", "mediarooms-gateway", []string{"spec", "secretName"}, "mediarooms-gateway-serving", []string{"--values", all}},
		{"Certificate", "mediarooms-gateway", []string{"spec", "secretName"}, "mine", []string{"--values", all, "--set", "gateway.tls.secretName=mine"}},
		{"Service", "mediarooms-gateway", []string{"spec", "ports", "0", "appProtocol"}, "https", []string{"--values", all}},
		{"RoleBinding", "mediarooms-rest", []string{"metadata", "namespace"}, "rooms", []string{"--values", all}},
		{"RoleBinding", "mediarooms-rest", []string{"subjects", "0", "namespace"}, "elsewhere", []string{"--namespace", "elsewhere"}},
		{"ClusterRole", "mediarooms-view", []string{"kind"}, nil, []string{"--set", "shared.roles=false"}},
		{"RoleBinding", "mediarooms-rest", []string{"kind"}, nil, []string{"--set", "defaultTenant.rest=false"}},
		{"ClusterRole", "mediarooms-rest", []string{"kind"}, nil, []string{"--set", "shared.roles=false"}},
		{"ClusterRole", "mediarooms-manager", []string{"kind"}, nil, []string{"--set", "class=next"}},
		{"ClusterRole", "mediarooms-manager-next", []string{"kind"}, "ClusterRole", []string{"--set", "class=next"}},
		{"ClusterRoleBinding", "mediarooms-gateway-next", []string{"roleRef", "name"}, "mediarooms-gateway-next", []string{"--set", "class=next"}},
		{"RoleBinding", "mediarooms-rest-next", []string{"roleRef", "name"}, "mediarooms-rest", []string{"--set", "class=next"}},
		{"RoleBinding", "mediarooms-gateway", []string{"roleRef", "name"}, "mediarooms-gateway", []string{"--set", "class=next"}},
		{"Deployment", "mediarooms-manager", []string{"spec", "template", "spec", "containers", "0", "args", "1"}, "--class=next", []string{"--set", "class=next"}},
		{"Deployment", "mediarooms-gateway", []string{"spec", "template", "spec", "containers", "0", "args", "1"}, "--class=next", []string{"--set", "class=next"}},
		{"MediaPool", "main", []string{"spec", "className"}, "next", []string{"--values", all, "--set", "class=next"}},
		{"PodMonitor", "mediarooms", []string{"metadata", "labels", "release"}, "prometheus", []string{"--values", all}},
		{"MediaPool", "main", []string{"spec", "publicURL"}, "https://rooms.example.org", []string{"--values", all}},
	} {
		if got := at(find(test.kind, test.name, test.arguments...), test.path); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v: %s %s has %v at %s, want %v", test.arguments, test.kind, test.name, got, strings.Join(test.path, "."), test.want)
		}
	}
}

// at returns what is at a path; nil when there is nothing.
func at(object any, path []string) any {
	for _, step := range path {
		switch inner := object.(type) {
		case map[string]any:
			object = inner[step]
		case []any:
			var index int
			if _, err := fmt.Sscan(step, &index); err != nil || index >= len(inner) {
				return nil
			}
			object = inner[index]
		default:
			return nil
		}
	}
	return object
}

// TestWrongValuesAreRefused has Helm refuse values, naming them.
func TestWrongValuesAreRefused(t *testing.T) {
	for set, names := range map[string]string{
		"gatway.replicas=3":                     "gatway",
		"gateway.replicas=-1":                   "/gateway/replicas",
		"gateway.replicas=many":                 "/gateway/replicas",
		"gateway.service.type=Ingress":          "/gateway/service/type",
		"gateway.service.port=70000":            "/gateway/service/port",
		"class=Next":                            "/class",
		"image.pullPolicy=Sometimes":            "/image/pullPolicy",
		"image.digest=latest":                   "/image/digest",
		"gateway.trustedProxyNetworks=10.0.0.1": "/gateway/trustedProxyNetworks",
		"defaultPool.name=My_Pool":              "/defaultPool/name",
		"defaultPool.enabled=true":              "defaultPool.spec.publicURL",
		"gateway.tls.certManager.enabled=true":  "gateway.tls.certManager.issuerRef",
		"gateway.tls.certManager.enabled=true,gateway.tls.certManager.issuerRef.name=x": "gateway.tls.certManager.dnsNames",
	} {
		_, err := runHelm(t.Context(), t.TempDir(), "template", "rooms", chart, "--set", set)
		if err == nil {
			t.Errorf("%s is taken", set)
		} else if !strings.Contains(err.Error(), names) {
			t.Errorf("%s: the error does not name %s: %v", set, names, err)
		}
	}
}

func TestHelmFindsNoFault(t *testing.T) {
	if _, err := runHelm(t.Context(), t.TempDir(), "lint", "--strict", chart, "--values", values(t, everything)); err != nil {
		t.Error(err)
	}
}

// TestThePackedChart packs the chart as a release does: it has the release's version, names its
// image, and is the same bytes each time.
func TestThePackedChart(t *testing.T) {
	var packed [2][]byte
	for i := range packed {
		folder := t.TempDir()
		command := exec.CommandContext(t.Context(), "../hack/chart", "1.2.3", "registry.example.org/rooms", folder)
		command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("hack/chart: %v: %s", err, output)
		}
		file := filepath.Join(folder, "mediarooms-1.2.3.tgz")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		packed[i] = text
		output, err := runHelm(t.Context(), t.TempDir(), "template", "rooms", file)
		if err != nil {
			t.Fatal(err)
		}
		images := 0
		for _, object := range objects(t, output) {
			if object.GetKind() != "Deployment" {
				continue
			}
			images++
			if got, want := at(object.Object, []string{"spec", "template", "spec", "containers", "0", "image"}), "registry.example.org/rooms:1.2.3"; got != want {
				t.Errorf("%s runs %v, want %s", object.GetName(), got, want)
			}
		}
		if images != 2 {
			t.Errorf("there are %d Deployments, want 2", images)
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("the same sources do not give the same bytes")
	}
}

// TestInstallUpgradeUninstall is the life of a release: what an older chart has installed gets the
// definitions of this one, and rooms and pools outlive the release.
func TestInstallUpgradeUninstall(t *testing.T) {
	c, home := live(t), t.TempDir()
	older := filepath.Join(t.TempDir(), chart)
	if err := os.CopyFS(older, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(older, "files", "crds", "mediarooms.dev_mediapools.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// An older definition has not heard of warmSessions.
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "warmSessions:", "lukewarmSessions:")), 0o600); err != nil {
		t.Fatal(err)
	}
	release := func(arguments ...string) {
		t.Helper()
		if _, err := runHelm(t.Context(), home, append(arguments, "--namespace", namespace)...); err != nil {
			t.Fatal(err)
		}
	}
	knows := func(field string) bool {
		t.Helper()
		var definition apiextensionsv1.CustomResourceDefinition
		if err := c.Get(t.Context(), client.ObjectKey{Name: "mediapools.mediarooms.dev"}, &definition); err != nil {
			t.Fatal(err)
		}
		_, known := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties[field]
		return known
	}

	release("install", "rooms", older, "--create-namespace")
	if knows("warmSessions") || !knows("lukewarmSessions") {
		t.Fatal("the older chart has not installed its own definition")
	}
	release("upgrade", "rooms", chart, "--set", "defaultPool.enabled=true,defaultPool.spec.publicURL=https://rooms.example.org,defaultPool.spec.warmSessions=3")
	if !knows("warmSessions") || knows("lukewarmSessions") {
		t.Error("an upgrade leaves the definition as it was")
	}
	pool := &unstructured.Unstructured{}
	pool.SetGroupVersionKind(schema.GroupVersionKind{Group: "mediarooms.dev", Version: "v1alpha1", Kind: "MediaPool"})
	if err := c.Get(t.Context(), client.ObjectKey{Name: "default"}, pool); err != nil {
		t.Fatal(err)
	}
	if got := at(pool.Object, []string{"spec", "warmSessions"}); got != int64(3) {
		t.Errorf("warmSessions of the pool is %v", got)
	}

	release("uninstall", "rooms")
	if err := c.Get(t.Context(), client.ObjectKey{Name: "default"}, pool); err != nil {
		t.Errorf("the pool went with the release: %v", err)
	}
	if !knows("warmSessions") {
		t.Error("the definition went with the release")
	}
	for _, kind := range []string{"Deployment.apps", "Service", "ServiceAccount", "PodDisruptionBudget.policy", "Role.rbac.authorization.k8s.io",
		"RoleBinding.rbac.authorization.k8s.io", "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io"} {
		if left := leftOver(t, c, kind); len(left) > 0 {
			t.Errorf("%s are left: %v", kind, left)
		}
	}
	if err := c.Delete(t.Context(), pool); err != nil {
		t.Error(err)
	}
	removeDefinitions(t, c)
}

// leftOver lists what has the project's label.
func leftOver(t *testing.T, c client.Client, kind string) []string {
	t.Helper()
	gk := schema.ParseGroupKind(kind)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: gk.Group, Version: "v1", Kind: gk.Kind + "List"})
	if err := c.List(t.Context(), list, client.MatchingLabels{"app.kubernetes.io/name": "mediarooms"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].GetName())
	}
	return names
}
