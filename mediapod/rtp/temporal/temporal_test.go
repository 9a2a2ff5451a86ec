package temporal

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDescriptorsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		codec   string
		payload []byte
		want    Picture
	}{
		"VP8 without extension":          {"VP8", []byte{0x10, 0x00, 0x01}, Picture{}},
		"VP8 with a picture number only": {"VP8", []byte{0x90, 0x80, 0x81, 0x02, 0x01}, Picture{Numbered: true, Number: 0x102, Bits: 15, numberAt: 2}},
		"VP8 with all there is": {
			"VP8", []byte{0x90, 0xf0, 0x92, 0x34, 0x56, 0xa1, 0x00},
			Picture{Layered: true, Layer: 2, Sync: true, Numbered: true, Number: 0x1234, Bits: 15, Base: 0x56, numberAt: 2, baseAt: 4},
		},
		"VP8 with a short picture number": {
			"VP8", []byte{0x80, 0xe0, 0x12, 0x56, 0x40, 0x00},
			Picture{Layered: true, Layer: 1, Numbered: true, Number: 0x12, Bits: 7, Base: 0x56, numberAt: 2, baseAt: 3},
		},
		"VP8 with a layer only":        {"VP8", []byte{0x80, 0x20, 0xc0}, Picture{Layered: true, Layer: 3}},
		"VP8 that ends before number":  {"VP8", []byte{0x80, 0xf0}, Picture{}},
		"VP8 that ends in the number":  {"VP8", []byte{0x80, 0xf0, 0x80}, Picture{}},
		"VP8 that ends before base":    {"VP8", []byte{0x80, 0xf0, 0x80, 0x00}, Picture{}},
		"VP8 that ends before layer":   {"VP8", []byte{0x80, 0xf0, 0x80, 0x00, 0x00}, Picture{}},
		"VP9 without layers":           {"VP9", []byte{0x88, 0x01}, Picture{}},
		"VP9 with layers and a number": {"VP9", []byte{0xa8, 0x81, 0x02, 0x50, 0x07}, Picture{Layered: true, Layer: 2, Up: true}},
		"VP9 with more layers than we": {"VP9", []byte{0x20, 0xe0}, Picture{Layered: true, Layer: 3}},
		"VP9 that ends in the number":  {"VP9", []byte{0xa0}, Picture{}},
		"VP9 that ends before layers":  {"VP9", []byte{0xa0, 0x81, 0x02}, Picture{}},
		"nothing":                      {"VP8", nil, Picture{}},
		"nothing of VP9":               {"VP9", nil, Picture{}},
	} {
		if got := For(c.codec)(c.payload); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if For("H264") != nil {
		t.Error("H264 tells temporal layers")
	}
}

func TestRenumbering(t *testing.T) {
	for _, payload := range [][]byte{{0x90, 0xf0, 0x92, 0x34, 0x56, 0xa1, 0x00}, {0x80, 0xe0, 0x12, 0x56, 0x40, 0x00}, {0x90, 0x80, 0x81, 0x02, 0x01}} {
		p := VP8(payload)
		changed := slices.Clone(payload)
		p.Renumber(changed, 0x7f7f, 9)
		got := VP8(changed)
		if got.Number != 0x7f7f&(1<<got.Bits-1) || p.Layered && got.Base != 9 {
			t.Errorf("%x becomes %x", payload, changed)
		}
		p.Renumber(changed, p.Number, p.Base)
		if !bytes.Equal(changed, payload) {
			t.Errorf("%x is not restored: %x", payload, changed)
		}
	}
}

// stream is a sequence of pictures with what they refer to, as encoders make them.
type stream struct {
	pictures   []Picture
	references [][]int
}

// newStream makes a stream of VP8 or VP9 with the given layers, one by one in a pattern. Each
// picture refers to the newest of its own layer and of all lower layers, but at the start of a
// pattern an upper one refers to layer 0 only, when synced.
func newStream(n int, pattern []uint8, vp9 bool) *stream {
	s := &stream{}
	newest := [Max]int{-1, -1, -1, -1}
	var fresh [Max]bool // refers to nothing above layer 0 from before the pattern
	for i := range n {
		if i%(2*len(pattern)) == 0 {
			fresh = [Max]bool{}
		}
		layer := pattern[i%len(pattern)]
		p := Picture{Layered: true, Layer: layer}
		var references []int
		switch {
		case i == 0:
		case layer == 0:
			references = []int{newest[0]}
		case !fresh[layer]:
			p.Sync = true
			fresh[layer] = true
			references = []int{newest[0]}
		default:
			for l := range layer + 1 {
				if fresh[l] || l == 0 {
					references = append(references, newest[l])
				}
			}
		}
		newest[layer] = i
		s.pictures = append(s.pictures, p)
		s.references = append(s.references, references)
	}
	if vp9 {
		for i := range s.pictures {
			s.pictures[i].Sync, s.pictures[i].Up = false, s.upAfter(i)
		}
	}
	return s
}

// upAfter is the definition of the bit U (RFC 9628, section 4.2).
func (s *stream) upAfter(i int) bool {
	layer := s.pictures[i].Layer
	for j := i + 1; j < len(s.pictures); j++ {
		if s.pictures[j].Layer <= layer {
			continue
		}
		for _, r := range s.references[j] {
			if r < i && s.pictures[r].Layer > layer {
				return false
			}
		}
	}
	return true
}

func TestWhatIsKeptCanBeDecoded(t *testing.T) {
	for name, s := range map[string]*stream{
		"VP8, two layers":   newStream(400, []uint8{0, 1}, false),
		"VP8, three layers": newStream(400, []uint8{0, 2, 1, 2}, false),
		"VP8, four layers":  newStream(400, []uint8{0, 3, 2, 3, 1, 3, 2, 3}, false),
		"VP9, two layers":   newStream(400, []uint8{0, 1}, true),
		"VP9, three layers": newStream(400, []uint8{0, 2, 1, 2}, true),
	} {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 0))
			var selector Selector
			limit := uint8(random.IntN(Max))
			selector.Limit(limit)
			selector.Start()
			kept := make([]bool, len(s.pictures))
			since := 0 // when the limit was set
			for i, p := range s.pictures {
				if random.IntN(20) == 0 {
					limit = uint8(random.IntN(Max))
					selector.Limit(limit)
					since = i
				}
				timestamp := 0xffff_f000 + uint32(i)*3000
				kept[i] = selector.Keep(p, timestamp)
				for range 2 { // the rest of the picture
					if selector.Keep(p, timestamp) != kept[i] {
						t.Fatalf("%s: a part of picture %d", name, i)
					}
				}
				if i > 10 && random.IntN(10) == 0 {
					late := i - 1 - random.IntN(5)
					if keep := selector.Keep(s.pictures[late], 0xffff_f000+uint32(late)*3000); keep && s.pictures[late].Layer > limit && since < i-8 {
						t.Fatalf("%s: late picture %d of layer %d passes limit %d", name, late, s.pictures[late].Layer, limit)
					}
				}
				if kept[i] && p.Layer > limit {
					t.Fatalf("%s: picture %d of layer %d passes limit %d", name, i, p.Layer, limit)
				}
				if i-since > 60 && kept[i] != (p.Layer <= limit) {
					t.Fatalf("%s: picture %d of layer %d with limit %d is kept: %v", name, i, p.Layer, limit, kept[i])
				}
				if !kept[i] {
					continue
				}
				for _, r := range s.references[i] {
					if !kept[r] {
						t.Fatalf("%s, seed %d: picture %d refers to %d, which was left out", name, seed, i, r)
					}
				}
			}
		}
	}
}

func FuzzPicture(f *testing.F) {
	f.Add([]byte{0x90, 0xf0, 0x92, 0x34, 0x56, 0xa1, 0x00}, uint16(1), uint8(2))
	f.Add([]byte{0x80, 0xe0, 0x12, 0x56, 0x40, 0x00}, uint16(1), uint8(2))
	f.Add([]byte{0xa8, 0x81, 0x02, 0x50, 0x07}, uint16(1), uint8(2))
	f.Fuzz(func(t *testing.T, payload []byte, number uint16, base uint8) {
		for _, parse := range []Parser{VP8, VP9} {
			p := parse(payload)
			if p.Layer >= Max || p != (Picture{}) && !p.Layered && !p.Numbered {
				t.Fatalf("%+v", p)
			}
			changed := slices.Clone(payload)
			p.Renumber(changed, number, base)
			got := parse(changed)
			want := p
			if p.Numbered {
				want.Number = number & (1<<p.Bits - 1)
				if p.baseAt != 0 {
					want.Base = base
				}
			}
			if got != want {
				t.Fatalf("%x: %+v becomes %+v", payload, p, got)
			}
		}
	})
}
