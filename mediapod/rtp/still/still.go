// Package still is the single authority on which packets make up the picture of a video stream that
// may stand still: those from its last key frame on. Who comes while nothing moves can be sent
// them; a sender that has no new frame answers no request for a key frame.
package still

import (
	"slices"

	"mediarooms.dev/mediarooms/mediapod/rtp/ring"
	"mediarooms.dev/mediarooms/mediapod/rtp/seqnum"
)

// MaxBytes and MaxPackets bound what is kept of a picture. One that has become larger is dropped,
// until the next key frame.
const (
	MaxBytes   = 1 << 20
	MaxPackets = 1024
)

// Picture keeps packets of one stream. The zero value is ready for use. It is not safe for
// concurrent use.
type Picture struct {
	packets []ring.Packet // by sequence number, from the key frame on
	bytes   int
	dropped bool // it was too large
}

// Put takes a packet that has not come before, and copies it. A key frame, of which this is the
// first packet, begins the picture anew.
func (p *Picture) Put(packet ring.Packet, keyframe bool) {
	switch {
	case keyframe && (len(p.packets) == 0 || seqnum.Newer(packet.Sequence, p.packets[0].Sequence)):
		*p = Picture{}
	case len(p.packets) == 0 || !seqnum.Newer(packet.Sequence, p.packets[0].Sequence):
		return // what came before the key frame, or after too much
	case len(p.packets) == MaxPackets || p.bytes+len(packet.Payload) > MaxBytes:
		*p = Picture{dropped: true}
		return
	}
	packet.Payload = slices.Clone(packet.Payload)
	at := len(p.packets)
	for at > 0 && seqnum.Newer(p.packets[at-1].Sequence, packet.Sequence) {
		at--
	}
	p.packets = slices.Insert(p.packets, at, packet)
	p.bytes += len(packet.Payload)
}

// Dropped tells that there is no picture since it was too large: a key frame would begin another.
func (p *Picture) Dropped() bool { return p.dropped }

// Packets returns the packets in order, which must not be changed; nil when one is missing or the
// last frame is not complete.
func (p *Picture) Packets() []ring.Packet {
	for i := 1; i < len(p.packets); i++ {
		if p.packets[i].Sequence != p.packets[i-1].Sequence+1 {
			return nil
		}
	}
	if len(p.packets) == 0 || !p.packets[len(p.packets)-1].Marker {
		return nil
	}
	return slices.Clone(p.packets)
}
