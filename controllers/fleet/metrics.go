package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	refusedEvents = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mediarooms_events_refused_total",
		Help: "Events that media pods told of rooms which they were not given.",
	})
	givenUp = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mediarooms_media_pods_given_up_total",
		Help: "Media pods that were given up although nobody has seen them end, by the sign that they are dead.",
	}, []string{"sign"})

	unreachableDesc = prometheus.NewDesc("mediarooms_media_pods_unreachable",
		"Media pods of which the operator does not hear, by pool.", []string{"pool"}, nil)
	waitingDesc = prometheus.NewDesc("mediarooms_media_pods_waiting_to_be_given_up",
		"Media pods that are given up when their turn comes, by pool.", []string{"pool"}, nil)
)

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{refusedEvents, givenUp}
}

// Describe implements prometheus.Collector.
func (*Fleet) Describe(out chan<- *prometheus.Desc) {
	out <- unreachableDesc
	out <- waitingDesc
}

// Collect implements prometheus.Collector. Who does not lead talks to no pod.
func (f *Fleet) Collect(out chan<- prometheus.Metric) {
	unreachable, waiting := make(map[string]int), make(map[string]int)
	f.mu.Lock()
	for _, l := range f.links {
		pool, view := l.pod.Pool, l.view()
		unreachable[pool] += count(!view.CutOff.IsZero())
		waiting[pool] += count(view.Waits)
	}
	f.mu.Unlock()
	for pool, n := range unreachable {
		out <- prometheus.MustNewConstMetric(unreachableDesc, prometheus.GaugeValue, float64(n), pool)
		out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting[pool]), pool)
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
