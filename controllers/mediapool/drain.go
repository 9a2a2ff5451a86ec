package mediapool

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// This file holds every rule of draining: a pod that drains gets no new Sessions, its rooms go on,
// and it goes when the last of them has ended, or by force when its time is over
// (MediaPool.spec.drainSeconds).
//
//	rollout: outdated and hosts rooms --> annotation draining-since --+--> without rooms: deleted
//	a person sets the annotation (kubectl mediarooms drain) ----------+--> time over: given up and deleted by force
//	the pool is being deleted ----------------------------------------+
//
// A pod that somebody else deletes, or evicts, does not drain: it lets its rooms go at once
// (package mediapod), and their users come back on other pods.

const (
	// evictAnnotation keeps the cluster autoscaler off pods with rooms.
	evictAnnotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	// enforcedGrace is what a pod gets whose time to drain is over.
	enforcedGrace = 5
	// removalBound is how long a pool that is being deleted waits, after the time to drain, until
	// its pods are gone.
	removalBound = 30 * time.Second
)

// drainingSince returns since when a pod drains; zero when it does not.
func drainingSince(pod *corev1.Pod) time.Time {
	since, err := time.Parse(time.RFC3339, pod.Annotations[v1alpha1.DrainingAnnotation])
	if err != nil {
		return time.Time{}
	}
	return since
}

// drainTime is how long a pod may drain.
func (o observed) drainTime() time.Duration {
	return time.Duration(o.pool.Spec.DrainSeconds) * time.Second
}

// drains says whether a pod drains that would host rooms otherwise.
func (p podFacts) drains() bool { return !p.dead() && !p.going() && !p.drainingSince.IsZero() }

// takesRooms says whether a pod may be given Sessions. One that is outdated may as long as there is
// no other.
func (o observed) takesRooms(p podFacts, replaced bool) bool {
	return !p.going() && p.drainingSince.IsZero() && (!replaced || !o.outdated(p))
}

// beginDrain has a pod drain from now on.
func beginDrain(o observed, pod podFacts, why because) annotatePod {
	return annotatePod{because: why, pod: pod.pod, annotations: pod.lifeAnnotations("false", o.now)}
}

// planDrains ends the drains that have begun.
func planDrains(o observed, p *plan) {
	for _, pod := range o.pods {
		if pod.drains() {
			p.endDrain(o, pod, pod.drainingSince, deletePod{because: "the pod is drained"}, "the time to drain is over")
		}
	}
}

// planRemoval decides how the pods of a pool that is being deleted go: they drain since its
// deletion. It is pure.
func planRemoval(o observed) plan {
	var p plan
	planLiveness(o, &p)
	for _, pod := range o.pods {
		if !pod.dead() && !pod.going() {
			p.endDrain(o, pod, o.pool.DeletionTimestamp.Time,
				deletePod{because: "the pool is being deleted", graceSeconds: ptr.To(int64(enforcedGrace))},
				"the pool is being deleted and the time to drain is over")
		}
	}
	return p
}

// removalEnd is when a pool that is being deleted goes at the latest.
func (o observed) removalEnd() time.Time {
	return o.pool.DeletionTimestamp.Add(o.drainTime() + removalBound)
}

// waitsFor says what the deletion of the pool waits for.
func (o observed) waitsFor() string {
	hosting := 0
	for _, pod := range o.pods {
		if pod.load.Sessions > 0 {
			hosting++
		}
	}
	return fmt.Sprintf("its media pods are gone: there are %d, and %d of them host rooms; those may drain until %s",
		len(o.pods), hosting, o.pool.DeletionTimestamp.Add(o.drainTime()).UTC().Format(time.RFC3339))
}

// endDrain deletes a pod that drains since a moment: gently once it hosts no room, by force when
// its time is over.
func (p *plan) endDrain(o observed, pod podFacts, since time.Time, gently deletePod, over because) {
	wait := since.Add(o.drainTime()).Sub(o.now)
	switch {
	case pod.load.Sessions == 0:
		gently.pod, gently.retire = pod.pod, true
		p.add(gently)
	case wait <= 0:
		p.add(deletePod{because: over, pod: pod.pod, graceSeconds: ptr.To(int64(enforcedGrace)), lose: true})
	default:
		p.lookAgain(wait)
	}
}

// planAnnotations keeps the annotation by which the cluster autoscaler knows whether a pod may be
// evicted, and the one that says that it has started.
func planAnnotations(pod podFacts, p *plan) {
	evictable := strconv.FormatBool(pod.load.Sessions == 0)
	why := because("the autoscaler has to know whether the pod hosts rooms")
	begins := pod.started() && pod.pod.Annotations[startedAnnotation] == ""
	if begins {
		why = "the pod has started"
	}
	if begins || pod.pod.Annotations[evictAnnotation] != evictable {
		p.add(annotatePod{
			because: why, pod: pod.pod,
			annotations: pod.lifeAnnotations(evictable, pod.drainingSince),
		})
	}
}

// lifeAnnotations are all annotations that change in a pod's life: they are applied together.
func (p podFacts) lifeAnnotations(evictable string, drainingSince time.Time) map[string]string {
	out := map[string]string{evictAnnotation: evictable}
	if p.started() {
		out[startedAnnotation] = "true"
	}
	if !drainingSince.IsZero() {
		out[v1alpha1.DrainingAnnotation] = drainingSince.UTC().Format(time.RFC3339)
	}
	return out
}
