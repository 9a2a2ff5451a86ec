package placement

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Verdict is the answer to a Connection that wants in.
type Verdict int

// Verdicts.
const (
	// Admitted: its place is reserved.
	Admitted Verdict = iota
	// SessionUnplaced: its Session has no pod and was not decided on, or waits for one.
	SessionUnplaced
	// SessionFull: the Session's maxConnections are taken.
	SessionFull
	// PodFull: the pod's connections are taken.
	PodFull
)

// Room names a Session.
type Room struct {
	// UID of the Session, and its name.
	UID  types.UID
	Name types.NamespacedName
	// Pool that hosts it.
	Pool string
}

// Guest names a Connection.
type Guest struct {
	// UID of the Connection, and its name.
	UID  types.UID
	Name types.NamespacedName
	// Room is the UID of its Session.
	Room types.UID
}

// Wakers are called when something that an object waits for may have come. They must not block.
type Wakers struct {
	Session, Connection func(types.NamespacedName)
	// Pool is called when what is reserved in a pool, or waits for it, has changed.
	Pool func(name string)
}

// Ledger is the book of all reservations of one leader: which pod each Session is on, and which Connections hold a place.
// It is filled once from the API objects (Seed), and from then on it decides and they follow. Safe for concurrent use.
type Ledger struct {
	wakers Wakers
	seeded chan struct{}

	mu       sync.Mutex                         // guards what follows
	rooms    map[types.UID]*reservation         // Session -> its place and its guests
	guests   map[types.NamespacedName]Guest     // admitted Connection -> what it was admitted as
	names    map[types.NamespacedName]types.UID // Session's name -> its UID
	waiting  line                               // Connections that were turned away
	retired  map[string]bool                    // pod that takes no Session any more
	failures map[string]time.Time               // pod or node -> when it failed last
}

// reservation is the place of one Session.
type reservation struct {
	room   Room
	pod    string // "" while it waits for one
	guests map[types.UID]struct{}
}

// NewLedger returns an empty book.
func NewLedger(wakers Wakers) *Ledger {
	return &Ledger{
		wakers:   wakers,
		seeded:   make(chan struct{}),
		rooms:    make(map[types.UID]*reservation),
		guests:   make(map[types.NamespacedName]Guest),
		names:    make(map[types.NamespacedName]types.UID),
		waiting:  newLine(),
		retired:  make(map[string]bool),
		failures: make(map[string]time.Time),
	}
}

// Placed is a Session that is known to be on a pod, and the Connections that hold a place in it.
type Placed struct {
	Room   Room
	Pod    string
	Guests []Guest
}

// Seed enters what the previous leader had decided. It is called once, before any decision.
func (l *Ledger) Seed(placed []Placed) {
	l.mu.Lock()
	for _, p := range placed {
		r := &reservation{room: p.Room, pod: p.Pod, guests: make(map[types.UID]struct{})}
		l.rooms[p.Room.UID] = r
		l.names[p.Room.Name] = p.Room.UID
		for _, guest := range p.Guests {
			r.guests[guest.UID] = struct{}{}
			l.guests[guest.Name] = guest
		}
	}
	l.mu.Unlock()
	close(l.seeded)
}

// Wait returns when the ledger was seeded, or with the context's error.
func (l *Ledger) Wait(ctx context.Context) error {
	select {
	case <-l.seeded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pod returns the pod that a Session is on, "" when none. known is false for a Session that was never decided on.
func (l *Ledger) Pod(room types.UID) (pod string, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, known := l.rooms[room]
	if !known {
		return "", false
	}
	return r.pod, true
}

// Place returns the pod that a Session is on; one that is on none gets one of the candidates, or waits. What is reserved on
// each candidate, and when it failed, is filled in here.
func (l *Ledger) Place(room Room, candidates []Candidate, policy v1alpha1.Placement, now time.Time) (string, bool) {
	l.mu.Lock()
	r, ok := l.rooms[room.UID]
	if ok && r.pod != "" {
		defer l.mu.Unlock()
		return r.pod, true
	}
	if !ok {
		r = &reservation{room: room, guests: make(map[types.UID]struct{})}
		l.rooms[room.UID] = r
		l.names[room.Name] = room.UID
	}
	pod, placed := Choose(l.open(candidates), int32(len(r.guests)), policy, now)
	r.pod = pod
	l.mu.Unlock()
	l.wakers.Pool(room.Pool)
	return pod, placed
}

// Move puts a Session that is on a pod on one of the candidates instead. It stays where it is if none has room.
func (l *Ledger) Move(room types.UID, candidates []Candidate, policy v1alpha1.Placement, now time.Time) (string, bool) {
	l.mu.Lock()
	r, ok := l.rooms[room]
	if !ok || r.pod == "" {
		l.mu.Unlock()
		return "", false
	}
	before := r.pod
	pod, found := Choose(l.open(candidates), int32(len(r.guests)), policy, now)
	var connections []types.NamespacedName
	if found {
		r.pod = pod
		connections = append(l.welcome(before), l.welcome(pod)...)
	}
	l.mu.Unlock()
	if found {
		l.wake(nil, connections, r.room.Pool)
	}
	return pod, found
}

// open returns the candidates that are not retired, with what is reserved on each and when it failed. l.mu is held.
func (l *Ledger) open(candidates []Candidate) []Candidate {
	open := make([]Candidate, 0, len(candidates))
	load := l.load()
	for _, c := range candidates {
		if l.retired[c.Pod] {
			continue
		}
		c.Sessions, c.Connections = load[c.Pod].Sessions, load[c.Pod].Connections
		c.Failed = l.failures[c.Pod]
		if failed := l.failures[c.Node]; c.Node != "" && failed.After(c.Failed) {
			c.Failed = failed
		}
		open = append(open, c)
	}
	return open
}

// Displace takes a Session off its pod, which is lost. Its Connections keep their places.
func (l *Ledger) Displace(room types.UID, pod string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.rooms[room]; ok && r.pod == pod {
		r.pod = ""
	}
}

// Vacate forgets a Session that is gone or refused, with the places of its Connections.
func (l *Ledger) Vacate(room types.UID) {
	l.mu.Lock()
	r, ok := l.rooms[room]
	if !ok {
		l.mu.Unlock()
		return
	}
	delete(l.rooms, room)
	if l.names[r.room.Name] == room {
		delete(l.names, r.room.Name)
	}
	for name, guest := range l.guests {
		if guest.Room == room {
			delete(l.guests, name)
		}
	}
	sessions, connections := l.hopeful(r.room.Pool, r.pod)
	l.mu.Unlock()
	l.wake(sessions, connections, r.room.Pool)
}

// UID returns the Session that was known by a name, so that what is gone can be forgotten.
func (l *Ledger) UID(name types.NamespacedName) (types.UID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	uid, ok := l.names[name]
	return uid, ok
}

// Admit reserves a place for a Connection, or says why there is none; then it is woken when one may have come free.
// maxConnections nil is no limit. Who was admitted stays so, whatever the limits become.
func (l *Ledger) Admit(guest Guest, maxConnections *int32, podConnections int32) Verdict {
	l.mu.Lock()
	verdict, connections := l.admit(guest, maxConnections, podConnections)
	l.mu.Unlock()
	l.wake(nil, connections, "")
	return verdict
}

// admit is Admit, and returns who is to be woken for it. l.mu is held.
func (l *Ledger) admit(guest Guest, maxConnections *int32, podConnections int32) (Verdict, []types.NamespacedName) {
	var connections []types.NamespacedName
	if old, ok := l.guests[guest.Name]; ok && old.UID != guest.UID {
		l.drop(old)
		connections = l.welcome(l.podOf(old.Room))
	}
	r, ok := l.rooms[guest.Room]
	if !ok {
		l.waiting.add(guest, maxConnections, podConnections)
		return SessionUnplaced, connections
	}
	if _, ok := r.guests[guest.UID]; ok {
		return Admitted, connections
	}
	verdict := Admitted
	switch {
	case r.pod == "":
		verdict = SessionUnplaced
	case maxConnections != nil && int32(len(r.guests)) >= *maxConnections:
		verdict = SessionFull
	case l.connections(r.pod) >= podConnections:
		verdict = PodFull
	}
	if verdict != Admitted {
		if l.waiting.add(guest, maxConnections, podConnections) {
			// It may have been woken for a place that it can't take any more: others can.
			connections = append(connections, l.welcome(r.pod)...)
		}
		return verdict, connections
	}
	l.waiting.remove(guest.Name, guest.UID)
	r.guests[guest.UID] = struct{}{}
	l.guests[guest.Name] = guest
	return Admitted, connections
}

// IsAdmitted says whether a Connection holds a place.
func (l *Ledger) IsAdmitted(room, guest types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rooms[room]
	if !ok {
		return false
	}
	_, ok = r.guests[guest]
	return ok
}

// Dismiss frees the place of a Connection that is gone, or whose user has left, and returns its Session. uid "" stands for whatever
// has the name. It says whether there was a place.
func (l *Ledger) Dismiss(name types.NamespacedName, uid types.UID) (room types.UID, had bool) {
	l.mu.Lock()
	waitedFor, waited := l.waiting.remove(name, uid)
	guest, ok := l.guests[name]
	if !ok || uid != "" && guest.UID != uid {
		var connections []types.NamespacedName
		if waited {
			// It may have been woken for a place that it does not take any more.
			connections = l.welcome(l.podOf(waitedFor))
		}
		l.mu.Unlock()
		l.wake(nil, connections, "")
		return "", false
	}
	var pool, pod string
	if r, ok := l.rooms[guest.Room]; ok {
		pool, pod = r.room.Pool, r.pod
	}
	l.drop(guest)
	sessions, connections := l.hopeful(pool, pod)
	l.mu.Unlock()
	l.wake(sessions, connections, pool)
	return guest.Room, true
}

// drop removes a guest. l.mu is held.
func (l *Ledger) drop(guest Guest) {
	delete(l.guests, guest.Name)
	if r, ok := l.rooms[guest.Room]; ok {
		delete(r.guests, guest.UID)
	}
}

// hopeful returns the Sessions that wait for the pool, and of the Connections that wait for the pod as many as there are places. l.mu is held.
func (l *Ledger) hopeful(pool, pod string) (sessions, connections []types.NamespacedName) {
	for _, r := range l.rooms {
		if r.pod == "" && r.room.Pool == pool {
			sessions = append(sessions, r.room.Name)
		}
	}
	return sessions, l.welcome(pod)
}

// welcome returns as many of the Connections that wait for a pod as there are places, who came first first: each that is woken is looked at, and who waits may
// be many. l.mu is held.
func (l *Ledger) welcome(pod string) []types.NamespacedName {
	if pod == "" {
		return nil
	}
	onPod := l.connections(pod)
	var found []*waiter
	for uid, r := range l.rooms {
		if r.pod == pod {
			found = append(found, l.waiting.first(uid, int32(len(r.guests)), onPod)...)
		}
	}
	return admissible(found, onPod)
}

// podOf returns the pod that a Session is on, "" when none. l.mu is held.
func (l *Ledger) podOf(room types.UID) string {
	if r, ok := l.rooms[room]; ok {
		return r.pod
	}
	return ""
}

// WakeWaiting wakes the Sessions that wait for a pod of the pool: one may have room now.
func (l *Ledger) WakeWaiting(pool string) {
	l.mu.Lock()
	sessions, _ := l.hopeful(pool, "")
	l.mu.Unlock()
	l.wake(sessions, nil, "")
}

// WakeTurnedAway wakes all Connections that wait for any Session of a pool, whose limits have changed.
func (l *Ledger) WakeTurnedAway(pool string) {
	l.mu.Lock()
	var connections []types.NamespacedName
	for uid, r := range l.rooms {
		if r.room.Pool == pool {
			connections = append(connections, l.waiting.of(uid)...)
		}
	}
	l.mu.Unlock()
	l.wake(nil, connections, "")
}

// WakeGuests wakes all Connections that wait for a Session: it has a pod now, which their status is to say.
func (l *Ledger) WakeGuests(room types.UID) {
	l.mu.Lock()
	connections := l.waiting.of(room)
	l.mu.Unlock()
	l.wake(nil, connections, "")
}

// wake calls the wakers, without the lock.
func (l *Ledger) wake(sessions, connections []types.NamespacedName, pool string) {
	for _, name := range sessions {
		l.wakers.Session(name)
	}
	for _, name := range connections {
		l.wakers.Connection(name)
	}
	if pool != "" {
		l.wakers.Pool(pool)
	}
}

// Load is what is reserved on a pod.
type Load struct {
	Sessions, Connections int32
}

// load sums up the reservations by pod. l.mu is held.
func (l *Ledger) load() map[string]Load {
	loads := make(map[string]Load)
	for _, r := range l.rooms {
		if r.pod == "" {
			continue
		}
		load := loads[r.pod]
		load.Sessions++
		load.Connections += int32(len(r.guests))
		loads[r.pod] = load
	}
	return loads
}

// connections sums up the reservations on a pod. l.mu is held.
func (l *Ledger) connections(pod string) int32 {
	var n int32
	for _, r := range l.rooms {
		if r.pod == pod {
			n += int32(len(r.guests))
		}
	}
	return n
}

// Loads returns what is reserved on each pod that has a Session.
func (l *Ledger) Loads() map[string]Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load()
}

// Rooms returns the Sessions on a pod, by name.
func (l *Ledger) Rooms(pod string) []Room {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rooms []Room
	for _, r := range l.rooms {
		if r.pod == pod {
			rooms = append(rooms, r.room)
		}
	}
	slices.SortFunc(rooms, func(a, b Room) int { return cmp.Compare(a.Name.String(), b.Name.String()) })
	return rooms
}

// Waiting returns how many Sessions of a pool have no pod.
func (l *Ledger) Waiting(pool string) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int32
	for _, r := range l.rooms {
		if r.pod == "" && r.room.Pool == pool {
			n++
		}
	}
	return n
}

// Retire takes a pod out of use, if it hosts nothing: from then on nothing is placed on it. It says whether it did.
func (l *Ledger) Retire(pod string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rooms {
		if r.pod == pod {
			return false
		}
	}
	l.retired[pod] = true
	return true
}

// Failed notes that a pod failed on its node. Pods there are not preferred for FailureMemory.
func (l *Ledger) Failed(pod, node string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, at := range l.failures {
		if now.Sub(at) >= FailureMemory {
			delete(l.failures, name)
		}
	}
	l.failures[pod] = now
	if node != "" {
		l.failures[node] = now
	}
}

// FailedLately returns the pods and nodes that failed within FailureMemory, by name.
func (l *Ledger) FailedLately(now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, at := range l.failures {
		if now.Sub(at) < FailureMemory {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Forget drops what is remembered of a pod that is gone.
func (l *Ledger) Forget(pod string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.retired, pod)
}
