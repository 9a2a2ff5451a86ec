package transport

import (
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// headerScratch is where pion's SRTP reads the headers of packets into.
type headerScratch = rtp.Header

// WriteRTP implements sfu.PacketWriter: all packets are written and sealed in one buffer, and go out by as few system calls as the
// kernel allows.
func (c *Conn) WriteRTP(packets []sfu.Outgoing) int {
	k, r := c.keys.Load(), c.route.Load()
	if k == nil || r == nil {
		return 0
	}
	b := bursts.Get().(*burst)
	defer b.release()
	k.seal(b, packets)
	return r.writeBurst(b)
}

// seal appends packets, encrypted. One that can't be is left out.
func (k *keys) seal(b *burst, packets []sfu.Outgoing) {
	k.sealing.Lock()
	defer k.sealing.Unlock()
	for i := range packets {
		p := &packets[i]
		start := len(b.data)
		if len(p.Payload) > maxPayload || cap(b.data)-start < maxPacket {
			continue
		}
		plain := append(p.AppendHeader(b.data), p.Payload...)
		sealed, err := k.local.EncryptRTP(plain[start:], plain[start:], &k.header)
		if err != nil {
			continue
		}
		b.data = b.data[:start+len(sealed)]
		b.sizes = append(b.sizes, len(sealed))
	}
}
