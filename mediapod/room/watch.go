package room

import (
	"slices"
	"sync"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// Sent is one stream that a participant of a room sends now, with its media.
type Sent struct {
	// ConnectionID is the participant's, ClientData and ServerData are what it and the server say
	// of it.
	ConnectionID, ClientData, ServerData string
	// Record says that the participant may be recorded individually.
	Record      bool
	Stream      Stream
	Publication media.Publication
}

// Watch tells that a room may have changed. Whoever holds it asks Registry.Sent for what is.
type Watch struct {
	watchers *watchers
	uid      string
	changed  chan struct{}
}

// Changed has an element whenever something may have changed since it last had one.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Close ends the watch. It is idempotent.
func (w *Watch) Close() { w.watchers.remove(w) }

// watchers are the watches of all rooms. The lock is a leaf: rooms call it while they are locked.
type watchers struct {
	mu    sync.Mutex // guards byUID
	byUID map[string][]*Watch
}

func (w *watchers) add(uid string) *Watch {
	watch := &Watch{watchers: w, uid: uid, changed: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byUID[uid] = append(w.byUID[uid], watch)
	return watch
}

func (w *watchers) remove(watch *Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := slices.DeleteFunc(w.byUID[watch.uid], func(other *Watch) bool { return other == watch })
	if len(left) == 0 {
		delete(w.byUID, watch.uid)
		return
	}
	w.byUID[watch.uid] = left
}

// wake tells those who watch a room. It never blocks.
func (w *watchers) wake(uid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, watch := range w.byUID[uid] {
		select {
		case watch.changed <- struct{}{}:
		default:
		}
	}
}

// Watch begins to watch a room, whether it is there or not. Close must be called.
func (g *Registry) Watch(uid string) *Watch { return g.watchers.add(uid) }

// Sent returns the streams of a room that were announced, in the order of the participants and of
// their creation; false when the room is not there, or not any more.
func (g *Registry) Sent(uid string) ([]Sent, bool) {
	g.mu.Lock()
	room, found := g.byUID[uid]
	g.mu.Unlock()
	if !found {
		return nil, false
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	return room.sent(), !room.closed
}

// sent is Sent; the room is locked.
func (r *Room) sent() []Sent {
	var all []Sent
	for _, p := range r.participants {
		for _, s := range p.publications.sorted() {
			if !s.live || s.publication == nil {
				continue
			}
			all = append(all, Sent{
				ConnectionID: p.id, ClientData: p.seat.client.Metadata, ServerData: p.seat.desired.ServerData,
				Record: p.seat.desired.Record, Stream: s.info, Publication: s.publication,
			})
		}
	}
	return all
}

// mark notes that a room has changed.
func (g *Registry) mark(uid string) {
	g.changed.Mark(uid)
	g.watchers.wake(uid)
}
