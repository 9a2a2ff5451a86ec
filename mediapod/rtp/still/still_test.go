package still

import (
	"bytes"
	"slices"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/rtp/ring"
)

// frames puts frames of n packets each, the first of which is a key frame, in an order.
func frames(p *Picture, first uint16, lengths []int, order func([]ring.Packet)) (all []ring.Packet) {
	for frame, n := range lengths {
		for i := range n {
			all = append(all, ring.Packet{
				Sequence: first + uint16(len(all)), Timestamp: uint32(frame), Marker: i == n-1, Payload: []byte{byte(frame), byte(i)},
			})
		}
	}
	arrived := slices.Clone(all)
	order(arrived)
	for _, packet := range arrived {
		p.Put(packet, packet.Sequence == first)
	}
	return all
}

func inOrder([]ring.Packet) {}

func same(a, b ring.Packet) bool {
	return a.Sequence == b.Sequence && a.Timestamp == b.Timestamp && a.Marker == b.Marker && bytes.Equal(a.Payload, b.Payload)
}

func TestAPictureIsWhatCameSinceTheKeyFrame(t *testing.T) {
	for _, first := range []uint16{0, 7, 32766, 65533} {
		var p Picture
		if p.Packets() != nil {
			t.Error("there is a picture before there is a packet")
		}
		frames(&p, first-10, []int{2, 3}, inOrder)
		want := frames(&p, first, []int{3, 1, 2}, inOrder)
		if got := p.Packets(); !slices.EqualFunc(got, want, same) {
			t.Errorf("from %d on: %v, want %v", first, got, want)
		}
		// A late packet of before, and a key frame of before, change nothing.
		p.Put(ring.Packet{Sequence: first - 5}, false)
		p.Put(ring.Packet{Sequence: first - 5}, true)
		if got := p.Packets(); !slices.EqualFunc(got, want, same) {
			t.Errorf("from %d on, after what was late: %v", first, got)
		}
	}
}

func TestAPictureWithAGapIsNone(t *testing.T) {
	var p Picture
	frames(&p, 65534, []int{2, 3}, func(all []ring.Packet) { all[2], all[3] = all[3], all[2] })
	if len(p.Packets()) != 5 {
		t.Error("packets that come in another order make no picture")
	}
	p.Put(ring.Packet{Sequence: 4, Marker: true}, false)
	if p.Packets() != nil {
		t.Error("there is a picture although a packet is missing")
	}
	p.Put(ring.Packet{Sequence: 3}, false)
	if len(p.Packets()) != 7 {
		t.Error("what came late is not taken")
	}
	p.Put(ring.Packet{Sequence: 5}, false)
	if p.Packets() != nil {
		t.Error("there is a picture although the last frame is not complete")
	}
}

func TestWhatIsKeptIsTheOwnOfThePicture(t *testing.T) {
	var p Picture
	payload := []byte{1, 2, 3}
	p.Put(ring.Packet{Sequence: 5, Marker: true, Payload: payload}, true)
	payload[0] = 9
	if got := p.Packets(); got[0].Payload[0] != 1 {
		t.Error("a packet is not copied")
	}
}

func TestAPictureThatIsTooLargeIsDropped(t *testing.T) {
	for name, payload := range map[string]int{"bytes": MaxBytes/4 + 1, "packets": 1} {
		var p Picture
		p.Put(ring.Packet{Sequence: 1, Marker: true}, true)
		for i := range uint16(MaxPackets) {
			p.Put(ring.Packet{Sequence: 2 + i, Marker: true, Payload: make([]byte, payload)}, false)
		}
		if p.Packets() != nil || !p.Dropped() {
			t.Errorf("too many %s: %d are kept", name, len(p.Packets()))
		}
		p.Put(ring.Packet{Sequence: 2000, Marker: true}, true)
		if len(p.Packets()) != 1 || p.Dropped() {
			t.Errorf("too many %s: the next key frame begins no picture", name)
		}
	}
}
