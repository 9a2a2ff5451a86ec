//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// release is an installation by Helm, beside the one under test: with a namespace, a class and a
// pool of the same name.
type release struct {
	helm, kubeconfig, name string
	values                 map[string]any
}

const (
	// releaseName is in the name of no other object.
	releaseName = "mediarooms-by-helm"
	// releasePort is the port of its gateways on each node.
	releasePort = 30444
)

// A release that Helm installs carries a call, is upgraded under it, and leaves nothing behind:
// docs/install.md and docs/uninstall.md, line by line.
func TestACallGoesOnWhileHelmUpgradesItsRelease(t *testing.T) {
	r := newRelease(t)
	r.run(t, "install", "--create-namespace")
	if _, err := kube.Kubectl(t.Context(), "label", "namespace", r.name, "pod-security.kubernetes.io/enforce=privileged"); err != nil {
		t.Fatal(err)
	}
	c := newLastingRoomIn(t, r.name, r.name)
	session, err := kube.Session(c.namespace, roomName)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(session.Status.URL, fmt.Sprint(releasePort)) {
		t.Errorf("clients are sent to %s", session.Status.URL)
	}
	c.fills(t, func(t *testing.T, n int) opener { return chromium(t, n) })

	before := time.Now()
	c.goesOn(t, func(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
		upgrade := map[string]any{"example.org/after": pod.Name}
		r.values["manager"] = map[string]any{"podAnnotations": upgrade}
		r.values["gateway"].(map[string]any)["podAnnotations"] = upgrade
		spec := r.values["defaultPool"].(map[string]any)["spec"].(map[string]any)
		spec["template"].(map[string]any)["metadata"] = map[string]any{"annotations": upgrade}
		r.run(t, "upgrade")
		return nil
	})
	for _, g := range c.guests {
		g.toldOnlyOfItsSocket(t, before)
		g.same(t)
	}
	c.hearEachOther(t, before)

	r.uninstall(t, c.namespace)
}

func newRelease(t *testing.T) *release {
	t.Helper()
	tools, err := exec.CommandContext(t.Context(), filepath.Join(cluster.Root(), "hack", "tools", "build"), "hack/helm").Output()
	if err != nil {
		t.Fatal(err)
	}
	var operator appsv1.Deployment
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: "mediarooms-manager"}, &operator); err != nil {
		t.Fatal(err)
	}
	image, tag, _ := strings.Cut(operator.Spec.Template.Spec.Containers[0].Image, ":")
	pool, err := kube.Pool(cluster.DefaultPool)
	if err != nil {
		t.Fatal(err)
	}
	r := &release{helm: filepath.Join(strings.TrimSpace(string(tools)), "helm"), kubeconfig: kube.Kubeconfig, name: releaseName}
	r.values = map[string]any{
		"image":         map[string]any{"repository": image, "tag": tag, "pullPolicy": "IfNotPresent"},
		"class":         r.name,
		"shared":        map[string]any{"crds": false, "roles": false},
		"defaultTenant": map[string]any{"rest": false},
		"gateway":       map[string]any{"service": map[string]any{"type": "NodePort", "nodePort": releasePort}},
		"defaultPool": map[string]any{"enabled": true, "name": r.name, "spec": map[string]any{
			"publicURL": fmt.Sprintf("http://%s:%d", kube.Nodes[0].IP, releasePort),
			"minPods":   2, "maxPods": 4, "warmSessions": 0, "drainSeconds": 60, "standby": v1alpha1.StandbyWarm,
			"exposure": map[string]any{"type": v1alpha1.ExposureHostPort, "portRange": map[string]any{"first": 26000, "last": 26019}},
			"template": map[string]any{"resources": pool.Spec.Template.Resources},
		}},
	}
	t.Cleanup(func() { r.remove(t) })
	return r
}

// run has Helm install or upgrade the release, and waits until all of it runs.
func (r *release) run(t *testing.T, command string, more ...string) {
	t.Helper()
	text, err := json.Marshal(r.values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.json") // JSON is YAML
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	chart := filepath.Join(cluster.Root(), "charts", "mediarooms")
	arguments := append([]string{command, r.name, chart, "--values", file, "--wait", "--timeout", "3m"}, more...)
	if output, err := r.do(t.Context(), arguments...); err != nil {
		t.Fatalf("helm %s: %v\n%s", command, err, output)
	}
}

func (r *release) do(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, r.helm, append(arguments, "--namespace", r.name)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+r.kubeconfig)
	output, err := command.CombinedOutput()
	return string(output), err
}

// uninstall removes the release in the order of docs/uninstall.md, and checks that nothing is left.
func (r *release) uninstall(t *testing.T, namespace string) {
	t.Helper()
	if len(r.named(t)) < 5 {
		t.Fatalf("the release has only %s", r.named(t))
	}
	for _, line := range []string{
		"delete sessions,connections,recordings --all -n " + namespace,
		"delete mediapool " + r.name,
	} {
		if _, err := kube.Kubectl(t.Context(), strings.Fields(line)...); err != nil {
			t.Fatal(err)
		}
	}
	if output, err := r.do(t.Context(), "uninstall", r.name); err != nil {
		t.Fatalf("helm uninstall: %v\n%s", err, output)
	}
	if _, err := kube.Kubectl(t.Context(), "delete", "namespace", r.name); err != nil {
		t.Fatal(err)
	}
	if left := r.named(t); len(left) > 0 {
		t.Errorf("there are %s", left)
	}
	// The other installation works as before.
	wait.For(t, time.Minute, "the default pool to be ready", kube.Warm)
}

// named returns the objects of all namespaces that have the release in their name.
func (r *release) named(t *testing.T) []string {
	t.Helper()
	all, err := kube.Kubectl(t.Context(), "get", "clusterroles,clusterrolebindings,rolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"+
		"priorityclasses,mediapools,namespaces,pods,services,secrets,configmaps,leases,serviceaccounts", "--all-namespaces", "--output", "name")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Fields(all), func(name string) bool { return !strings.Contains(name, r.name) })
}

// remove removes what a test that failed has left of the release.
func (r *release) remove(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	if _, err := kube.Kubectl(ctx, "delete", "mediapool", r.name, "--ignore-not-found"); err != nil {
		t.Error(err)
	}
	if _, err := r.do(ctx, "uninstall", r.name, "--ignore-not-found"); err != nil {
		t.Error(err)
	}
	if _, err := kube.Kubectl(ctx, "delete", "namespace", r.name, "--ignore-not-found"); err != nil {
		t.Error(err)
	}
}
