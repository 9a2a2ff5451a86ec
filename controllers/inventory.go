package controllers

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

var (
	sessionsDesc = prometheus.NewDesc("mediarooms_sessions", "Sessions, by the reason of their Ready condition.", []string{"reason"}, nil)
	exposedDesc  = prometheus.NewDesc("mediarooms_unprotected_sessions", "Sessions that want a standby and have none that could go on with the room now, by the reason of their Protected condition.", []string{"reason"}, nil)
	usersDesc    = prometheus.NewDesc("mediarooms_connections", "Connections, by state; waiting is those without a token.", []string{"state"}, nil)
	podsDesc     = prometheus.NewDesc("mediarooms_media_pods", "Media pods, by pool and whether they can host rooms.", []string{"pool", "ready"}, nil)
	freeDesc     = prometheus.NewDesc("mediarooms_free_sessions", "Sessions that the running pods of a pool can still take.", []string{"pool"}, nil)
)

// inventory counts the custom resources when it is asked, in the leader only: other replicas would
// count them again.
type inventory struct {
	reader  client.Reader
	leading <-chan struct{}
}

// Describe implements prometheus.Collector.
func (*inventory) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{sessionsDesc, exposedDesc, usersDesc, podsDesc, freeDesc} {
		out <- desc
	}
}

// Collect implements prometheus.Collector. What the cache can't tell is left out.
func (i *inventory) Collect(out chan<- prometheus.Metric) {
	select {
	case <-i.leading:
	default:
		return
	}
	ctx := context.Background()
	var sessions v1alpha1.SessionList
	if i.reader.List(ctx, &sessions, client.UnsafeDisableDeepCopy) == nil {
		counts, exposed := make(map[string]int), make(map[string]int)
		for n := range sessions.Items {
			if protected := meta.FindStatusCondition(sessions.Items[n].Status.Conditions, v1alpha1.ConditionProtected); protected != nil &&
				protected.Status != metav1.ConditionTrue && protected.Reason != v1alpha1.ReasonNotWanted {
				exposed[protected.Reason]++
			}
			reason := v1alpha1.ReasonPending
			if ready := meta.FindStatusCondition(sessions.Items[n].Status.Conditions, v1alpha1.ConditionReady); ready != nil {
				reason = ready.Reason
			}
			counts[reason]++
		}
		gauges(out, sessionsDesc, counts)
		gauges(out, exposedDesc, exposed)
	}
	var connections v1alpha1.ConnectionList
	if i.reader.List(ctx, &connections, client.UnsafeDisableDeepCopy) == nil {
		counts := make(map[string]int)
		for n := range connections.Items {
			state := string(connections.Items[n].Status.State)
			if state == "" {
				state = "waiting"
			}
			counts[state]++
		}
		gauges(out, usersDesc, counts)
	}
	var pools v1alpha1.MediaPoolList
	if i.reader.List(ctx, &pools, client.UnsafeDisableDeepCopy) == nil {
		for n := range pools.Items {
			name, status := pools.Items[n].Name, pools.Items[n].Status
			gauge(out, podsDesc, int(status.ReadyPods), name, "true")
			gauge(out, podsDesc, int(status.Pods-status.ReadyPods), name, "false")
			gauge(out, freeDesc, int(status.FreeSessions), name)
		}
	}
}

func gauges(out chan<- prometheus.Metric, desc *prometheus.Desc, counts map[string]int) {
	for label, n := range counts {
		gauge(out, desc, n, label)
	}
}

func gauge(out chan<- prometheus.Metric, desc *prometheus.Desc, n int, labels ...string) {
	out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
}
