package frames

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000, 0)

// vp8 makes the packets of a frame of VP8, numbered from a sequence number: its first byte after
// the header of the codec is its number.
func vp8(number int, key bool, sequence uint16, packets int) []Packet {
	var all []Packet
	for i := range packets {
		payload := []byte{0x00, byte(number)} // no extension
		if i == 0 {
			payload = []byte{0x10, 0x01, byte(number), 0} // S; an inter frame
			if key {
				payload = []byte{0x10, 0x00, byte(number), 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01}
			}
		}
		all = append(all, Packet{
			Codec: VP8, Sequence: sequence + uint16(i), Timestamp: uint32(number * 3000), Marker: i == packets-1, Payload: payload,
			At: epoch.Add(time.Duration(number) * 33 * time.Millisecond), Position: uint64(number*10 + i + 1),
		})
	}
	return all
}

// stream makes frames of three packets each, of which those that are named are key frames.
func stream(frames int, first uint16, keys ...int) []Packet {
	var all []Packet
	for n := range frames {
		key := false
		for _, k := range keys {
			key = key || k == n
		}
		all = append(all, vp8(n, key, first+uint16(3*n), 3)...)
	}
	return all
}

// run pushes packets and returns the numbers of the frames that come, with an asterisk for keys.
func run(a *Assembler, packets []Packet) string {
	got := ""
	pop := func(now time.Time) {
		for {
			f, ok := a.Pop(now)
			if !ok {
				return
			}
			mark := ""
			if f.Key {
				mark = "*"
			}
			got += fmt.Sprint(f.Data[1], mark, " ")
		}
	}
	var now time.Time
	for _, p := range packets {
		if p.At.After(now) {
			now = p.At
		}
		a.Push(p)
		pop(now)
	}
	pop(now.Add(time.Hour))
	return got
}

func without(packets []Packet, at ...int) []Packet {
	var left []Packet
	for i, p := range packets {
		lost := false
		for _, n := range at {
			lost = lost || i == n
		}
		if !lost {
			left = append(left, p)
		}
	}
	return left
}

func TestFramesComeWhole(t *testing.T) {
	for name, c := range map[string]struct {
		packets []Packet
		want    string
	}{
		"in order":                       {stream(5, 100, 0), "0* 1 2 3 4 "},
		"over the end of the numbers":    {stream(5, 65530, 0), "0* 1 2 3 4 "},
		"it begins with a key frame":     {stream(5, 100, 2), "2* 3 4 "},
		"one lost, up to the next key":   {without(stream(40, 100, 0, 30), 13), "0* 1 2 3 30* 31 32 33 34 35 36 37 38 39 "},
		"the first of a frame is lost":   {without(stream(6, 100, 0, 4), 6), "0* 1 4* 5 "},
		"the last of a frame is lost":    {without(stream(6, 100, 0, 4), 8), "0* 1 4* 5 "},
		"a whole frame is lost":          {without(stream(6, 100, 0, 4), 6, 7, 8), "0* 1 4* 5 "},
		"of the last frame the end":      {without(stream(3, 100, 0), 8), "0* 1 "},
		"the key frame is lost":          {without(stream(6, 100, 0, 4), 13), "0* 1 2 3 "},
		"twice":                          {append(stream(3, 100, 0), stream(3, 100, 0)...), "0* 1 2 "},
		"the sender has cut a frame off": {append(without(stream(3, 100, 0), 7, 8), vp8(9, true, 107, 3)...), "0* 1 9* "},
		"another stream begins":          {append(stream(3, 100, 0), vp8(9, true, 30_000, 3)...), "0* 1 2 9* "},
	} {
		if got := run(New(), c.packets); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestWhatIsLateIsWaitedFor(t *testing.T) {
	packets := stream(40, 65_000, 0)
	late := packets[13]
	reordered := append(without(packets[:30], 13), late)
	reordered = append(reordered, packets[30:]...)
	if got, want := run(New(), reordered), run(New(), packets); got != want {
		t.Errorf("with a late packet there are %s", got)
	}
	for range 100 { // within a few packets any order
		shuffled := append([]Packet{}, packets...)
		for i := 3; i+4 < len(shuffled); i += 4 {
			rand.Shuffle(4, func(a, b int) { shuffled[i+a], shuffled[i+b] = shuffled[i+b], shuffled[i+a] })
		}
		if got, want := run(New(), shuffled), run(New(), packets); got != want {
			t.Fatalf("in another order there are %s", got)
		}
	}
}

func TestAnAssemblerGoesOn(t *testing.T) {
	packets := stream(6, 65_530, 0)
	if got := run(Resume(packets[8].Sequence), packets[3:]); got != "3 4 5 " {
		t.Errorf("after the third frame come %s", got)
	}
	if got := run(Resume(packets[8].Sequence), packets[11:]); got != "" {
		t.Errorf("after a gap come %s", got)
	}
}

func TestPositionsTellWhatIsNotMadeUseOf(t *testing.T) {
	a := New()
	if _, waits := a.Oldest(); waits {
		t.Error("nothing waits")
	}
	packets := stream(3, 100, 0)
	for _, p := range packets[:5] {
		a.Push(p)
	}
	f, ok := a.Pop(epoch)
	if !ok || f.Position != 1 || f.Last != 102 || f.Width != 640 || f.Height != 480 || !f.At.Equal(epoch) {
		t.Errorf("the first frame is %+v, %t", f, ok)
	}
	if oldest, waits := a.Oldest(); !waits || oldest != packets[3].Position {
		t.Errorf("the oldest that waits is %d, %t", oldest, waits)
	}
}

func TestAudioGoesOnAfterLoss(t *testing.T) {
	a := New()
	var got []string
	for i := range 60 {
		at := epoch.Add(time.Duration(i) * 20 * time.Millisecond)
		if i != 10 {
			a.Push(Packet{Codec: Opus, Sequence: uint16(65_530 + i), Timestamp: uint32(i * 960), Payload: []byte{byte(i)}, At: at})
		}
		for {
			f, ok := a.Pop(at)
			if !ok {
				break
			}
			got = append(got, fmt.Sprint(f.Data[0]))
		}
	}
	if len(got) != 59 || got[10] != "11" || a.Lost() != 1 || a.Broken() {
		t.Errorf("%d frames have come: %v; %d are lost", len(got), got, a.Lost())
	}
}

func TestH264BringsItsParameters(t *testing.T) {
	sps := []byte{0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0xf0, 0x11, 0x7e, 0xf0, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x18, 0x32, 0x48}
	pps := []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
	a := New()
	for i, payload := range [][]byte{sps, pps, {0x65, 1, 2, 3}} {
		a.Push(Packet{Codec: H264, Sequence: uint16(i), Timestamp: 7, Marker: i == 2, Payload: payload, At: epoch})
	}
	f, ok := a.Pop(epoch)
	if !ok || !f.Key || f.Width <= 0 || f.Height <= 0 || len(f.Private) == 0 || f.Private[0] != 1 {
		t.Fatalf("the frame is %+v, %t", f, ok)
	}
	if want := 4 + len(sps) + 4 + len(pps) + 4 + 4; len(f.Data) != want {
		t.Errorf("it has %d bytes, want %d", len(f.Data), want)
	}
	a.Push(Packet{Codec: H264, Sequence: 3, Timestamp: 9, Marker: true, Payload: []byte{0x41, 1, 2}, At: epoch})
	if f, ok = a.Pop(epoch); !ok || f.Key {
		t.Errorf("the next frame is %+v, %t", f, ok)
	}
}

// Whatever comes, nothing breaks, and no frame comes that is not whole.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 0x10, 0, 0, 0, 0x9d, 1, 0x2a, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, codec := range []Codec{Opus, VP8, VP9, H264} {
			a := New()
			for rest, n := raw, 0; len(rest) > 4; n++ {
				size := min(int(rest[3]), len(rest)-4)
				a.Push(Packet{
					Codec: codec, Sequence: uint16(n) + uint16(rest[0])<<2, Timestamp: uint32(rest[1]), Marker: rest[2]&1 != 0,
					Payload: rest[4 : 4+size], At: epoch.Add(time.Duration(n) * 50 * time.Millisecond),
				})
				rest = rest[4+size:]
				for {
					frame, ok := a.Pop(epoch.Add(time.Duration(n) * 50 * time.Millisecond))
					if !ok {
						break
					}
					if len(frame.Data) == 0 {
						t.Fatal("an empty frame")
					}
				}
			}
		}
	})
}
