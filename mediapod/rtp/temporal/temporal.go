// Package temporal is the single authority on temporal layers: which one a packet of VP8 (RFC 7741)
// or VP9 (RFC 9628) belongs to, which packets can be left out for a receiver, and where its picture
// numbers are. Pictures of a temporal layer refer to pictures of the same and of lower layers only,
// so that the upper ones can be left out at any picture, and taken up again where the sender says
// so.
package temporal

// Max is how many temporal layers are told apart. Higher ones, which no browser sends, count as the
// highest.
const Max = 4

// Picture is what a payload says of the picture that it is part of.
type Picture struct {
	// Layer is its temporal layer, from 0, when Layered; else the stream has no temporal layers.
	Layer   uint8
	Layered bool
	// Sync tells that the picture refers to pictures of layer 0 only (VP8: Y).
	Sync bool
	// Up tells that no later picture of a higher layer refers to a picture of a higher layer before
	// this one (VP9: U).
	Up bool
	// Numbered tells that receivers look at Number, of Bits bits, and at Base, the number of the
	// picture of layer 0 that this one belongs to, when there is one, to find out what is missing.
	// So they must have no gaps where pictures are left out, and must go on where another stream
	// takes over. That is so of VP8 only: for VP9 a gap of an upper layer is none.
	Numbered bool
	Number   uint16
	Bits     uint8 // 7 or 15
	Base     uint8

	numberAt, baseAt uint8 // where they are in the payload; baseAt is 0 without Base
}

// Parser reads the payload of a packet. It accepts any bytes; of what is malformed it says nothing.
type Parser func(payload []byte) Picture

// For returns the parser of a codec by its SDP encoding name; nil when its payloads do not tell
// temporal layers.
func For(name string) Parser {
	switch name {
	case "VP8":
		return VP8
	case "VP9":
		return VP9
	}
	return nil
}

// VP8 reads a VP8 payload descriptor (RFC 7741, section 4.2).
func VP8(payload []byte) Picture {
	const extended, hasNumber, hasBase, hasLayer = 0x80, 0x80, 0x40, 0x20
	if len(payload) < 2 || payload[0]&extended == 0 || payload[1]&(hasNumber|hasLayer) == 0 {
		return Picture{}
	}
	has := payload[1]
	at := 2
	p := Picture{Numbered: has&hasNumber != 0, Layered: has&hasLayer != 0}
	if has&hasNumber != 0 {
		if len(payload) <= at {
			return Picture{}
		}
		p.numberAt = uint8(at)
		p.Bits, p.Number = 7, uint16(payload[at])
		at++
		if p.Number&0x80 != 0 { // M
			if len(payload) <= at {
				return Picture{}
			}
			p.Bits, p.Number = 15, p.Number&0x7f<<8|uint16(payload[at])
			at++
		}
	}
	if has&hasBase != 0 {
		if len(payload) <= at {
			return Picture{}
		}
		p.baseAt, p.Base = uint8(at), payload[at]
		at++
	}
	if p.Layered {
		if len(payload) <= at {
			return Picture{}
		}
		p.Layer, p.Sync = payload[at]>>6, payload[at]&0x20 != 0
	}
	return p
}

// VP9 reads a VP9 payload descriptor (RFC 9628, section 4.2).
func VP9(payload []byte) Picture {
	const hasNumber, hasLayers = 0x80, 0x20
	if len(payload) == 0 || payload[0]&hasLayers == 0 {
		return Picture{}
	}
	at := 1
	if payload[0]&hasNumber != 0 {
		if len(payload) <= at {
			return Picture{}
		}
		if payload[at]&0x80 != 0 { // M
			at++
		}
		at++
	}
	if len(payload) <= at {
		return Picture{}
	}
	return Picture{Layered: true, Layer: min(payload[at]>>5, Max-1), Up: payload[at]&0x10 != 0}
}

// Renumber writes other numbers into a payload from which the picture was read. It changes nothing
// when the picture is not Numbered.
func (p Picture) Renumber(payload []byte, number uint16, base uint8) {
	if !p.Numbered {
		return
	}
	if p.Bits == 15 {
		payload[p.numberAt] = 0x80 | byte(number>>8)
		payload[p.numberAt+1] = byte(number)
	} else {
		payload[p.numberAt] = byte(number) & 0x7f
	}
	if p.baseAt != 0 {
		payload[p.baseAt] = base
	}
}

// Selector decides which pictures of a stream one receiver gets. It is not safe for concurrent use.
// Its zero value keeps layer 0.
type Selector struct {
	limit   uint8 // the highest layer that the receiver should get
	current uint8 // the highest that it gets
	newest  uint32
	keep    bool // the newest picture
	decided bool
}

// Start begins with a keyframe, on which no earlier picture has any influence.
func (s *Selector) Start() {
	s.current = s.limit
	s.decided = false
}

// Limit sets the highest layer to keep. What is above is left out from the next picture on; what is
// to be added begins where the stream allows.
func (s *Selector) Limit(layer uint8) {
	s.limit = layer
}

// Keep decides on a packet by its picture and RTP timestamp. All packets of a picture that come in
// order get the same answer.
func (s *Selector) Keep(p Picture, timestamp uint32) bool {
	if s.decided {
		switch diff := int32(timestamp - s.newest); {
		case diff == 0:
			return s.keep
		case diff < 0: // late
			return p.Layer <= s.current
		}
	}
	s.newest, s.decided = timestamp, true
	s.current = min(s.current, s.limit)
	if p.Sync && p.Layer == s.current+1 && p.Layer <= s.limit {
		s.current++
	}
	s.keep = p.Layer <= s.current
	if s.keep && p.Up {
		s.current = s.limit
	}
	return s.keep
}
