package session

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

var (
	// readySeconds is how long people wait for rooms. Creation times are whole seconds in the API,
	// so single values are off by up to one.
	readySeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "mediarooms_session_ready_seconds",
		Help:    "Time from the creation of a Session to its first Ready.",
		Buckets: []float64{0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300},
	})
	placementFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mediarooms_placement_failures_total",
		Help: "Attempts to place a Session that found no media pod with room.",
	})
)

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{readySeconds, placementFailures}
}

// observeLatency counts a status write by which a Session becomes Ready for the first time.
func observeLatency(before, after *v1alpha1.Session, now time.Time) {
	was := meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionReady)
	is := meta.IsStatusConditionTrue(after.Status.Conditions, v1alpha1.ConditionReady)
	if !was && is && before.Status.PodName == "" {
		readySeconds.Observe(max(0, now.Sub(after.CreationTimestamp.Time).Seconds()))
	}
}
