package room

import (
	"crypto/sha256"
	"sync"
)

// privateID is the digest of what a client resumes its connection by.
type privateID [sha256.Size]byte

func digestOf(id string) privateID { return sha256.Sum256([]byte(id)) }

// resumable finds the room of a private id. It has a lock of its own, a leaf: rooms call it while
// locked.
type resumable struct {
	mu    sync.Mutex // guards rooms
	rooms map[privateID]*Room
}

// find returns the room that has the private id, or nil.
func (x *resumable) find(id privateID) *Room {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.rooms[id]
}

func (x *resumable) add(room *Room, id privateID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rooms[id] = room
}

func (x *resumable) remove(room *Room, id privateID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(room, id)
}

// forget is remove; it is locked. What another room has taken over stays.
func (x *resumable) forget(room *Room, id privateID) {
	if x.rooms[id] == room {
		delete(x.rooms, id)
	}
}

// update makes the private ids of a room be those that it has now.
func (x *resumable) update(room *Room, before, now map[privateID]*seat) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range before {
		if _, stays := now[id]; !stays {
			x.forget(room, id)
		}
	}
	for id := range now {
		x.rooms[id] = room
	}
}
