package mediapool

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Bounds of a pod's life.
const (
	// nodeBound is how long a node may take to begin with a pod. A kubelet does so within a second, however long the image takes then.
	nodeBound = 30 * time.Second
	// startBound is how long a pod that runs may take until it was heard of.
	startBound = 2 * time.Minute
	// goingBound is how long a pod that is lost may be on its way out before it is struck off.
	goingBound = 10 * time.Second
	// untoldBound is how long, beyond the calm period, an idle pod is kept for the events of its rooms that were not delivered: the operator has
	// them too, but only in its memory. untoldInterval is how often it is looked whether they were.
	untoldBound    = time.Hour
	untoldInterval = 15 * time.Second
	// enforcedGrace is what a pod gets whose time to drain is over.
	enforcedGrace = 5
)

// action is one write of a pass, of one of the types below. Actions are ordered.
type action interface {
	// why is the reason, for logs and Events.
	why() string
}

type because string

func (b because) why() string { return string(b) }

// createPod makes a pod with a port of the range; 0 when it needs none. It comes to a node to avoid only if there is no other.
type createPod struct {
	because
	port  int32
	avoid []string
}

// deletePod deletes a pod. With retire, only if no Session was placed on it meanwhile. With lose, it is given up at once. With blame, its
// node has failed.
type deletePod struct {
	because
	pod                 *corev1.Pod
	graceSeconds        *int64
	retire, lose, blame bool
}

// configurePod tells a running pod its addresses and what else the pool says.
type configurePod struct {
	because
	pod    string
	config *controlv1.PodConfig
}

// annotatePod sets the annotations that this controller keeps current.
type annotatePod struct {
	because
	pod         *corev1.Pod
	annotations map[string]string
}

// exposePod makes the Service of a pod.
type exposePod struct {
	because
	pod *corev1.Pod
}

// plan is what to write, and when to look again whatever happens; 0 is never.
type plan struct {
	actions []action
	again   time.Duration
}

func (p *plan) add(a action) { p.actions = append(p.actions, a) }

// lookAgain asks for another pass after a while.
func (p *plan) lookAgain(wait time.Duration) {
	p.again = earliest(p.again, max(wait, time.Millisecond))
}

// makePlan decides what to do. It is pure.
func makePlan(o observed) plan {
	var p plan
	planDead(o, &p)
	planConfiguration(o, &p)
	planRollout(o, &p)
	planSize(o, &p)
	return p
}

// planDead removes the pods that will never host a room again.
func planDead(o observed, p *plan) {
	for _, pod := range o.pods {
		now := ptr.To(int64(0))
		switch {
		case pod.going() && pod.dead():
			// The node may be gone and never confirm. A pod that has been asked to go long enough is struck off.
			if wait := pod.pod.DeletionTimestamp.Add(goingBound).Sub(o.now); wait > 0 {
				p.lookAgain(wait)
				continue
			}
			p.add(deletePod{because: "the pod is lost and does not go", pod: pod.pod, graceSeconds: now})
		case finished(pod.pod):
			p.add(deletePod{because: "the pod has finished", pod: pod.pod, graceSeconds: now})
		case pod.dead():
			p.add(deletePod{because: "the control stream to the pod is lost", pod: pod.pod, graceSeconds: now})
		case !pod.going() && pod.pod.Status.Phase == corev1.PodRunning && pod.view.State == fleet.Connecting && !pod.view.Since.IsZero():
			// Counted from when this leader began to dial: the pod may be older, and full of rooms.
			wait := pod.view.Since.Add(startBound).Sub(o.now)
			if wait > 0 {
				p.lookAgain(wait)
				continue
			}
			p.add(deletePod{because: "the pod runs, but was never heard of", pod: pod.pod, graceSeconds: now, lose: true})
		case !pod.going() && pod.pod.Spec.NodeName != "" && pod.pod.Status.StartTime == nil:
			// Kubernetes takes most of a minute to see that a node is gone, and schedules to it meanwhile.
			wait := scheduledTime(pod.pod).Add(nodeBound).Sub(o.now)
			if wait > 0 {
				p.lookAgain(wait)
				continue
			}
			p.add(deletePod{because: "its node does not begin with the pod", pod: pod.pod, graceSeconds: now, blame: true})
		}
	}
}

// scheduledTime returns since when a pod is on its node.
func scheduledTime(pod *corev1.Pod) time.Time {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return pod.CreationTimestamp.Time
}

// planConfiguration tells pods their addresses, and keeps their annotations and Services.
func planConfiguration(o observed, p *plan) {
	replaced := slices.ContainsFunc(o.pods, func(other podFacts) bool { return o.current(other) && other.view.Usable })
	for _, pod := range o.pods {
		if pod.dead() {
			continue
		}
		if len(pod.addresses) > 0 && pod.view.Known {
			// An outdated pod takes rooms as long as there is no other.
			draining := pod.going() || !pod.drainingSince.IsZero() || o.outdated(pod) && replaced
			p.add(configurePod{because: "the pod has to know its addresses", pod: pod.pod.Name, config: podConfig(o.pool, pod, draining)})
		}
		if pod.going() {
			continue
		}
		if evictable := strconv.FormatBool(pod.load.Sessions == 0); pod.pod.Annotations[evictAnnotation] != evictable {
			p.add(annotatePod{because: "the autoscaler has to know whether the pod hosts rooms", pod: pod.pod,
				annotations: annotationsOf(evictable, pod.drainingSince)})
		}
		if perPodService(o.pool) && pod.service == nil {
			p.add(exposePod{because: "clients reach the pod through a Service", pod: pod.pod})
		}
	}
}

// podConfig is all that a pod is told. A change of it restarts nothing.
func podConfig(pool *v1alpha1.MediaPool, pod podFacts, draining bool) *controlv1.PodConfig {
	config := &controlv1.PodConfig{
		Advertised:             pod.addresses,
		ReconnectWindowSeconds: pool.Spec.ReconnectWindowSeconds,
		Draining:               draining,
	}
	if quality := pool.Spec.NetworkQuality; quality != nil {
		config.NetworkQualityIntervalSeconds = quality.IntervalSeconds
	}
	return config
}

func annotationsOf(evictable string, drainingSince time.Time) map[string]string {
	out := map[string]string{evictAnnotation: evictable}
	if !drainingSince.IsZero() {
		out[drainingAnnotation] = drainingSince.UTC().Format(time.RFC3339)
	}
	return out
}

// planRollout replaces the pods that were made from another template: those without rooms as soon as there is enough without them, those
// with rooms one by one, each when it is empty or its time is over.
func planRollout(o observed, p *plan) {
	var free, usable, alive int32
	for _, pod := range o.pods {
		if !pod.dead() && !pod.going() {
			alive++
		}
		if o.current(pod) && pod.view.Usable {
			usable++
			free += o.free(pod)
		}
	}
	enough := free >= needed(o) && usable >= ptr.Deref(o.pool.Spec.MinPods, 1)
	drainTime := time.Duration(o.pool.Spec.DrainSeconds) * time.Second
	busy := false
	for _, pod := range o.pods {
		if pod.dead() || pod.going() || pod.drainingSince.IsZero() {
			continue
		}
		busy = true
		wait := pod.drainingSince.Add(drainTime).Sub(o.now)
		switch {
		case pod.load.Sessions == 0:
			p.add(deletePod{because: "the pod is drained", pod: pod.pod, retire: true})
		case wait <= 0:
			p.add(deletePod{because: "the time to drain is over", pod: pod.pod, graceSeconds: ptr.To(int64(enforcedGrace)), lose: true})
		default:
			p.lookAgain(wait)
		}
	}
	for _, pod := range o.pods {
		if pod.dead() || pod.going() || !o.outdated(pod) || !pod.drainingSince.IsZero() {
			continue
		}
		full := alive >= o.pool.Spec.MaxPods && usable == 0
		switch {
		case pod.load.Sessions == 0 && (enough || full || pod.pod.Status.Phase == corev1.PodPending):
			p.add(deletePod{because: "the pod was made from another template", pod: pod.pod, retire: true})
			alive--
		case pod.load.Sessions > 0 && !busy && (enough || full):
			p.add(annotatePod{because: "the pod was made from another template and hosts rooms", pod: pod.pod,
				annotations: annotationsOf("false", o.now)})
			busy = true
		}
	}
}

// needed is how many free places for Sessions there have to be.
func needed(o observed) int32 {
	return o.waiting + ptr.Deref(o.pool.Spec.WarmSessions, 1)
}

// planSize makes pods while there is too little room, and removes idle ones after a calm period.
func planSize(o observed, p *plan) {
	var alive, current, free int32
	for _, pod := range o.pods {
		if !pod.dead() && !pod.going() {
			alive++
		}
		if o.current(pod) {
			current++
			free += o.free(pod)
		}
	}
	spec := o.pool.Spec
	minimum := min(ptr.Deref(spec.MinPods, 1), spec.MaxPods)
	used := make(map[int32]int, len(o.usedPorts))
	for port, n := range o.usedPorts {
		used[port] = n
	}
	for alive < spec.MaxPods && (current < minimum || free < needed(o)) {
		because := because("fewer pods than the minimum")
		if current >= minimum {
			because = "too little room for the Sessions that wait and those to come"
		}
		port := portFor(spec.Exposure, used)
		used[port]++
		p.add(createPod{because: because, port: port, avoid: o.suspects})
		alive++
		current++
		free += spec.Capacity.Sessions
	}
	// The youngest goes first.
	for _, pod := range slices.Backward(o.pods) {
		if !o.current(pod) || pod.load.Sessions > 0 || current <= minimum || free-o.free(pod) < needed(o) {
			continue
		}
		if wait := pod.idleSince.Add(o.calm).Sub(o.now); wait > 0 {
			p.lookAgain(wait)
			continue
		}
		if pod.untold > 0 && pod.idleSince.Add(o.calm+untoldBound).After(o.now) {
			p.lookAgain(untoldInterval)
			continue
		}
		p.add(deletePod{because: "the pod has been idle for long", pod: pod.pod, retire: true})
		current--
		free -= o.free(pod)
	}
}

// portFor returns the port of the range for one more pod; 0 when it needs none.
func portFor(exposure v1alpha1.Exposure, used map[int32]int) int32 {
	within := givenPorts(exposure)
	switch exposure.Type {
	case v1alpha1.ExposureHostPort:
		return choosePort(within, 1, used)
	case v1alpha1.ExposureHostNetwork:
		return choosePort(within, hostNetworkPorts, used)
	}
	return 0
}
