package roomclient

import (
	"errors"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// errNotBound marks a publisher whose media was not negotiated yet.
var errNotBound = errors.New("nothing was negotiated to send")

// WriteRTCP sends packets as they are, protected by the keys of the connection, for tests of what a
// server does with those that no client sends.
func (p *peer) WriteRTCP(packets []rtcp.Packet) error { return p.pc.WriteRTCP(packets) }

// WriteRTP sends one packet as it is, protected by the keys of the connection: with any SSRC,
// payload type and extensions.
func (p *Publisher) WriteRTP(header *rtp.Header, payload []byte) error {
	e := p.audio
	if len(p.video) > 0 {
		e = p.video[0]
	}
	if e == nil {
		return errNotBound
	}
	e.mu.Lock()
	b := e.binding
	e.mu.Unlock()
	if b == nil {
		return errNotBound
	}
	_, err := b.writer.WriteRTP(header, payload)
	return err
}
