package route

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a handshake was refused: the label of a metric.
type refusal string

const (
	refusedHandshake   refusal = "bad_handshake" // not a WebSocket handshake
	refusedAddress     refusal = "address_limit" // too many sockets of one address
	refusedTotal       refusal = "total_limit"   // too many sockets
	refusedNoPod       refusal = "no_pod"        // a reconnection to a Session without a usable pod, or no pod at all
	refusedUnreachable refusal = "unreachable"   // the pod could not be reached
	refusedPod         refusal = "pod"           // the pod itself refused
	refusedGone        refusal = "client_gone"   // the client did not wait for the answer
	refusedStopping    refusal = "stopping"      // this gateway is stopping
	refusedInternal    refusal = "internal"      // a look-up went wrong
)

type metrics struct {
	sockets   prometheus.Gauge
	refusals  *prometheus.CounterVec
	upgrades  prometheus.Histogram
	handovers *prometheus.CounterVec
}

// resumed counts the search for the next media pod of a client, by its outcome.
func (m *metrics) resumed(err error) {
	outcome := "resumed"
	switch {
	case err == nil:
	case errors.Is(err, errMustNotice):
		outcome = "refused"
	case errors.Is(err, context.Canceled):
		outcome = "ended"
	default:
		outcome = "no_pod"
	}
	m.handovers.WithLabelValues(outcome).Inc()
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mediarooms_gateway_signalling_sockets",
			Help: "Signalling WebSockets that are being proxied to media pods now.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediarooms_gateway_signalling_refusals_total",
			Help: "Signalling handshakes that were refused, by reason.",
		}, []string{"reason"}),
		upgrades: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "mediarooms_gateway_signalling_upgrade_seconds",
			Help:    "Time from a signalling handshake's arrival to the media pod's answer that accepts it, holding included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 8, 16},
		}),
		handovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediarooms_gateway_signalling_handovers_total",
			Help: "Signalling WebSockets whose media pod was lost and that were kept, by outcome: resumed by a media pod, refused by it, no_pod in time, or ended meanwhile.",
		}, []string{"outcome"}),
	}
	for _, collector := range []prometheus.Collector{m.sockets, m.refusals, m.upgrades, m.handovers} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}
