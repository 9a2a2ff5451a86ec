// Package pace is the authority on how often the status of one object is written: at once when somebody waits for it, else at most
// once in an interval.
package pace

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Interval is the least time between two writes that nobody waits for.
const Interval = time.Second

// Pace remembers when each object was written last. The zero value is ready to use. Safe for concurrent use.
type Pace struct {
	mu   sync.Mutex // guards what follows
	last map[types.UID]time.Time
}

// Wait returns how long a write that nobody waits for has to wait; 0 is now.
func (p *Pace) Wait(uid types.UID, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.last[uid]
	if !ok {
		return 0
	}
	return max(0, last.Add(Interval).Sub(now))
}

// Wrote notes a write.
func (p *Pace) Wrote(uid types.UID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = make(map[types.UID]time.Time)
	}
	p.last[uid] = now
}

// Forget drops an object that is gone.
func (p *Pace) Forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, uid)
}
