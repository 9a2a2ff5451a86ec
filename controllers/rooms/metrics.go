package rooms

import "github.com/prometheus/client_golang/prometheus"

// Why a standby has taken a room over, as it says itself.
const (
	// CauseEnded: the process of the other pod has ended.
	CauseEnded = "ended"
	// CauseSilent: the other pod was not heard by the standby.
	CauseSilent = "silent"
	// CauseMoved: the operator wanted it.
	CauseMoved = "moved"

	causeUnknown = "unknown"
)

// takeovers counts rooms that have gone on at their standby.
var takeovers = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "mediarooms_takeovers_total",
	Help: "Rooms that a standby has taken over, by why it did.",
}, []string{"cause"})

// Collectors returns the metrics of the package.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{takeovers}
}
