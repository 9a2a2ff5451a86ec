package sfu

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
)

// chooseInterval is how often the layers of forwarders are chosen anew.
const chooseInterval = 100 * time.Millisecond

// drain is how long a path's queue becomes shorter, after nothing of a layer is sent any more that
// filled it, before a keyframe is asked for, so that it is not lost: what an encoder takes comes on
// top, but some take next to no time.
const drain = 60 * time.Millisecond

// Track is one kind of media of a publisher. Its methods are safe for concurrent use.
type Track struct {
	kind      Kind
	publisher *Publisher
	maxKbps   int // 0 is no limit

	// mu guards the fields below, those of the feeds, and what forwarders are aimed at. It is never
	// held across a write.
	mu         sync.Mutex
	forwarders []*Forwarder
	feed       *Feed // what forwarders should get; nil while nobody publishes
	feeds      int   // how many there were
	chosenAt   time.Time
	closed     bool
}

// Feed is what one publishing connection sends of a track: one layer or, with simulcast, several.
type Feed struct {
	track  *Track
	number int

	// Guarded by track.mu.
	layers   []*Layer // from low to high
	measured []layers.Layer
	liveness layers.Liveness

	limited bool // owned by report: the sender was told a bitrate limit
}

// NewFeed makes a feed that nothing has been sent on yet. With its first layer it takes the place
// of all feeds before it.
func (t *Track) NewFeed() *Feed {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.feeds++
	return &Feed{track: t, number: t.feeds}
}

// Publish adds a layer that the connection has started to send, or replaces the one of the same
// rank. Each forwarder that it suits changes over to it at its first keyframe, or at its first
// packet when it has none.
func (f *Feed) Publish(config LayerConfig, now time.Time) (*Layer, error) {
	layer := newLayer(f.track, config, now)
	if err := f.add(layer, now); err != nil {
		return nil, err
	}
	if config.Resumed && layer.wanted() {
		layer.RequestKeyframe(now)
	}
	return layer, nil
}

func (f *Feed) add(layer *Layer, now time.Time) error {
	t, config := f.track, layer.config
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	at, replaced := slices.BinarySearchFunc(f.layers, config.Rank, func(l *Layer, rank int) int { return l.config.Rank - rank })
	if !replaced && len(f.layers) == layers.Max {
		return fmt.Errorf("publishing more than %d layers", layers.Max)
	}
	all := slices.Clone(f.layers) // the old slice may be being read
	if replaced {
		all[at] = layer
	} else {
		all = slices.Insert(all, at, layer)
	}
	f.layers = all
	f.liveness = layers.Liveness{}
	if t.feed == nil || t.feed.number < f.number {
		t.feed = f
	}
	if t.feed == f {
		f.measure(now)
		for _, forwarder := range t.forwarders {
			t.aim(forwarder, now)
		}
	}
	return nil
}

// measure looks at what the layers bring.
func (f *Feed) measure(now time.Time) {
	var frames [layers.Max]uint64
	f.measured = f.measured[:0]
	for i, l := range f.layers {
		n, measured := l.flow(now)
		frames[i] = n
		f.measured = append(f.measured, measured)
	}
	f.liveness.Update(frames[:len(f.layers)], now)
	for i := range f.measured {
		f.measured[i].Alive = f.liveness.Alive(i)
	}
}

// aim has a forwarder change over to what suits it best. It returns the layer when it is another
// one than before.
func (t *Track) aim(f *Forwarder, now time.Time) *Layer {
	if t.feed == nil {
		return nil
	}
	if f.withheld {
		t.pause(f)
		if t.kind == Video {
			f.path.want(0, now)
		}
		f.note(layers.NoPause)
		return nil
	}
	current := slices.Index(t.feed.layers, f.aimed)
	before := f.selection
	var path layers.Path
	if t.kind == Video {
		path = f.path.video(now)
		pausable := path.Clogged && f.probeable() // on another path it is not paused
		f.path.want(f.selection.Update(t.feed.measured, current, path, f.limits(), pausable, now), now)
	}
	s := f.selection
	f.note(s.Pause())
	switch {
	case s.Pause() != layers.NoPause:
		t.pause(f)
		return nil
	case s.Layer == current:
		if s.Temporal != before.Temporal {
			f.aim(f.aimed, s.Temporal, false)
		}
		return nil
	}
	layer := t.feed.layers[s.Layer]
	layer.use(true)
	stop := s.Layer < current && path.Congested && path.Kbps*2 < t.feed.measured[current].Kbps
	f.aim(layer, s.Temporal, stop)
	f.connect()
	if stop { // tick asks for it
		layer.requestKeyframeFrom(now.Add(drain))
		return nil
	}
	return layer
}

// pause has nothing sent to a forwarder until it is aimed at a layer again. The caller holds t.mu.
func (t *Track) pause(f *Forwarder) {
	if f.aimed != nil {
		f.pause()
		f.connect()
	}
}

// change changes what a subscriber wants, and has its forwarder send that.
func (t *Track) change(f *Forwarder, wish func(*Forwarder), now time.Time) {
	t.mu.Lock()
	wish(f)
	var layer *Layer
	if slices.Contains(t.forwarders, f) { // else it is aimed when it is added
		layer = t.aim(f, now)
	}
	t.mu.Unlock()
	if layer != nil {
		layer.RequestKeyframe(now)
	}
}

func (t *Track) add(f *Forwarder, now time.Time) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return ErrClosed
	}
	t.forwarders = append(t.forwarders, f)
	layer := t.aim(f, now)
	t.mu.Unlock()
	// Only now, so that the keyframe that answers this finds the forwarder.
	if layer != nil {
		layer.RequestKeyframe(now)
	}
	return nil
}

func (t *Track) remove(f *Forwarder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forwarders = slices.DeleteFunc(t.forwarders, func(other *Forwarder) bool { return other == f })
	f.disconnect()
}

func (t *Track) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.feed = nil
	for _, f := range t.forwarders {
		f.disconnect()
	}
	t.forwarders = nil
}

// hurry has layers chosen at the next tick: somebody's path has become worse.
func (t *Track) hurry() {
	t.mu.Lock()
	t.chosenAt = time.Time{}
	t.mu.Unlock()
}

// tick chooses layers, when that is due, and lets them do what time brings.
func (t *Track) tick(now time.Time, report bool) {
	t.mu.Lock()
	feed := t.feed
	if feed == nil {
		t.mu.Unlock()
		return
	}
	all := feed.layers
	var wanted [layers.Max]bool
	if now.Sub(t.chosenAt) >= chooseInterval {
		t.chosenAt = now
		wanted = t.choose(now)
	}
	limit := 0
	if report {
		limit = t.limit()
	}
	t.mu.Unlock()
	for i, layer := range all {
		if wanted[i] {
			layer.RequestKeyframe(now)
		}
		layer.tick(now)
	}
	if report {
		feed.report(all, now, limit)
	}
}

// choose aims the forwarders anew, and returns which layers must bring a keyframe for that. The
// caller holds t.mu.
func (t *Track) choose(now time.Time) (wanted [layers.Max]bool) {
	t.feed.measure(now)
	var used [layers.Max]bool
	for _, f := range t.forwarders {
		if layer := t.aim(f, now); layer != nil {
			wanted[slices.Index(t.feed.layers, layer)] = true
		}
		if f.changing() {
			f.connect()
		}
		for i, layer := range t.feed.layers {
			used[i] = used[i] || slices.Contains(f.connected[:], layer)
		}
	}
	for i, layer := range t.feed.layers {
		layer.use(used[i])
	}
	return wanted
}

// report sends the feed's receiver reports and, when there is or was one, the bitrate limit; 0 is
// none.
func (f *Feed) report(all []*Layer, now time.Time, limitKbps int) {
	rr := &rtcp.ReceiverReport{SSRC: f.track.publisher.ssrc}
	var ssrcs []uint32
	for _, layer := range all {
		if reception, ok := layer.reception(now); ok {
			rr.Reports = append(rr.Reports, reception)
			ssrcs = append(ssrcs, layer.config.SSRC)
		}
	}
	if len(ssrcs) == 0 {
		return
	}
	packets := []rtcp.Packet{rr, referenceTime(rr.SSRC, now)}
	if limitKbps > 0 || f.limited {
		f.limited = true
		packets = append(packets, bitrateLimit(rr.SSRC, ssrcs, limitKbps))
	}
	all[0].send(packets...)
}

// limit returns the highest bitrate in kbps that is of use: the track's own limit or, when lower
// and there is no other layer for the smaller receivers, the highest of those of its forwarders. 0
// is no limit.
func (t *Track) limit() int {
	if len(t.forwarders) == 0 || len(t.feed.layers) > 1 {
		return t.maxKbps
	}
	highest := 0
	for _, f := range t.forwarders {
		if f.config.MaxKbps == 0 {
			return t.maxKbps
		}
		highest = max(highest, f.config.MaxKbps)
	}
	if t.maxKbps == 0 {
		return highest
	}
	return min(highest, t.maxKbps)
}

const (
	audioKbps     = 64        // what a limit leaves for the audio beside the video
	unlimitedKbps = 1_000_000 // what lifts a limit
)

// bitrateLimit is the message by which a sender is told not to exceed a video bitrate, 0 for no
// limit (draft-alvestrand-rmcat-remb, section 2.2). It bounds all that the sender's connection
// carries.
func bitrateLimit(sender uint32, media []uint32, kbps int) rtcp.Packet {
	total := unlimitedKbps
	if kbps > 0 {
		total = min(kbps+audioKbps, unlimitedKbps)
	}
	return &rtcp.ReceiverEstimatedMaximumBitrate{
		SenderSSRC: sender,
		Bitrate:    float32(total) * 1000,
		SSRCs:      media,
	}
}
