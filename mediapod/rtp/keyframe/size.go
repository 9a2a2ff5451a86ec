package keyframe

import (
	"encoding/binary"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/vp9"
)

// Size returns the size in pixels of the picture that begins with a payload for which the detector
// of the codec reports true; 0, 0 when the payload does not tell it. It accepts any bytes.
func Size(codec string, payload []byte) (width, height int) {
	switch codec {
	case "VP8":
		return sizeOfVP8(payload)
	case "VP9":
		return sizeOfVP9(payload)
	case "H264":
		return sizeOfH264(payload)
	}
	return 0, 0
}

// sizeOfVP8 reads the frame header of a keyframe (RFC 6386, section 9.1): a tag of three octets, a
// start code, and the two sides in 14 bits each.
func sizeOfVP8(payload []byte) (width, height int) {
	var packet codecs.VP8Packet
	frame, err := packet.Unmarshal(payload)
	if err != nil || len(frame) < 10 || [3]byte(frame[3:]) != [3]byte{0x9d, 0x01, 0x2a} {
		return 0, 0
	}
	return int(binary.LittleEndian.Uint16(frame[6:])) & 0x3fff, int(binary.LittleEndian.Uint16(frame[8:])) & 0x3fff
}

func sizeOfVP9(payload []byte) (width, height int) {
	var packet codecs.VP9Packet
	frame, err := packet.Unmarshal(payload)
	var header vp9.Header
	if err != nil || header.Unmarshal(frame) != nil || header.NonKeyFrame {
		return 0, 0
	}
	return int(header.Width()), int(header.Height())
}

func sizeOfH264(payload []byte) (width, height int) {
	var parsed h264.SPS
	if sps := parameterSet(payload); sps == nil || parsed.Unmarshal(sps) != nil {
		return 0, 0
	}
	return parsed.Width(), parsed.Height()
}

// parameterSet returns the sequence parameter set that a payload has as a whole; nil without one.
func parameterSet(payload []byte) []byte {
	switch {
	case len(payload) == 0:
		return nil
	case payload[0]&0x1f == h264SPS:
		return payload
	case payload[0]&0x1f != h264STAPA:
		return nil
	}
	for rest := payload[1:]; len(rest) > 2; {
		size := int(rest[0])<<8 | int(rest[1])
		rest = rest[2:]
		if size == 0 || size > len(rest) {
			return nil
		}
		if rest[0]&0x1f == h264SPS {
			return rest[:size]
		}
		rest = rest[size:]
	}
	return nil
}
