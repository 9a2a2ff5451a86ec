package charts

import (
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
		for _, object := range objects(t, []byte(block)) {
			kinds[object.GetKind()] = true
			if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.DryRunAll, client.FieldOwner("kubectl")); err != nil {
				t.Errorf("%s: %v", name(object), err)
			}
		}
	}
	for _, kind := range []string{"Ingress", "Gateway", "HTTPRoute", "Certificate"} {
		if !kinds[kind] {
			t.Errorf("docs/tls.md has no %s", kind)
		}
	}
}
