// Package frames is the authority on how RTP packets of one track become frames that can be kept:
// it puts packets in order, waits for those that are late, and leaves out every frame that a
// decoder could not show, so that loss never corrupts a file.
package frames

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/vp9"
)

// Codec names how payloads are to be read.
type Codec string

// The codecs that frames are made of.
const (
	Opus Codec = "opus"
	VP8  Codec = "VP8"
	VP9  Codec = "VP9"
	H264 Codec = "H264"
)

// Video tells whether the codec is one of video.
func (c Codec) Video() bool { return c == VP8 || c == VP9 || c == H264 }

const (
	// Patience is how long a packet that is missing is waited for, by the times of arrival of what
	// comes after it: a repair takes a few round trips.
	Patience = 500 * time.Millisecond
	// maxWaiting bounds how many packets wait for one that is missing.
	maxWaiting = 4096
	// jump is by how much sequence numbers change when another stream begins.
	jump = 8192
)

// Packet is an RTP packet of the track.
type Packet struct {
	Codec     Codec
	Sequence  uint16
	Timestamp uint32
	Marker    bool
	Payload   []byte
	// At is when it arrived, When where its frame belongs in time, and Position what it is known by
	// where it comes from.
	At, When time.Time
	Position uint64
}

// Frame is a whole frame, which can be decoded if all that came before it were.
type Frame struct {
	Codec     Codec
	Timestamp uint32
	// Key tells that a decoder can start here. It is always set for audio.
	Key  bool
	Data []byte
	// At is when its first packet arrived, When and Position are the least ones of its packets, and
	// Last is the sequence number of its last one.
	At, When time.Time
	Position uint64
	Last     uint16
	// Width and Height are those of a key frame of video, in pixels; 0 when they can't be read.
	Width, Height int
	// Private is what a decoder of H264 needs beforehand, of key frames (ISO/IEC 14496-15, section
	// 5.3.3.1).
	Private []byte
}

// Assembler makes frames of the packets of one track. It knows no clock and is not safe for
// concurrent use.
type Assembler struct {
	waiting []numbered // by number
	next    int64      // number of the packet that is to come
	started bool
	highest int64
	broken  bool // frames can't be decoded until the next key frame
	lost    uint64
	left    uint64
}

type numbered struct {
	Packet
	number int64
}

// New returns an assembler of a track that begins.
func New() *Assembler { return &Assembler{broken: true} }

// Resume returns an assembler of a track that goes on after a packet with that sequence number.
func Resume(last uint16) *Assembler {
	return &Assembler{started: true, highest: int64(last) + 1<<16, next: int64(last) + 1<<16 + 1}
}

// Broken tells that nothing can be made of what comes until there is a key frame.
func (a *Assembler) Broken() bool { return a.broken && a.started }

// Break has frames be left out until the next key frame.
func (a *Assembler) Break() { a.broken = true }

// Lost returns how many packets never came, Left how many frames were left out.
func (a *Assembler) Lost() uint64 { return a.lost }

// Left returns how many frames were left out.
func (a *Assembler) Left() uint64 { return a.left }

// Oldest returns the least position that is still waiting; false when nothing is.
func (a *Assembler) Oldest() (uint64, bool) {
	if len(a.waiting) == 0 {
		return 0, false
	}
	oldest := a.waiting[0].Position
	for _, p := range a.waiting[1:] {
		oldest = min(oldest, p.Position)
	}
	return oldest, true
}

// Push takes a packet. What came already, or too late, is ignored.
func (a *Assembler) Push(p Packet) {
	if !a.started {
		a.started = true
		a.highest = int64(p.Sequence) + 1<<16
		a.next = a.highest
	}
	difference := int64(int16(p.Sequence - uint16(a.highest)))
	number := a.highest + difference
	if difference > jump || difference < -jump { // another stream
		a.waiting = nil
		a.broken = true
		a.next = number
		a.highest = number
	}
	a.highest = max(a.highest, number)
	if number < a.next {
		return
	}
	at, found := slices.BinarySearchFunc(a.waiting, number, func(n numbered, want int64) int { return int(n.number - want) })
	if !found {
		a.waiting = slices.Insert(a.waiting, at, numbered{p, number})
	}
}

// Pop returns the next frame that is whole; false when more packets have to come first. now is the
// time of arrival of the newest packet of the stream.
func (a *Assembler) Pop(now time.Time) (Frame, bool) {
	for len(a.waiting) > 0 {
		n, whole, cut := a.frame()
		if whole {
			f, ok := a.take(n)
			if ok {
				return f, true
			}
			continue
		}
		if !cut && now.Sub(a.waiting[0].At) < Patience && len(a.waiting) < maxWaiting {
			return Frame{}, false
		}
		a.skip(n)
	}
	return Frame{}, false
}

// frame returns how many of the packets that wait, from the first, are of one frame, whether that
// is whole, and whether it never will be: the sender did not send its end, as when it loses its
// connection.
func (a *Assembler) frame() (n int, whole, cut bool) {
	first := a.waiting[0]
	if first.number != a.next {
		return 0, false, false
	}
	if !first.Codec.Video() {
		return 1, true, false
	}
	for i, p := range a.waiting {
		switch {
		case p.number != first.number+int64(i):
			return i, false, false
		case len(p.Payload) == 0 && i == 0: // in the place of what was left out on purpose
			return 1, true, false
		case p.Timestamp != first.Timestamp || p.Codec != first.Codec:
			return i, false, true
		case p.Marker:
			return i + 1, true, false
		}
	}
	return len(a.waiting), false, false
}

// skip gives up what is missing: before the first packet, or behind the first n.
func (a *Assembler) skip(n int) {
	video := a.waiting[0].Codec.Video()
	if n == len(a.waiting) { // the end of a frame has not come, and nothing else has
		a.next = a.waiting[n-1].number + 1
	} else {
		before := a.next
		if n > 0 {
			before = a.waiting[n-1].number + 1
		}
		a.next = a.waiting[n].number
		a.lost += uint64(a.next - before)
	}
	a.drop(n)
	if video {
		a.broken = true
		a.left++
	}
}

func (a *Assembler) drop(n int) {
	clear(a.waiting[:n])
	a.waiting = a.waiting[n:]
}

// take makes a frame of the first n packets. It returns false when that is to be left out.
func (a *Assembler) take(n int) (Frame, bool) {
	packets := a.waiting[:n]
	a.next = packets[n-1].number + 1
	f := Frame{
		Codec: packets[0].Codec, Timestamp: packets[0].Timestamp, At: packets[0].At, When: packets[0].When,
		Position: packets[0].Position, Last: packets[n-1].Sequence,
	}
	for _, p := range packets {
		f.Position = min(f.Position, p.Position)
		if p.At.Before(f.At) {
			f.At = p.At
		}
		if p.When.Before(f.When) {
			f.When = p.When
		}
	}
	ok := f.read(packets)
	a.drop(n)
	if len(f.Data) == 0 && ok { // padding, or in the place of what was left out on purpose
		return Frame{}, false
	}
	if !f.Codec.Video() {
		a.broken = false
		return f, ok
	}
	if f.Key && ok {
		a.broken = false
	}
	if a.broken || !ok {
		a.broken = true
		a.left++
		return Frame{}, false
	}
	return f, true
}

// read puts the payloads together. It returns false for what is malformed, and for what begins in
// the middle of a frame.
func (f *Frame) read(packets []numbered) bool {
	switch f.Codec {
	case Opus:
		f.Data, f.Key = packets[0].Payload, true
		return true
	case VP8:
		return f.readVP8(packets)
	case VP9:
		return f.readVP9(packets)
	case H264:
		return f.readH264(packets)
	}
	return false
}

func (f *Frame) readVP8(packets []numbered) bool {
	begun := false
	for _, p := range packets {
		if len(p.Payload) == 0 {
			continue
		}
		var packet codecs.VP8Packet
		data, err := packet.Unmarshal(p.Payload)
		if err != nil || !begun && (packet.S == 0 || packet.PID != 0) {
			return false
		}
		begun = true
		f.Data = append(f.Data, data...)
	}
	// RFC 6386, section 9.1: the frame tag, and of key frames the start code and the size.
	if len(f.Data) >= 10 && f.Data[0]&1 == 0 && f.Data[3] == 0x9d && f.Data[4] == 0x01 && f.Data[5] == 0x2a {
		f.Key = true
		f.Width = int(binary.LittleEndian.Uint16(f.Data[6:])) & 0x3fff
		f.Height = int(binary.LittleEndian.Uint16(f.Data[8:])) & 0x3fff
	}
	return true
}

func (f *Frame) readVP9(packets []numbered) bool {
	begun := false
	for _, p := range packets {
		if len(p.Payload) == 0 {
			continue
		}
		var packet codecs.VP9Packet
		data, err := packet.Unmarshal(p.Payload)
		if err != nil || !begun && !packet.B {
			return false
		}
		if !begun {
			f.Key = !packet.P
		}
		begun = true
		f.Data = append(f.Data, data...)
	}
	if f.Key {
		var header vp9.Header
		if err := header.Unmarshal(f.Data); err != nil || header.NonKeyFrame {
			f.Key = false // a layer that refers to a lower one
			return true
		}
		f.Width, f.Height = int(header.Width()), int(header.Height())
	}
	return true
}

// What units of H264 are (ITU-T H.264, table 7-1).
const (
	unitIDR = 5
	unitSPS = 7
	unitPPS = 8
)

func (f *Frame) readH264(packets []numbered) bool {
	depacketizer := codecs.H264Packet{IsAVC: true}
	for _, p := range packets {
		if len(p.Payload) == 0 {
			continue
		}
		data, err := depacketizer.Unmarshal(p.Payload)
		if err != nil {
			return false
		}
		f.Data = append(f.Data, data...)
	}
	var sps, pps []byte
	idr := false
	for rest := f.Data; len(rest) > 4; {
		size := int(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if size <= 0 || size > len(rest) {
			return false
		}
		switch rest[0] & 0x1f {
		case unitIDR:
			idr = true
		case unitSPS:
			sps = rest[:size]
		case unitPPS:
			pps = rest[:size]
		}
		rest = rest[size:]
	}
	if !idr || sps == nil || pps == nil {
		return true
	}
	var parsed h264.SPS
	if parsed.Unmarshal(sps) != nil {
		return true
	}
	f.Key, f.Width, f.Height, f.Private = true, parsed.Width(), parsed.Height(), configuration(sps, pps)
	return true
}

// configuration is the AVCDecoderConfigurationRecord for one set of parameters.
func configuration(sps, pps []byte) []byte {
	record := []byte{1, sps[1], sps[2], sps[3], 0xfc | 3, 0xe0 | 1}
	record = binary.BigEndian.AppendUint16(record, uint16(len(sps)))
	record = append(record, sps...)
	record = append(record, 1)
	record = binary.BigEndian.AppendUint16(record, uint16(len(pps)))
	return append(record, pps...)
}
