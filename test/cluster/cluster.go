// Package cluster is the authority on how tests reach the cluster under test: where it is, how a
// suite begins and ends there, the real kubectl as users run it, clients, objects and their
// conditions, what media pods say of themselves, and what is written down when a test fails.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// InfoVariable is the environment variable with the path of the file that describes the cluster.
const InfoVariable = "MEDIAROOMS_CLUSTER_INFO"

// Names that a default installation has.
const (
	// Namespace of the operator, the gateway and the media pods.
	Namespace = "mediarooms-system"
	// DefaultTenant is the namespace whose Sessions are routed by their session id alone.
	DefaultTenant = "default"
	// DefaultPool is the name of the MediaPool of config/samples.
	DefaultPool = "default"
	// ManagerDeployment is the operator's Deployment.
	ManagerDeployment = "mediarooms-manager"
)

// Node is a machine of the cluster.
type Node struct {
	Name string `json:"name"`
	// NetNS is its network namespace, empty on a cluster that is not local.
	NetNS string `json:"netns"`
	IP    string `json:"ip"`
	// PodSubnet is where its pods' addresses are, empty on a cluster that is not local.
	PodSubnet string `json:"podSubnet"`
	// ContainerdSocket is empty on a cluster that is not local.
	ContainerdSocket string `json:"containerdSocket"`
}

// Info is what the file says. Folders are absolute.
type Info struct {
	Name       string `json:"name"`
	Kubeconfig string `json:"kubeconfig"`
	Kubectl    string `json:"kubectl"`
	GatewayURL string `json:"gatewayURL"`
	// Program controls the cluster, empty when it is not local.
	Program string `json:"cluster"`
	Nodes   []Node `json:"nodes"`
}

// Cluster is the cluster under test. It is safe for concurrent use.
type Cluster struct {
	Info
	// Client reads and writes the API server directly, without a cache.
	Client client.WithWatch
	// Clientset is for what Client can't do: logs and proxied requests.
	Clientset kubernetes.Interface
	// Config is what both were made of.
	Config *rest.Config

	dumped sync.Once
}

// Open reads the description that MEDIAROOMS_CLUSTER_INFO names. The error says what to run when
// there is none.
func Open() (*Cluster, error) {
	path := os.Getenv(InfoVariable)
	if path == "" {
		return nil, fmt.Errorf("%s is not set: run `make test` or `make bench`, which start a cluster and set it; "+
			"or `make run` and set it to the info.json of that cluster", InfoVariable)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's description (%s): %w; is the cluster up? run `make test` or `make run`",
			InfoVariable, err)
	}
	c := &Cluster{}
	if err := json.Unmarshal(content, &c.Info); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", path, err)
	}
	if c.Kubeconfig == "" || c.GatewayURL == "" {
		return nil, fmt.Errorf("parsing %s: %w", path, errors.New("kubeconfig and gatewayURL must be set"))
	}
	if c.Info.Kubectl == "" {
		c.Info.Kubectl = "kubectl"
	}
	c.GatewayURL = strings.TrimSuffix(c.GatewayURL, "/")
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	// Tests ask often and must see times as they are.
	c.Config.QPS, c.Config.Burst = -1, -1
	// The library complains when nobody chose where it logs; nothing that it says matters here.
	log.SetLogger(logr.Discard())
	scheme := k8sruntime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if c.Client, err = client.NewWithWatch(c.Config, client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if c.Clientset, err = kubernetes.NewForConfig(c.Config); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// KubectlError is a kubectl that ended with an error. Its text is what the user would see.
type KubectlError struct {
	Args   []string
	Stderr string
	Err    error
}

// Error implements error.
func (e *KubectlError) Error() string {
	return fmt.Sprintf("kubectl %s: %v: %s", strings.Join(e.Args, " "), e.Err, strings.TrimSpace(e.Stderr))
}

// Unwrap returns how the process ended.
func (e *KubectlError) Unwrap() error { return e.Err }

// Kubectl runs the real kubectl and returns what it writes to its standard output. An error is a
// *KubectlError.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.KubectlInput(ctx, "", args...)
}

// KubectlInput is Kubectl with something on its standard input (`apply -f -`).
func (c *Cluster) KubectlInput(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, c.Info.Kubectl, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	command.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), &KubectlError{Args: args, Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}

// Root is the checkout's folder.
func Root() string {
	_, source, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(source)))
}
