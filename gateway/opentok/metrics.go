package opentok

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// unknownEndpoint is the label of requests that reach none.
const unknownEndpoint = "unknown"

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediarooms_gateway_opentok_requests_total",
			Help: "Requests to OpenTok's REST API and to join, by endpoint and status code.",
		}, []string{"endpoint", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mediarooms_gateway_opentok_request_seconds",
			Help:    "Time to answer a request to OpenTok's REST API or to join, by endpoint.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 8, 16, 32},
		}, []string{"endpoint"}),
	}
	for _, collector := range []prometheus.Collector{m.requests, m.seconds} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}
