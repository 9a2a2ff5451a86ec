package mediapool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/exposure"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// observed is everything that a pass over a MediaPool knows.
type observed struct {
	pool *v1alpha1.MediaPool
	// exposure of its pods.
	exposure exposure.Exposure
	// hash is what a pod of the pool would be made from now.
	hash string
	pods []podFacts
	// recorder of a pool that records; nil when there is none.
	recorder *corev1.Pod
	// ports are those of the nodes, of all pools.
	ports exposure.Ports
	// budget is how many pods have to stay by the PodDisruptionBudget; nil when there is none.
	budget *int32
	// suspects are nodes on which a pod has failed a short while ago.
	suspects []string
	// waiting Sessions have no pod.
	waiting int32
	// ignored says which of the pool's ICE servers clients are not told, and why; "" when none is.
	ignored string
	// calm is how long a pod has no room before it is removed, or others have places for its rooms
	// before it drains; spareSince is since when they have, zero when they have not.
	calm       time.Duration
	spareSince time.Time
	now        time.Time
}

// podFacts is everything that is known of one pod.
type podFacts struct {
	pod *corev1.Pod
	// services of the pod that there are.
	services []*corev1.Service
	view     fleet.PodView
	load     rooms.Load
	// addresses that clients reach it by; missing says why there are none.
	addresses []*controlv1.TransportAddress
	missing   string
	// idleSince is when it was first seen without rooms; zero while it has some.
	idleSince time.Time
	// untold counts the events of its rooms that were not delivered.
	untold int
	// drainingSince is since when it drains; zero when it does not.
	drainingSince time.Time
}

// observe reads everything, from the cache, where rooms are, and the fleet.
func (r *Reconciler) observe(ctx context.Context, pool *v1alpha1.MediaPool) (observed, error) {
	o := observed{
		pool: pool, exposure: podspec.Media.Exposed(pool.Spec.Exposure), hash: templateHash(pool, r.Image),
		waiting: r.Rooms.Waiting(pool.Name), calm: r.CalmPeriod, now: r.Clock.Now(),
	}
	var pods corev1.PodList
	ofKind := client.MatchingLabels{v1alpha1.ComponentLabel: podspec.Media.Component}
	if err := r.Client.List(ctx, &pods, client.InNamespace(r.Namespace), ofKind); err != nil {
		return o, fmt.Errorf("listing media pods: %w", err)
	}
	services, err := r.services(ctx, o)
	if err != nil {
		return o, err
	}
	nodes, err := r.nodes(ctx)
	if err != nil {
		return o, err
	}
	if pool.Spec.Egress != nil {
		if o.recorder, err = r.recorder(ctx, pool.Name); err != nil {
			return o, err
		}
	}
	if o.budget, err = r.budget(ctx, pool.Name); err != nil {
		return o, err
	}
	for _, name := range r.Rooms.FailedLately(o.now) {
		if nodes[name] != nil {
			o.suspects = append(o.suspects, name)
		}
	}
	loads, used := r.Rooms.Loads(), make(map[int32]int)
	for i := range pods.Items {
		pod := &pods.Items[i]
		if port := exposure.Allocated(pod); port != 0 && !finished(pod) {
			used[port]++
		}
		if pod.Labels[v1alpha1.PoolLabel] != pool.Name {
			continue
		}
		facts := podFacts{
			pod: pod, view: r.Fleet.Pod(pod.Name), load: loads[pod.Name],
			untold: r.Events.Waiting(pod.Name), drainingSince: drainingSince(pod),
		}
		for _, name := range o.exposure.ServiceNames(pod.Name) {
			if service := services[name]; service != nil {
				facts.services = append(facts.services, service)
			}
		}
		facts.addresses, facts.missing = o.exposure.Advertise(exposure.Facts{
			Pod: pod, Node: nodes[pod.Spec.NodeName], Services: facts.services, Resolve: r.hosts.resolver(pool.Name, o.now),
		})
		facts.idleSince = r.idleSince(pod.Name, facts.load, o.now)
		o.pods = append(o.pods, facts)
	}
	slices.SortFunc(o.pods, func(a, b podFacts) int {
		return cmp.Or(a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	o.ports = r.ports.ports(pods.Items, used, o.now)
	r.forgetGone(pods.Items)
	o.spareSince = r.spareSince(o)
	return o, nil
}

// addresses are those of all pods of the pool.
func (o observed) addresses() []*controlv1.TransportAddress {
	var all []*controlv1.TransportAddress
	for _, pod := range o.pods {
		all = append(all, pod.addresses...)
	}
	return all
}

// services returns the pool's Services by name.
func (r *Reconciler) services(ctx context.Context, o observed) (map[string]*corev1.Service, error) {
	if !o.exposure.HasService() {
		return nil, nil
	}
	var list corev1.ServiceList
	if err := r.Client.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingLabels{v1alpha1.PoolLabel: o.pool.Name}); err != nil {
		return nil, fmt.Errorf("listing Services: %w", err)
	}
	out := make(map[string]*corev1.Service, len(list.Items))
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out, nil
}

func (r *Reconciler) nodes(ctx context.Context) (map[string]*corev1.Node, error) {
	var list corev1.NodeList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	out := make(map[string]*corev1.Node, len(list.Items))
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out, nil
}

// idleSince remembers since when a pod has no room. After a restart of the operator it begins anew.
func (r *Reconciler) idleSince(pod string, load rooms.Load, now time.Time) time.Time {
	if load.Sessions > 0 {
		delete(r.idle, pod)
		return time.Time{}
	}
	since, ok := r.idle[pod]
	if !ok {
		since = now
		r.idle[pod] = now
	}
	return since
}

// spareSince remembers since when a pool has a pod that it could do without, as idleSince does.
func (r *Reconciler) spareSince(o observed) time.Time {
	if _, spare := o.superfluous(); !spare {
		delete(r.spare, o.pool.Name)
		return time.Time{}
	}
	if r.spare[o.pool.Name].IsZero() {
		r.spare[o.pool.Name] = o.now
	}
	return r.spare[o.pool.Name]
}

// forgetGone drops what is remembered of pods that are gone.
func (r *Reconciler) forgetGone(pods []corev1.Pod) {
	for name := range r.idle {
		if !slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return pod.Name == name }) {
			delete(r.idle, name)
			r.Rooms.Forget(name)
		}
	}
}
