package standby

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// ledger says which packet indices were used.
type ledger struct {
	keys    map[netip.AddrPort]transport.Keys
	highest map[stream]uint64
	used    map[use]string // by which pod
}

// stream is one of RTP, or of RTCP, in a connection.
type stream struct {
	client  netip.AddrPort
	ssrc    uint32
	control bool
}

// String implements fmt.Stringer.
func (s stream) String() string {
	kind := "RTP"
	if s.control {
		kind = "RTCP"
	}
	return fmt.Sprintf("%s of SSRC %d to %v", kind, s.ssrc, s.client)
}

// use is that of a nonce: it is made of the stream and the index (RFC 7714, sections 8.1 and 9.1).
type use struct {
	stream
	index uint64
}

func newLedger(keys map[netip.AddrPort]transport.Keys) *ledger {
	return &ledger{keys: keys, highest: map[stream]uint64{}, used: map[use]string{}}
}

// enter notes a packet. It fails when that has an index which was used before, or can't be
// decrypted.
func (l *ledger) enter(s sent) error {
	of, index, err := l.open(s)
	if err != nil {
		return fmt.Errorf("packet of %s: %w", s.pod, err)
	}
	l.highest[of] = max(l.highest[of], index)
	at := use{of, index}
	if before, again := l.used[at]; again {
		return fmt.Errorf("index %d of %v is used by %s and by %s", index, of, before, s.pod)
	}
	l.used[at] = s.pod
	return nil
}

// open decrypts a packet, which proves its index.
func (l *ledger) open(s sent) (stream, uint64, error) {
	k, known := l.keys[s.client]
	if !known {
		return stream{}, 0, fmt.Errorf("the client %v has no keys", s.client)
	}
	profile := srtp.ProtectionProfile(k.Profile)
	context, err := srtp.CreateContext(k.LocalKey, k.LocalSalt, profile)
	if err != nil {
		return stream{}, 0, err
	}
	if isControl(s.packet) {
		of := stream{s.client, binary.BigEndian.Uint32(s.packet[4:]), true}
		_, err := context.DecryptRTCP(nil, s.packet, nil)
		return of, controlIndex(s.packet, profile), err
	}
	var header rtp.Header
	if _, err := header.Unmarshal(s.packet); err != nil {
		return stream{}, 0, err
	}
	of := stream{s.client, header.SSRC, false}
	for _, index := range candidates(l.highest[of], header.SequenceNumber) {
		context.SetROC(header.SSRC, uint32(index>>16))
		if _, err = context.DecryptRTP(nil, s.packet, nil); err == nil {
			return of, index, nil
		}
	}
	return of, 0, err
}

// candidates are the indices that end in a sequence number and are near to one, from near to far.
func candidates(near uint64, sequence uint16) []uint64 {
	const cycle = 1 << 16
	nearest := int64(near) + int64(int16(sequence-uint16(near)))
	var all []uint64
	for _, index := range []int64{nearest, nearest + cycle, nearest - cycle} {
		if index >= 0 {
			all = append(all, uint64(index))
		}
	}
	return all
}

// controlIndex is that of an SRTCP packet, before the tag where the profile has one apart.
func controlIndex(packet []byte, profile srtp.ProtectionProfile) uint64 {
	end := len(packet)
	if profile == srtp.ProtectionProfileAes128CmHmacSha1_80 {
		end -= 10
	}
	return uint64(binary.BigEndian.Uint32(packet[end-4:end]) &^ (1 << 31))
}
