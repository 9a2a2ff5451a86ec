package tap

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
)

var epoch = time.Unix(1_000_000, 0)

// packetsOf makes a record of so many packets, which takes about so many bytes.
func packetsOf(n, size int) *tapv1.Record {
	packets := &tapv1.Packets{Track: 1}
	for range n {
		packets.Packets = append(packets.Packets, &tapv1.Packet{Payload: bytes.Repeat([]byte{1}, size/n)})
	}
	return &tapv1.Record{Record: &tapv1.Record_Packets{Packets: packets}}
}

func positions(records []*tapv1.Record) string {
	var all []uint64
	for _, r := range records {
		all = append(all, r.GetPosition())
	}
	return fmt.Sprint(all)
}

func TestAReaderGetsEverythingOnceAndInOrder(t *testing.T) {
	var lost atomic.Uint64
	h := newHistory(NewBudget(1<<20), time.Second, &lost)
	at, whole := h.from(0)
	if !whole {
		t.Error("an empty history lacks something")
	}
	for range 3 {
		h.add(packetsOf(2, 100), 2, epoch)
	}
	records, dropped := h.read(&at, 1)
	if positions(records) != "[1]" || dropped != 0 {
		t.Errorf("the first read brought %s and %d dropped", positions(records), dropped)
	}
	records, dropped = h.read(&at, 1<<20)
	if positions(records) != "[2 3]" || dropped != 0 {
		t.Errorf("the second read brought %s and %d dropped", positions(records), dropped)
	}
	if records, _ = h.read(&at, 1<<20); len(records) != 0 {
		t.Errorf("a third read brought %s", positions(records))
	}
}

func TestWhatIsNotAcknowledgedCanBeReadAgain(t *testing.T) {
	var lost atomic.Uint64
	budget := NewBudget(1 << 20)
	h := newHistory(budget, time.Hour, &lost)
	for range 5 {
		h.add(packetsOf(1, 100), 1, epoch)
	}
	h.acknowledge(2)
	at, whole := h.from(2)
	records, dropped := h.read(&at, 1<<20)
	if !whole || positions(records) != "[3 4 5]" || dropped != 0 {
		t.Errorf("after an acknowledgement of 2 there are %s, %d dropped, whole %t", positions(records), dropped, whole)
	}
	h.acknowledge(5)
	if budget.Used() != 0 {
		t.Errorf("%d bytes are kept of what was acknowledged", budget.Used())
	}
	if at, whole = h.from(5); !whole {
		t.Error("there is a gap after everything was acknowledged")
	}
	h.add(packetsOf(1, 100), 1, epoch)
	if records, dropped = h.read(&at, 1<<20); positions(records) != "[6]" || dropped != 0 {
		t.Errorf("then came %s, %d dropped", positions(records), dropped)
	}
	if _, whole = h.from(77); whole {
		t.Error("a position that was never given is believed")
	}
}

func TestTheOldestGoWhenTheyAreTooOld(t *testing.T) {
	var lost atomic.Uint64
	h := newHistory(NewBudget(1<<20), 10*time.Second, &lost)
	at, _ := h.from(0)
	for i := range 5 {
		h.add(packetsOf(3, 100), 3, epoch.Add(time.Duration(i)*5*time.Second))
	}
	records, dropped := h.read(&at, 1<<20)
	if positions(records) != "[3 4 5]" || dropped != 6 || lost.Load() != 6 {
		t.Errorf("after 20 s there are %s; %d are said to be dropped, %d counted", positions(records), dropped, lost.Load())
	}
	if _, whole := h.from(1); whole {
		t.Error("the gap after position 1 is not noticed")
	}
	if _, whole := h.from(2); !whole {
		t.Error("nothing is missing after position 2")
	}
}

func TestTheOldestGoWhenThereIsNoSpace(t *testing.T) {
	var lost atomic.Uint64
	const size = 1000
	budget := NewBudget(4 * (size + entryBytes + 100))
	h := newHistory(budget, time.Hour, &lost)
	at, _ := h.from(0)
	for range 20 {
		h.add(packetsOf(1, size), 1, epoch)
		if budget.Used() > budget.most {
			t.Fatalf("%d bytes of %d are taken", budget.Used(), budget.most)
		}
	}
	records, dropped := h.read(&at, 1<<20)
	if len(records) != 4 || records[3].GetPosition() != 20 || dropped != 16 || lost.Load() != 16 {
		t.Errorf("there are %s; %d are said to be dropped, %d counted", positions(records), dropped, lost.Load())
	}
	h.close()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are kept after the end", budget.Used())
	}
	h.add(packetsOf(1, size), 1, epoch)
	if budget.Used() != 0 {
		t.Error("something is kept after the end")
	}
}

func TestAHistoryWithoutAnyBudgetSaysWhatIsMissing(t *testing.T) {
	var lost atomic.Uint64
	budget := NewBudget(5000)
	greedy, poor := newHistory(budget, time.Hour, &lost), newHistory(budget, time.Hour, &lost)
	greedy.add(packetsOf(1, 4000), 1, epoch)
	at, _ := poor.from(0)
	poor.add(packetsOf(7, 1400), 7, epoch)
	greedy.acknowledge(1)
	poor.add(packetsOf(1, 100), 1, epoch)
	records, dropped := poor.read(&at, 1<<20)
	if positions(records) != "[2]" || dropped != 7 {
		t.Errorf("there are %s, %d are said to be dropped", positions(records), dropped)
	}
}
