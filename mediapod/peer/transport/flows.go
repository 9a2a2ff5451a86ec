package transport

import (
	"slices"
	"sync"
)

// maxFlows is how many TCP connections one peer may have: one for each pair of its interfaces and
// our addresses.
const maxFlows = 8

// flows are the TCP connections that one peer has shown to be its own. When there are too many, the
// one that has been silent for longest is closed for the next. The zero value is empty.
type flows struct {
	mu     sync.Mutex // guards the fields below
	all    []*tcpFlow
	closed bool
}

// add returns false when the peer has no business here any more.
func (f *flows) add(one *tcpFlow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if len(f.all) == maxFlows {
		silent := slices.MinFunc(f.all, func(a, b *tcpFlow) int { return a.heard().Compare(b.heard()) })
		silent.close()
		f.all = slices.DeleteFunc(f.all, func(other *tcpFlow) bool { return other == silent })
	}
	f.all = append(f.all, one)
	return true
}

func (f *flows) remove(one *tcpFlow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = slices.DeleteFunc(f.all, func(other *tcpFlow) bool { return other == one })
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
