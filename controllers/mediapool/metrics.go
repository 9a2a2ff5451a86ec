package mediapool

import (
	"github.com/prometheus/client_golang/prometheus"
)

// losses counts the pods that were given up.
var losses = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "mediarooms_media_pod_losses_total",
	Help: "Media pods that were given up, by pool.",
}, []string{"pool"})

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{losses}
}

// beginCount has a rate begin at 0, before the first loss.
func beginCount(pool string) { losses.WithLabelValues(pool) }

// CountLoss counts a pod of a pool that was given up.
func CountLoss(pool string) { losses.WithLabelValues(pool).Inc() }
