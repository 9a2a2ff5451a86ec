// Package rooms is the authority on where each room is and who is in it: the assignment of Sessions
// to media pods, the places that are reserved for Connections, what a pod was sent last of a room,
// and what it was seen to say of it.
//
//	                 Assign                  Send                    Observe
//	waits for a pod --------> not sent yet --------> not acknowledged -------> applied
//	      ^                       ^                                              |
//	      |  Unassign             |  Move, HandOver     Require, Evict,          |
//	      |                       |  a takeover         PoolChanged              |
//	      +-----------------------+--------------------------------<-------------+
//
// A room may have a standby, which follows it (standby.go). Delete ends a room in any state. Who
// builds the Room that is sent is the Session's controller; the table says when there is a need,
// and keeps it for the next stream to the pod.
package rooms

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/placement"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Session names a Session.
type Session struct {
	// UID of the Session, and its name.
	UID  types.UID
	Name types.NamespacedName
	// Pool that hosts it.
	Pool string
}

// Connection names a Connection.
type Connection struct {
	// UID of the Connection, and its name.
	UID  types.UID
	Name types.NamespacedName
	// Session is the UID of its Session.
	Session types.UID
}

// Assignment says which pod a room is on.
type Assignment struct {
	// Pod is its name, "" while the Session waits for one.
	Pod string
	// Epoch grows with every assignment of the Session by this leader.
	Epoch uint64
}

// Reservation is a Session that is known to be on a pod, with the Connections that hold a place
// there.
type Reservation struct {
	Session     Session
	Pod         string
	Connections []Connection
	// Standby is the pod that follows the room, "" when there is none, and Host the one that it
	// follows.
	Standby string
	Host    Host
}

// Outbox takes what pods are to be sent. Its methods must not block.
type Outbox interface {
	// Send queues a message about a room, in place of an earlier one that was not sent yet.
	Send(pod string, session types.UID, message *controlv1.OperatorMessage)
	// Withdraw drops a message about a room that was not sent yet.
	Withdraw(pod string, session types.UID)
	// Has says whether a pod is talked to: whether it is known, and is not lost.
	Has(pod string) bool
}

// Wakers are called when something that an object waits for may have come. They must not block.
type Wakers struct {
	Session, Connection func(types.NamespacedName)
	// SessionAfter wakes a Session after a while.
	SessionAfter func(types.NamespacedName, time.Duration)
	// Pool is called when what is reserved in a pool, or waits for it, has changed.
	Pool func(name string)
}

// Table holds the rooms of one leader. It is filled once from the API objects (Seed); from then on
// it decides and they follow. Safe for concurrent use.
type Table struct {
	outbox Outbox
	wakers Wakers
	clock  clock.PassiveClock
	seeded chan struct{}

	mu       sync.Mutex                          // guards what follows, and everything in rooms
	rooms    map[types.UID]*room                 // by the Session's UID
	names    map[types.NamespacedName]types.UID  // Session's name -> its UID
	admitted map[types.NamespacedName]Connection // who holds a place, by name
	waiting  line                                // Connections that were refused for now
	capacity map[string]capacity                 // pod -> what it was last said to take
	entered  uint64                              // how many rooms were ever entered
	removals map[types.UID]string                // rooms of deleted Sessions -> the pod that is to close it
	cordoned map[string]bool                     // pods that take no Session any more
	failures map[string]time.Time                // pod or node -> when it failed last
	handed   chan struct{}                       // closed at the next change that may complete a snapshot
}

// room is what the table knows of one Session, guarded by Table.mu.
type room struct {
	Session
	entered  uint64 // orders all rooms
	at       Assignment
	admitted map[types.UID]struct{}
	delivery delivery
	seen     sightings
	standby  standby
	// taken is how the room has come to its pod. leaves is the pod that gives it up, until the
	// present one has taken it; nil when there is none.
	taken  Takeover
	leaves *handover
	// lost is since when its users wait for another pod, after theirs was lost; zero when they do
	// not.
	lost time.Time
}

// New returns an empty table.
func New(outbox Outbox, wakers Wakers, clock clock.PassiveClock) *Table {
	return &Table{
		outbox:   outbox,
		wakers:   wakers,
		clock:    clock,
		seeded:   make(chan struct{}),
		rooms:    make(map[types.UID]*room),
		names:    make(map[types.NamespacedName]types.UID),
		admitted: make(map[types.NamespacedName]Connection),
		waiting:  newLine(),
		capacity: make(map[string]capacity),
		removals: make(map[types.UID]string),
		cordoned: make(map[string]bool),
		failures: make(map[string]time.Time),
		handed:   make(chan struct{}),
	}
}

// Seed enters what the previous leader had decided. It is called once, before any decision. The
// Sessions are woken, so that the Room of each is built.
func (t *Table) Seed(reservations []Reservation) {
	var woken wakes
	t.mu.Lock()
	for _, reserved := range reservations {
		r := t.add(reserved.Session)
		t.put(r, reserved.Pod)
		if reserved.Standby != "" && reserved.Standby != reserved.Pod {
			t.follow(r, reserved.Standby, reserved.Host)
		}
		woken.session(r.Name)
		for _, c := range reserved.Connections {
			r.admitted[c.UID] = struct{}{}
			t.admitted[c.Name] = c
		}
	}
	t.mu.Unlock()
	close(t.seeded)
	t.wake(woken)
}

// Wait returns when the table was seeded, or with the context's error.
func (t *Table) Wait(ctx context.Context) error {
	select {
	case <-t.seeded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Lookup returns the Session that was known by a name, so that what is gone can be deleted.
func (t *Table) Lookup(name types.NamespacedName) (types.UID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	uid, known := t.names[name]
	return uid, known
}

// Assign returns the pod that a Session is on. One that is on none gets one of the candidates, or
// waits. Its standby comes first, whatever is reserved there, if it could go on with the room. What
// is reserved on each candidate, and when it failed, is filled in here. Nobody is told of the room
// before Send.
func (t *Table) Assign(session Session, candidates []placement.Candidate, policy v1alpha1.Placement) (pod string, placed bool) {
	woken := wakes{pool: session.Pool}
	t.mu.Lock()
	r, known := t.rooms[session.UID]
	if known && r.at.Pod != "" {
		defer t.mu.Unlock()
		return r.at.Pod, true
	}
	if !known {
		r = t.add(session)
	}
	for _, c := range candidates {
		t.capacity[c.Pod] = capacity{session.Pool, c.MaxSessions, c.MaxConnections}
	}
	if pod, placed = t.heir(r, candidates); !placed {
		pod, placed = placement.Choose(t.fill(candidates), int32(len(r.admitted)), policy, t.clock.Now())
	}
	if placed {
		t.put(r, pod)
		// Their status is to say that there is a pod.
		woken.connection(t.waiting.of(session.UID)...)
	}
	t.mu.Unlock()
	t.wake(woken)
	return pod, placed
}

// Move puts a Session that is on a pod on one of the candidates instead, and has the pod before
// close the room. It stays where it is if no candidate has room. What was observed is kept: who has
// left stays out.
func (t *Table) Move(session types.UID, before string, candidates []placement.Candidate, policy v1alpha1.Placement) (pod string, moved bool) {
	var woken wakes
	t.mu.Lock()
	r, known := t.rooms[session]
	if known && before != "" && r.at.Pod == before && r.leaves == nil {
		pod, moved = placement.Choose(t.fill(candidates), int32(len(r.admitted)), policy, t.clock.Now())
		if moved {
			t.put(r, pod)
			woken.pool = r.Pool
			woken.connection(t.admissible(before)...)
			woken.connection(t.admissible(pod)...)
		}
	}
	t.mu.Unlock()
	t.wake(woken)
	return pod, moved
}

// Unassign takes a Session off its pod, which is lost. Its Connections keep their places, and who
// was in the room may come back on another pod.
func (t *Table) Unassign(session types.UID, pod string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, known := t.rooms[session]; known && r.at.Pod == pod {
		r.lose(t.clock.Now())
		r.at.Pod, r.leaves = "", nil
		t.handOver()
	}
}

// lose notes that the pod of a room is lost. The table is locked.
func (r *room) lose(at time.Time) {
	if r.lost.IsZero() {
		r.lost = at
	}
}

// GiveUp has users be out who wait for another pod, since none has taken their room.
func (t *Table) GiveUp(session types.UID, users []types.UID) {
	var woken wakes
	t.mu.Lock()
	if r, known := t.rooms[session]; known {
		r.seen.crash(users, t.clock.Now())
		woken.session(r.Name)
		for name, c := range t.admitted {
			if c.Session == session {
				woken.connection(name)
			}
		}
	}
	t.mu.Unlock()
	t.wake(woken)
}

// Delete forgets a Session that is gone or refused, with the places of its Connections. Its pod, if
// it has the room, is to close it; nobody waits for that.
func (t *Table) Delete(session types.UID) {
	var woken wakes
	t.mu.Lock()
	if r, known := t.rooms[session]; known {
		delete(t.rooms, session)
		if t.names[r.Name] == session {
			delete(t.names, r.Name)
		}
		for name, c := range t.admitted {
			if c.Session == session {
				delete(t.admitted, name)
			}
		}
		if t.serves(r) {
			t.removals[session] = r.at.Pod
			t.outbox.Send(r.at.Pod, session, removal(session, 0, r.delivery.silent))
		}
		t.relinquish(r)
		t.unfollow(r)
		woken = t.freed(r.Pool, r.at.Pod)
		t.handOver()
	}
	t.mu.Unlock()
	t.wake(woken)
}

// add enters a Session. The table is locked.
func (t *Table) add(session Session) *room {
	r := &room{Session: session, entered: t.entered, admitted: make(map[types.UID]struct{}), seen: newSightings()}
	t.entered++
	t.rooms[session.UID] = r
	t.names[session.Name] = session.UID
	delete(t.removals, session.UID)
	return r
}

// put assigns a room to a pod, and has the pod before, if it lives, close it. The table is locked.
func (t *Table) put(r *room, pod string) {
	if before := r.at.Pod; before != "" && before != pod {
		t.outbox.Send(before, r.UID, removal(r.UID, 0, false))
	}
	t.settle(r, pod)
}

// serves says whether the pod of a room is talked to and has not closed the room. The table is
// locked.
func (t *Table) serves(r *room) bool {
	return r.at.Pod != "" && !r.delivery.closed && t.outbox.Has(r.at.Pod)
}

// fill returns the candidates that are not cordoned, with what is reserved on each and when it
// failed. The table is locked.
func (t *Table) fill(candidates []placement.Candidate) []placement.Candidate {
	open := make([]placement.Candidate, 0, len(candidates))
	load := t.load()
	for _, c := range candidates {
		if t.cordoned[c.Pod] {
			continue
		}
		c.Sessions, c.Connections, c.Standbys = load[c.Pod].Sessions, load[c.Pod].Connections, load[c.Pod].Standbys
		c.Failed = t.failures[c.Pod]
		if failed := t.failures[c.Node]; c.Node != "" && failed.After(c.Failed) {
			c.Failed = failed
		}
		open = append(open, c)
	}
	return open
}

// wakes is who is to be woken once the table is not locked any more.
type wakes struct {
	sessions, connections []types.NamespacedName
	pool                  string
	// later are Sessions to be woken after a while.
	later map[types.NamespacedName]time.Duration
}

func (w *wakes) session(names ...types.NamespacedName) { w.sessions = append(w.sessions, names...) }
func (w *wakes) connection(names ...types.NamespacedName) {
	w.connections = append(w.connections, names...)
}

// wake calls the wakers. The table is not locked.
func (t *Table) wake(w wakes) {
	for _, name := range w.connections {
		t.wakers.Connection(name)
	}
	for _, name := range w.sessions {
		t.wakers.Session(name)
	}
	for name, after := range w.later {
		t.wakers.SessionAfter(name, after)
	}
	if w.pool != "" {
		t.wakers.Pool(w.pool)
	}
}

// View is a room as the table has it.
type View struct {
	// Known is false for a Session that was never decided on.
	Known bool
	Assignment
	// Admitted are the Connections that hold a place.
	Admitted map[types.UID]bool
	// Sending says what is to be sent of it.
	Sending Sending
	// Generation of the Session that the pod has applied; 0 when none.
	Generation int64
	// Visited says that somebody has been in it, on whatever pod.
	Visited bool
	// Publishers counts the published streams, Media the peer connections by transport.
	Publishers int32
	Media      v1alpha1.MediaConnections
	// ForceMute says that streams have to be muted, as the pod has said that it is or was on.
	ForceMute bool
	// Levels are how it has served its users in the last minute, as the pod has said that it is or
	// was on; nil when there is nothing to tell. They are not to be changed.
	Levels *controlv1.RoomLevels
	// Seen is what pods observed of each Connection. The values are not to be changed. Held are
	// those of which the present pod has told.
	Seen map[types.UID]*controlv1.ConnectionStatus
	Held map[types.UID]bool
	// Lost is since when its users wait for another pod; zero when they do not.
	Lost time.Time
	// Standby follows the room; Taken is how it has come to its pod.
	Standby StandbyView
	Taken   Takeover
	// Leaves is the pod that is to give the room to the present one; "" once it has.
	Leaves string
}

// Session returns the room of a Session.
func (t *Table) Session(uid types.UID) View {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, known := t.rooms[uid]
	if !known {
		return View{}
	}
	view := View{
		Known: true, Assignment: r.at, Admitted: make(map[types.UID]bool, len(r.admitted)), Sending: r.delivery.view(t.clock.Now()),
		Generation: r.seen.generation, Visited: r.seen.visited, Media: r.seen.media, ForceMute: r.seen.forceMute, Levels: r.seen.levels,
		Seen: make(map[types.UID]*controlv1.ConnectionStatus, len(r.seen.connections)),
		Held: make(map[types.UID]bool, len(r.seen.connections)), Lost: r.lost,
		Standby: r.standby.StandbyView, Taken: r.taken,
	}
	if r.leaves != nil {
		view.Leaves = r.leaves.pod
	}
	for c := range r.admitted {
		view.Admitted[c] = true
	}
	for c, sighting := range r.seen.connections {
		view.Seen[c], view.Held[c] = sighting.status, r.at.Pod != "" && sighting.epoch == r.at.Epoch
		view.Publishers += int32(len(sighting.status.GetPublishers()))
	}
	return view
}

// ConnectionView is a Connection as the table has it.
type ConnectionView struct {
	// Known says whether its Session was decided on.
	Known bool
	// Pod of the room; "" when it is on none.
	Pod string
	// Admitted says that it holds a place.
	Admitted bool
	// Seen is what pods observed of it, nil when nothing. Not to be changed.
	Seen *controlv1.ConnectionStatus
	// Held says that the present pod has told of it.
	Held bool
	// Programmed is the Connection's generation that the pod has applied; 0 when none.
	Programmed int64
}

// Connection returns a Connection of a Session.
func (t *Table) Connection(session, connection types.UID) ConnectionView {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, known := t.rooms[session]
	if !known {
		return ConnectionView{}
	}
	view := ConnectionView{Known: true, Pod: r.at.Pod}
	_, view.Admitted = r.admitted[connection]
	if sighting, seen := r.seen.connections[connection]; seen {
		view.Seen = sighting.status
		if view.Held = r.at.Pod != "" && sighting.epoch == r.at.Epoch; view.Held {
			view.Programmed = sighting.status.GetGeneration()
		}
	}
	return view
}

// IsAssigned says whether a Session was decided on: whether it has a place, or waits for one.
func (t *Table) IsAssigned(session types.UID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.rooms[session]
	return known
}
