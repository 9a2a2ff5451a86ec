package rooms

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Admission is the answer to a Connection that asks for a place.
type Admission int

// Admissions.
const (
	// Admitted: its place is reserved.
	Admitted Admission = iota
	// SessionUnplaced: its Session has no pod and was not decided on, or waits for one.
	SessionUnplaced
	// SessionFull: the Session's maxConnections are taken.
	SessionFull
	// PodFull: the pod's connections are taken.
	PodFull
)

// Admit reserves a place for a Connection, or says why there is none; then it is woken when one may
// have come free. maxConnections nil is no limit. Who was admitted stays so, whatever the limits
// become.
func (t *Table) Admit(c Connection, maxConnections *int32, podConnections int32) Admission {
	var woken wakes
	t.mu.Lock()
	if old, known := t.admitted[c.Name]; known && old.UID != c.UID {
		t.drop(old)
		woken.connection(t.admissible(t.podOf(old.Session))...)
	}
	r, known := t.rooms[c.Session]
	answer := SessionUnplaced
	if known {
		answer = t.answer(r, c, maxConnections, podConnections)
	}
	if answer == Admitted {
		t.waiting.remove(c.Name, c.UID)
		r.admitted[c.UID] = struct{}{}
		t.admitted[c.Name] = c
	} else if t.waiting.add(c, maxConnections, podConnections) && known {
		// It may have been woken for a place that it can't take any more: others can.
		woken.connection(t.admissible(r.at.Pod)...)
	}
	t.mu.Unlock()
	t.wake(woken)
	return answer
}

// answer says whether there is a place. The table is locked.
func (t *Table) answer(r *room, c Connection, maxConnections *int32, podConnections int32) Admission {
	if _, admitted := r.admitted[c.UID]; admitted {
		return Admitted
	}
	switch {
	case r.at.Pod == "":
		return SessionUnplaced
	case maxConnections != nil && int32(len(r.admitted)) >= *maxConnections:
		return SessionFull
	case t.connections(r.at.Pod) >= podConnections:
		return PodFull
	}
	return Admitted
}

// Release frees the place of a Connection whose user has left, or is out. uid "" stands for
// whatever has the name.
func (t *Table) Release(name types.NamespacedName, uid types.UID) {
	t.mu.Lock()
	_, woken := t.release(name, uid)
	t.mu.Unlock()
	t.wake(woken)
}

// Remove frees the place of a Connection that is gone without having been evicted, and has the room
// sent without it.
func (t *Table) Remove(name types.NamespacedName) {
	t.mu.Lock()
	session, woken := t.release(name, "")
	if r, known := t.rooms[session]; known {
		t.outdate(r, true, &woken)
	}
	t.mu.Unlock()
	t.wake(woken)
}

// release frees a place, and returns of which Session, "" when there was none. The table is locked.
func (t *Table) release(name types.NamespacedName, uid types.UID) (types.UID, wakes) {
	waitedFor, waited := t.waiting.remove(name, uid)
	c, admitted := t.admitted[name]
	if !admitted || uid != "" && c.UID != uid {
		var woken wakes
		if waited {
			// It may have been woken for a place that it does not take any more.
			woken.connection(t.admissible(t.podOf(waitedFor))...)
		}
		return "", woken
	}
	t.drop(c)
	r, known := t.rooms[c.Session]
	if !known {
		return c.Session, wakes{}
	}
	return c.Session, t.freed(r.Pool, r.at.Pod)
}

// drop takes a place away. The table is locked.
func (t *Table) drop(c Connection) {
	delete(t.admitted, c.Name)
	if r, known := t.rooms[c.Session]; known {
		delete(r.admitted, c.UID)
	}
}

// freed returns who may have a place now that one came free: of the Sessions that wait for the
// pool, and of the Connections that wait for the pod, as many as there are places. The table is
// locked.
func (t *Table) freed(pool, pod string) wakes {
	woken := wakes{pool: pool, sessions: t.placeable(pool)}
	woken.connection(t.admissible(pod)...)
	return woken
}

// placeable returns as many of the Sessions that wait for a pod of a pool as there are places on
// its pods, who came first first: each that is woken is looked at, and who waits may be many. The
// table is locked.
func (t *Table) placeable(pool string) []types.NamespacedName {
	load := t.load()
	places, connections := 0, int32(0) // connections is what the emptiest pod takes
	for pod, c := range t.capacity {
		sessions, free := c.sessions-load[pod].Sessions, c.connections-load[pod].Connections
		if c.pool == pool && !t.cordoned[pod] && sessions > 0 && free > 0 {
			places += int(sessions)
			connections = max(connections, free)
		}
	}
	if places == 0 {
		return nil
	}
	var waiting []*room
	for _, r := range t.rooms {
		if r.at.Pod == "" && r.Pool == pool && int32(len(r.admitted)) <= connections {
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(a, b *room) int { return cmp.Compare(a.entered, b.entered) })
	var names []types.NamespacedName
	for _, r := range waiting[:min(places, len(waiting))] {
		names = append(names, r.Name)
	}
	return names
}

// unplaced returns the Sessions that wait for a pod of a pool. The table is locked.
func (t *Table) unplaced(pool string) []types.NamespacedName {
	var sessions []types.NamespacedName
	for _, r := range t.rooms {
		if r.at.Pod == "" && r.Pool == pool {
			sessions = append(sessions, r.Name)
		}
	}
	return sessions
}

// admissible returns as many of the Connections that wait for a pod as there are places, who came
// first first: each that is woken is looked at, and who waits may be many. The table is locked.
func (t *Table) admissible(pod string) []types.NamespacedName {
	if pod == "" {
		return nil
	}
	onPod := t.connections(pod)
	var found []*waiter
	for uid, r := range t.rooms {
		if r.at.Pod == pod {
			found = append(found, t.waiting.first(uid, int32(len(r.admitted)), onPod)...)
		}
	}
	return admissible(found, onPod)
}

// podOf returns the pod that a Session is on, "" when none. The table is locked.
func (t *Table) podOf(session types.UID) string {
	if r, known := t.rooms[session]; known {
		return r.at.Pod
	}
	return ""
}

// connections sums up the places that are taken on a pod. The table is locked.
func (t *Table) connections(pod string) int32 {
	var n int32
	for _, r := range t.rooms {
		if r.at.Pod == pod {
			n += int32(len(r.admitted))
		}
	}
	return n
}
