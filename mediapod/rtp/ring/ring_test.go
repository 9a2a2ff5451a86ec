package ring

import (
	"bytes"
	"testing"

	"mediarooms.dev/mediarooms/test/cost"
)

func payload(n uint16) []byte { return []byte{byte(n >> 8), byte(n), 'x'} }

// forever is longer than any test.
const forever = 1 << 30

var starts = []uint16{0, 1, 15, 16, 127, 128, 511, 512, 513, 32766, 32767, 32768, 65520, 65534, 65535}

func TestEveryPacketOfTheLastRoundIsThereAndNoOther(t *testing.T) {
	const size = 16
	for _, start := range starts {
		r := New(size, forever)
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
		r := New(16, forever)
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
			r := New(16, forever)
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
	r := New(16, forever)
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
	r := New(16, forever)
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

func TestPacketsAreKeptForATime(t *testing.T) {
	for _, start := range starts {
		r := New(64, 1000)
		for i := range uint16(300) {
			if !r.Put(Packet{Sequence: start + i, Timestamp: 1<<32 - 5000 + 100*uint32(i), Payload: payload(i)}) {
				t.Fatalf("start %d: packet %d refused", start, i)
			}
			for back := range min(i+1, 64) {
				p, ok := r.Get(start+i-back, nil)
				if want := back <= 10; ok != want {
					t.Fatalf("start %d, packet %d: that %d before is there: %v", start, i, back, ok)
				}
				if ok && !bytes.Equal(p.Payload, payload(i-back)) {
					t.Fatalf("start %d, packet %d: that %d before is %x", start, i, back, p.Payload)
				}
			}
		}
		if r.Put(Packet{Sequence: start + 299 - 30, Payload: payload(1)}) {
			t.Errorf("start %d: a duplicate of what is not kept any more is taken", start)
		}
	}
}

func TestAPacketThatComesTooLateToBeKeptIsNew(t *testing.T) {
	r := New(64, 1000)
	for i := range uint16(40) {
		if i != 5 {
			r.Put(Packet{Sequence: i, Timestamp: 100 * uint32(i), Payload: payload(i)})
		}
	}
	late := Packet{Sequence: 5, Timestamp: 500, Payload: payload(5)}
	if !r.Put(late) || r.Put(late) {
		t.Error("a late packet is not taken once")
	}
	if _, ok := r.Get(5, nil); ok {
		t.Error("a packet that is too old is kept")
	}
}

func TestAJumpOfTheTimestampsForgetsWhatWasBefore(t *testing.T) {
	for _, jump := range []uint32{50_000, 1 << 31, 1<<32 - 50_000} {
		r := New(16, 1000)
		for i := range uint16(5) {
			r.Put(Packet{Sequence: i, Payload: payload(i)})
		}
		for i := uint16(5); i < 10; i++ {
			r.Put(Packet{Sequence: i, Timestamp: jump, Payload: payload(i)})
		}
		for i := range uint16(10) {
			if _, ok := r.Get(i, nil); ok != (i >= 5) {
				t.Errorf("after a jump of %d packet %d is there: %v", jump, i, ok)
			}
		}
	}
}

// A stream of 60 packets a second takes the buffers of one second, whatever the ring has room for.
func TestBuffersAreUsedAgain(t *testing.T) {
	r := New(512, 90_000)
	body := make([]byte, 1000)
	n := uint16(0)
	frame := func() {
		for range 2 {
			r.Put(Packet{Sequence: n, Timestamp: uint32(n/2) * 3000, Payload: body})
			n++
		}
	}
	for range 2000 {
		frame()
	}
	kept := len(r.spare)
	for i := range r.slots {
		if r.slots[i].kept {
			kept++
		}
	}
	if kept > 66 {
		t.Errorf("%d buffers are kept", kept)
	}
	if a := testing.AllocsPerRun(1000, frame); a != 0 {
		t.Errorf("%v allocations per frame", a)
	}
}

// What a packet costs does not depend on how far its number jumps.
func TestWorkIsBoundedBySize(t *testing.T) {
	r := New(512, 90_000)
	body := make([]byte, 100)
	number := uint16(0)
	const packets = 1000
	ratio := cost.Ratio(packets*len(body), func() {
		for range packets / 2 {
			number += 32_767
			r.Put(Packet{Sequence: number, Payload: body})
			number++
			r.Put(Packet{Sequence: number, Payload: body})
		}
	})
	if ratio > cost.Most {
		t.Errorf("jumps cost %.0f times a copy of the packets", ratio)
	}
}
