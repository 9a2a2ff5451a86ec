package mediapool

import (
	"slices"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// planConfiguration tells pods their addresses, and keeps their annotations and Services.
func planConfiguration(o observed, p *plan) {
	replaced := slices.ContainsFunc(o.pods, func(other podFacts) bool { return o.current(other) && other.view.Usable })
	for _, pod := range o.pods {
		if pod.dead() {
			continue
		}
		if len(pod.addresses) > 0 && pod.view.Known {
			config := podConfig(o.pool, pod, !o.takesRooms(pod, replaced))
			p.add(configurePod{because: "the pod has to know its addresses", pod: pod.pod.Name, config: config})
		}
		if pod.going() {
			continue
		}
		planAnnotations(pod, p)
		// What can't change in a Service is in the template: such a pod is about to be replaced.
		if !o.exposure.Served(pod.pod, pod.services) && (len(pod.services) == 0 || !o.outdated(pod)) {
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
