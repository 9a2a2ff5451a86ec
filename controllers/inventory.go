package controllers

import (
	"cmp"
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/naming"
)

var (
	sessionsDesc = prometheus.NewDesc("mediarooms_sessions", "Sessions, by the reason of their Ready condition.", []string{"reason"}, nil)
	exposedDesc  = prometheus.NewDesc("mediarooms_unprotected_sessions", "Sessions that want a standby and have none that could go on with the room now, by the reason of their Protected condition.", []string{"reason"}, nil)
	usersDesc    = prometheus.NewDesc("mediarooms_connections", "Connections, by state; waiting is those without a token.", []string{"state"}, nil)
	podsDesc     = prometheus.NewDesc("mediarooms_media_pods", "Media pods, by pool and whether they can host rooms.", []string{"pool", "ready"}, nil)
	waitingDesc  = prometheus.NewDesc("mediarooms_waiting_sessions", "Sessions that wait since a pool is full, by pool.", []string{"pool"}, nil)
	fullDesc     = prometheus.NewDesc("mediarooms_waiting_connections", "Connections that wait since the media pod of their Session is full, by pool.", []string{"pool"}, nil)
	progressDesc = prometheus.NewDesc("mediarooms_media_pool_progressing", "Whether the media pods of a pool are, or are becoming, what its spec wants (1), or fail to start (0), by pool.", []string{"pool"}, nil)
	leadingDesc  = prometheus.NewDesc("mediarooms_operator_leading", "Whether this replica of the operator works (1) or stands by (0).", nil, nil)
	freeDesc     = prometheus.NewDesc("mediarooms_free_sessions", "Sessions that the running pods of a pool can still take.", []string{"pool"}, nil)
)

// inventory counts the custom resources when it is asked, in the leader only: other replicas would
// count them again.
type inventory struct {
	reader  client.Reader
	leading <-chan struct{}
	class   class.Name
}

// Describe implements prometheus.Collector.
func (*inventory) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{sessionsDesc, exposedDesc, usersDesc, podsDesc, freeDesc, waitingDesc, fullDesc, progressDesc, leadingDesc} {
		out <- desc
	}
}

// Collect implements prometheus.Collector. What the cache can't tell is left out.
func (i *inventory) Collect(out chan<- prometheus.Metric) {
	select {
	case <-i.leading:
		gauge(out, leadingDesc, 1)
	default:
		gauge(out, leadingDesc, 0)
		return
	}
	ctx := context.Background()
	var pools v1alpha1.MediaPoolList
	var sessions v1alpha1.SessionList
	if i.reader.List(ctx, &pools, client.UnsafeDisableDeepCopy) != nil || i.reader.List(ctx, &sessions, client.UnsafeDisableDeepCopy) != nil {
		return
	}
	named := i.countSessions(out, sessions.Items, pools.Items)
	var connections v1alpha1.ConnectionList
	if i.reader.List(ctx, &connections, client.UnsafeDisableDeepCopy) == nil {
		i.countConnections(out, connections.Items, named, pools.Items)
	}
	for n := range pools.Items {
		if i.class.OwnsPool(&pools.Items[n]) {
			countPool(out, &pools.Items[n])
		}
	}
}

// countSessions counts the installation's Sessions. It returns all Sessions by their names.
func (i *inventory) countSessions(out chan<- prometheus.Metric, sessions []v1alpha1.Session, pools []v1alpha1.MediaPool) map[types.NamespacedName]*v1alpha1.Session {
	all, counts, exposed := make(map[types.NamespacedName]*v1alpha1.Session, len(sessions)), make(map[string]int), make(map[string]int)
	waiting := i.nothingOfPools(pools)
	for n := range sessions {
		session := &sessions[n]
		all[client.ObjectKeyFromObject(session)] = session
		if !i.class.OwnsSession(session, pools) {
			continue
		}
		if protected := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionProtected); protected != nil &&
			protected.Status != metav1.ConditionTrue && protected.Reason != v1alpha1.ReasonNotWanted {
			exposed[protected.Reason]++
		}
		if pool := naming.PoolOf(session, pools); pool != nil && waits(session.Status.Conditions) {
			waiting[pool.Name]++
		}
		reason := v1alpha1.ReasonPending
		if ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			reason = ready.Reason
		}
		counts[reason]++
	}
	gauges(out, sessionsDesc, counts)
	gauges(out, exposedDesc, exposed)
	gauges(out, waitingDesc, waiting)
	return all
}

// countConnections counts the installation's Connections.
func (i *inventory) countConnections(out chan<- prometheus.Metric, connections []v1alpha1.Connection,
	sessions map[types.NamespacedName]*v1alpha1.Session, pools []v1alpha1.MediaPool) {
	counts, waiting := make(map[string]int), i.nothingOfPools(pools)
	for n := range connections {
		c := &connections[n]
		session := sessions[types.NamespacedName{Namespace: c.Namespace, Name: c.Spec.SessionName}]
		if !i.class.OwnsConnection(c, session, pools) {
			continue
		}
		if session != nil && session.Status.PoolName != "" && waits(c.Status.Conditions) {
			waiting[session.Status.PoolName]++
		}
		counts[cmp.Or(string(c.Status.State), "waiting")]++
	}
	gauges(out, usersDesc, counts)
	gauges(out, fullDesc, waiting)
}

// nothingOfPools counts 0 for each pool of the installation: an alert sees no end of what is
// absent.
func (i *inventory) nothingOfPools(pools []v1alpha1.MediaPool) map[string]int {
	counts := make(map[string]int)
	for n := range pools {
		if i.class.OwnsPool(&pools[n]) {
			counts[pools[n].Name] = 0
		}
	}
	return counts
}

// waits says whether the conditions are those of an object for which there is no place.
func waits(conditions []metav1.Condition) bool {
	accepted := meta.FindStatusCondition(conditions, v1alpha1.ConditionAccepted)
	return accepted != nil && accepted.Status == metav1.ConditionFalse && accepted.Reason == v1alpha1.ReasonNoCapacity
}

func countPool(out chan<- prometheus.Metric, pool *v1alpha1.MediaPool) {
	gauge(out, podsDesc, int(pool.Status.ReadyPods), pool.Name, "true")
	gauge(out, podsDesc, int(pool.Status.Pods-pool.Status.ReadyPods), pool.Name, "false")
	gauge(out, freeDesc, int(pool.Status.FreeSessions), pool.Name)
	progressing := 1
	if meta.IsStatusConditionFalse(pool.Status.Conditions, v1alpha1.ConditionProgressing) {
		progressing = 0
	}
	gauge(out, progressDesc, progressing, pool.Name)
}

func gauges(out chan<- prometheus.Metric, desc *prometheus.Desc, counts map[string]int) {
	for label, n := range counts {
		gauge(out, desc, n, label)
	}
}

func gauge(out chan<- prometheus.Metric, desc *prometheus.Desc, n int, labels ...string) {
	out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
}
