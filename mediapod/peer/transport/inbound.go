package transport

import (
	"encoding/binary"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
)

// How many packets later than the newest one a packet may come (RFC 3711, section 3.3.2). Media
// that is sent again without a stream of its own has its old number.
const (
	controlWindow = 64
	mediaWindow   = 1024
)

// inbound is how far one SSRC of the peer has come, in RTP and in RTCP.
type inbound struct {
	media, control         uint64 // the highest indices
	hasMedia, hasControl   bool
	resumed                bool   // another process has opened the media so far, and none of it came here yet
	firstMedia, firstReply uint64 // the lowest indices that may come here: another process may have opened those below
}

// open decrypts an RTCP packet, in place. Only what is authentic counts for the peer's limits.
func (k *keys) open(packet []byte, now time.Time) ([]byte, error) {
	k.opening.Lock()
	defer k.opening.Unlock()
	if k.excess || len(packet) < 8 {
		return nil, errDropped
	}
	index := k.controlIndex(packet)
	if known := k.senders[binary.BigEndian.Uint32(packet[4:])]; known != nil && index < known.firstReply {
		return nil, errDropped
	}
	raw, err := k.remote.DecryptRTCP(packet, packet, &k.control)
	if err != nil {
		return nil, err
	}
	if len(raw) < 8 {
		return nil, errDropped
	}
	sender := k.knows(binary.BigEndian.Uint32(raw[4:]))
	if sender == nil {
		return nil, ErrSSRCs
	}
	sender.control, sender.hasControl = max(sender.control, index), true
	switch k.budget.Take(len(raw), now) {
	case compound.Taken:
		return raw, nil
	case compound.Dropped:
		return nil, errDropped
	default:
		return nil, k.flood
	}
}

// openMedia decrypts an RTP packet, in place.
func (k *keys) openMedia(packet []byte) ([]byte, error) {
	k.opening.Lock()
	defer k.opening.Unlock()
	if k.excess || len(packet) < rtpHeaderBytes {
		return nil, errDropped
	}
	sequence, ssrc := binary.BigEndian.Uint16(packet[2:]), binary.BigEndian.Uint32(packet[8:])
	known := k.senders[ssrc]
	index := uint64(sequence)
	if known != nil && known.hasMedia {
		nearest := estimate(known.media, sequence)
		if nearest < int64(known.firstMedia) {
			return nil, errDropped
		}
		index = uint64(nearest)
		if known.resumed { // the counter alone is that of the last packet, which is another one after a wrap
			k.remote.SetROC(ssrc, uint32(index>>16))
		}
	}
	raw, err := k.remote.DecryptRTP(packet, packet, &k.media)
	if err != nil {
		return nil, err
	}
	sender := k.knows(ssrc)
	if sender == nil {
		return nil, ErrSSRCs
	}
	sender.media, sender.hasMedia, sender.resumed = max(sender.media, index), true, false
	return raw, nil
}

// rtpHeaderBytes is the least that an RTP header has (RFC 3550, section 5.1).
const rtpHeaderBytes = 12

// headerScratch is where pion's SRTP reads the headers of packets into.
type headerScratch = rtp.Header

// senderOf returns the SSRC by which an RTP or RTCP packet names its sender (RFC 3550, sections 5.1
// and 6.4), which stands there in the clear; false when the packet is neither.
func senderOf(packet []byte) (ssrc uint32, ok bool) {
	switch {
	case len(packet) < rtpHeaderBytes || packet[0] < 128 || packet[0] > 191: // RFC 7983
		return 0, false
	case isRTCP(packet):
		return binary.BigEndian.Uint32(packet[4:]), true
	default:
		return binary.BigEndian.Uint32(packet[8:]), true
	}
}

// controlIndex is the index of an SRTCP packet (RFC 3711, section 3.4; RFC 7714, section 9.2),
// which stands in it; 0 when it has none.
func (k *keys) controlIndex(packet []byte) uint64 {
	tag := 0
	if k.material.Profile == dtls.SRTP_AES128_CM_HMAC_SHA1_80 {
		tag = 10
	}
	if len(packet) < tag+4 {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(packet[len(packet)-tag-4:]) & maxControlIndex) // without the flag for encryption
}

// hears tells whether something authentic has come from a sender.
func (k *keys) hears(ssrc uint32) bool {
	k.opening.Lock()
	defer k.opening.Unlock()
	return k.senders[ssrc] != nil
}

// knows remembers a sender; nil when there are too many. The caller holds k.opening.
func (k *keys) knows(ssrc uint32) *inbound {
	if k.last != nil && k.lastSSRC == ssrc {
		return k.last
	}
	known := k.senders[ssrc]
	if known == nil {
		if len(k.senders) == MaxSSRCs {
			k.excess = true
			return nil
		}
		known = &inbound{}
		k.senders[ssrc] = known
	}
	k.last, k.lastSSRC = known, ssrc
	return known
}
