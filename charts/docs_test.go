package charts

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestExamplesOfTLS has an API server, with the definitions of cert-manager and the Gateway API,
// check each manifest of docs/tls.md.
func TestExamplesOfTLS(t *testing.T) {
	c := live(t)
	inNamespace(t, c, namespace)
	page, err := os.ReadFile(filepath.Join("..", "docs", "tls.md"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]bool)
	for block := range strings.SplitSeq(string(page), "```yaml\n") {
		block, _, closed := strings.Cut(block, "```")
		if !closed || !strings.HasPrefix(block, "apiVersion:") {
			continue
		}
		maps.Copy(kinds, accepted(t, c, []byte(block)))
	}
	for _, kind := range []string{"Ingress", "Gateway", "HTTPRoute", "Certificate"} {
		if !kinds[kind] {
			t.Errorf("docs/tls.md has no %s", kind)
		}
	}
}

// TestExampleOfTURN has an API server check the manifest of docs/turn.md.
func TestExampleOfTURN(t *testing.T) {
	c := live(t)
	inNamespace(t, c, "turn")
	manifest, err := os.ReadFile(filepath.Join("..", "examples", "turn", "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if kinds := accepted(t, c, manifest); len(kinds) != 3 || !kinds["DaemonSet"] {
		t.Errorf("the example has %v", kinds)
	}
}

// accepted has an API server check objects, and returns their kinds.
func accepted(t *testing.T, c client.Client, manifest []byte) map[string]bool {
	t.Helper()
	kinds := make(map[string]bool)
	for _, object := range objects(t, manifest) {
		kinds[object.GetKind()] = true
		if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.DryRunAll, client.FieldOwner("kubectl")); err != nil {
			t.Errorf("%s: %v", name(object), err)
		}
	}
	return kinds
}
