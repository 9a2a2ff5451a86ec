package mediapool

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// losses counts the pods that were given up.
var losses = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "mediarooms_media_pod_losses_total",
	Help: "Media pods that were given up, by pool.",
}, []string{"pool"})

func init() {
	metrics.Registry.MustRegister(losses)
}

// CountLoss counts a pod of a pool that was given up.
func CountLoss(pool string) { losses.WithLabelValues(pool).Inc() }
