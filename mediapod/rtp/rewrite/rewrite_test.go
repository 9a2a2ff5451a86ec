package rewrite

import (
	"testing"
	"time"
)

var (
	starts = []uint16{0, 1, 127, 128, 511, 512, 32766, 32767, 32768, 65530, 65534, 65535}
	epoch  = time.Unix(1_000_000, 0)
)

const clock = 90_000

func TestASpliceLeavesNoGap(t *testing.T) {
	for _, out := range starts {
		for _, first := range starts {
			for _, second := range starts {
				r := New[string](clock, out, 5000)
				r.Splice("a", first, 0xffff_ff00, Picture{}, epoch)
				for i := range uint16(10) {
					at := epoch.Add(time.Duration(i) * 10 * time.Millisecond)
					seq, ts, ok := r.Map("a", first+i, 0xffff_ff00+uint32(i)*900, at)
					if !ok || seq != out+i || ts != 5000+uint32(i)*900 {
						t.Fatalf("%d %d: packet %d of a becomes %d %d %v", out, first, i, seq, ts, ok)
					}
				}
				r.Splice("b", second, 77, Picture{}, epoch.Add(190*time.Millisecond))
				seq, ts, ok := r.Map("b", second, 77, epoch.Add(190*time.Millisecond))
				if !ok || seq != out+10 || ts != 5000+9*900+9000 {
					t.Fatalf("%d %d %d: first packet of b becomes %d %d %v", out, first, second, seq, ts, ok)
				}
				if _, _, ok := r.Map("a", first+10, 0, epoch); ok {
					t.Fatal("a packet of the old source passes")
				}
				if _, _, ok := r.Map("b", second-1, 0, epoch); ok {
					t.Fatal("a packet from before the splice passes")
				}
				for i := range uint16(11) {
					wantSource, wantIn := "a", first+i
					if i == 10 {
						wantSource, wantIn = "b", second
					}
					if source, in, _, ok := r.Origin(out + i); !ok || source != wantSource || in != wantIn {
						t.Fatalf("%d %d %d: origin of %d is %s %d %v", out, first, second, i, source, in, ok)
					}
				}
				for _, never := range []uint16{out - 1, out + 11} {
					if _, _, _, ok := r.Origin(never); ok {
						t.Fatalf("%d was never sent", never)
					}
				}
			}
		}
	}
}

func TestLossAndReorderingPassThrough(t *testing.T) {
	for _, start := range starts {
		r := New[int](clock, 100, 0)
		r.Splice(1, start, 0, Picture{}, epoch)
		for _, step := range []uint16{0, 3, 1, 7, 2, 5} {
			seq, _, ok := r.Map(1, start+step, uint32(step), epoch)
			if !ok || seq != 100+step {
				t.Fatalf("start %d: packet %d becomes %d %v", start, step, seq, ok)
			}
		}
	}
}

func TestTimestampsGoOnEvenWithoutTimePassing(t *testing.T) {
	r := New[int](clock, 0, 0)
	r.Splice(1, 0, 1000, Picture{}, epoch)
	_, before, _ := r.Map(1, 0, 1000, epoch)
	r.Splice(2, 0, 500, Picture{}, epoch.Add(-time.Second))
	if _, after, _ := r.Map(2, 0, 500, epoch); after != before+1 {
		t.Errorf("timestamp goes from %d to %d", before, after)
	}
}

func TestTheOldSourceIsForgotten(t *testing.T) {
	r := New[int](clock, 0, 0)
	r.Splice(1, 0, 0, Picture{}, epoch)
	r.Map(1, 0, 0, epoch)
	r.Splice(2, 0, 0, Picture{}, epoch)
	for i := range uint16(memory + 2) {
		r.Map(2, i, 0, epoch)
	}
	if _, _, _, ok := r.Origin(0); ok {
		t.Error("a packet of the old source can still be asked for")
	}
	if source, in, _, ok := r.Origin(1); !ok || source != 2 || in != 0 {
		t.Errorf("origin of the first packet of the new source is %d %d %v", source, in, ok)
	}
}

func TestALongStreamWraps(t *testing.T) {
	r := New[int](clock, 65_000, 0)
	r.Splice(1, 30_000, 0, Picture{}, epoch)
	for i := range uint32(200_000) {
		in := uint16(30_000 + i)
		seq, _, ok := r.Map(1, in, i, epoch)
		if !ok || seq != uint16(65_000+i) {
			t.Fatalf("packet %d becomes %d %v", i, seq, ok)
		}
		if _, got, _, ok := r.Origin(seq); !ok || got != in {
			t.Fatalf("origin of packet %d is %d %v", i, got, ok)
		}
	}
}

func TestNothingIsMappedBeforeTheFirstSplice(t *testing.T) {
	r := New[int](clock, 0, 0)
	if _, _, ok := r.Map(0, 0, 0, epoch); ok {
		t.Error("packet mapped")
	}
	if _, ok := r.Source(); ok {
		t.Error("there is a source")
	}
	if _, _, _, ok := r.Origin(0); ok {
		t.Error("there is an origin")
	}
}

// Another rewriter goes on with the stream as this one would have.
func TestAStreamGoesOnFromItsState(t *testing.T) {
	picture := func(n uint16) Picture { return Picture{Number: n, Bits: 15, Base: uint8(n)} }
	for _, start := range starts {
		r := New[int](clock, start, 77)
		if got := r.Export(); got != (State{Sequence: start - 1, Timestamp: 77}) {
			t.Errorf("before the first packet: %v", got)
		}
		r.Splice(1, 500, 9000, picture(40), epoch)
		for i := range uint16(10) {
			r.Map(1, 500+i, 9000+uint32(i)*3000, epoch.Add(time.Duration(i)*33*time.Millisecond))
			r.Picture(picture(40 + i))
		}
		state := r.Export()
		next := Resume[string](clock, state)
		if got := next.Export(); got != state {
			t.Errorf("the state is %v, want %v", got, state)
		}
		if _, ok := next.Newest(); ok {
			t.Error("what was sent elsewhere can be asked for")
		}
		now := epoch.Add(2 * time.Second)
		r.Splice(2, 7, 5, picture(3), now)
		next.Splice("two", 7, 5, picture(3), now)
		sequence, timestamp, _ := r.Map(2, 7, 5, now)
		gotSequence, gotTimestamp, ok := next.Map("two", 7, 5, now)
		if !ok || gotSequence != sequence || gotTimestamp != timestamp || next.Picture(picture(3)) != r.Picture(picture(3)) {
			t.Errorf("goes on with %d at %d, want %d at %d", gotSequence, gotTimestamp, sequence, timestamp)
		}
	}
}
