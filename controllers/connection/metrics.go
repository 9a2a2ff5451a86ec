package connection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// tokenSeconds is how long people wait for tokens. Creation times are whole seconds in the API, so
// single values are off by up to one.
var tokenSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name:    "mediarooms_connection_token_seconds",
	Help:    "Time from the creation of a Connection to its token.",
	Buckets: []float64{0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300},
})

// joins and disconnections follow the status: each visit is counted with the write that tells of
// it.
var (
	joins = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mediarooms_visits_total",
		Help: "Users that came into a room.",
	})
	disconnections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mediarooms_disconnections_total",
		Help: "Users that left a room, by cause (ClientDisconnected, ForceDisconnected, NetworkDisconnected) and OpenVidu's reason.",
	}, []string{"cause", "reason"})
)

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	for _, reason := range reasons.Leaving() {
		disconnections.WithLabelValues(string(reason.Cause()), string(reason)) // a rate needs the 0 before the first one
	}
	return []prometheus.Collector{tokenSeconds, joins, disconnections}
}

// count counts visits that a status tells of.
func count(visits []visit, status v1alpha1.ConnectionStatus) {
	for _, v := range visits {
		if v.part == joined {
			joins.Inc()
			continue
		}
		reason := reasons.ParseLeaving(status.DisconnectReason)
		disconnections.WithLabelValues(string(reason.Cause()), string(reason)).Inc()
	}
}

// observeLatency counts a status write that has published the first token.
func observeLatency(before v1alpha1.ConnectionStatus, after *v1alpha1.Connection, now time.Time) {
	if before.ConnectionID == "" && after.Status.ConnectionID != "" {
		tokenSeconds.Observe(max(0, now.Sub(after.CreationTimestamp.Time).Seconds()))
	}
}
