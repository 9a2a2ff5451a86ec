package signalling

import "sync"

// backlog is the requests of one client that wait for their turn. It takes room only while there
// are some.
type backlog struct {
	mu      sync.Mutex // guards the fields below
	wake    *sync.Cond // of mu; something waits, or nothing comes any more
	waiting []Request  // oldest first
	ended   bool
}

func newBacklog() *backlog {
	b := &backlog{}
	b.wake = sync.NewCond(&b.mu)
	return b
}

// push adds a request; false when maxPending wait already.
func (b *backlog) push(r Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) >= maxPending {
		return false
	}
	b.waiting = append(b.waiting, r)
	b.wake.Signal()
	return true
}

// end lets next return false once what waits is done.
func (b *backlog) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake.Signal()
}

// next waits for the oldest request and takes it out; false at the end.
func (b *backlog) next() (Request, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) == 0 {
		if b.ended {
			return Request{}, false
		}
		b.wake.Wait()
	}
	oldest := b.waiting[0]
	b.waiting[0] = Request{} // it may be large
	if b.waiting = b.waiting[1:]; len(b.waiting) == 0 {
		b.waiting = nil
	}
	return oldest, true
}
