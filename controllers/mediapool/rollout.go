package mediapool

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// outdated says that the pod was made from another template.
func (o observed) outdated(p podFacts) bool {
	return p.pod.Annotations[hashAnnotation] != o.hash
}

// planRollout replaces the pods that were made from another template, as soon as there is enough
// without them, or the pool may have no more: those without rooms are deleted, those with rooms
// drain one by one. One that is cut off can't be told to.
func planRollout(o observed, p *plan) {
	supply := o.supply()
	enough := supply.usableFree >= needed(o) && supply.usable >= ptr.Deref(o.pool.Spec.MinPods, 1)
	draining := slices.ContainsFunc(o.pods, podFacts.drains)
	for _, pod := range o.pods {
		if pod.dead() || pod.going() || pod.drains() || !o.outdated(pod) {
			continue
		}
		ready := enough || supply.alive >= o.pool.Spec.MaxPods && supply.usable == 0
		switch {
		case pod.load.Sessions == 0 && (ready || pod.pod.Status.Phase == corev1.PodPending):
			p.add(deletePod{because: "the pod was made from another template", pod: pod.pod, retire: true})
			supply.alive--
		case pod.load.Sessions > 0 && ready && !draining && !pod.cutOff():
			p.add(beginDrain(o, pod, "the pod was made from another template and hosts rooms"))
			draining = true
		}
	}
}
