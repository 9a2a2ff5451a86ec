package v1alpha1_test

import (
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/apiserver"
)

// The tests of this package talk to one real API server that has the CRDs of config/crd/bases.
// Tests that store objects give them names of their own, and delete them.
var (
	apiConfig *rest.Config
	apiClient client.Client
)

// crdDirectory holds the generated CRDs.
var crdDirectory = apiserver.CRDs()

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	return apiserver.Run(m, func(config *rest.Config) (err error) {
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			return err
		}
		apiConfig = config
		apiClient, err = client.New(config, client.Options{Scheme: scheme})
		return err
	})
}
