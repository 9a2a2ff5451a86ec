package journal

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/internal/recent"
)

// Limits bound what is kept unacknowledged. What is beyond is dropped: signals first, which clients make as many of as they like, then what began
// and ended between peers, then what else there is; of each the oldest of the room first.
type Limits struct {
	// RoomEvents and RoomBytes bound one room. PodBytes bounds all of them; the room that has the most bytes of what goes first loses.
	RoomEvents, RoomBytes, PodBytes int
}

// DefaultLimits are for a pod.
var DefaultLimits = Limits{RoomEvents: 20000, RoomBytes: 8 << 20, PodBytes: 32 << 20}

// batchBytes bounds one Batch, about.
const batchBytes = 1 << 20

// maxEnded is how many ended rooms are remembered by their UID.
const maxEnded = 4096

// Journal keeps events. Its methods are safe for concurrent use, and may be called with a room locked: they call nobody.
type Journal struct {
	limits  Limits
	changed chan struct{} // holds one element when there is something new

	mu       sync.Mutex // guards what follows
	sequence uint64
	entries  []*record // by sequence; those that are done go from time to time
	done     int       // how many of entries are done
	bytes    int       // of those that are not
	rooms    map[string]*account
	ended    *recent.Set[string] // UIDs whose end was written
	dropped  uint64
}

// record is an entry with the room that it is of.
type record struct {
	Entry
	account *account
	weight  int
	done    bool // acknowledged or dropped
}

// class is what is kept of one room and dropped at the same time.
type class struct {
	records []*record // by sequence; the first one is not done
	bytes   int       // of those that are not done
}

// account is what is kept of one room.
type account struct {
	room    Room
	records []*record // by sequence; the first one is not done
	waiting int       // how many of records are not done
	bytes   int       // of those
	classes [classes]class
	open    map[key]Entry // what had begun and not ended after the last record that is done
	dropped uint64
	begun   bool // SessionCreated is done, or was told elsewhere
	closed  bool // nothing more is written
}

// Standing is how a room stood after the last event that was acknowledged.
type Standing struct {
	Room Room
	// Open is what had begun and not ended, by sequence.
	Open []Entry
	// Begun says that the Session's beginning was acknowledged, or told before the room came here.
	Begun bool
}

// Batch is some events of one room, by sequence.
type Batch struct {
	Room    Room
	Entries []Entry
	// Dropped counts the events of the room that were lost for want of space.
	Dropped uint64
}

// New returns an empty journal.
func New(limits Limits) *Journal {
	return &Journal{limits: limits, changed: make(chan struct{}, 1), rooms: make(map[string]*account), ended: recent.NewSet[string](maxEnded)}
}

// Open begins to keep the events of a room, or goes on. begun says that the Session's beginning was told elsewhere.
func (j *Journal) Open(room Room, begun bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, known := j.rooms[room.UID]
	if !known {
		a = &account{room: room, open: make(map[key]Entry)}
		j.rooms[room.UID] = a
	}
	a.closed = false
	a.begun = a.begun || begun
}

// Prove gives a room that is open the proof of its identity.
func (j *Journal) Prove(uid string, proof []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a, known := j.rooms[uid]; known {
		a.room.Proof = proof
	}
}

// Write adds an event of a room that is open.
func (j *Journal) Write(uid string, at time.Time, event Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, known := j.rooms[uid]
	if !known || a.closed {
		return
	}
	j.sequence++
	r := &record{Entry: Entry{Sequence: j.sequence, Time: at, Event: event}, account: a, weight: event.weight()}
	j.entries = append(j.entries, r)
	a.records = append(a.records, r)
	c := &a.classes[event.class()]
	c.records = append(c.records, r)
	a.waiting++
	a.bytes += r.weight
	c.bytes += r.weight
	j.bytes += r.weight
	if event.Kind == SessionDestroyed {
		j.ended.Add(uid)
	}
	j.makeSpace(a)
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// Close says that nothing more comes of a room. It is forgotten once everything is acknowledged.
func (j *Journal) Close(uid string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a, known := j.rooms[uid]; known {
		a.closed = true
		j.forget(a)
	}
}

// Ended reports whether the end of a Session was written here, as far as that is remembered.
func (j *Journal) Ended(uid string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended.Has(uid)
}

// Changed has an element when something was written since After or Replay was last called.
func (j *Journal) Changed() <-chan struct{} { return j.changed }

// Replay returns everything: how each room stood, and what was not acknowledged since.
func (j *Journal) Replay() ([]Standing, []Batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	standings := make([]Standing, 0, len(j.rooms))
	for _, a := range j.rooms {
		standing := Standing{Room: a.room, Begun: a.begun}
		for _, entry := range a.open {
			standing.Open = append(standing.Open, entry)
		}
		slices.SortFunc(standing.Open, func(x, y Entry) int { return cmp.Compare(x.Sequence, y.Sequence) })
		standings = append(standings, standing)
	}
	slices.SortFunc(standings, func(x, y Standing) int { return cmp.Compare(x.Room.UID, y.Room.UID) })
	return standings, j.after(0)
}

// After returns what was not acknowledged and comes after a sequence, in order: neighbours of the same room together.
func (j *Journal) After(sequence uint64) []Batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.after(sequence)
}

// after is After; the journal is locked.
func (j *Journal) after(sequence uint64) []Batch {
	select {
	case <-j.changed:
	default:
	}
	first, _ := slices.BinarySearchFunc(j.entries, sequence+1, func(r *record, s uint64) int { return cmp.Compare(r.Sequence, s) })
	var batches []Batch
	var last *account
	bytes := 0
	for _, r := range j.entries[first:] {
		if r.done {
			continue
		}
		if r.account != last || bytes > batchBytes {
			batches = append(batches, Batch{Room: r.account.room, Dropped: r.account.dropped})
			last, bytes = r.account, 0
		}
		batch := &batches[len(batches)-1]
		batch.Entries = append(batch.Entries, r.Entry)
		bytes += r.weight
	}
	return batches
}

// Acknowledge lets the events of a room go, up to a sequence.
func (j *Journal) Acknowledge(uid string, sequence uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, known := j.rooms[uid]
	if !known {
		return
	}
	for len(a.records) > 0 && a.records[0].Sequence <= sequence {
		j.finish(a.records[0])
	}
	j.forget(a)
}

// Kept returns how many events wait for being acknowledged, and how many were dropped since the start.
func (j *Journal) Kept() (waiting int, dropped uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries) - j.done, j.dropped
}

// makeSpace drops what is beyond the limits, after something was added to a room. The journal is locked.
func (j *Journal) makeSpace(a *account) {
	for a.waiting > 1 && (a.waiting > j.limits.RoomEvents || a.bytes > j.limits.RoomBytes) {
		j.drop(a)
	}
	for j.bytes > j.limits.PodBytes {
		largest := j.largest()
		if largest == nil {
			return
		}
		j.drop(largest)
	}
}

// largest returns the room that has the most of what goes first, nil when nothing waits. The journal is locked.
func (j *Journal) largest() *account {
	for n := range classes {
		var largest *account
		for _, a := range j.rooms {
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

// drop gives up the oldest event of a room of the class that goes first. The journal is locked.
func (j *Journal) drop(a *account) {
	for n := range a.classes {
		if records := a.classes[n].records; len(records) > 0 {
			j.finish(records[0])
			break
		}
	}
	a.dropped++
	j.dropped++
	j.forget(a)
}

// finish takes an event of a room out, the oldest one of its class. The journal is locked.
func (j *Journal) finish(r *record) {
	a, c := r.account, &r.account.classes[r.Event.class()]
	r.done = true
	a.records, c.records = withoutDone(a.records), withoutDone(c.records)
	a.waiting--
	a.bytes -= r.weight
	c.bytes -= r.weight
	j.bytes -= r.weight
	j.done++
	if k, begins := r.Event.begins(); begins {
		a.open[k] = r.Entry
	} else if k, ends := r.Event.ends(); ends {
		delete(a.open, k)
	}
	a.begun = a.begun || r.Event.Kind == SessionCreated
	// At least half of what is looked at, and kept, is waiting, so that each event costs the same, however many there are.
	if len(a.records) > 2*a.waiting {
		a.records = slices.DeleteFunc(a.records, func(r *record) bool { return r.done })
	}
	if j.done > len(j.entries)/2 {
		j.entries = slices.DeleteFunc(j.entries, func(r *record) bool { return r.done })
		j.done = 0
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

// forget drops a room that has ended and of which nothing waits. The journal is locked.
func (j *Journal) forget(a *account) {
	if a.closed && a.waiting == 0 {
		delete(j.rooms, a.room.UID)
	}
}
