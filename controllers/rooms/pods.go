package rooms

import (
	"slices"
	"time"

	"mediarooms.dev/mediarooms/controllers/placement"
)

// Load is what is reserved on a pod.
type Load struct {
	Sessions, Connections int32
	// Standbys is how many rooms of other pods it follows.
	Standbys int32
	// Unprotected is how many of its Sessions no standby could go on with now.
	Unprotected int32
}

// capacity is how much a pod of a pool takes.
type capacity struct {
	pool                  string
	sessions, connections int32
}

// Loads returns what is reserved on each pod that has a Session, or follows one. A pod that is to
// give a room up has it until that is done.
func (t *Table) Loads() map[string]Load {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.load()
}

// load sums up the reservations by pod. The table is locked.
func (t *Table) load() map[string]Load {
	loads := make(map[string]Load)
	add := func(pod string, more Load) {
		if pod != "" {
			load := loads[pod]
			loads[pod] = Load{
				load.Sessions + more.Sessions, load.Connections + more.Connections, load.Standbys + more.Standbys, load.Unprotected + more.Unprotected,
			}
		}
	}
	for _, r := range t.rooms {
		hosted := Load{Sessions: 1, Connections: int32(len(r.admitted))}
		if !r.standby.Able() {
			hosted.Unprotected = 1
		}
		add(r.at.Pod, hosted)
		add(r.standby.Pod, Load{Standbys: 1})
		if r.leaves != nil {
			add(r.leaves.pod, Load{Sessions: 1})
		}
	}
	return loads
}

// Waiting returns how many Sessions of a pool have no pod.
func (t *Table) Waiting(pool string) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int32(len(t.unplaced(pool)))
}

// Hosting says whether a pod has a Session.
func (t *Table) Hosting(pod string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hosting(pod)
}

// hosting says whether a pod has a Session. The table is locked.
func (t *Table) hosting(pod string) bool {
	for _, r := range t.rooms {
		if r.on(pod) {
			return true
		}
	}
	return false
}

// Occupied says whether somebody may be in a room on a pod: whoever holds a place has a token, and
// the pod admits it, whether the operator hears of that or not.
func (t *Table) Occupied(pod string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rooms {
		if r.on(pod) && len(r.admitted) > 0 {
			return true
		}
	}
	return false
}

// Cordon takes a pod out of use, if it hosts nothing: from then on nothing is placed on it. It says
// whether it did.
func (t *Table) Cordon(pod string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosting(pod) {
		return false
	}
	t.cordoned[pod] = true
	return true
}

// Forget drops what is remembered of a pod that is gone.
func (t *Table) Forget(pod string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.cordoned, pod)
	delete(t.capacity, pod)
}

// Failed notes that a pod failed on its node. Pods there are not preferred for
// placement.FailureMemory.
func (t *Table) Failed(pod, node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for name, at := range t.failures {
		if now.Sub(at) >= placement.FailureMemory {
			delete(t.failures, name)
		}
	}
	t.failures[pod] = now
	if node != "" {
		t.failures[node] = now
	}
}

// FailedLately returns the pods and nodes that failed within placement.FailureMemory, by name.
func (t *Table) FailedLately(now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for name, at := range t.failures {
		if now.Sub(at) < placement.FailureMemory {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// PodsChanged wakes the Sessions that a change of one of a pool's pods may concern: those that wait
// for a pod, or for a standby, those on pods that drain, and those that the pod follows.
func (t *Table) PodsChanged(pool, pod string, draining []string) {
	var woken wakes
	t.mu.Lock()
	for _, r := range t.rooms {
		waits := r.Pool == pool && (r.at.Pod == "" || r.standby.Sought)
		if waits || r.at.Pod != "" && slices.Contains(draining, r.at.Pod) || r.standby.Pod != "" && r.standby.Pod == pod {
			woken.session(r.Name)
		}
	}
	t.mu.Unlock()
	t.wake(woken)
}

// PodReachChanged takes in that a pod can't be reached any more, or can again: its Sessions are to
// say so.
func (t *Table) PodReachChanged(pod string) {
	var woken wakes
	t.mu.Lock()
	for _, r := range t.rooms {
		if r.at.Pod == pod {
			woken.session(r.Name)
		}
	}
	t.mu.Unlock()
	t.wake(woken)
}

// PoolChanged takes in that a pool has another generation: what it says for its rooms, and the
// limits that refused Connections, may be others.
func (t *Table) PoolChanged(pool string) {
	var woken wakes
	t.mu.Lock()
	for uid, r := range t.rooms {
		if r.Pool == pool {
			woken.connection(t.waiting.of(uid)...)
			t.outdate(r, false, &woken)
		}
	}
	t.mu.Unlock()
	t.wake(woken)
}
