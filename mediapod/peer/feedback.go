package peer

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/mediapod/rtp/seqnum"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// feedbackInterval is how often a publisher is told when its packets arrived.
const feedbackInterval = 100 * time.Millisecond

// maxMissing is for how many missing packets there is room in what a publisher is told at once.
// What jumps further begins anew.
const maxMissing = 2000

// feedback is what a publisher is told of all of its packets, by their transport-wide numbers, to
// measure what its path carries (draft-holmer-rmcat-transport-wide-cc-extensions-01). Its methods
// are safe for concurrent use.
type feedback struct {
	extension uint8 // the number of the header extension for these numbers, 0 without
	began     time.Time
	sender    uint32 // the SSRC of what tells it

	mu       sync.Mutex // guards the fields below
	recorder *twcc.Recorder
	started  bool
	newest   uint16
	missing  int // numbers that were left out since told
	told     time.Time
}

func newFeedback(extension uint8) *feedback {
	return &feedback{extension: extension, began: time.Now(), sender: rand.Uint32()}
}

// record notes a packet of any stream, by its header.
func (f *feedback) record(h *rtp.Header, at time.Time) {
	if f.extension == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if number := h.GetExtension(f.extension); len(number) == 2 && f.follows(binary.BigEndian.Uint16(number)) {
		f.recorder.Record(h.SSRC, binary.BigEndian.Uint16(number), at.Sub(f.began).Microseconds())
	}
}

// follows reports whether there is room for a packet, and for those that are missing before it. The
// caller holds f.mu.
func (f *feedback) follows(number uint16) bool {
	ahead := seqnum.Diff(number, f.newest)
	if !f.started || max(ahead, -ahead) > maxMissing {
		if f.missing > 0 { // one beginning at a time
			return false
		}
		f.recorder = twcc.NewRecorder(f.sender)
		f.started, f.newest, f.missing = true, number, 1
		return true
	}
	if ahead <= 0 {
		return true
	}
	if f.missing+ahead-1 > maxMissing {
		return false
	}
	f.missing += ahead - 1
	f.newest = number
	return true
}

// due returns what the publisher is to be told now. It is to be called about every
// sfu.TickInterval.
func (f *feedback) due(now time.Time) []rtcp.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.told) < feedbackInterval-sfu.TickInterval/2 {
		return nil
	}
	f.told = now
	f.missing = 0
	if f.recorder == nil {
		return nil
	}
	return f.recorder.BuildFeedbackPacket()
}
