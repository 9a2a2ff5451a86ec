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
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// observed is everything that a pass over a MediaPool knows.
type observed struct {
	pool *v1alpha1.MediaPool
	// hash is what a pod of the pool would be made from now.
	hash string
	pods []podFacts
	// usedPorts counts the pods of all pools per given port.
	usedPorts map[int32]int
	// suspects are nodes on which a pod has failed a short while ago.
	suspects []string
	// waiting Sessions have no pod.
	waiting int32
	// ignored says which of the pool's ICE servers clients are not told, and why; "" when none is.
	ignored string
	// calm is how long a pod has no room before it is removed.
	calm time.Duration
	now  time.Time
}

// podFacts is everything that is known of one pod.
type podFacts struct {
	pod *corev1.Pod
	// service of the pod; nil when there is none.
	service *corev1.Service
	view    fleet.PodView
	load    rooms.Load
	// addresses that clients reach it by; missing says why there are none.
	addresses []*controlv1.TransportAddress
	missing   string
	// idleSince is when it was first seen without rooms; zero while it has some.
	idleSince time.Time
	// untold counts the events of its rooms that were not delivered.
	untold int
	// drainingSince is when its rooms were asked to leave; zero when not.
	drainingSince time.Time
}

// observe reads everything, from the cache, where rooms are, and the fleet.
func (r *Reconciler) observe(ctx context.Context, pool *v1alpha1.MediaPool) (observed, error) {
	o := observed{
		pool: pool, hash: templateHash(pool, r.Image), usedPorts: make(map[int32]int),
		waiting: r.Rooms.Waiting(pool.Name), calm: r.CalmPeriod, now: r.Clock.Now(),
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(r.Namespace), client.MatchingLabels{v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod}); err != nil {
		return o, fmt.Errorf("listing media pods: %w", err)
	}
	services, err := r.services(ctx, pool)
	if err != nil {
		return o, err
	}
	nodes, err := r.nodes(ctx)
	if err != nil {
		return o, err
	}
	for _, name := range r.Rooms.FailedLately(o.now) {
		if nodes[name] != nil {
			o.suspects = append(o.suspects, name)
		}
	}
	loads := r.Rooms.Loads()
	for i := range pods.Items {
		pod := &pods.Items[i]
		if port := givenPort(pod); port != 0 && !finished(pod) {
			o.usedPorts[port]++
		}
		if pod.Labels[v1alpha1.PoolLabel] != pool.Name {
			continue
		}
		facts := podFacts{pod: pod, service: services[pod.Name], view: r.Fleet.Pod(pod.Name), load: loads[pod.Name]}
		facts.addresses, facts.missing = advertise(pool, pod, nodes[pod.Spec.NodeName], facts.service)
		facts.idleSince = r.idleSince(pod.Name, facts.load, o.now)
		facts.untold = r.Events.Waiting(pod.Name)
		if since, err := time.Parse(time.RFC3339, pod.Annotations[drainingAnnotation]); err == nil {
			facts.drainingSince = since
		}
		o.pods = append(o.pods, facts)
	}
	slices.SortFunc(o.pods, func(a, b podFacts) int {
		return cmp.Or(a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	r.forgetGone(pods.Items)
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

// services returns the pool's Services by pod.
func (r *Reconciler) services(ctx context.Context, pool *v1alpha1.MediaPool) (map[string]*corev1.Service, error) {
	if !perPodService(pool) {
		return nil, nil
	}
	var list corev1.ServiceList
	if err := r.Client.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingLabels{v1alpha1.PoolLabel: pool.Name}); err != nil {
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

// forgetGone drops what is remembered of pods that are gone.
func (r *Reconciler) forgetGone(pods []corev1.Pod) {
	for name := range r.idle {
		if !slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return pod.Name == name }) {
			delete(r.idle, name)
			r.Rooms.Forget(name)
		}
	}
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// perPodService says whether each pod has a Service of its own.
func perPodService(pool *v1alpha1.MediaPool) bool {
	return pool.Spec.Exposure.Type == v1alpha1.ExposureNodePort || pool.Spec.Exposure.Type == v1alpha1.ExposureLoadBalancer
}

// dead says that a pod will never host a room again.
func (p podFacts) dead() bool {
	return finished(p.pod) || p.view.Known && p.view.State == fleet.Lost
}

// going says that a pod is being deleted.
func (p podFacts) going() bool {
	return !p.pod.DeletionTimestamp.IsZero()
}

// outdated says that the pod was made from another template.
func (o observed) outdated(p podFacts) bool {
	return p.pod.Annotations[hashAnnotation] != o.hash
}

// current says that a pod counts: it is alive, stays, and is what the pool wants.
func (o observed) current(p podFacts) bool {
	return !p.dead() && !p.going() && !o.outdated(p) && p.drainingSince.IsZero()
}

// free returns how many more Sessions a pod can take, whether it is usable already or about to be.
func (o observed) free(p podFacts) int32 {
	capacity := o.pool.Spec.Capacity
	if p.load.Connections >= capacity.Connections {
		return 0
	}
	return max(0, capacity.Sessions-p.load.Sessions)
}
