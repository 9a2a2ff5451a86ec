// Package keyframe is the single authority on where in an RTP stream a decoder can start, and on
// how often a publisher may be asked for such a place.
package keyframe

// Detector reports whether an RTP payload is the first packet of a keyframe. It accepts any bytes.
type Detector func(payload []byte) bool

// For returns the detector of a codec by its SDP encoding name ("VP8", "VP9", "H264"); nil for all
// others.
func For(name string) Detector {
	switch name {
	case "VP8":
		return VP8
	case "VP9":
		return VP9
	case "H264":
		return H264
	}
	return nil
}

// VP8 reports whether the payload starts a VP8 keyframe (RFC 7741, sections 4.2 and 4.3).
func VP8(payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	first := payload[0]
	if first&0x10 == 0 || first&0x07 != 0 { // S: start of a partition, PID: the first one
		return false
	}
	at := 1
	if first&0x80 != 0 { // X
		if len(payload) < 2 {
			return false
		}
		extension := payload[1]
		at++
		if extension&0x80 != 0 { // I: a picture ID of 7 or 15 bits
			if len(payload) <= at {
				return false
			}
			if payload[at]&0x80 != 0 {
				at++
			}
			at++
		}
		if extension&0x40 != 0 { // L
			at++
		}
		if extension&0x30 != 0 { // T or K share an octet
			at++
		}
	}
	return len(payload) > at && payload[at]&0x01 == 0 // P: 0 is a keyframe
}

// VP9 reports whether the payload starts a VP9 keyframe (RFC 9628, section 4.2).
func VP9(payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	first := payload[0]
	const pictureID, interPicture, layers, flexible, begin = 0x80, 0x40, 0x20, 0x10, 0x08
	if first&begin == 0 || first&interPicture != 0 {
		return false
	}
	if first&layers == 0 {
		return true
	}
	at := 1
	if first&pictureID != 0 {
		if len(payload) <= at {
			return false
		}
		if payload[at]&0x80 != 0 {
			at++
		}
		at++
	}
	// Of the spatial layers of a picture only the lowest starts it: TID(3) U(1) SID(3) D(1).
	return len(payload) > at && payload[at]&0x0e == 0
}

const (
	h264SPS   = 7
	h264STAPA = 24
	h264FUA   = 28
)

// H264 reports whether the payload brings a sequence parameter set, without which no decoder can
// start; encoders send it right before each keyframe (RFC 6184, sections 5.6 to 5.8).
func H264(payload []byte) bool {
	if len(payload) > 1 && payload[0]&0x1f == h264FUA {
		return payload[1]&0x80 != 0 && payload[1]&0x1f == h264SPS
	}
	return parameterSet(payload) != nil
}
