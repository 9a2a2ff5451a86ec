package connection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// tokenSeconds is how long people wait for tokens. Creation times are whole seconds in the API, so single values are off by up to one.
var tokenSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name:    "mediarooms_connection_token_seconds",
	Help:    "Time from the creation of a Connection to its token.",
	Buckets: []float64{0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300},
})

func init() {
	metrics.Registry.MustRegister(tokenSeconds)
}

// observeLatency counts a status write that has published the first token.
func observeLatency(before, after *v1alpha1.Connection, now time.Time) {
	if before.Status.ConnectionID == "" && after.Status.ConnectionID != "" {
		tokenSeconds.Observe(max(0, now.Sub(after.CreationTimestamp.Time).Seconds()))
	}
}
