// Package metrics checks what a part of the project serves at /metrics.
package metrics

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Check fails for each metric in the text of a /metrics that breaks Prometheus' naming rules, and
// when the text lacks one of the project's own metrics that are named.
func Check(t testing.TB, text string, names ...string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Errorf("reading the metrics: %v", err)
	}
	for _, problem := range problems {
		t.Errorf("metric %s: %s", problem.Metric, problem.Text)
	}
	lines := slices.Collect(strings.Lines(text))
	for _, name := range names {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "# TYPE "+name+" ") }) {
			t.Errorf("there is no metric %s", name)
		}
	}
}
