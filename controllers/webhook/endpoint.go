package webhook

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

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

// settings are how an endpoint is served now.
type settings struct {
	// target is nil while nothing can be sent.
	target *target
	format format
	// events are those that are wanted; nil is all.
	events map[v1alpha1.WebhookEvent]bool
	// retry is how long an event is tried again.
	retry time.Duration
	// closed says that no events are taken at all.
	closed bool
	// fingerprint is the same for the same settings.
	fingerprint [sha256.Size]byte
}

func (s settings) wants(entry *eventlog.Entry) bool {
	if s.closed || s.events != nil && !s.events[entry.Name] {
		return false
	}
	return s.format.has(entry.Event)
}

// endpoint delivers events to one Webhook: in order per Session, one of each at a time. It
// implements eventlog.Recipient.
//
//	Offer --> Session queued --> attempt --delivered, refused, too old--> done
//	                   ^            |
//	                   +-- pause ---+  busy: this Session waits; unreachable: all wait, and one tries
type endpoint struct {
	name   types.NamespacedName
	done   func(*eventlog.Entry, eventlog.Recipient)
	wake   func(types.NamespacedName)
	log    logr.Logger
	pauses pauses
	ctx    context.Context //nolint:containedctx // ends when no more attempts are to be made
	// queue has the Sessions whose first event is to be sent, and everySession when all are to be
	// looked at. failures says how long they pause.
	queue    workqueue.TypedDelayingInterface[types.UID]
	failures workqueue.TypedRateLimiter[types.UID]

	mu       sync.Mutex // guards what follows
	settings settings
	sessions map[types.UID]*session
	// A call had no answer: nothing is tried until the pause is over, and then one Session only,
	// until a call has one.
	unreachable, pausing bool
	probe                *session // the one that is tried; nil for none
	state                state
}

// everySession is no Session's UID.
const everySession types.UID = ""

// session is what waits of one Session. It is in the queue, unless it or the endpoint pauses.
type session struct {
	entries []*eventlog.Entry // never empty
	onWay   bool              // the first of them
	pausing bool
}

// state is what is seen of an endpoint.
type state struct {
	pending int
	// problem is what went wrong at the last attempt, "" when nothing did; retrying says that it is
	// tried again.
	problem  string
	retrying bool
	// lost counts the events that were given up.
	lost int
	// lastDelivery is zero before the first.
	lastDelivery time.Time
}

// begin starts the goroutines that deliver. They end after close.
func (e *endpoint) begin(group *sync.WaitGroup) {
	e.sessions = make(map[types.UID]*session)
	e.queue = workqueue.NewTypedDelayingQueue[types.UID]()
	e.failures = workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](e.pauses.first, e.pauses.last)
	for range workers {
		group.Go(e.deliver)
	}
}

// Offer implements eventlog.Recipient.
func (e *endpoint) Offer(entry *eventlog.Entry) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.settings.wants(entry) {
		return false
	}
	e.state.pending++
	if s, known := e.sessions[entry.Session]; known {
		s.entries = append(s.entries, entry)
		return true
	}
	e.sessions[entry.Session] = &session{entries: []*eventlog.Entry{entry}}
	e.queue.Add(entry.Session)
	return true
}

// Drop implements eventlog.Recipient.
func (e *endpoint) Drop(entry *eventlog.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	outcomes.WithLabelValues(e.name.Namespace, outcomeDropped).Inc()
	s, known := e.sessions[entry.Session]
	if !known {
		return
	}
	i := slices.Index(s.entries, entry)
	if i < 0 || i == 0 && s.onWay {
		return // what comes of it is seen soon
	}
	e.state.lost++
	e.remove(entry.Session, i)
}

// remove takes an event of a Session out. The endpoint is locked.
func (e *endpoint) remove(uid types.UID, i int) {
	s := e.sessions[uid]
	s.entries = slices.Delete(s.entries, i, i+1)
	e.state.pending--
	if i == 0 {
		e.failures.Forget(uid)
	}
	if len(s.entries) == 0 {
		delete(e.sessions, uid)
	}
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
	for _, s := range e.sessions {
		s.pausing = false
	}
	e.resume()
}

// resume ends the pause of the endpoint, and queues the Sessions that have none of their own. The
// endpoint is locked.
func (e *endpoint) resume() {
	e.pausing = false
	for uid, s := range e.sessions {
		if !s.pausing {
			e.queue.Add(uid)
		}
	}
}

// observe returns what is seen of the endpoint.
func (e *endpoint) observe() state {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

// close ends the endpoint. What is on its way is finished, and nothing comes of it.
func (e *endpoint) close() {
	e.queue.ShutDown()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings.target != nil {
		e.settings.target.client.CloseIdleConnections()
	}
	e.settings = settings{closed: true}
	clear(e.sessions)
}

// deliver serves the Sessions of the queue until the endpoint is closed.
func (e *endpoint) deliver() {
	for {
		uid, closed := e.queue.Get()
		if closed {
			return
		}
		for _, entry := range e.serve(uid) {
			e.done(entry, e) // without the lock: the log calls the endpoint while it has its own
		}
		e.queue.Done(uid)
	}
}

// serve sends the first event of a Session, if that is the time. It returns the events that are
// done with.
func (e *endpoint) serve(uid types.UID) []*eventlog.Entry {
	target, entry := e.take(uid)
	if target == nil {
		return e.expire(uid)
	}
	began := time.Now()
	result := target.post(e.ctx, entry)
	if e.ctx.Err() != nil {
		return nil // another leader goes on
	}
	took.Observe(time.Since(began).Seconds())
	if !e.settle(entry, result) {
		return nil
	}
	return []*eventlog.Entry{entry}
}

// take returns what is to be sent of a Session now, and where to; nil when nothing is.
func (e *endpoint) take(uid types.UID) (*target, *eventlog.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if uid == everySession {
		e.resume()
		return nil, nil
	}
	s, known := e.sessions[uid]
	if !known || e.settings.target == nil || e.pausing || e.probe != nil {
		return nil, nil
	}
	if e.unreachable {
		e.probe = s
	}
	s.pausing, s.onWay = false, true
	return e.settings.target, s.entries[0]
}

// expire gives up the events of a Session that nothing can be done with for too long: a Webhook
// that never gets its Secret holds nothing for good. It returns them.
func (e *endpoint) expire(uid types.UID) []*eventlog.Entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	var expired []*eventlog.Entry
	for now := time.Now(); e.settings.target == nil; {
		s, known := e.sessions[uid]
		if !known {
			break
		}
		entry := s.entries[0]
		if left := entry.Received.Add(e.settings.retry).Sub(now); left > 0 {
			e.queue.AddAfter(uid, left)
			break
		}
		e.finish(uid, outcomeExpired)
		expired = append(expired, entry)
	}
	return expired
}

// settle takes in what came of an attempt. It reports whether the event is done with.
func (e *endpoint) settle(entry *eventlog.Entry, result outcome) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	uid := entry.Session
	s, known := e.sessions[uid]
	if !known {
		return false // the endpoint was closed meanwhile
	}
	s.onWay = false
	if result.err != nil {
		e.log.V(1).Info("The endpoint of a Webhook did not answer", "why", result.err.Error())
	}
	before, now := e.state, time.Now()
	failed := result.kind == busy || result.kind == unreachable
	again := failed && now.Sub(entry.Received) < e.settings.retry
	e.state.problem, e.state.retrying = result.problem, again
	switch {
	case again && result.kind == busy:
		outcomes.WithLabelValues(e.name.Namespace, outcomeRetried).Inc()
		s.pausing = true
		e.queue.AddAfter(uid, max(e.failures.When(uid), min(result.wait, e.pauses.asked)))
	case again:
		outcomes.WithLabelValues(e.name.Namespace, outcomeRetried).Inc()
	case result.kind == delivered:
		e.state.lastDelivery = now
		e.finish(uid, outcomeDelivered)
	case result.kind == refused:
		e.log.Info("The endpoint of a Webhook has refused an event", "reason", result.problem, "event", entry.Name, "id", entry.ID)
		e.finish(uid, outcomeRefused)
	default:
		e.log.Info("Giving up an event for the endpoint of a Webhook", "reason", result.problem, "event", entry.Name, "id", entry.ID)
		e.finish(uid, outcomeExpired)
	}
	e.reached(result.kind != unreachable, s)
	if before.problem != e.state.problem || before.retrying != e.state.retrying || before.lastDelivery.IsZero() != e.state.lastDelivery.IsZero() {
		e.wake(e.name)
	}
	return !again
}

// reached notes whether a call of a Session had an answer. While one is tried, others that began
// before change nothing by having none. The endpoint is locked.
func (e *endpoint) reached(answered bool, of *session) {
	if answered || e.probe == of {
		e.probe = nil
	}
	switch {
	case !answered && !e.pausing && e.probe == nil:
		e.queue.AddAfter(everySession, e.failures.When(everySession))
		e.pausing = true
	case answered && e.unreachable:
		e.failures.Forget(everySession)
		e.resume()
	}
	e.unreachable = !answered
}

// finish takes the first event of a Session out, and queues the next. The endpoint is locked.
func (e *endpoint) finish(uid types.UID, what string) {
	e.remove(uid, 0)
	if what == outcomeExpired {
		e.state.lost++
	}
	outcomes.WithLabelValues(e.name.Namespace, what).Inc()
	if _, more := e.sessions[uid]; more {
		e.queue.Add(uid)
	}
}
