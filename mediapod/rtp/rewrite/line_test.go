package rewrite

import (
	"math/rand/v2"
	"testing"
)

func TestSkippedPacketsLeaveNoGap(t *testing.T) {
	for _, start := range starts {
		r := New[int](clock, 65_500, 0)
		r.Splice(1, start, 0, Picture{}, epoch)
		out := uint16(65_500)
		var sent []uint16
		for i := range uint16(200) {
			in := start + i
			if i%4 == 1 || i%4 == 2 {
				for range 2 {
					if !r.Skip(in, Picture{}) {
						t.Fatalf("packet %d is not skipped", i)
					}
				}
				continue
			}
			seq, _, ok := r.Map(1, in, 0, epoch)
			if !ok || seq != out {
				t.Fatalf("start %d: packet %d becomes %d %v, want %d", start, i, seq, ok, out)
			}
			sent = append(sent, in)
			out++
		}
		for i, want := range sent {
			_, in, _, ok := r.Origin(65_500 + uint16(i))
			old := len(sent)-i > 2*(maxSkips-forgetSkips)
			if ok && in != want || !ok && !old {
				t.Fatalf("start %d: origin of %d is %d %v, want %d", start, i, in, ok, want)
			}
		}
		if _, _, ok := r.Map(1, start+198, 0, epoch); ok {
			t.Error("what was skipped is sent late")
		}
	}
}

func TestAPacketThatIsMissingKeepsItsNumber(t *testing.T) {
	r := New[int](clock, 100, 0)
	r.Splice(1, 10, 0, Picture{}, epoch)
	step := func(in uint16, skip bool, want uint16) {
		t.Helper()
		if skip {
			if !r.Skip(in, Picture{}) {
				t.Errorf("packet %d has a number", in)
			}
			return
		}
		if got, _, ok := r.Map(1, in, 0, epoch); !ok || got != want {
			t.Errorf("packet %d becomes %d %v, want %d", in, got, ok, want)
		}
	}
	step(10, false, 100)
	step(11, true, 0)
	step(13, true, 0) // 12 is missing
	step(14, false, 102)
	step(16, false, 104) // 15 is missing
	step(17, true, 0)
	step(12, false, 101) // late
	if r.Skip(15, Picture{}) {
		t.Error("a number that was passed over is skipped")
	}
	step(15, false, 103)
	step(18, false, 105)
}

func TestPicturesAreNumberedWithoutGaps(t *testing.T) {
	for _, bits := range []uint8{7, 15} {
		mask := uint16(1)<<bits - 1
		for _, start := range starts {
			r := New[int](clock, 100, 0)
			first := Picture{Number: start & mask, Bits: bits, Base: 250}
			r.Splice(1, 0, 0, first, epoch)
			if got := r.Picture(first); got != first {
				t.Fatalf("the first picture %v becomes %v", first, got)
			}
			want := start & mask
			for i := uint16(1); i < 300; i++ {
				p := Picture{Number: (start + i) & mask, Bits: bits, Base: 250 + uint8(i/4)}
				sequence := 2 * i // two packets each
				if i%4 == 1 || i%4 == 3 {
					r.Skip(sequence, p)
					r.Skip(sequence+1, p)
					continue
				}
				want++
				for range 2 {
					if got := r.Picture(p); got.Number&mask != want&mask || got.Base != p.Base {
						t.Fatalf("%d bits from %d: picture %d becomes %v, want %d", bits, start, i, got, want&mask)
					}
				}
			}
			base := uint8((250 + 299/4) % 256)
			second := Picture{Number: 77, Bits: bits, Base: 3}
			r.Map(1, 600, 0, epoch)
			r.Splice(2, 9, 0, second, epoch)
			if got := r.Picture(second); got.Number&mask != (want+1)&mask || got.Base != base+1 {
				t.Fatalf("after a splice: %v, want %d", got, want+1)
			}
			r.Map(2, 9, 0, epoch)
			newest, _ := r.Newest()
			if got := r.PictureOf(newest, second); got.Number&mask != (want+1)&mask {
				t.Errorf("sent again: %v", got)
			}
			if got := r.PictureOf(newest-1, Picture{Number: (start + 298) & mask, Bits: bits, Base: base}); got.Number&mask != want&mask || got.Base != base {
				t.Errorf("sent again from before the splice: %v, want %d", got, want&mask)
			}
		}
	}
}

func TestWhatIsStoppedIsNotForwardedAndCanBeAskedFor(t *testing.T) {
	r := New[int](clock, 100, 0)
	r.Splice(1, 10, 0, Picture{}, epoch)
	r.Map(1, 10, 0, epoch)
	r.Stop()
	if _, ok := r.Source(); ok {
		t.Error("there is a source")
	}
	if _, _, ok := r.Map(1, 11, 0, epoch); ok {
		t.Error("a packet passes")
	}
	if _, ok := r.Timestamp(1, 0); ok {
		t.Error("reported on")
	}
	if source, in, _, ok := r.Origin(100); !ok || source != 1 || in != 10 {
		t.Errorf("origin is %d %d %v", source, in, ok)
	}
	r.Splice(1, 50, 0, Picture{}, epoch)
	if got, _, ok := r.Map(1, 50, 0, epoch); !ok || got != 101 {
		t.Errorf("goes on with %d %v", got, ok)
	}
	if _, in, _, ok := r.Origin(100); !ok || in != 10 {
		t.Errorf("origin from before is %d %v", in, ok)
	}
}

// TestALineIsConsistent plays packets that are skipped, lost, late and wrap: no two get the same
// number, they keep their order, and the origin of each is known as long as it is remembered.
func TestALineIsConsistent(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		r := New[int](clock, uint16(random.Uint32()), 0)
		start := uint16(random.Uint32())
		r.Splice(1, start, 0, Picture{}, epoch)
		out := map[int]uint16{}
		var late []int
		send := func(i int) {
			if got, _, ok := r.Map(1, start+uint16(i), 0, epoch); ok {
				out[i] = got
			}
		}
		send(0)
		for i := 1; i < 2000; i++ {
			switch n := random.IntN(20); {
			case n < 6:
				r.Skip(start+uint16(i), Picture{})
			case n == 6:
				late = append(late, i)
			default:
				send(i)
			}
			if len(late) > 0 && i-late[0] > 10 {
				send(late[0])
				late = late[1:]
			}
		}
		previous, used := -1, map[uint16]bool{}
		for i := range 2000 {
			number, ok := out[i]
			if !ok {
				continue
			}
			if used[number] || previous >= 0 && int16(number-out[previous]) <= 0 {
				t.Fatalf("seed %d: packet %d becomes %d", seed, i, number)
			}
			used[number] = true
			previous = i
			if _, in, _, ok := r.Origin(number); ok && in != start+uint16(i) || !ok && i > 1970 {
				t.Fatalf("seed %d: origin of packet %d is %d %v", seed, i, in-start, ok)
			}
		}
	}
}
