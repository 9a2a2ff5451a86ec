package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// The tests of this package talk to one real API server that has the CRDs of config/crd/bases.
// Tests that store objects give them names of their own, and delete them.
var (
	apiConfig *rest.Config
	apiClient client.Client
)

// crdDirectory holds the generated CRDs.
var crdDirectory = filepath.Join("..", "..", "config", "crd", "bases")

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{crdDirectory}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting an API server (KUBEBUILDER_ASSETS must name a directory with kube-apiserver and etcd): %v\n", err)
		return 1
	}
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping the API server: %v\n", err)
			code = 1
		}
	}()

	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		fmt.Fprintf(os.Stderr, "adding the kinds to the scheme: %v\n", err)
		return 1
	}
	apiConfig = config
	apiClient, err = client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		fmt.Fprintf(os.Stderr, "making a client: %v\n", err)
		return 1
	}
	return m.Run()
}
