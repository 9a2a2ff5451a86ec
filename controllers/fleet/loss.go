package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Pods are given up one after another, whatever the signs say: many at once are rather one fault,
// of the network or of the control plane, than many dead pods.
const (
	// turnInterval is how often a pod may be given up in the long run, turnsAtOnce how many at
	// once.
	turnInterval = 10 * time.Second
	turnsAtOnce  = 3
)

// doomed is a pod that is to be given up.
type doomed struct {
	link   *link
	pod    Pod
	sign   Sign
	silent time.Duration
}

// judge finds out which pods are cut off or can be reached again, and gives up those that are dead.
func (f *Fleet) judge(ctx context.Context) {
	suspects := f.suspects()
	hosting, occupied := make(map[string]bool), make(map[string]bool)
	for _, name := range suspects {
		hosting[name], occupied[name] = f.config.Rooms.Hosting(name), f.config.Rooms.Occupied(name)
	}
	f.mu.Lock()
	others := f.company()
	var dead []doomed
	var reach []PodView
	for _, name := range suspects {
		l := f.links[name]
		if l == nil || l.lost {
			continue
		}
		s := f.signs(l, others)
		s.hosting, s.occupied = hosting[name], occupied[name]
		if l.note(s.cutOff()) {
			reach = append(reach, l.view())
		}
		if sign, give := s.verdict(); give {
			dead = append(dead, doomed{l, l.pod, sign, s.silent})
		} else {
			l.waits = false
		}
	}
	dead, waiting := f.inTurn(dead)
	for _, d := range dead {
		f.lose(d.link, d.sign)
	}
	f.mu.Unlock()

	for _, view := range reach {
		if view.CutOff.IsZero() {
			log.FromContext(ctx).Info("A media pod can be reached again", "Pod", view.Name)
		} else {
			log.FromContext(ctx).Info("A media pod is cut off", "Pod", view.Name, "since", view.CutOff)
		}
		f.config.Watcher.PodReachChanged(view.Pod)
		f.podChanged(view.Pod)
	}
	for _, pod := range waiting {
		f.podChanged(pod)
	}
	for _, d := range dead {
		log.FromContext(ctx).Info("Gave a media pod up", "Pod", d.pod.Name, "reason", d.sign.Because(), "silent", d.silent.String())
		givenUp.WithLabelValues(string(d.sign)).Inc()
		f.tellLost(d.pod)
	}
}

// suspects returns the pods that are not well, or were not when they were judged last.
func (f *Fleet) suspects() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	others := f.company()
	var names []string
	for name, l := range f.links {
		if s := f.signs(l, others); !l.lost && (s.silent >= silence || s.unsynced >= unsynced || !l.cutOff.IsZero() || l.waits) {
			names = append(names, name)
		}
	}
	return names
}

// signs returns what is known of a pod but for its rooms. f.mu is held.
func (f *Fleet) signs(l *link, others company) signs {
	now, last := f.now(), l.heard
	s := signs{heard: !l.heard.at.IsZero(), nodeDown: f.down[l.pod.Node]}
	if !s.heard {
		last = l.since
	}
	if last.at.IsZero() {
		return s // it was not dialled yet
	}
	s.silent, s.missed = now.since(last), now.heardSince(last)
	if !others.several {
		// There is nobody to compare it with but the API server, which hears the leader.
		s.missed = s.silent
	}
	if !l.synced && !l.offered.at.IsZero() && !others.unheeded {
		s.unsynced = now.heardSince(l.offered)
	}
	// One that was never ready has just started, and its kubelet may be cut off too. One that was
	// told to drain, or is being deleted, is not ready because it does as told.
	s.notReady = l.wasReady && !l.pod.Ready && !l.pod.Leaving && l.config != nil && !l.config.GetDraining()
	return s
}

// company is what the pods tell of one another.
type company struct {
	// several says that more than one is talked to: they can be compared.
	several bool
	// unheeded says that several are heard of and none of them is synced: that is no pod's fault.
	unheeded bool
}

// company looks at all pods. f.mu is held.
func (f *Fleet) company() company {
	dialled, heard, synced := 0, 0, 0
	for _, l := range f.links {
		if l.lost || l.since.at.IsZero() {
			continue
		}
		dialled++
		heard += count(!l.heard.at.IsZero())
		synced += count(l.synced)
	}
	return company{several: dialled > 1, unheeded: heard > 1 && synced == 0}
}

// note takes in whether a pod is cut off, and says whether that has changed. Who is heard again can
// be reached once it is synced. Fleet.mu is held.
func (l *link) note(cutOff bool) (changed bool) {
	switch {
	case cutOff && l.cutOff.IsZero():
		l.cutOff = l.heard.at
		if l.cutOff.IsZero() {
			l.cutOff = l.since.at
		}
		return true
	case !cutOff && l.synced && !l.cutOff.IsZero():
		l.cutOff = time.Time{}
		return true
	}
	return false
}

// inTurn returns those whose turn it is, who were silent for the longest first, and the pods that
// begin to wait. f.mu is held.
func (f *Fleet) inTurn(dead []doomed) (now []doomed, waiting []Pod) {
	slices.SortFunc(dead, func(a, b doomed) int {
		return cmp.Or(cmp.Compare(b.silent, a.silent), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	for n, d := range dead {
		if len(now) == n && f.turns.AllowN(f.config.Clock.Now(), 1) {
			now = append(now, d)
			continue
		}
		if !d.link.waits {
			d.link.waits = true
			waiting = append(waiting, d.pod)
		}
	}
	return now, waiting
}
