package loadtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Run is a load that is being played. Its methods are safe for concurrent use.
type Run struct {
	setup  Setup
	cancel context.CancelFunc
	slots  chan struct{} // a participant that joins holds one
	going  sync.WaitGroup
	joined sync.WaitGroup // the first join of each participant
	began  time.Time

	mu       sync.Mutex // guards the fields below; taken before that of a participant
	present  map[*participant]struct{}
	ended    Totals // of participants that have left
	baseline Totals // what does not count any more
	markedAt time.Time
}

// Start begins to play a load. Close must be called.
func Start(ctx context.Context, setup Setup) (*Run, error) {
	if err := setup.Load.Validate(); err != nil {
		return nil, err
	}
	if setup.Load.Patience == 0 {
		setup.Load.Patience = 15 * time.Second
	}
	running, cancel := context.WithCancel(ctx)
	r := &Run{
		setup: setup, cancel: cancel, slots: make(chan struct{}, joinsAtATime), began: time.Now(), markedAt: time.Now(),
		present: map[*participant]struct{}{},
	}
	l := setup.Load
	each := l.Ramp / time.Duration(max(1, l.Rooms*(l.Publishers+l.Subscribers)))
	r.joined.Add(l.Rooms * (l.Publishers + l.Subscribers))
	r.going.Go(func() {
		var publishing sync.WaitGroup
		publishing.Add(l.Rooms * l.Publishers)
		for range l.Publishers {
			for room := range l.Rooms {
				r.going.Go(func() {
					_ = r.take(running, &participant{run: r, room: room, publishes: true, receives: l.Mutual}, publishing.Done) // it is counted
				})
				sleep(running, each)
			}
		}
		publishing.Wait() // so that a subscriber finds all of them
		for number := range l.Subscribers {
			for room := range l.Rooms {
				r.going.Go(func() { r.subscribers(running, room, number < l.Impaired) })
				sleep(running, each)
			}
		}
	})
	return r, nil
}

// retryPause is how long nobody takes the place of a participant that could not join.
const retryPause = time.Second

// subscribers plays a subscriber and, when it does not stay, those that take its place.
func (r *Run) subscribers(ctx context.Context, room int, impaired bool) {
	for replaces := false; ; replaces = true {
		life, cancel := ctx, context.CancelFunc(func() {})
		if stay := r.setup.Load.Stay; stay > 0 {
			life, cancel = context.WithTimeout(ctx, stay/2+rand.N(stay))
		}
		err := r.take(life, &participant{run: r, room: room, receives: true, impaired: impaired, replaces: replaces}, func() {})
		cancel()
		if r.setup.Load.Stay == 0 || ctx.Err() != nil {
			return
		}
		if err != nil {
			sleep(ctx, retryPause)
		}
	}
}

// take plays one participant, and returns why it could not join. ready is called when it has
// joined, or failed to.
func (r *Run) take(ctx context.Context, p *participant, ready func()) error {
	done := sync.OnceFunc(func() {
		ready()
		if !p.replaces {
			r.joined.Done()
		}
	})
	defer done()
	r.add(p)
	defer r.remove(p)
	return p.live(ctx, done)
}

func (r *Run) add(p *participant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present[p] = struct{}{}
}

func (r *Run) remove(p *participant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	totals := p.totals()
	delete(r.present, p)
	totals.Present = 0
	for _, streams := range []*Streams{&totals.Video, &totals.Audio, &totals.Impaired} {
		streams.Streams, streams.Layers = 0, [maxLayers]int{}
	}
	r.ended.add(&totals)
}

// WaitJoined waits until each participant has joined or failed to.
func (r *Run) WaitJoined(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		r.joined.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Mark lets Totals count media from now on; joins count from the start.
func (r *Run) Mark() {
	for _, p := range r.participants() {
		p.mark()
	}
	baseline := r.sum()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.baseline, r.markedAt = baseline, time.Now()
	r.ended.Video.Longest, r.ended.Impaired.Longest = 0, 0
}

// Totals returns what was counted since Mark, or else since the start.
func (r *Run) Totals() Totals {
	sum := r.sum()
	r.mu.Lock()
	defer r.mu.Unlock()
	sum.subtract(&r.baseline)
	sum.Elapsed = time.Since(r.markedAt)
	return sum
}

func (r *Run) participants() []*participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*participant, 0, len(r.present))
	for p := range r.present {
		all = append(all, p)
	}
	return all
}

// sum adds everything up since the start.
func (r *Run) sum() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.ended.clone()
	for p := range r.present {
		totals := p.totals()
		sum.add(&totals)
	}
	return sum
}

// Close lets everybody leave and waits for it.
func (r *Run) Close() {
	r.cancel()
	r.going.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
