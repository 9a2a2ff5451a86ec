package transport

import (
	"fmt"

	"github.com/pion/rtp"
)

// inbound is how far one RTP stream of the peer has come.
type inbound struct {
	highest uint64
	// resumed tells that another process has taken the stream so far, and nothing of it came here yet.
	resumed bool
}

// openMedia decrypts an RTP packet, in place, and reads its header. Only what is authentic counts for
// the peer's limits.
func (k *keys) openMedia(packet []byte, header *rtp.Header) ([]byte, error) {
	if _, err := header.Unmarshal(packet); err != nil {
		return nil, fmt.Errorf("reading RTP header: %w", err)
	}
	k.opening.Lock()
	defer k.opening.Unlock()
	stream, known := k.received[header.SSRC]
	if !known && len(k.received) == MaxSSRCs {
		return nil, ErrSSRCs
	}
	if known && stream.resumed {
		// The rollover counter alone is that of the last packet, which is another one after a wrap.
		k.remote.SetROC(header.SSRC, uint32(estimate(stream.highest, header.SequenceNumber)>>16))
	}
	raw, err := k.remote.DecryptRTP(packet, packet, header)
	if err != nil {
		return nil, err
	}
	if !known {
		stream = &inbound{highest: uint64(header.SequenceNumber)}
		k.received[header.SSRC] = stream
	}
	stream.resumed = false
	if index := estimate(stream.highest, header.SequenceNumber); index > int64(stream.highest) {
		stream.highest = uint64(index)
	}
	return raw, nil
}
