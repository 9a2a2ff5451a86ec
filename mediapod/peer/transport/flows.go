package transport

import (
	"slices"
	"sync"
	"time"
)

// maxFlows is how many TCP connections one peer may have: one for each pair of its interfaces and our addresses.
const maxFlows = 8

// flow is a TCP connection that one peer has shown to be its own.
type flow interface {
	// heard is when something came of it last.
	heard() time.Time
	// close ends it. It does not wait.
	close()
}

// flows are those of one peer. When there are too many, the one that has been silent for longest is closed for the next. The zero value is empty.
type flows struct {
	mu     sync.Mutex // guards the fields below
	all    []flow
	closed bool
}

// add returns false when the peer has no business here any more.
func (f *flows) add(one flow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if len(f.all) == maxFlows {
		silent := slices.MinFunc(f.all, func(a, b flow) int { return a.heard().Compare(b.heard()) })
		silent.close()
		f.all = slices.DeleteFunc(f.all, func(other flow) bool { return other == silent })
	}
	f.all = append(f.all, one)
	return true
}

func (f *flows) remove(one flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = slices.DeleteFunc(f.all, func(other flow) bool { return other == one })
}

// close closes all, and whatever comes later. It is idempotent.
func (f *flows) close() {
	f.mu.Lock()
	all := f.all
	f.all, f.closed = nil, true
	f.mu.Unlock()
	for _, one := range all {
		one.close()
	}
}
