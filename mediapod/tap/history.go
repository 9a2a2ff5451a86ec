package tap

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
)

// Budget bounds how many bytes all histories that share it keep. Safe for concurrent use.
type Budget struct {
	most int64
	used atomic.Int64
}

// NewBudget returns one of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{most: bytes} }

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// take takes bytes, if there are as many.
func (b *Budget) take(bytes int) bool {
	if b.used.Add(int64(bytes)) <= b.most {
		return true
	}
	b.used.Add(-int64(bytes))
	return false
}

func (b *Budget) release(bytes int) { b.used.Add(-int64(bytes)) }

// history keeps the records of a tap that its worker has not acknowledged, for at most a time and
// within a budget: of what is too much, the oldest go. Safe for concurrent use; appending never
// waits for who reads.
type history struct {
	budget *Budget
	life   time.Duration
	lost   *atomic.Uint64 // counts packets that were dropped

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // of who reads: has an element when there may be something new
	entries []entry
	first   uint64 // position of the first entry, or of the next one when there is none
	packets uint64 // that were ever appended
	floor   uint64 // of those, how many were acknowledged
	closed  bool
}

// entry is a record that is kept.
type entry struct {
	record  *tapv1.Record
	at      time.Time
	bytes   int
	packets int    // in the record
	before  uint64 // packets of all records before it
}

// entryBytes is what an entry takes beside what it says.
const entryBytes = 160

func newHistory(budget *Budget, life time.Duration, lost *atomic.Uint64) *history {
	return &history{budget: budget, life: life, lost: lost, first: 1}
}

// add gives a record the next position and keeps it.
func (h *history) add(record *tapv1.Record, packets int, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	e := entry{record: record, at: now, bytes: entryBytes + proto.Size(record), packets: packets, before: h.packets}
	h.packets += uint64(packets)
	for len(h.entries) > 0 && now.Sub(h.entries[0].at) > h.life {
		h.drop()
	}
	for !h.budget.take(e.bytes) {
		if len(h.entries) == 0 { // others have it all
			h.lost.Add(uint64(packets))
			h.first++
			return
		}
		h.drop()
	}
	record.Position = h.first + uint64(len(h.entries))
	h.entries = append(h.entries, e)
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// wake has a channel, which has room for one element, hold one whenever there may be something new.
// Only the last one that was given does.
func (h *history) wake(changed chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = changed
}

// drop gives the oldest entry up. The caller holds h.mu.
func (h *history) drop() {
	h.lost.Add(uint64(h.entries[0].packets))
	h.forget(1)
}

// forget releases the oldest entries. The caller holds h.mu.
func (h *history) forget(n int) {
	for i := range n {
		h.budget.release(h.entries[i].bytes)
		h.entries[i] = entry{}
	}
	h.entries = h.entries[n:]
	h.first += uint64(n)
}

// acknowledge releases everything up to a position.
func (h *history) acknowledge(position uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(h.entries) && h.first+uint64(n) <= position {
		h.floor = h.entries[n].before + uint64(h.entries[n].packets)
		n++
	}
	h.forget(n)
}

// cursor is how far somebody has read a history.
type cursor struct {
	position uint64 // of the last record
	packets  uint64 // up to there
}

// from returns the cursor right after a position, and whether nothing after it is missing.
func (h *history) from(position uint64) (c cursor, whole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := h.first + uint64(len(h.entries))
	switch {
	case position >= end: // no such record: it is of another tap
		return cursor{h.first - 1, h.floor}, false
	case position+1 < h.first:
		return cursor{position, h.floor}, false
	case position+1 == end:
		return cursor{position, h.packets}, true
	}
	return cursor{position, h.entries[position+1-h.first].before}, true
}

// read returns the records after a cursor, of about so many bytes, and how many packets were
// dropped before them. It advances the cursor.
func (h *history) read(c *cursor, bytes int) (records []*tapv1.Record, dropped uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start := uint64(0)
	if c.position+1 > h.first {
		start = c.position + 1 - h.first
	}
	for i := int(start); i < len(h.entries) && bytes > 0; i++ {
		e := &h.entries[i]
		if len(records) == 0 {
			dropped = e.before - c.packets
		}
		records = append(records, e.record)
		bytes -= e.bytes
		c.position, c.packets = e.record.Position, e.before+uint64(e.packets)
	}
	return records, dropped
}

// released reports whether what has a position is not kept any more.
func (h *history) released(position uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return position < h.first
}

// newest returns the position of the last record; 0 before there is one.
func (h *history) newest() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first + uint64(len(h.entries)) - 1
}

// close releases everything. Nothing is kept from now on.
func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.forget(len(h.entries))
}
