// Package outbox is the single authority on which events of the rooms of a pod the operator has not
// acknowledged: it keeps them in their order until they are, also those of rooms that are gone,
// within bounds.
//
//	room: Append --> events, one order over all rooms --> operator: Replay, After
//	                   |                                        |
//	                   +-- acknowledged: applied to what is open <-- Acknowledge
//
// What was acknowledged is not quite forgotten: that something has begun stays known until its end
// is acknowledged, so that an operator that starts anew knows what has to end.
package outbox

import (
	"cmp"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/recent"
)

// Limits bound what is kept unacknowledged. What is beyond is dropped: signals first, which clients
// make as many of as they like, then what began and ended between peers, then what else there is;
// of each the oldest of the room first.
type Limits struct {
	// RoomEvents and RoomBytes bound one room. PodBytes bounds all of them; the room that has the
	// most bytes of what goes first loses.
	RoomEvents, RoomBytes, PodBytes int
}

// DefaultLimits are for a pod.
var DefaultLimits = Limits{RoomEvents: 20000, RoomBytes: 8 << 20, PodBytes: 32 << 20}

// batchBytes bounds the events that After returns in one message, about.
const batchBytes = 1 << 20

// maxEnded is how many ended rooms are remembered by their UID.
const maxEnded = 4096

// Outbox keeps events (a transactional outbox). Its methods are safe for concurrent use, and may be
// called with a room locked: they call nobody.
type Outbox struct {
	limits  Limits
	changed chan struct{} // holds one element when there is something new

	mu       sync.Mutex // guards what follows
	sequence uint64
	entries  []*record // by sequence; those that are done go from time to time
	done     int       // how many of entries are done
	bytes    int       // of those that are not
	rooms    map[string]*roomLog
	ended    *recent.Set[string] // UIDs whose end was written
	dropped  uint64
}

// record is an event with the room that it is of.
type record struct {
	event  *controlv1.RoomEvent
	room   *roomLog
	weight int
	done   bool // acknowledged or dropped
}

// class is what is kept of one room and dropped at the same time.
type class struct {
	records []*record // by sequence; the first one is not done
	bytes   int       // of those that are not done
}

// roomLog is what is kept of one room.
type roomLog struct {
	// identity is never changed, but replaced: messages that are being sent have it.
	identity *controlv1.RoomIdentity
	records  []*record // by sequence; the first one is not done
	waiting  int       // how many of records are not done
	bytes    int       // of those
	classes  [classes]class
	open     events.Open // what had begun and not ended after the last record that is done
	dropped  uint64
	begun    bool // SessionCreated is done, or was told elsewhere
	closed   bool // nothing more is written
}

// New returns an empty outbox.
func New(limits Limits) *Outbox {
	return &Outbox{limits: limits, changed: make(chan struct{}, 1), rooms: make(map[string]*roomLog), ended: recent.NewSet[string](maxEnded)}
}

// Open begins to keep the events of a room, or goes on. begun says that the Session's beginning was
// told elsewhere.
func (o *Outbox) Open(identity *controlv1.RoomIdentity, begun bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, known := o.rooms[identity.GetUid()]
	if !known {
		a = &roomLog{identity: identity, open: make(events.Open)}
		o.rooms[identity.GetUid()] = a
	}
	a.closed = false
	a.begun = a.begun || begun
}

// Prove gives a room that is open the proof of its identity.
func (o *Outbox) Prove(uid string, proof []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a, known := o.rooms[uid]; known {
		a.identity = proto.CloneOf(a.identity)
		a.identity.Proof = proof
	}
}

// Inherit takes in an event that was told of a room on another pod, and that nothing has ended yet.
// It is part of the room's checkpoint. Nobody may change it afterwards.
func (o *Outbox) Inherit(uid string, event *controlv1.RoomEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, known := o.rooms[uid]
	if !known || a.closed {
		return
	}
	o.sequence++
	event.Sequence = o.sequence
	a.open.Apply(event)
}

// Append adds an event of a room that is open, and numbers it. Nobody may change it afterwards.
func (o *Outbox) Append(uid string, event *controlv1.RoomEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, known := o.rooms[uid]
	if !known || a.closed {
		return
	}
	o.sequence++
	event.Sequence = o.sequence
	r := &record{event: event, room: a, weight: weight(event)}
	o.entries = append(o.entries, r)
	a.records = append(a.records, r)
	c := &a.classes[classOf(event)]
	c.records = append(c.records, r)
	a.waiting++
	a.bytes += r.weight
	c.bytes += r.weight
	o.bytes += r.weight
	if event.GetSessionDestroyed() != nil {
		o.ended.Add(uid)
	}
	o.makeSpace(a)
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// Close says that nothing more comes of a room. It is forgotten once everything is acknowledged.
func (o *Outbox) Close(uid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a, known := o.rooms[uid]; known {
		a.closed = true
		o.forget(a)
	}
}

// Ended reports whether the end of a Session was written here, as far as that is remembered.
func (o *Outbox) Ended(uid string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended.Has(uid)
}

// Changed has an element when something was written since After or Replay was last called.
func (o *Outbox) Changed() <-chan struct{} { return o.changed }

// Replay returns everything: a checkpoint of each room, which is its state as of the last event
// that was acknowledged, and the events since.
func (o *Outbox) Replay() ([]*controlv1.RoomJournal, []*controlv1.RoomEvents) {
	o.mu.Lock()
	defer o.mu.Unlock()
	checkpoints := make([]*controlv1.RoomJournal, 0, len(o.rooms))
	for _, a := range o.rooms {
		checkpoints = append(checkpoints, &controlv1.RoomJournal{Room: a.identity, Open: a.open.Events(), Begun: a.begun})
	}
	slices.SortFunc(checkpoints, func(x, y *controlv1.RoomJournal) int { return cmp.Compare(x.GetRoom().GetUid(), y.GetRoom().GetUid()) })
	return checkpoints, o.after(0)
}

// After returns what was not acknowledged and comes after a sequence, in order: neighbours of the
// same room together.
func (o *Outbox) After(sequence uint64) []*controlv1.RoomEvents {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.after(sequence)
}

// after is After; the outbox is locked.
func (o *Outbox) after(sequence uint64) []*controlv1.RoomEvents {
	select {
	case <-o.changed:
	default:
	}
	first, _ := slices.BinarySearchFunc(o.entries, sequence+1, func(r *record, s uint64) int { return cmp.Compare(r.event.GetSequence(), s) })
	var batches []*controlv1.RoomEvents
	var last *roomLog
	bytes := 0
	for _, r := range o.entries[first:] {
		if r.done {
			continue
		}
		if r.room != last || bytes > batchBytes {
			batches = append(batches, &controlv1.RoomEvents{Room: r.room.identity, Dropped: r.room.dropped})
			last, bytes = r.room, 0
		}
		batch := batches[len(batches)-1]
		batch.Events = append(batch.Events, r.event)
		bytes += r.weight
	}
	return batches
}

// Acknowledge lets the events of a room go, up to a sequence.
func (o *Outbox) Acknowledge(uid string, sequence uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, known := o.rooms[uid]
	if !known {
		return
	}
	for len(a.records) > 0 && a.records[0].event.GetSequence() <= sequence {
		o.finish(a.records[0])
	}
	o.forget(a)
}

// Kept returns how many events wait for being acknowledged, and how many were dropped since the
// start.
func (o *Outbox) Kept() (waiting int, dropped uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.entries) - o.done, o.dropped
}

// makeSpace drops what is beyond the limits, after something was added to a room. The outbox is
// locked.
func (o *Outbox) makeSpace(a *roomLog) {
	for a.waiting > 1 && (a.waiting > o.limits.RoomEvents || a.bytes > o.limits.RoomBytes) {
		o.drop(a)
	}
	for o.bytes > o.limits.PodBytes {
		largest := o.largest()
		if largest == nil {
			return
		}
		o.drop(largest)
	}
}

// largest returns the room that has the most of what goes first, nil when nothing waits. The outbox
// is locked.
func (o *Outbox) largest() *roomLog {
	for n := range classes {
		var largest *roomLog
		for _, a := range o.rooms {
			if bytes := a.classes[n].bytes; bytes > 0 && (largest == nil || bytes > largest.classes[n].bytes) {
				largest = a
			}
		}
		if largest != nil {
			return largest
		}
	}
	return nil
}

// drop gives up the oldest event of a room of the class that goes first. The outbox is locked.
func (o *Outbox) drop(a *roomLog) {
	for n := range a.classes {
		if records := a.classes[n].records; len(records) > 0 {
			o.finish(records[0])
			break
		}
	}
	a.dropped++
	o.dropped++
	o.forget(a)
}

// finish takes an event of a room out, the oldest one of its class. The outbox is locked.
func (o *Outbox) finish(r *record) {
	a, c := r.room, &r.room.classes[classOf(r.event)]
	r.done = true
	a.records, c.records = withoutDone(a.records), withoutDone(c.records)
	a.waiting--
	a.bytes -= r.weight
	c.bytes -= r.weight
	o.bytes -= r.weight
	o.done++
	a.open.Apply(r.event)
	a.begun = a.begun || r.event.GetSessionCreated() != nil
	// At least half of what is looked at, and kept, is waiting, so that each event costs the same,
	// however many there are.
	if len(a.records) > 2*a.waiting {
		a.records = slices.DeleteFunc(a.records, func(r *record) bool { return r.done })
	}
	if o.done > len(o.entries)/2 {
		o.entries = slices.DeleteFunc(o.entries, func(r *record) bool { return r.done })
		o.done = 0
	}
}

// withoutDone takes what is done off the beginning.
func withoutDone(records []*record) []*record {
	for len(records) > 0 && records[0].done {
		records[0] = nil
		records = records[1:]
	}
	return records
}

// forget drops a room that has ended and of which nothing waits. The outbox is locked.
func (o *Outbox) forget(a *roomLog) {
	if a.closed && a.waiting == 0 {
		delete(o.rooms, a.identity.GetUid())
	}
}
