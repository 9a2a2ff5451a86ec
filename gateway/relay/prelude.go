package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// maxPrelude is how much a client may send before there is a media pod, in bytes.
const maxPrelude = 128 << 10

var errPrelude = errors.New("too much was sent before there was a media pod")

// Prelude is what a client sends after its handshake while there is no media pod: its messages are
// read one by one, and its frames are kept as they came, so that a media pod gets them later. Not
// safe for concurrent use.
type Prelude struct {
	from *bufio.Reader
	kept bytes.Buffer
	last int // where in kept the last message begins
}

// NewPrelude returns the prelude of a client.
func NewPrelude(from *bufio.Reader) *Prelude { return &Prelude{from: from} }

// Next returns the client's next message. It fails with io.EOF when the client closes its socket,
// and with another error when that breaks or too much is kept.
func (p *Prelude) Next() ([]byte, error) {
	var message []byte
	p.last = p.kept.Len()
	for {
		f, err := peekFrame(p.from)
		switch {
		case err != nil:
			return nil, err
		case f.opcode == opClose:
			return nil, io.EOF
		case f.payload > maxPrelude || p.kept.Len()+f.size+int(f.payload) > maxPrelude:
			return nil, errPrelude
		}
		whole := make([]byte, f.size+int(f.payload))
		if _, err := io.ReadFull(p.from, whole); err != nil {
			return nil, err
		}
		p.kept.Write(whole)
		if f.control() {
			continue
		}
		message = append(message, f.unmasked(whole)...)
		if f.final {
			return message, nil
		}
	}
}

// Drop forgets the last message, which was answered: no media pod gets it.
func (p *Prelude) Drop() { p.kept.Truncate(p.last) }

// Reader returns what is kept and then what the client sends. The prelude is over with that.
func (p *Prelude) Reader() *bufio.Reader { return bufio.NewReader(io.MultiReader(&p.kept, p.from)) }

// TextFrame makes a frame with a whole text message of a server.
func TextFrame(text []byte) []byte {
	made := make([]byte, 0, headerSpace+len(text))
	made = append(made, finalBit|opText)
	switch {
	case len(text) < 126:
		made = append(made, byte(len(text)))
	case len(text) < 1<<16:
		made = binary.BigEndian.AppendUint16(append(made, 126), uint16(len(text)))
	default:
		made = binary.BigEndian.AppendUint64(append(made, 127), uint64(len(text)))
	}
	return append(made, text...)
}
