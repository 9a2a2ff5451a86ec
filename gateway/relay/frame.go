package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
)

// Opcodes (RFC 6455, section 5.2).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA

	finalBit   = 0x80
	maskBit    = 0x80
	opcodeBits = 0x0F
)

// maxControl is how long the payload of a control frame may be, maxPayload that of any frame.
// headerSpace is enough for each header.
const (
	maxControl  = 125
	maxPayload  = 1 << 62
	headerSpace = 14
)

var errFrame = errors.New("malformed frame")

// frame is the header of a WebSocket frame.
type frame struct {
	size    int // of the header
	opcode  byte
	final   bool
	masked  bool
	mask    [4]byte
	payload uint64 // its length
}

// peekFrame returns the header of the next frame and takes nothing out of the reader.
func peekFrame(reader *bufio.Reader) (frame, error) {
	header, err := reader.Peek(2)
	if err != nil {
		return frame{}, err
	}
	f := frame{
		size: 2, opcode: header[0] & opcodeBits, final: header[0]&finalBit != 0, masked: header[1]&maskBit != 0, payload: uint64(header[1] &^ maskBit),
	}
	long := 0
	switch f.payload {
	case 126:
		long = 2
	case 127:
		long = 8
	}
	f.size += long
	if f.masked {
		f.size += len(f.mask)
	}
	if header, err = reader.Peek(f.size); err != nil {
		return frame{}, err
	}
	switch long {
	case 2:
		f.payload = uint64(binary.BigEndian.Uint16(header[2:]))
	case 8:
		f.payload = binary.BigEndian.Uint64(header[2:])
	}
	if f.payload > maxPayload {
		return frame{}, errFrame
	}
	if f.masked {
		copy(f.mask[:], header[f.size-len(f.mask):])
	}
	return f, nil
}

// control reports whether it is a control frame. One that is too long is none: it passes like data,
// to whoever it is a mistake for.
func (f frame) control() bool { return f.opcode&0x8 != 0 && f.payload <= maxControl }

// begins reports whether a message begins with the frame.
func (f frame) begins() bool { return f.opcode == opText || f.opcode == opBinary }

// unmasked returns the payload of a whole control frame.
func (f frame) unmasked(whole []byte) []byte {
	payload := append([]byte(nil), whole[f.size:]...)
	if f.masked {
		for i := range payload {
			payload[i] ^= f.mask[i%len(f.mask)]
		}
	}
	return payload
}

// shortFrame makes a frame whose payload has at most maxControl bytes. A client's has a mask; that
// of zeros leaves the payload as it is, and there is nobody to hide it from on the way to a media
// pod.
func shortFrame(opcode byte, payload []byte, masked bool) []byte {
	made := make([]byte, 0, headerSpace+len(payload))
	length := byte(len(payload))
	if masked {
		length |= maskBit
	}
	made = append(made, finalBit|opcode, length)
	if masked {
		made = append(made, 0, 0, 0, 0)
	}
	return append(made, payload...)
}

// parts calls pass with a frame, header first, in parts as they come; the last one is the frame's
// end. offset is where in the frame the part begins. A part is good until pass returns.
func (f frame) parts(reader *bufio.Reader, pass func(part []byte, offset uint64, last bool) error) error {
	whole := uint64(f.size) + f.payload
	for offset := uint64(0); offset < whole; {
		if reader.Buffered() == 0 {
			if _, err := reader.Peek(1); err != nil {
				return err
			}
		}
		part, err := reader.Peek(int(min(uint64(reader.Buffered()), whole-offset)))
		if err != nil {
			return err
		}
		if err := pass(part, offset, offset+uint64(len(part)) == whole); err != nil {
			return err
		}
		offset += uint64(len(part))
		if _, err := reader.Discard(len(part)); err != nil {
			return err
		}
	}
	return nil
}

// text returns what a part of the frame has of the payload, and where in that it begins.
func (f frame) text(part []byte, offset uint64) (text []byte, from uint64) {
	header := min(uint64(len(part)), uint64(f.size)-min(offset, uint64(f.size)))
	return part[header:], max(offset, uint64(f.size)) - uint64(f.size)
}

// whole calls pass with a control frame.
func (f frame) whole(reader *bufio.Reader, pass func(frame []byte) error) error {
	size := f.size + int(f.payload)
	all, err := reader.Peek(size)
	if err != nil {
		return err
	}
	if err := pass(all); err != nil {
		return err
	}
	_, err = reader.Discard(size)
	return err
}
