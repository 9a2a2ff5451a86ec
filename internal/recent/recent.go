// Package recent is the single authority on remembering only so much of what was: a set that
// forgets its oldest members.
package recent

import "slices"

// Set holds the members that were added last. It is not safe for concurrent use.
type Set[K comparable] struct {
	limit int
	known map[K]struct{}
	order []K // the oldest first
}

// NewSet returns an empty set that holds at most so many members, one or more.
func NewSet[K comparable](limit int) *Set[K] {
	return &Set[K]{limit: limit, known: make(map[K]struct{})}
}

// Add adds a member, for which the oldest one may have to go. One that is there already gets no
// younger.
func (s *Set[K]) Add(member K) {
	if s.Has(member) {
		return
	}
	if len(s.order) == s.limit {
		delete(s.known, s.order[0])
		s.order = s.order[1:]
	}
	s.known[member] = struct{}{}
	s.order = append(s.order, member)
}

// Has reports whether a member is there.
func (s *Set[K]) Has(member K) bool {
	_, known := s.known[member]
	return known
}

// Remove takes a member out, if it is there.
func (s *Set[K]) Remove(member K) {
	if s.Has(member) {
		delete(s.known, member)
		s.order = slices.DeleteFunc(s.order, func(k K) bool { return k == member })
	}
}

// Len returns how many members there are.
func (s *Set[K]) Len() int { return len(s.order) }
