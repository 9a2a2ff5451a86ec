package transport

import (
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// WriteRTP implements sfu.PacketWriter: all packets are written and sealed in one buffer, and go
// out by as few system calls as the kernel allows.
func (c *Conn) WriteRTP(packets []sfu.Outgoing) int {
	k, r := c.keys.Load(), c.route.Load()
	if k == nil || r == nil || len(packets) == 0 {
		return 0
	}
	b := bursts.Get().(*burst)
	defer b.release()
	k.seal(b, packets, c.permit.Load())
	b.waits = !packets[0].NoWait
	return r.writeBurst(b)
}

// maxPadding is the most that a packet is made longer so that it has the size of its neighbours:
// browsers cut a frame into packets that differ by a byte, and only packets of one size go out
// together.
const maxPadding = 4

// seal appends packets, encrypted. One that can't be is left out.
func (k *keys) seal(b *burst, packets []sfu.Outgoing, permit *Permit) {
	longest := 0
	for i := range packets {
		if n := len(packets[i].Payload); n <= maxPayload {
			longest = max(longest, n)
		}
	}
	k.sealing.Lock()
	defer k.sealing.Unlock()
	if k.frozen || !permit.valid() {
		return
	}
	for i := range packets {
		p := &packets[i]
		start := len(b.data)
		if len(p.Payload) > maxPayload || cap(b.data)-start < maxPacket || !k.use(p.SSRC, p.Sequence) {
			continue
		}
		plain := append(p.AppendHeader(b.data), p.Payload...)
		if missing := longest - len(p.Payload); missing > 0 && missing <= maxPadding && i < len(packets)-1 {
			plain = pad(plain, start, missing)
		}
		sealed, err := k.local.EncryptRTP(plain[start:], plain[start:], &k.header)
		if err != nil {
			continue
		}
		b.data = b.data[:start+len(sealed)]
		b.sizes = append(b.sizes, len(sealed))
	}
}

// use notes that a packet is to be encrypted; false when another process may have used its index,
// or may come to use it: a nonce is made of it (RFC 7714, section 8.1). The caller holds k.sealing.
func (k *keys) use(ssrc uint32, sequence uint16) bool {
	stream := k.sent.of(ssrc, sequence)
	nearest := estimate(stream.highest, sequence)
	if nearest < int64(stream.first) || k.bounded && nearest >= int64(stream.end) {
		return false
	}
	index := uint64(nearest)
	if stream.resumed {
		stream.resumed = false
		k.local.SetROC(ssrc, uint32(index>>16))
	}
	stream.highest = max(stream.highest, index)
	return true
}

// pad makes the packet that begins at start longer (RFC 3550, section 5.1).
func pad(b []byte, start, bytes int) []byte {
	b[start] |= 1 << 5
	for range bytes - 1 {
		b = append(b, 0)
	}
	return append(b, byte(bytes))
}
