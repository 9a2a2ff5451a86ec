// Package apiserver runs the tests of a package against a real API server, which has the project's
// custom resources or others.
package apiserver

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Run starts an API server, hands it to use, runs the tests and stops it. It returns what TestMain
// exits with: not 0 either when a goroutine is left. Fuzzing has no API server, since each of the
// processes that look for inputs would start one.
func Run(m *testing.M, use func(*rest.Config) error) (code int) {
	return RunWith(m, []string{CRDs()}, use)
}

// RunWith does the same with the custom resources that are defined in these folders and files.
func RunWith(m *testing.M, definitions []string, use func(*rest.Config) error) (code int) {
	flag.Parse()
	if fuzz := flag.Lookup("test.fuzz"); fuzz != nil && fuzz.Value.String() != "" {
		return m.Run()
	}
	environment := &envtest.Environment{CRDDirectoryPaths: definitions, ErrorIfCRDPathMissing: true}
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
		if err := leaks(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	if err := use(config); err != nil {
		fmt.Fprintf(os.Stderr, "preparing the tests: %v\n", err)
		return 1
	}
	return m.Run()
}

// CRDs is the folder of the generated CRDs.
func CRDs() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "config", "crd", "bases")
}

// leaks finds goroutines but for those that controller-runtime leaves behind when a cache of
// several namespaces stops.
func leaks() error {
	const informer = "sigs.k8s.io/controller-runtime/pkg/cache.newMultiNamespaceInformer"
	return goleak.Find(
		goleak.IgnoreTopFunction(informer+".func1"),
		goleak.IgnoreTopFunction(informer+"HandlerRegistration.func1"),
	)
}
