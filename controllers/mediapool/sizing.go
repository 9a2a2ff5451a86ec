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
		if !pod.dead() && !pod.going() && !o.failedStart(pod) {
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

// current says that a pod counts: it is alive or starts, can be reached, stays, and is what the
// pool wants.
func (o observed) current(p podFacts) bool {
	return !p.dead() && !p.going() && !p.cutOff() && !o.outdated(p) && p.drainingSince.IsZero() &&
		!o.failedStart(p)
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
	planGrowth(o, p, &supply)
	planShrinking(o, p, &supply)
	planConsolidation(o, p, &supply)
}

// minimum is how many pods there have to be, whatever rooms there are.
func (o observed) minimum() int32 {
	return min(max(ptr.Deref(o.pool.Spec.MinPods, 1), o.followers()), o.pool.Spec.MaxPods)
}

func planGrowth(o observed, p *plan, supply *supply) {
	lacks := func() bool {
		return supply.alive < o.pool.Spec.MaxPods && (supply.current < o.minimum() || supply.free < needed(o))
	}
	if !lacks() {
		return
	}
	ports := o.ports
	ports.Used = maps.Clone(ports.Used)
	for may, failures := mayStart(o, *supply, p); may > 0 && lacks(); may-- {
		why := because("fewer pods than the minimum")
		switch {
		case supply.current >= o.minimum():
			why = "too little room for the Sessions that wait and those to come"
		case supply.current >= ptr.Deref(o.pool.Spec.MinPods, 1):
			why = "the rooms need a second pod for their standbys"
		}
		port := o.exposure.Allocate(ports)
		ports.Used[port]++
		p.add(createPod{because: why, port: port, avoid: o.suspects, failures: failures})
		supply.alive++
		supply.current++
		supply.free += o.pool.Spec.Capacity.Sessions
	}
}

// planShrinking removes idle pods, the youngest first.
func planShrinking(o observed, p *plan, supply *supply) {
	for _, pod := range slices.Backward(o.pods) {
		if !o.current(pod) || pod.load.Sessions > 0 || supply.current <= o.minimum() || supply.free-o.free(pod) < needed(o) {
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

// planConsolidation has the emptiest pod drain when the others could have taken its rooms for the
// calm period: with standbys nobody notices that a room moves.
func planConsolidation(o observed, p *plan, supply *supply) {
	emptiest, found := o.superfluous()
	if !found || supply.current <= o.minimum() {
		return
	}
	p.after(o, o.spareSince.Add(o.calm), beginDrain(o, emptiest, "the other pods have places for its rooms"))
}

// superfluous returns the pod with the fewest rooms, if the others can take them and there are as
// many free places as needed then. There is none while pods come or go, or rooms would be
// interrupted by a move.
func (o observed) superfluous() (emptiest podFacts, found bool) {
	supply := o.supply()
	if !placement.WantsStandby(o.pool, "") || supply.usable != supply.alive || o.waiting > 0 {
		return podFacts{}, false
	}
	var freeConnections int32
	for _, pod := range o.pods {
		if !o.current(pod) {
			continue
		}
		freeConnections += max(0, o.pool.Spec.Capacity.Connections-pod.load.Connections)
		if !found || pod.load.Sessions < emptiest.load.Sessions {
			emptiest, found = pod, true
		}
	}
	if !found || emptiest.load.Sessions == 0 { // it goes by itself, or nothing does
		return podFacts{}, false
	}
	others := freeConnections - max(0, o.pool.Spec.Capacity.Connections-emptiest.load.Connections)
	fits := supply.usableFree-o.free(emptiest)-emptiest.load.Sessions >= needed(o) && others >= emptiest.load.Connections
	return emptiest, fits && emptiest.load.Unprotected == 0
}
