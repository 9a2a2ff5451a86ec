package webhook

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/eventlog"
)

// workers is how many events are on their way to one endpoint at the same time, each of another
// Session.
const workers = 8

// pauses are the times between two attempts: the first, doubled up to the last. An endpoint that
// asks for more gets at most asked.
type pauses struct {
	first, last, asked time.Duration
}

var usualPauses = pauses{first: 500 * time.Millisecond, last: 15 * time.Second, asked: 5 * time.Minute}

// after returns the pause after some failures.
func (p pauses) after(failures int) time.Duration {
	pause := p.first
	for i := 1; i < failures && pause < p.last; i++ {
		pause *= 2
	}
	return min(pause, p.last)
}

// settings are how an endpoint is served now.
type settings struct {
	// target is nil while nothing can be sent.
	target *target
	// events are those that are wanted; nil is all.
	events map[v1alpha1.WebhookEvent]bool
	// retry is how long an event is tried again.
	retry time.Duration
	// closed says that no events are taken at all.
	closed bool
	// fingerprint is the same for the same settings.
	fingerprint [sha256.Size]byte
}

func (s settings) wants(name v1alpha1.WebhookEvent) bool {
	if s.closed {
		return false
	}
	return s.events == nil || s.events[name]
}

// endpoint delivers events to one Webhook: in order per Session, one of each at a time. It
// implements eventlog.Recipient.
//
//	Offer --> queue of the Session --> attempt --delivered, refused, too old--> done
//	                      ^               |
//	                      +---- pause ----+  busy: this Session waits; unreachable: all wait, and one tries
type endpoint struct {
	name   types.NamespacedName
	done   func(*eventlog.Entry, eventlog.Recipient)
	wake   func(types.NamespacedName)
	log    logr.Logger
	pauses pauses
	ctx    context.Context //nolint:containedctx // ends when no more attempts are to be made
	group  *sync.WaitGroup // of the attempts

	mu       sync.Mutex // guards what follows
	settings settings
	queues   map[types.UID]*queue
	ready    []*queue // that have events and are not on their way, by when they were last served
	busy     int      // how many are on their way
	state    state
	resume   time.Time   // nobody tries before
	timer    *time.Timer // runs pump when the next pause is over; nil when none is waited for
}

// queue is the events of one Session.
type queue struct {
	session  types.UID
	entries  []*eventlog.Entry
	onWay    bool
	failures int
	resume   time.Time
}

// state is what is seen of an endpoint.
type state struct {
	pending int
	// failures counts calls without an answer since the last one with an answer.
	failures int
	// problem is what went wrong at the last attempt, "" when nothing did; retrying says that it is
	// tried again.
	problem  string
	retrying bool
	// lost counts the events that were given up.
	lost int
	// lastDelivery is zero before the first.
	lastDelivery time.Time
}

// Offer implements eventlog.Recipient.
func (e *endpoint) Offer(entry *eventlog.Entry) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.settings.wants(entry.Name) {
		return false
	}
	q, known := e.queues[entry.Session]
	if !known {
		q = &queue{session: entry.Session}
		e.queues[entry.Session] = q
	}
	q.entries = append(q.entries, entry)
	e.state.pending++
	if len(q.entries) == 1 {
		e.ready = append(e.ready, q)
	}
	e.pump()
	return true
}

// Drop implements eventlog.Recipient.
func (e *endpoint) Drop(entry *eventlog.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	outcomes.WithLabelValues(e.name.Namespace, outcomeDropped).Inc()
	q, known := e.queues[entry.Session]
	if !known {
		return
	}
	for i, waiting := range q.entries {
		if waiting != entry {
			continue
		}
		if i == 0 && q.onWay {
			return // what comes of it is seen soon
		}
		q.entries = append(q.entries[:i:i], q.entries[i+1:]...)
		e.state.pending--
		e.state.lost++
		break
	}
	e.tidy(q)
}

// configure takes over how the endpoint is to be served. What waits stays.
func (e *endpoint) configure(s settings) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.fingerprint == e.settings.fingerprint {
		return
	}
	if before := e.settings.target; before != nil && before != s.target {
		before.client.CloseIdleConnections()
	}
	e.settings = s
	// Something else is tried: no reason to wait for the end of a pause.
	e.resume = time.Time{}
	for _, q := range e.queues {
		q.resume = time.Time{}
	}
	e.pump()
}

// observe returns what is seen of the endpoint.
func (e *endpoint) observe() state {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

// close ends the endpoint. What is on its way is finished, and nothing comes of it.
func (e *endpoint) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings.target != nil {
		e.settings.target.client.CloseIdleConnections()
	}
	e.settings = settings{closed: true}
	e.queues, e.ready = make(map[types.UID]*queue), nil
	if e.timer != nil {
		e.timer.Stop()
	}
}

// pump starts what can be started, and sets the timer for the rest. The endpoint is locked.
func (e *endpoint) pump() {
	now := time.Now()
	if e.ctx.Err() != nil {
		return
	}
	next := e.expire(now)
	limit := workers
	if e.state.failures > 0 {
		limit = 1
	}
	if e.settings.target != nil && !e.resume.After(now) {
		for i := 0; i < len(e.ready) && e.busy < limit; {
			q := e.ready[i]
			if q.resume.After(now) {
				next = earliest(next, q.resume)
				i++
				continue
			}
			e.ready = append(e.ready[:i:i], e.ready[i+1:]...)
			e.start(q)
		}
	} else if e.settings.target != nil && len(e.ready) > 0 {
		next = earliest(next, e.resume)
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	if !next.IsZero() {
		e.timer = time.AfterFunc(max(time.Millisecond, next.Sub(now)), func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.pump()
		})
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// expire gives up the events that nothing can be done with for too long: a Webhook that never gets
// its Secret holds nothing for good. It returns when to look again; zero is never. The endpoint is
// locked.
func (e *endpoint) expire(now time.Time) time.Time {
	if e.settings.target != nil || e.settings.closed {
		return time.Time{}
	}
	var next time.Time
	for _, q := range e.ready {
		for len(q.entries) > 0 {
			end := q.entries[0].Received.Add(e.settings.retry)
			if end.After(now) {
				next = earliest(next, end)
				break
			}
			e.finish(q, outcomeExpired)
		}
	}
	for _, q := range e.queues {
		e.tidy(q)
	}
	return next
}

// start begins an attempt for the first event of a queue. The endpoint is locked.
func (e *endpoint) start(q *queue) {
	q.onWay = true
	e.busy++
	target, entry := e.settings.target, q.entries[0]
	e.group.Go(func() {
		began := time.Now()
		result := target.post(e.ctx, entry)
		if e.ctx.Err() != nil {
			return // another leader goes on
		}
		took.Observe(time.Since(began).Seconds())
		e.mu.Lock()
		defer e.mu.Unlock()
		e.busy--
		e.settle(q, entry, result)
		e.pump()
	})
}

// settle takes in what came of an attempt. The endpoint is locked.
func (e *endpoint) settle(q *queue, entry *eventlog.Entry, result outcome) {
	q.onWay = false
	if e.queues[q.session] != q {
		return // the endpoint was closed meanwhile
	}
	if result.err != nil {
		e.log.V(1).Info("The endpoint of a Webhook did not answer", "why", result.err.Error())
	}
	before, now := e.state, time.Now()
	expired := now.Sub(entry.Received) >= e.settings.retry
	e.state.problem = result.problem
	e.state.retrying = (result.kind == busy || result.kind == unreachable) && !expired
	if result.kind == unreachable {
		e.state.failures++
		e.resume = now.Add(e.pauses.after(e.state.failures))
	} else {
		e.state.failures, e.resume = 0, time.Time{}
	}
	switch {
	case result.kind == delivered:
		e.state.lastDelivery = now
		e.finish(q, outcomeDelivered)
	case result.kind == refused:
		e.log.Info("The endpoint of a Webhook has refused an event", "reason", result.problem, "event", entry.Name, "id", entry.ID)
		e.finish(q, outcomeRefused)
	case expired:
		e.log.Info("Giving up an event for the endpoint of a Webhook", "reason", result.problem, "event", entry.Name, "id", entry.ID)
		e.finish(q, outcomeExpired)
	case result.kind == busy:
		q.failures++
		q.resume = now.Add(max(e.pauses.after(q.failures), min(result.wait, e.pauses.asked)))
		outcomes.WithLabelValues(e.name.Namespace, outcomeRetried).Inc()
	default:
		outcomes.WithLabelValues(e.name.Namespace, outcomeRetried).Inc()
	}
	if len(q.entries) > 0 {
		e.ready = append(e.ready, q)
	} else {
		delete(e.queues, q.session)
	}
	if before.problem != e.state.problem || before.retrying != e.state.retrying || before.lastDelivery.IsZero() != e.state.lastDelivery.IsZero() {
		e.wake(e.name)
	}
}

// finish takes the first event of a queue out. The endpoint is locked; the log is told without it,
// since it calls the endpoint while locked.
func (e *endpoint) finish(q *queue, what string) {
	entry := q.entries[0]
	q.entries[0] = nil
	q.entries = q.entries[1:]
	q.failures, q.resume = 0, time.Time{}
	e.state.pending--
	if what == outcomeExpired {
		e.state.lost++
	}
	outcomes.WithLabelValues(e.name.Namespace, what).Inc()
	go e.done(entry, e)
}

// tidy forgets a queue without events. The endpoint is locked.
func (e *endpoint) tidy(q *queue) {
	if len(q.entries) > 0 || q.onWay {
		return
	}
	delete(e.queues, q.session)
	for i, waiting := range e.ready {
		if waiting == q {
			e.ready = append(e.ready[:i:i], e.ready[i+1:]...)
			return
		}
	}
}
