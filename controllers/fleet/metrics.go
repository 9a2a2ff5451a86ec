package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var refusedEvents = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "mediarooms_events_refused_total",
	Help: "Events that media pods told of rooms which they were not given.",
})

func init() {
	metrics.Registry.MustRegister(refusedEvents)
}
