package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
)

var refusedEvents = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "mediarooms_events_refused_total",
	Help: "Events that media pods told of rooms which they were not given.",
})

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{refusedEvents}
}
