// Package room is the single authority on rooms: who may be in one, who is, with which role, who
// publishes and receives what, what each participant is told, and in which order. It knows no
// socket, no client protocol and no Kubernetes. A participant may send several streams and receive
// several, also one twice: streams and subscriptions have ids of their own, which the front end of
// the client's protocol chooses, as it says how many streams a participant may send.
//
// What should be comes in whole (Registry.Apply), what is goes out whole (Registry.Snapshot,
// announced by Registry.Changed). Clients act through a Participant; what they are told goes
// through its Sink.
package room

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/changed"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/outbox"
)

// departureWindow is how long a client may come back that has said it goes away.
const departureWindow = time.Second

// A client that is stranded may come back for strandedWindow, if that is longer, while its media is
// heard: it is there as long as it was heard hearingTime ago or less.
const (
	strandedWindow = 5 * time.Minute
	hearingTime    = 5 * time.Second
)

// DefaultReconnectWindow is how long a client that lost its socket may come back, unless set
// otherwise.
const DefaultReconnectWindow = 10 * time.Second

// Registry holds the rooms of a pod. Its methods are safe for concurrent use.
type Registry struct {
	engine   media.Engine
	log      logr.Logger
	window   atomic.Int64   // reconnection window, nanoseconds
	expended atomic.Uint64  // notifications that clients can do without and were not kept for
	closing  sync.WaitGroup // what runs in the background: mostly media that is being closed

	mu      sync.Mutex       // guards what follows; no room is locked while it is held
	byKey   map[string]*Room // what clients name a room by -> room
	byUID   map[string]*Room
	moved   map[string]time.Time // what clients name rooms by that another pod goes on with -> since when
	stopped bool
	quality qualityTicker

	changed   *changed.Set
	watchers  watchers
	departed  departures
	resumable resumable
	outbox    *outbox.Outbox
}

// departures counts who has left. It has a lock of its own, a leaf: rooms call it while locked.
type departures struct {
	mu       sync.Mutex // guards byReason
	byReason map[reasons.Reason]int
}

func (d *departures) count(reason reasons.Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byReason[reason]++
}

// NewRegistry returns a registry without rooms.
func NewRegistry(engine media.Engine, log logr.Logger) *Registry {
	g := &Registry{
		engine:    engine,
		log:       log,
		byKey:     make(map[string]*Room),
		byUID:     make(map[string]*Room),
		moved:     make(map[string]time.Time),
		departed:  departures{byReason: make(map[reasons.Reason]int)},
		resumable: resumable{rooms: make(map[privateID]*Room)},
		changed:   changed.NewSet(),
		watchers:  watchers{byUID: make(map[string][]*Watch)},
		outbox:    outbox.New(outbox.DefaultLimits),
	}
	g.window.Store(int64(DefaultReconnectWindow))
	return g
}

// SetReconnectWindow sets how long a client that loses its socket from now on may come back.
func (g *Registry) SetReconnectWindow(window time.Duration) {
	g.window.Store(int64(max(0, window)))
}

// Apply makes a room be as desired: it is created when it is not there; who is no longer desired is
// evicted. A room of another UID that has the same key is removed first. After Stop it does
// nothing.
func (g *Registry) Apply(desired Desired) {
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		return
	}
	room, known := g.byUID[desired.UID]
	if !known {
		room = newRoom(g, desired)
		g.byUID[desired.UID] = room
	}
	before := g.byKey[desired.Key]
	if before != room {
		g.unname(room)
		g.byKey[desired.Key] = room
		if before != nil {
			delete(g.byUID, before.uid)
		}
	}
	g.mu.Unlock()

	if before != nil && before != room {
		before.end(reasons.SessionClosedByServer, false)
		g.watchers.wake(before.uid)
	}
	room.apply(desired)
}

// unname removes the keys of a room. The registry is locked.
func (g *Registry) unname(room *Room) {
	for key, named := range g.byKey {
		if named == room {
			delete(g.byKey, key)
		}
	}
}

// Remove closes a room and forgets it; everybody in it is told the reason, and the operator that
// the Session has ended. Removing one that is not there does nothing.
func (g *Registry) Remove(uid string, reason reasons.Reason) {
	g.remove(uid, reason, false)
}

// RemoveSilently is Remove, but the operator is not told that the Session has ended, unless
// somebody has been in the room.
func (g *Registry) RemoveSilently(uid string, reason reasons.Reason) {
	g.remove(uid, reason, true)
}

func (g *Registry) remove(uid string, reason reasons.Reason, silent bool) {
	g.mu.Lock()
	room, known := g.byUID[uid]
	if known {
		delete(g.byUID, uid)
		g.unname(room)
	}
	g.mu.Unlock()
	if known {
		room.end(reason, silent)
		g.watchers.wake(uid)
	}
}

// LetGo forgets a room that another pod goes on with. Nobody has left: the clients lose their
// sockets, and come back there.
func (g *Registry) LetGo(uid string) {
	g.mu.Lock()
	room, known := g.byUID[uid]
	if known {
		delete(g.byUID, uid)
		now := time.Now()
		maps.DeleteFunc(g.moved, func(_ string, at time.Time) bool { return now.Sub(at) >= movedTime })
		for key, named := range g.byKey {
			if named == room {
				g.moved[key] = now
			}
		}
		g.unname(room)
	}
	g.mu.Unlock()
	if known {
		room.letGo()
		g.watchers.wake(uid)
	}
}

// movedTime is how long it may take until everybody knows that a room is on another pod.
const movedTime = time.Minute

// Moved says whether the room that clients name by the key was let go a short while ago: they find
// it on another pod.
func (g *Registry) Moved(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, moved := g.moved[key]
	return moved && g.byKey[key] == nil && time.Since(at) < movedTime
}

// Outbox has the events of the rooms that the operator has not acknowledged.
func (g *Registry) Outbox() *outbox.Outbox { return g.outbox }

// Stop lets everybody go, and takes no new rooms. Those that there were are kept for Snapshot.
// Nobody has left: the clients lose their sockets, and come back to the pod that the rooms go to.
func (g *Registry) Stop() {
	g.mu.Lock()
	g.stopped = true
	g.stopMeasuring()
	g.mu.Unlock()
	for _, room := range g.rooms() {
		room.letGo()
		g.watchers.wake(room.uid)
	}
}

// Wait returns when no media of a participant that is gone, and nothing else of rooms, runs any
// more. It is for use after Stop.
func (g *Registry) Wait() {
	g.closing.Wait()
}

// Lookup returns the room that clients name by the key.
func (g *Registry) Lookup(key string) (*Room, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	room, found := g.byKey[key]
	return room, found
}

// UIDs returns the UIDs of all rooms, sorted.
func (g *Registry) UIDs() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	uids := make([]string, 0, len(g.byUID))
	for uid := range g.byUID {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return uids
}

// Snapshot returns the observed state of a room.
func (g *Registry) Snapshot(uid string) (Snapshot, bool) {
	g.mu.Lock()
	room, found := g.byUID[uid]
	g.mu.Unlock()
	if !found {
		return Snapshot{}, false
	}
	return room.snapshot(), true
}

// Changed has an element whenever TakeChanged has something to say.
func (g *Registry) Changed() <-chan struct{} { return g.changed.Signal() }

// TakeChanged returns the UIDs of the rooms that have changed since it was last called, sorted.
func (g *Registry) TakeChanged() []string { return g.changed.Take() }

// Resume gives a participant another sink, by its private id, and ends the one it had. The
// participant must be in the room that clients name by the key; with the key "" it may be in any.
// The reply is called at the place in the order of what the client is told where its answer
// belongs: before what it missed meanwhile. It only queues. ErrNotResumed means that nobody is
// there under that id, ErrClosed that the pod stops, and the client may come back elsewhere.
func (g *Registry) Resume(key, privateID string, sink Sink, reply func(Resumed)) error {
	room := g.resumable.find(digestOf(privateID))
	if key != "" {
		room, _ = g.Lookup(key)
	}
	switch {
	case room != nil && room.resume(privateID, sink, reply):
		return nil
	case g.isStopped(): // asked last: it may have stopped meanwhile
		return ErrClosed
	}
	return ErrNotResumed
}

func (g *Registry) isStopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopped
}

// Totals counts what all rooms have.
func (g *Registry) Totals() Totals {
	var totals Totals
	for _, room := range g.rooms() {
		room.count(&totals)
	}
	return totals
}

// Departures returns how many have left since the start, by the reason. Who had joined by Claims
// does not count.
func (g *Registry) Departures() map[reasons.Reason]int {
	g.departed.mu.Lock()
	defer g.departed.mu.Unlock()
	return maps.Clone(g.departed.byReason)
}

// Expended returns how many notifications were dropped since the start that clients can do without
// (Expendable), since there was no space for them.
func (g *Registry) Expended() uint64 { return g.expended.Load() }

func (g *Registry) rooms() []*Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	rooms := make([]*Room, 0, len(g.byUID))
	for _, room := range g.byUID {
		rooms = append(rooms, room)
	}
	slices.SortFunc(rooms, func(a, b *Room) int { return strings.Compare(a.uid, b.uid) })
	return rooms
}

// release closes media in the background: it may take a moment, and rooms are locked when they find
// out what is to be closed.
func (g *Registry) release(what ...io.Closer) {
	if len(what) == 0 {
		return
	}
	g.closing.Go(func() {
		var errs []error
		for _, closer := range what {
			errs = append(errs, closer.Close())
		}
		if err := errors.Join(errs...); err != nil {
			g.log.Error(err, "Closing media")
		}
	})
}
