package roomclient

import (
	"slices"
	"sync"
	"time"
)

const (
	// window is how many packets a reception knows of, a power of two: some seconds of video.
	window = 2048
	// maxChanges bounds the history of layers.
	maxChanges = 4096
)

// Reception is what a receiver has seen of a stream so far.
type Reception struct {
	// Packets and Bytes are what came, RTP headers included; duplicates and retransmissions are not
	// in them.
	Packets, Bytes int64
	// Expected is how many packets should have come, Missed how many of them did not come at first,
	// Repaired how many of these came again. What is still under way counts as missed.
	Expected, Missed, Repaired int64
	// NACKs counts packets that were asked for, each time; KeyframeRequests what was asked because
	// nothing else helped.
	NACKs, KeyframeRequests int64
	// Frames are those that could have been decoded: complete, and everything before them too, back
	// to a key frame.
	Frames int64
	// Freezes are gaps between such frames that webrtc-stats counts as a freeze: more than three
	// average gaps, and 150 ms more than one. Frozen is their time together, Longest the longest
	// gap of all, or since Subscriber.Mark.
	Freezes         int64
	Frozen, Longest time.Duration
	// FirstFrame and LastFrame are when the first and the last frame were complete; of audio,
	// FirstFrame is the time of the first packet.
	FirstFrame, LastFrame time.Time
	// Layer is the simulcast layer of the newest packet, 0 is the lowest; -1 when none was
	// received.
	Layer int
	// Changes are the changes of layer, the first packet included.
	Changes []LayerChange
	// Delay is how long packets took from their sender to this receiver's socket.
	Delay Histogram
}

// Lost is the share of packets that never came, from 0 to 1.
func (r *Reception) Lost() float64 {
	if r.Expected == 0 {
		return 0
	}
	return float64(r.Missed-r.Repaired) / float64(r.Expected)
}

// LayerChange is a change to another simulcast layer.
type LayerChange struct {
	At    time.Time
	Layer int
}

// reception follows one stream. Its methods are safe for concurrent use: packets are noted as they
// come from the socket, and read when they are decrypted.
type reception struct {
	video bool
	begun chan struct{} // closed at the first frame of video, or packet of audio

	mu    sync.Mutex // guards the fields below
	total Reception
	slots [window]arrival

	started       bool
	first         int64 // extended sequence number of the first packet
	highest, next int64 // the highest one, and the lowest that is not decoded yet
	layerAt       int64 // the packet that told the layer

	repairs repairs
	cadence cadence
	reports reports
}

// arrival is what is known of a packet.
type arrival struct {
	sequence int64
	at       time.Time
	here     bool
	end      bool // the last one of its frame
}

func newReception(video bool, clockRate int64) *reception {
	return &reception{
		video: video, begun: make(chan struct{}), total: Reception{Layer: -1}, repairs: newRepairs(), reports: reports{clockRate: clockRate},
	}
}

// extend returns the sequence number with what is above its 16 bits: the one that is nearest to the
// highest.
func (r *reception) extend(sequence uint16) int64 {
	if !r.started {
		return int64(sequence) + 1<<16 // so that what is just before is not negative
	}
	return r.highest + int64(int16(sequence-uint16(r.highest)))
}

// readAtFirst is how many packets are read whatever is sampled, so that it is known soon what
// comes.
const readAtFirst = 64

// arrived notes a packet that came at a time. repaired tells that it was sent again. It returns
// whether all goes well, so that the payload need not be read.
func (r *reception) arrived(sequence uint16, timestamp uint32, end bool, bytes int, repaired bool, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.extend(sequence)
	if !r.started {
		if repaired {
			return false // a probe
		}
		r.started = true
		r.first, r.highest, r.next = s, s-1, s
		if !r.video {
			r.total.FirstFrame = at
			close(r.begun)
		}
	}
	if s < r.first || s <= r.highest-window {
		return false
	}
	slot := &r.slots[s&(window-1)]
	if slot.sequence == s && slot.here {
		return false // a duplicate
	}
	if s > r.highest {
		if r.video {
			r.repairs.miss(r.highest+1, s, at)
		}
		r.highest = s
	}
	*slot = arrival{sequence: s, at: at, here: true, end: end}
	r.total.Packets++
	r.total.Bytes += int64(bytes)
	if repaired {
		r.total.Repaired++
		r.repairs.repaired(s, at)
	} else {
		r.repairs.found(s)
		r.reports.observe(timestamp, at)
	}
	r.decode(at)
	return r.repairs.idle() && s-r.first >= readAtFirst
}

// decode counts the frames that are complete now.
func (r *reception) decode(at time.Time) {
	if !r.video || r.repairs.broken {
		return
	}
	for r.next <= r.highest {
		slot := &r.slots[r.next&(window-1)]
		if slot.sequence != r.next || !slot.here {
			return
		}
		if slot.end {
			r.frame(at)
		}
		r.next++
	}
}

// frame notes that a frame was complete at a time.
func (r *reception) frame(at time.Time) {
	t := &r.total
	t.Frames++
	if t.FirstFrame.IsZero() {
		t.FirstFrame, t.LastFrame = at, at
		close(r.begun)
		return
	}
	gap := at.Sub(t.LastFrame)
	t.LastFrame = at
	t.Longest = max(t.Longest, gap)
	if r.cadence.freezes(gap) {
		t.Freezes++
		t.Frozen += gap
	}
}

// read notes what a packet says that came before.
func (r *reception) read(sequence uint16, what stamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return
	}
	s := r.extend(sequence)
	slot := &r.slots[s&(window-1)]
	if slot.sequence != s || !slot.here {
		return
	}
	r.total.Delay.Add(slot.at.Sub(what.sent))
	if !r.video {
		return
	}
	if s > r.layerAt {
		r.layerAt = s
		if layer := int(what.layer); layer != r.total.Layer {
			r.total.Layer = layer
			if len(r.total.Changes) < maxChanges {
				r.total.Changes = append(r.total.Changes, LayerChange{At: slot.at, Layer: layer})
			}
		}
	}
	if what.key && what.first && s > r.next {
		// A decoder starts anew here; what was missing before is of no use any more.
		r.next = s
		r.repairs.restart(s)
		r.decode(slot.at)
	}
}

// due appends the packets that are to be asked for now, and tells whether a key frame is to be
// asked for.
func (r *reception) due(now time.Time, sequences []uint16) (asked []uint16, keyframe bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked, keyframe = r.repairs.due(now, sequences)
	r.total.NACKs += int64(len(asked) - len(sequences))
	if keyframe {
		r.total.KeyframeRequests++
	}
	return asked, keyframe
}

// reported returns the next report; false while nothing came.
func (r *reception) reported() (report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return report{}, false
	}
	return r.reports.next(r.highest, r.highest-r.first+1, r.total.Packets-r.total.Repaired), true
}

// mark forgets the longest gap.
func (r *reception) mark() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Longest = 0
}

// snapshot returns what was seen so far. A gap that has not ended yet is the longest when it is
// longer than those that have.
func (r *reception) snapshot(now time.Time) Reception {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot := r.total
	snapshot.Changes = slices.Clone(snapshot.Changes)
	if r.total.Frames > 0 {
		snapshot.Longest = max(snapshot.Longest, now.Sub(r.total.LastFrame))
	}
	if r.started {
		snapshot.Expected = r.highest - r.first + 1
		snapshot.Missed = snapshot.Expected - (snapshot.Packets - snapshot.Repaired)
	}
	return snapshot
}
