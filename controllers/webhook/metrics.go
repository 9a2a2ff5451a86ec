package webhook

import (
	"github.com/prometheus/client_golang/prometheus"
)

// What becomes of events.
const (
	outcomeDelivered = "delivered"
	outcomeRefused   = "refused"
	outcomeRetried   = "retried"
	outcomeExpired   = "expired"
	outcomeDropped   = "dropped"
)

var (
	outcomes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mediarooms_webhook_events_total",
		Help: "What became of events for Webhooks, by namespace: delivered, refused (the endpoint does not want it), retried (an attempt that is repeated), " +
			"expired (tried for too long), dropped (too many waited).",
	}, []string{"namespace", "outcome"})
	took = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "mediarooms_webhook_request_seconds",
		Help:    "How long one request to the endpoint of a Webhook took, whatever came of it.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
	})
)

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{outcomes, took}
}
