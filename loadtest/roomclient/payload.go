package roomclient

import (
	"encoding/binary"
	"time"

	"github.com/pion/webrtc/v4"
)

// stamp is what each packet carries in the last bytes of its payload. It goes through a media
// server unchanged, as all payload does.
type stamp struct {
	// sent is when the packet was sent, by this machine's clock.
	sent time.Time
	// frame counts the frames of the picture; the layers of a frame have the same number.
	frame uint32
	// layer is the rank of the simulcast layer, 0 is the lowest.
	layer uint8
	// key marks the packets of a key frame, first the first packet of a frame.
	key, first bool
}

const (
	// stampBytes are the magic number, the time, the frame, the layer and the flags.
	stampBytes = 4 + 8 + 4 + 1 + 1
	stampMagic = 0x6d724c54

	stampKey, stampFirst = 1, 2
)

// put writes the stamp into the end of a payload of at least stampBytes.
func (s stamp) put(payload []byte) {
	b := payload[len(payload)-stampBytes:]
	binary.BigEndian.PutUint32(b, stampMagic)
	binary.BigEndian.PutUint64(b[4:], uint64(s.sent.UnixNano()))
	binary.BigEndian.PutUint32(b[12:], s.frame)
	b[16] = s.layer
	b[17] = 0
	if s.key {
		b[17] |= stampKey
	}
	if s.first {
		b[17] |= stampFirst
	}
}

// readStamp finds the stamp of a payload; false when there is none: somebody else has sent it.
func readStamp(payload []byte) (stamp, bool) {
	if len(payload) < stampBytes {
		return stamp{}, false
	}
	b := payload[len(payload)-stampBytes:]
	if binary.BigEndian.Uint32(b) != stampMagic {
		return stamp{}, false
	}
	return stamp{
		sent:  time.Unix(0, int64(binary.BigEndian.Uint64(b[4:]))),
		frame: binary.BigEndian.Uint32(b[12:]), layer: b[16],
		key: b[17]&stampKey != 0, first: b[17]&stampFirst != 0,
	}, true
}

// picture is one frame of a layer.
type picture struct {
	width, height int
	// id and tl0 are the numbers of VP8: of the frame, and of the newest one of the lowest temporal
	// layer.
	id  uint16
	tl0 uint8
	// temporal is the frame's temporal layer, synced that it needs only the lowest one; used when
	// temporals is more than 1.
	temporal, temporals uint8
	synced              bool
	key                 bool
}

// packetizer fills payloads as a browser's encoder and packetizer do, but for the picture itself:
// nobody decodes it.
type packetizer interface {
	// lead returns the packets that go before those of the frame itself, nil for none.
	lead(p picture) [][]byte
	// fill writes what tells a receiver, and a media server, what the packet at an index of n is.
	fill(payload []byte, p picture, index, n int)
	// least is the least size of a payload.
	least() int
}

func packetizerFor(mime string) packetizer {
	if mime == webrtc.MimeTypeH264 {
		return h264{}
	}
	return vp8{}
}

// vp8 payloads: a descriptor with a 15-bit picture id and, with temporal layers, their numbers (RFC
// 7741, section 4.2), and for the first packet of a frame its header (RFC 6386, section 9.1).
type vp8 struct{}

func (vp8) least() int { return 16 + stampBytes }

func (vp8) lead(picture) [][]byte { return nil }

func (vp8) fill(payload []byte, p picture, index, _ int) {
	payload[0] = 0x80 // X: the extension follows
	if index == 0 {
		payload[0] |= 0x10 // S: start of a partition
	}
	payload[1] = 0x80 // I: the picture id follows
	binary.BigEndian.PutUint16(payload[2:], p.id|0x8000)
	body := payload[4:]
	if p.temporals > 1 {
		payload[1] |= 0x40 | 0x20 // L, T
		payload[4] = p.tl0
		payload[5] = p.temporal << 6
		if p.synced {
			payload[5] |= 0x20 // Y
		}
		if p.temporal == p.temporals-1 {
			payload[0] |= 0x20 // N: no other frame needs this one
		}
		body = payload[6:]
	}
	if index > 0 {
		return
	}
	body[0] = 0x11 // an inter frame that is shown
	if p.key {
		copy(body, []byte{
			0x10, 0, 0, 0x9d, 0x01, 0x2a,
			byte(p.width), byte(p.width >> 8), byte(p.height), byte(p.height >> 8),
		})
	}
}

// h264 payloads (RFC 6184): a key frame is led by an aggregation packet (section 5.7.1) of its
// parameter sets; frames are fragmented (section 5.8) unless they fit one packet.
type h264 struct{}

// NAL unit types (H.264, table 7-1; RFC 6184, table 1).
const (
	nalSlice    = 1
	nalIDR      = 5
	nalSEI      = 6
	nalSTAPA    = 24
	nalFUA      = 28
	nalPriority = 0x60
)

// Parameter sets of constrained baseline, level 3.1, 640 x 480.
var (
	h264SPS = []byte{0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a}
	h264PPS = []byte{0x68, 0xce, 0x3c, 0x80}
)

func (h264) least() int { return 4 + stampBytes }

func (h264) lead(p picture) [][]byte {
	if !p.key {
		return nil
	}
	// The stamp is in a third unit, of supplemental information.
	units := [][]byte{h264SPS, h264PPS, append([]byte{nalSEI}, make([]byte, stampBytes)...)}
	payload := []byte{nalPriority | nalSTAPA}
	for _, unit := range units {
		payload = binary.BigEndian.AppendUint16(payload, uint16(len(unit)))
		payload = append(payload, unit...)
	}
	return [][]byte{payload}
}

func (h264) fill(payload []byte, p picture, index, n int) {
	kind := byte(nalSlice)
	if p.key {
		kind = nalIDR
	}
	if n == 1 {
		payload[0], payload[1] = nalPriority|kind, 0x88 // first_mb_in_slice is 0
		return
	}
	payload[0], payload[1] = nalPriority|nalFUA, kind
	switch index {
	case 0:
		payload[1] |= 0x80 // S
		payload[2] = 0x88
	case n - 1:
		payload[1] |= 0x40 // E
	}
}
