package standby

import (
	"slices"
	"sync"
)

// changes are the rooms of which there is something new to say. It has a lock of its own, a leaf.
type changes struct {
	signal chan struct{} // holds one element while uids has any

	mu   sync.Mutex // guards uids
	uids map[string]struct{}
}

func newChanges() changes {
	return changes{signal: make(chan struct{}, 1), uids: map[string]struct{}{}}
}

func (c *changes) mark(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uids[uid] = struct{}{}
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// take returns the rooms that were marked since it was called last, sorted.
func (c *changes) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var uids []string
	for uid := range c.uids {
		uids = append(uids, uid)
	}
	clear(c.uids)
	select {
	case <-c.signal:
	default:
	}
	slices.Sort(uids)
	return uids
}
