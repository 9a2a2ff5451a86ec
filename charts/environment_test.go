// Package charts tests the Helm chart: that it holds what config/ does, that API servers take it,
// and that it can be installed, upgraded and uninstalled.
package charts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"

	"mediarooms.dev/mediarooms/test/apiserver"
)

const (
	chart     = "mediarooms"
	namespace = "mediarooms-system"
	// bound is how long a test waits for anything; nothing takes nearly as long.
	bound = 30 * time.Second
)

var (
	// cluster is an API server without the project's custom resources, but with those of
	// cert-manager, the Prometheus Operator and the Gateway API.
	cluster *rest.Config
	// kubeconfig is the file by which programs reach it.
	kubeconfig string
	// helm is Helm's program.
	helm string
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	definitions, err := definitionsOfOthers()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	folder, err := os.MkdirTemp("", "charts")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	return apiserver.RunWith(m, definitions, func(started *rest.Config) error {
		tools, err := exec.Command("../hack/tools/build", "hack/helm").Output()
		if err != nil {
			return fmt.Errorf("building Helm: %w", err)
		}
		helm = filepath.Join(strings.TrimSpace(string(tools)), "helm")
		cluster, kubeconfig = started, filepath.Join(folder, "kubeconfig")
		return writeKubeconfig()
	})
}

// definitionsOfOthers returns the files with their custom resource definitions, from the modules of
// hack/schemas.
func definitionsOfOthers() ([]string, error) {
	command := exec.Command("go", "mod", "download", "-json", "github.com/cert-manager/cert-manager",
		"github.com/prometheus-operator/prometheus-operator", "sigs.k8s.io/gateway-api")
	command.Dir, command.Stderr = filepath.Join("..", "hack", "schemas"), os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("downloading the modules of hack/schemas: %w", err)
	}
	var files []string
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var module struct{ Path, Dir string }
		if err := decoder.Decode(&module); errors.Is(err, io.EOF) {
			return files, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading what was downloaded: %w", err)
		}
		for _, path := range map[string][]string{
			"github.com/cert-manager/cert-manager": {"deploy/crds/cert-manager.io_certificates.yaml"},
			"github.com/prometheus-operator/prometheus-operator": {
				"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
				"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
			},
			"sigs.k8s.io/gateway-api": {
				"config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
				"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
			},
		}[module.Path] {
			files = append(files, filepath.Join(module.Dir, path))
		}
	}
}

func writeKubeconfig() error {
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: cluster.Host, CertificateAuthorityData: cluster.CAData}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: cluster.CertData, ClientKeyData: cluster.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, kubeconfig)
}

// runHelm runs Helm and returns what it prints. An error tells what it said.
func runHelm(ctx context.Context, home string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, helm, arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var said bytes.Buffer
	command.Stderr = &said
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("helm %s: %w: %s", strings.Join(arguments, " "), err, said.String())
	}
	return output, nil
}

// render returns the objects of the chart, in no cluster.
func render(t *testing.T, arguments ...string) []*unstructured.Unstructured {
	t.Helper()
	output, err := runHelm(t.Context(), t.TempDir(), append([]string{"template", "rooms", chart, "--namespace", namespace}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, output)
}

// kustomize returns the objects of a kustomization.
func kustomize(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", folder)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v", folder, err)
	}
	return objects(t, output)
}

// objects decodes documents of YAML.
func objects(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			all = append(all, object)
		}
	}
}

// name says which object one is.
func name(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GroupVersionKind(), object.GetNamespace(), object.GetName())
}
