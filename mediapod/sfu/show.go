package sfu

import (
	"slices"
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/ring"
	"mediarooms.dev/mediarooms/mediapod/rtp/still"
	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// A stream that may stand still is kept from its last key frame on, and shown to who comes, or has
// lost the picture, while nothing is sent. It is shown as if all of it were new: the frames follow
// each other by a millisecond, and the last one is of now. What is sent is numbered like what is
// forwarded, and is repaired like it.

const (
	// stillTime is for how long nothing comes of a picture that stands still.
	stillTime = 300 * time.Millisecond
	// showAgain is the least time between two times that a receiver is shown the picture.
	showAgain = time.Second
	// shownFor is how long what was shown can be sent again.
	shownFor = 10 * time.Second
	// showPackets is how many packets of a picture are sent at a tick: 20 Mbit/s.
	showPackets = 48
	// lostTime is how soon a receiver asks for a key frame that has lost some of the picture. One
	// that asks later is only surprised that nothing comes: browsers are after 3 s.
	lostTime = 2 * time.Second
	// refreshInterval is how often a key frame is asked for since the picture has become too large.
	refreshInterval = 5 * time.Second
	// captureTime is how much older than now a frame may be that is still to come.
	captureTime = 100 * time.Millisecond
)

// stillLayer is what a layer that may stand still has besides. It is guarded by Layer.mu.
type stillLayer struct {
	picture     still.Picture
	refreshedAt time.Time
}

// showing is what a forwarder is shown of a still picture. It is guarded by Forwarder.mu.
type showing struct {
	all  []ring.Packet // with the layer's timestamps as of when the showing began; for shownFor
	left []ring.Packet // those of them that are still to be sent
	at   time.Time     // when it began
	// askedAt is when the receiver has asked for a key frame last since the showing began.
	askedAt time.Time
	first   uint16 // the outgoing number of the first packet
}

// packet returns what was shown under an outgoing number, and came under another; false when
// nothing was.
func (s *showing) packet(out, in uint16) (ring.Packet, bool) {
	if len(s.all) == 0 || int(out-s.first) >= len(s.all) || int(in-s.all[0].Sequence) >= len(s.all) {
		return ring.Packet{}, false
	}
	return s.all[in-s.all[0].Sequence], true
}

// show shows the picture to the receivers that wait for it, if it stands still, and goes on with
// those that are being shown it.
func (l *Layer) show(now time.Time) {
	l.mu.Lock()
	heardAt := l.heardAt
	refresh := l.still.picture.Dropped() && now.Sub(l.still.refreshedAt) >= refreshInterval && l.requests.Request(now)
	if refresh {
		l.still.refreshedAt = now
	}
	l.mu.Unlock()
	if refresh {
		l.sendKeyframeRequest()
	}
	var picture []ring.Packet
	for _, f := range l.receivers.load() {
		if now.Sub(heardAt) >= stillTime && f.awaits(l, heardAt, now) {
			if picture == nil {
				if picture = l.pictureAt(now); picture == nil {
					return
				}
			}
			f.beginShowing(picture, now)
		}
		f.showOn(l, now)
	}
}

// pictureAt returns the picture as it is shown at a time; nil when there is none.
func (l *Layer) pictureAt(now time.Time) []ring.Packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	packets := l.still.picture.Packets()
	if packets == nil {
		return nil
	}
	rate := l.config.Codec.ClockRate
	_, timestamp, ok := l.clock.At(now, rate)
	if !ok {
		passed := now.Sub(l.heardAt)
		timestamp = packets[len(packets)-1].Timestamp + uint32(passed.Seconds()*float64(rate))
	}
	timestamp -= uint32(captureTime.Seconds() * float64(rate))
	before := packets[len(packets)-1].Timestamp
	for i := len(packets) - 1; i >= 0; i-- {
		if packets[i].Timestamp != before {
			before = packets[i].Timestamp
			timestamp -= rate / 1000
		}
		packets[i].Timestamp = timestamp
	}
	return packets
}

// awaits tells that the receiver waits for a picture of a layer of which something has come last
// then.
func (f *Forwarder) awaits(l *Layer, heardAt, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.target != l || len(f.showing.left) > 0 || now.Sub(f.showing.at) < showAgain {
		return false
	}
	if source, ok := f.rewriter.Source(); !ok || source != l {
		return true
	}
	since := heardAt
	if f.showing.at.After(since) {
		since = f.showing.at
	}
	return f.showing.askedAt.After(since) && f.showing.askedAt.Sub(since) < lostTime
}

// beginShowing has the picture follow all that was sent so far, by new numbers.
func (f *Forwarder) beginShowing(picture []ring.Packet, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rewriter.Stop()
	newest, _ := f.rewriter.Newest()
	f.showing = showing{all: picture, left: picture, at: now, first: newest + 1}
}

// showOn sends what is next of the picture.
func (f *Forwarder) showOn(l *Layer, now time.Time) {
	f.mu.Lock()
	if f.target != l {
		f.showing.left = nil
	}
	if now.Sub(f.showing.at) > shownFor {
		f.showing.all = nil
	}
	n := min(len(f.showing.left), showPackets)
	next := f.showing.left[:n]
	f.showing.left = f.showing.left[n:]
	f.mu.Unlock()
	for packets := range slices.Chunk(next, MaxBurst) {
		l.showTo(f, packets, now)
	}
}

func (l *Layer) showTo(f *Forwarder, packets []ring.Packet, now time.Time) {
	b := bursts.Get().(*burst)
	defer b.release()
	b.layer, b.at, b.noWait, b.n = l, now, true, len(packets)
	for i, packet := range packets {
		p := &b.packets[i]
		p.SequenceNumber, p.Timestamp, p.Marker, p.Payload = packet.Sequence, packet.Timestamp, packet.Marker, packet.Payload
		p.keyframe = l.keyframe(p.Payload)
		if p.picture = (temporal.Picture{}); l.picture != nil {
			p.picture = l.picture(p.Payload)
		}
	}
	out := f.rewrite(b)
	if len(out) == 0 {
		return
	}
	sent := f.config.Writer.WriteRTP(out)
	counters := l.track.publisher.counters
	counters.ForwardedPackets.Add(uint64(sent))
	for i := range out[:sent] {
		counters.ForwardedBytes.Add(uint64(len(out[i].Payload)))
	}
}
