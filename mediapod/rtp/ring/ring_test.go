package ring

import (
	"bytes"
	"testing"
)

func payload(n uint16) []byte { return []byte{byte(n >> 8), byte(n), 'x'} }

var starts = []uint16{0, 1, 15, 16, 127, 128, 511, 512, 513, 32766, 32767, 32768, 65520, 65534, 65535}

func TestEveryPacketOfTheLastRoundIsThereAndNoOther(t *testing.T) {
	const size = 16
	for _, start := range starts {
		r := New(size)
		for i := range uint16(100) {
			if !r.Put(Packet{Sequence: start + i, Timestamp: uint32(i), Marker: i%2 == 0, Payload: payload(i)}) {
				t.Fatalf("start %d: packet %d refused", start, i)
			}
		}
		for i := range uint16(100) {
			p, ok := r.Get(start+i, nil)
			if want := i >= 100-size; ok != want {
				t.Fatalf("start %d: packet %d there: %v, want %v", start, i, ok, want)
			}
			if ok && (!bytes.Equal(p.Payload, payload(i)) || p.Timestamp != uint32(i) || p.Marker != (i%2 == 0)) {
				t.Fatalf("start %d: packet %d came back as %+v", start, i, p)
			}
		}
		if _, ok := r.Get(start+100, nil); ok {
			t.Fatalf("start %d: a packet from the future is there", start)
		}
	}
}

func TestDuplicatesAndTooOldPacketsAreRefused(t *testing.T) {
	for _, start := range starts {
		r := New(16)
		r.Put(Packet{Sequence: start, Payload: payload(0)})
		if r.Put(Packet{Sequence: start, Payload: payload(1)}) {
			t.Errorf("start %d: duplicate taken", start)
		}
		if !r.Put(Packet{Sequence: start - 15, Payload: payload(2)}) {
			t.Errorf("start %d: late packet refused", start)
		}
		if r.Put(Packet{Sequence: start - 16, Payload: payload(3)}) {
			t.Errorf("start %d: too old packet taken", start)
		}
	}
}

func TestAGapLeavesNoOldPacketsBehind(t *testing.T) {
	for _, start := range starts {
		for _, gap := range []uint16{2, 15, 16, 17, 1000, 32767} {
			r := New(16)
			for i := range uint16(16) {
				r.Put(Packet{Sequence: start + i, Payload: payload(i)})
			}
			last := start + 15
			r.Put(Packet{Sequence: last + gap, Payload: payload(99)})
			for i := uint16(1); i < gap && i < 16; i++ {
				if !r.Put(Packet{Sequence: last + gap - i, Payload: payload(i)}) {
					t.Fatalf("start %d gap %d: missing packet -%d refused", start, gap, i)
				}
			}
		}
	}
}

func TestAPacketOneCycleLaterIsNoDuplicate(t *testing.T) {
	r := New(16)
	for i := range 70_000 {
		if i%7 == 3 {
			continue
		}
		if !r.Put(Packet{Sequence: uint16(i), Payload: payload(uint16(i))}) {
			t.Fatalf("packet %d refused", i)
		}
	}
}

func TestGetAndPutDoNotAllocateOnceWarm(t *testing.T) {
	r := New(16)
	body := make([]byte, 1200)
	buffer := make([]byte, 0, 1500)
	n := uint16(0)
	step := func() {
		r.Put(Packet{Sequence: n, Payload: body})
		r.Get(n, buffer)
		n++
	}
	for range 32 {
		step()
	}
	if a := testing.AllocsPerRun(1000, step); a != 0 {
		t.Errorf("%v allocations per packet", a)
	}
}
