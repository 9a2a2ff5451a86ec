package sfu

import (
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
)

// Subscriber is one receiver of a publisher. Its methods are safe for concurrent use.
type Subscriber struct {
	publisher *Publisher
	control   ControlWriter
	path      path

	mu         sync.Mutex // guards the fields below
	forwarders [kinds]*Forwarder
	withheld   [kinds]bool // not to be sent
	bound      layers.Bound
	reported   [kinds]bool // a first sender report was sent
	notify     func()      // told when VideoPause has changed; nil for nobody
	closed     bool
}

// NotifyPause has a function called when VideoPause has changed. It is to be set before anything is
// forwarded. It must not block, and not call back.
func (s *Subscriber) NotifyPause(changed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = changed
}

// VideoPause says why the subscriber gets no video now, of what it wants.
func (s *Subscriber) VideoPause() layers.Pause {
	s.mu.Lock()
	f := s.forwarders[Video]
	s.mu.Unlock()
	if f == nil {
		return layers.NoPause
	}
	f.track.mu.Lock()
	defer f.track.mu.Unlock()
	return f.paused
}

// Loss returns the share of packets that the path loses of late, from 0 to 1; 0 when that is not
// known.
func (s *Subscriber) Loss() float64 { return s.path.loss() }

// Forward starts to forward the track of a kind. It must be called only when packets can reach the
// subscriber: a keyframe is asked for now.
func (s *Subscriber) Forward(kind Kind, config ForwarderConfig, now time.Time) error {
	return s.forward(kind, newForwarder(s.publisher.Track(kind), &s.path, config), now)
}

func (s *Subscriber) forward(kind Kind, f *Forwarder, now time.Time) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	if s.forwarders[kind] != nil {
		s.mu.Unlock()
		return fmt.Errorf("forwarding kind %d twice to one subscriber", kind)
	}
	s.forwarders[kind] = f
	f.withheld, f.bound, f.notify = s.withheld[kind], s.bound, s.notify
	s.mu.Unlock()
	if err := f.track.add(f, now); err != nil {
		return err
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed { // meanwhile, without seeing the forwarder in the track
		f.track.remove(f)
		return ErrClosed
	}
	return nil
}

// Withhold ends the sending of a kind of media, or begins it again: video with the next keyframe,
// which is asked for. Both may be called before Forward.
func (s *Subscriber) Withhold(kind Kind, withheld bool, now time.Time) {
	s.mu.Lock()
	s.withheld[kind] = withheld
	f := s.forwarders[kind]
	closed := s.closed
	s.mu.Unlock()
	if f != nil && !closed {
		f.track.change(f, func(f *Forwarder) { f.withheld = withheld }, now)
	}
}

// Bound has no more of the video sent than is wanted: the best simulcast layer that is not larger,
// or else the lowest, and those of its temporal layers that bring no more pictures, or else the
// lowest. It may be called before Forward.
func (s *Subscriber) Bound(bound layers.Bound, now time.Time) {
	s.mu.Lock()
	before := s.bound
	s.bound = bound
	f := s.forwarders[Video]
	closed := s.closed
	s.mu.Unlock()
	if f != nil && !closed && bound != before {
		f.track.change(f, func(f *Forwarder) { f.bound = bound }, now)
	}
}

// HandleFeedback takes a packet of transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions, section 3.1) that the subscriber sent, as it
// came: there are many of them. It does not keep raw.
func (s *Subscriber) HandleFeedback(raw []byte, now time.Time) {
	if s.path.feedback(raw, now) {
		s.publisher.Track(Video).hurry()
	}
}

// maxAsked is for how many packets a subscriber can ask at once; more than are sent again at once.
const maxAsked = 2 * resendBurst

// HandleRTCP takes RTCP packets that the subscriber sent. What is not about one of its streams is
// ignored, and so are lost packets beyond maxAsked.
func (s *Subscriber) HandleRTCP(packets []rtcp.Packet, now time.Time) {
	asked := 0
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.TransportLayerNack:
			if f := s.forwarder(packet.MediaSSRC); f != nil {
				asked = s.resend(f, packet.Nacks, asked, now)
			}
		case *rtcp.PictureLossIndication:
			if f := s.forwarder(packet.MediaSSRC); f != nil {
				f.requestKeyframe(now)
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			s.path.told(int(min(packet.Bitrate/1000, maxToldKbps)), now)
		case *rtcp.FullIntraRequest:
			for _, entry := range packet.FIR {
				if f := s.forwarder(entry.SSRC); f != nil {
					f.requestKeyframe(now)
					break // one request is as good as many
				}
			}
		}
	}
}

// resend sends what is asked for again, until so much was asked for. It returns for how much that
// was.
func (s *Subscriber) resend(f *Forwarder, pairs []rtcp.NackPair, asked int, now time.Time) int {
	counters := s.publisher.counters
	for i := range pairs {
		pairs[i].Range(func(sequence uint16) bool {
			if asked == maxAsked {
				return false
			}
			asked++
			counters.NACKsReceived.Add(1)
			counters.Retransmitted.Add(uint64(f.resend(sequence, now)))
			return true
		})
		if asked == maxAsked {
			break
		}
	}
	return asked
}

// Rerouted notes that packets go by another path from now on. What was sent last is lost with the
// old one, and with it the picture: browsers wait for 3 s before they say so.
func (s *Subscriber) Rerouted(now time.Time) {
	s.mu.Lock()
	video := s.forwarders[Video]
	s.mu.Unlock()
	if video != nil {
		video.requestKeyframe(now)
	}
}

func (s *Subscriber) forwarder(ssrc uint32) *Forwarder {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.forwarders {
		if f != nil && f.config.SSRC == ssrc {
			return f
		}
	}
	return nil
}

// tick probes the path, and sends sender reports: of all streams when they are due, else of those
// that have never been reported on, so that a receiver can bring audio and video together soon.
func (s *Subscriber) tick(now time.Time, due bool) {
	s.mu.Lock()
	forwarders, reported := s.forwarders, s.reported
	s.mu.Unlock()
	if bytes := s.path.tick(now); bytes > 0 && forwarders[Video] != nil {
		s.path.probed(forwarders[Video].probe(bytes, now))
	}
	var reports []rtcp.Packet
	for kind, f := range forwarders {
		if f == nil || reported[kind] && !due {
			continue
		}
		if sr := f.senderReport(now); sr != nil {
			reports = append(reports, sr)
			reported[kind] = true
		}
	}
	if len(reports) == 0 {
		return
	}
	s.mu.Lock()
	s.reported = reported
	s.mu.Unlock()
	_ = s.control.WriteRTCP(reports) // repeated anyway
}

// Close ends the subscription: nothing is forwarded from now on. It is idempotent.
func (s *Subscriber) Close() {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	forwarders := s.forwarders
	s.mu.Unlock()
	if closed {
		return
	}
	for kind, f := range forwarders {
		if f != nil {
			s.publisher.Track(Kind(kind)).remove(f)
		}
	}
	s.publisher.remove(s)
}
