package mediapool

import (
	"maps"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/controllers/placement"
)

const (
	// untoldBound is how long, beyond the calm period, an idle pod is kept for the events of its
	// rooms that were not delivered: the operator has them too, but only in its memory.
	// untoldInterval is how often it is looked whether they were.
	untoldBound    = time.Hour
	untoldInterval = 15 * time.Second
)

// supply counts the pods that can host rooms, or could soon.
type supply struct {
	// alive are all, current those that are what the pool wants, and usable those of them that can
	// host rooms now.
	alive, current, usable int32
	// free is how many more Sessions the current ones can take, and usableFree how many the usable
	// ones.
	free, usableFree int32
}

func (o observed) supply() supply {
	var s supply
	for _, pod := range o.pods {
		if !pod.dead() && !pod.going() {
			s.alive++
		}
		if !o.current(pod) {
			continue
		}
		s.current++
		s.free += o.free(pod)
		if pod.view.Usable {
			s.usable++
			s.usableFree += o.free(pod)
		}
	}
	return s
}

// current says that a pod counts: it is alive, can be reached, stays, and is what the pool wants.
func (o observed) current(p podFacts) bool {
	return !p.dead() && !p.going() && !p.cutOff() && !o.outdated(p) && p.drainingSince.IsZero()
}

// free returns how many more Sessions a pod can take, whether it is usable already or about to be.
func (o observed) free(p podFacts) int32 {
	capacity := o.pool.Spec.Capacity
	if p.load.Connections >= capacity.Connections {
		return 0
	}
	return max(0, capacity.Sessions-p.load.Sessions)
}

// needed is how many free places for Sessions there have to be.
func needed(o observed) int32 {
	return o.waiting + ptr.Deref(o.pool.Spec.WarmSessions, 1)
}

// followers is how many pods the rooms need so that each has a standby: none without rooms.
func (o observed) followers() int32 {
	hosts := slices.ContainsFunc(o.pods, func(p podFacts) bool { return p.load.Sessions > 0 })
	if !hosts || !placement.WantsStandby(o.pool, "") {
		return 0
	}
	return 2
}

// planSize makes pods while there is too little room, and removes idle ones after a calm period.
func planSize(o observed, p *plan) {
	supply := o.supply()
	minimum := min(max(ptr.Deref(o.pool.Spec.MinPods, 1), o.followers()), o.pool.Spec.MaxPods)
	planGrowth(o, p, &supply, minimum)
	planShrinking(o, p, &supply, minimum)
}

func planGrowth(o observed, p *plan, supply *supply, minimum int32) {
	used := maps.Clone(o.usedPorts)
	for supply.alive < o.pool.Spec.MaxPods && (supply.current < minimum || supply.free < needed(o)) {
		why := because("fewer pods than the minimum")
		switch {
		case supply.current >= minimum:
			why = "too little room for the Sessions that wait and those to come"
		case supply.current >= ptr.Deref(o.pool.Spec.MinPods, 1):
			why = "the rooms need a second pod for their standbys"
		}
		port := o.exposure.Allocate(used)
		used[port]++
		p.add(createPod{because: why, port: port, avoid: o.suspects})
		supply.alive++
		supply.current++
		supply.free += o.pool.Spec.Capacity.Sessions
	}
}

// planShrinking removes idle pods, the youngest first.
func planShrinking(o observed, p *plan, supply *supply, minimum int32) {
	for _, pod := range slices.Backward(o.pods) {
		if !o.current(pod) || pod.load.Sessions > 0 || supply.current <= minimum || supply.free-o.free(pod) < needed(o) {
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
		supply.current--
		supply.free -= o.free(pod)
	}
}
