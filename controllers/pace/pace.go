// Package pace is the authority on when the status of an object is written: at once when somebody waits for it; a moment later when an
// answer is about to come that belongs into the same write; else at most once in an interval; and again soon when somebody
// else has written first.
package pace

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// Interval is the least time between two writes that nobody waits for.
	Interval = time.Second
	// Patience is how long a write waits for an answer that is about to come.
	Patience = 250 * time.Millisecond
)

// Urgency says how a status differs from what was written last.
type Urgency int

// Urgencies.
const (
	// Unchanged: there is nothing to write.
	Unchanged Urgency = iota
	// Lazy: somebody may look at it some time.
	Lazy
	// Awaiting: a media pod is about to answer, and what it says belongs into the same write.
	Awaiting
	// Urgent: somebody waits for it.
	Urgent
)

// SameConditions reports whether two statuses have the same conditions, but for their messages and times. If not, somebody may wait for the new ones.
func SameConditions(before, after []metav1.Condition) bool {
	if len(before) != len(after) {
		return false
	}
	for _, x := range after {
		y := meta.FindStatusCondition(before, x.Type)
		if y == nil || x.Status != y.Status || x.Reason != y.Reason || x.ObservedGeneration != y.ObservedGeneration {
			return false
		}
	}
	return true
}

// Pace remembers when each object was written last. The zero value is ready to use. Safe for concurrent use.
type Pace struct {
	mu    sync.Mutex // guards what follows
	last  map[types.UID]time.Time
	await map[types.UID]time.Time // since when a write waits for an answer
	begun map[types.UID]time.Time // since when something bounded is waited for
}

// Begun returns since when something that has a bound is waited for: the first call is its beginning. A leader that is new gives it the
// whole time, however long ago the object was deleted.
func (p *Pace) Begun(uid types.UID, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	begun, ok := p.begun[uid]
	if !ok {
		if p.begun == nil {
			p.begun = make(map[types.UID]time.Time)
		}
		begun = now
		p.begun[uid] = now
	}
	return begun
}

// Delay returns how long a write has to wait; 0 is now.
func (p *Pace) Delay(uid types.UID, urgency Urgency, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch urgency {
	case Lazy:
		if last, ok := p.last[uid]; ok {
			return max(0, last.Add(Interval).Sub(now))
		}
	case Awaiting:
		since, ok := p.await[uid]
		if !ok {
			if p.await == nil {
				p.await = make(map[types.UID]time.Time)
			}
			since = now
			p.await[uid] = now
		}
		return max(0, since.Add(Patience).Sub(now))
	}
	return 0
}

// Wrote notes a write of the status.
func (p *Pace) Wrote(uid types.UID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = make(map[types.UID]time.Time)
	}
	p.last[uid] = now
	delete(p.await, uid)
}

// Forget drops an object that is gone.
func (p *Pace) Forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, uid)
	delete(p.await, uid)
	delete(p.begun, uid)
}
