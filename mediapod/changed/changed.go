// Package changed is the authority on how a part of a media pod learns of what has something new to
// say, without missing any and without being told twice of what has changed twice.
package changed

import (
	"slices"
	"sync"
)

// Set holds the ids of what has changed. Its methods are safe for concurrent use; its lock is a
// leaf, so that Mark may be called with any other one held.
type Set struct {
	signal chan struct{} // holds one element while ids has any

	mu  sync.Mutex // guards ids
	ids map[string]struct{}
}

// NewSet returns an empty set.
func NewSet() *Set {
	return &Set{signal: make(chan struct{}, 1), ids: make(map[string]struct{})}
}

// Mark notes that something has changed. It never blocks.
func (s *Set) Mark(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = struct{}{}
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Signal has an element whenever Take has something to say.
func (s *Set) Signal() <-chan struct{} { return s.signal }

// Take returns what has changed since it was last called, sorted.
func (s *Set) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.ids))
	for id := range s.ids {
		ids = append(ids, id)
	}
	clear(s.ids)
	select {
	case <-s.signal:
	default:
	}
	slices.Sort(ids)
	return ids
}
