package controllers_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	rules "mediarooms.dev/mediarooms/test/metrics"
)

// scrape returns the metrics of the operator.
func (w *world) scrape() string {
	w.Helper()
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(w.metrics, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	return recorder.Body.String()
}

// TestMetricsOfAFullPool has a pool with one place and three who want it: the alerts need to know
// who waits, also that nobody does.
func TestMetricsOfAFullPool(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(func(spec *v1alpha1.MediaPoolSpec) {
		spec.MaxPods, spec.Capacity = 1, v1alpha1.PodCapacity{Sessions: 1, Connections: 1}
	})
	w.await(pool, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	says := func(lines ...string) {
		t.Helper()
		w.eventually("the metrics say so", func() error {
			text := w.scrape()
			for _, line := range lines {
				if !strings.Contains(text, "\n"+line+"\n") {
					return fmt.Errorf("there is no %s in:\n%s", line, text)
				}
			}
			return nil
		})
	}
	says(`mediarooms_waiting_sessions{pool="standard"} 0`, `mediarooms_waiting_connections{pool="standard"} 0`,
		`mediarooms_media_pool_progressing{pool="standard"} 1`, `mediarooms_operator_leading 1`)

	first := w.session("first", nil)
	w.await(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.await(w.connection("first", "first", nil), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.await(w.session("second", nil), v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity)
	w.await(w.connection("second", "first", nil), v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity)
	says(`mediarooms_waiting_sessions{pool="standard"} 1`, `mediarooms_waiting_connections{pool="standard"} 1`)
	rules.Check(t, w.scrape(), "mediarooms_sessions", "mediarooms_free_sessions", "mediarooms_media_pods", "mediarooms_media_pod_losses_total")
}
