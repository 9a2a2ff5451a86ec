package eventlog

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Where events were lost.
const (
	lostInPod      = "mediapod"
	lostInOperator = "operator"
)

var (
	seenEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mediarooms_events_total",
		Help: "Events of Sessions, by name.",
	}, []string{"event"})
	lostEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mediarooms_events_lost_total",
		Help: "Events that were dropped before somebody took them, because too many waited, by where.",
	}, []string{"where"})
)

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{seenEvents, lostEvents}
}
