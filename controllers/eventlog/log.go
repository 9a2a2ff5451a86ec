// Package eventlog is the authority on the events of Sessions as the operator has them: in which
// order they are, who has them to deliver, and when the media pod may forget them.
//
//	media pods' outboxes --> Log: one order per Session --> recipients: webhooks, CDR
//	        ^                 |  ends of what no pod goes on with     |
//	        |                 |  ends of Sessions that no pod told of |
//	        +--- acknowledged, once all recipients are done ----------+
//
// The pod keeps what is not acknowledged, so that an operator that is killed loses nothing; what it
// had delivered and not acknowledged comes twice then, with the same ID. What the Log itself adds
// is only in its memory.
package eventlog

import (
	"container/list"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/internal/recent"
)

// Bounds of what waits for its delivery, in bytes: of one tenant, and of all. Of the tenant that is
// over it, or that has the most, the oldest signal is dropped, and the oldest event when there is
// none: users make as many signals as they like. Pods keep less than this of what they are not told
// was delivered.
const (
	tenantBytes = 32 << 20
	totalBytes  = 192 << 20
)

// fixedWeight stands for what every entry takes besides its event, in bytes.
const fixedWeight = 1024

// maxEnded is how many Sessions that have ended are remembered.
const maxEnded = 10000

// Acknowledger tells a pod that it may forget a room's events up to a sequence. It must not block.
type Acknowledger func(pod string, session types.UID, sequence uint64)

// Log holds the events that are not delivered, and what has begun and not ended. Safe for
// concurrent use.
type Log struct {
	acknowledge Acknowledger
	clock       clock.PassiveClock
	limits      limits

	mu         sync.Mutex // guards what follows, and the inner part of entries
	recipients map[string][]Recipient
	tenants    map[string]*tenant
	bytes      int
	pods       map[string]*pod
	sessions   map[types.UID]*session
	ended      *recent.Set[types.UID] // Sessions whose end was told, or is not to be
	own        uint64                 // numbers what the Log itself adds
}

type limits struct{ tenant, total int }

// tenant is what waits of one namespace.
type tenant struct {
	entries list.List // of *Entry, oldest first
	signals list.List // those of them that are signals
	bytes   int
}

// pod is the outbox of one media pod, as far as it has come.
type pod struct {
	instance string
	received uint64 // the last sequence
	sources  map[types.UID]*source
}

// source is one room's events in the outbox of one pod.
type source struct {
	pod     string
	session types.UID
	entries []*Entry // not acknowledged, by sequence
	dropped uint64   // that the pod had no space for
}

// session is what is known of one Session.
type session struct {
	room *controlv1.RoomIdentity
	// told says that SessionCreated was given to the recipients, now or, as the pod says, before;
	// known that an earlier leader may have done so.
	told, known bool
	// open is what has begun and not ended, by the pod that told of it. What was on a pod that is
	// lost goes on where the room goes on.
	open       map[string]events.Open
	lastReason reasons.Reason // why the last user has left, as far as this leader saw
}

// New returns a log that nobody takes events from yet.
func New(acknowledge Acknowledger, clock clock.PassiveClock) *Log {
	return &Log{
		acknowledge: acknowledge, clock: clock, limits: limits{tenant: tenantBytes, total: totalBytes},
		recipients: make(map[string][]Recipient), tenants: make(map[string]*tenant),
		pods: make(map[string]*pod), sessions: make(map[types.UID]*session), ended: recent.NewSet[types.UID](maxEnded),
	}
}

// AllTenants stands for every namespace.
const AllTenants = ""

// Add gives a recipient the events of a tenant from now on.
func (l *Log) Add(tenant string, recipient Recipient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recipients[tenant] = append(slices.Clone(l.recipients[tenant]), recipient)
}

// Remove unsubscribes a recipient and marks its undelivered events as done.
func (l *Log) Remove(tenantName string, recipient Recipient) {
	var acks []ack
	l.mu.Lock()
	l.recipients[tenantName] = slices.DeleteFunc(slices.Clone(l.recipients[tenantName]), func(r Recipient) bool { return r == recipient })
	if len(l.recipients[tenantName]) == 0 {
		delete(l.recipients, tenantName)
	}
	for name, t := range l.tenants {
		if tenantName != AllTenants && name != tenantName {
			continue
		}
		for _, e := range t.all() {
			acks = append(acks, l.done(e, recipient)...)
		}
	}
	l.mu.Unlock()
	l.send(acks)
}

// Done says that a recipient has dealt with an event.
func (l *Log) Done(e *Entry, recipient Recipient) {
	l.mu.Lock()
	acks := l.done(e, recipient)
	l.mu.Unlock()
	l.send(acks)
}

// done is Done; the log is locked.
func (l *Log) done(e *Entry, recipient Recipient) []ack {
	n := len(e.waiting)
	e.waiting = slices.DeleteFunc(e.waiting, func(r Recipient) bool { return r == recipient })
	if e.settled || len(e.waiting) > 0 || n == 0 {
		return nil
	}
	return l.settle(e)
}

// Waiting returns how many events of a pod are not acknowledged.
func (l *Log) Waiting(podName string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	if p, known := l.pods[podName]; known {
		for _, s := range p.sources {
			n += len(s.entries)
		}
	}
	return n
}

// ack is an acknowledgement that is to be sent when the log is not locked any more.
type ack struct {
	pod      string
	session  types.UID
	sequence uint64
}

func (l *Log) send(acks []ack) {
	for _, a := range acks {
		l.acknowledge(a.pod, a.session, a.sequence)
	}
}

// add gives an event to all who take it. The log is locked.
func (l *Log) add(e *Entry) []ack {
	seenEvents.WithLabelValues(string(e.Name)).Inc()
	e.Received = l.clock.Now()
	for _, name := range []string{AllTenants, e.Tenant} {
		for _, recipient := range l.recipients[name] {
			if recipient.Offer(e) {
				e.waiting = append(e.waiting, recipient)
			}
		}
	}
	if e.source != nil {
		e.source.entries = append(e.source.entries, e)
	}
	if len(e.waiting) == 0 {
		e.settled = true
		return nil // the caller confirms
	}
	t, known := l.tenants[e.Tenant]
	if !known {
		t = &tenant{}
		l.tenants[e.Tenant] = t
	}
	e.place = t.entries.PushBack(e)
	if e.Name == v1alpha1.EventSignalSent {
		e.placeOfSignal = t.signals.PushBack(e)
	}
	t.bytes += e.weight
	l.bytes += e.weight
	return l.makeSpace(t)
}

// all returns what waits of a tenant, oldest first.
func (t *tenant) all() []*Entry {
	entries := make([]*Entry, 0, t.entries.Len())
	for place := t.entries.Front(); place != nil; place = place.Next() {
		if e, ok := place.Value.(*Entry); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// settle takes out an event that nobody has to deliver. The log is locked.
func (l *Log) settle(e *Entry) []ack {
	e.settled = true
	t := l.tenants[e.Tenant]
	t.bytes -= e.weight
	l.bytes -= e.weight
	t.entries.Remove(e.place)
	e.place = nil
	if e.placeOfSignal != nil {
		t.signals.Remove(e.placeOfSignal)
		e.placeOfSignal = nil
	}
	if t.entries.Len() == 0 {
		delete(l.tenants, e.Tenant)
	}
	if e.source == nil {
		return nil
	}
	return l.confirm(e.source)
}

// confirm lets the pod forget what is settled, up to the first event that is not. The log is
// locked.
func (l *Log) confirm(s *source) []ack {
	var acks []ack
	for len(s.entries) > 0 && s.entries[0].settled {
		acks = []ack{{s.pod, s.session, s.entries[0].sequence}}
		s.entries[0] = nil
		s.entries = s.entries[1:]
	}
	if p, known := l.pods[s.pod]; known && len(s.entries) == 0 && s.dropped == 0 && p.sources[s.session] == s {
		delete(p.sources, s.session)
	}
	return acks
}

// makeSpace drops what is beyond the bounds. The log is locked.
func (l *Log) makeSpace(grown *tenant) []ack {
	var acks []ack
	for grown.bytes > l.limits.tenant {
		acks = append(acks, l.drop(grown)...)
	}
	for l.bytes > l.limits.total {
		largest := grown
		for _, t := range l.tenants {
			if t.bytes > largest.bytes {
				largest = t
			}
		}
		acks = append(acks, l.drop(largest)...)
	}
	return acks
}

// drop gives up the oldest signal of a tenant, or else the oldest event. The log is locked.
func (l *Log) drop(t *tenant) []ack {
	oldest := t.signals.Front()
	if oldest == nil {
		oldest = t.entries.Front()
	}
	e, ok := oldest.Value.(*Entry)
	if !ok {
		return nil // there is nothing else in it
	}
	lostEvents.WithLabelValues(lostInOperator).Inc()
	for _, recipient := range e.waiting {
		recipient.Drop(e)
	}
	e.waiting = nil
	return l.settle(e)
}

// sessionOf returns what is known of a Session, nil when it has ended. The log is locked.
func (l *Log) sessionOf(room *controlv1.RoomIdentity) *session {
	uid := types.UID(room.GetUid())
	if l.ended.Has(uid) {
		return nil
	}
	s, known := l.sessions[uid]
	if !known {
		s = &session{room: room, open: make(map[string]events.Open)}
		l.sessions[uid] = s
	}
	return s
}

// end forgets a Session but for that it has ended. The log is locked.
func (l *Log) end(uid types.UID) {
	delete(l.sessions, uid)
	l.ended.Add(uid)
}

// write adds an event that the Log itself tells of, in the order of the Session. The log is locked.
func (l *Log) write(s *session, event *controlv1.RoomEvent) []ack {
	l.own++
	id := fmt.Sprintf("operator-%d-%d", l.clock.Now().UnixMilli(), l.own)
	e, known := newEntry(id, s.room, event)
	if !known {
		return nil
	}
	return l.add(e)
}

// newEntry returns the entry of an event; false for one that this version does not know.
func newEntry(id string, room *controlv1.RoomIdentity, event *controlv1.RoomEvent) (*Entry, bool) {
	name := events.Name(event)
	if name == "" {
		return nil, false
	}
	return &Entry{
		ID: id, Name: v1alpha1.WebhookEvent(name), Tenant: room.GetTenant(), Session: types.UID(room.GetUid()),
		Room: room, Event: event, weight: fixedWeight + proto.Size(event),
	}, true
}
