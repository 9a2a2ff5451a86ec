package sfu

import (
	"errors"
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/rewrite"
)

// SubscriberState is what another process needs to go on with the streams to a subscriber: their
// numbers have to go on as they were. What is known of the path is learnt anew.
type SubscriberState struct {
	// Transport is the next transport-wide sequence number.
	Transport uint16
	Streams   []StreamState
}

// StreamState is where one outgoing stream is.
type StreamState struct {
	Kind      Kind
	Config    ForwarderConfig // without its Writer
	Rewritten rewrite.State
	// RTX is the next sequence number of the retransmissions.
	RTX             uint16
	Packets, Octets uint32
}

// Export returns where the streams are. It is to be called after the state of the connection was
// taken, so that it is not behind that.
func (s *Subscriber) Export() SubscriberState {
	s.mu.Lock()
	forwarders := s.forwarders
	s.mu.Unlock()
	var state SubscriberState
	for kind, f := range forwarders {
		if f != nil {
			state.Streams = append(state.Streams, f.export(Kind(kind)))
		}
	}
	s.path.mu.Lock()
	defer s.path.mu.Unlock()
	state.Transport = s.path.first
	if s.path.numbered {
		state.Transport = s.path.estimator.Next()
	}
	return state
}

func (f *Forwarder) export(kind Kind) StreamState {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := StreamState{
		Kind: kind, Config: f.config, Rewritten: f.rewriter.Export(), RTX: f.rtxSequence, Packets: f.packets, Octets: f.octets,
	}
	state.Config.Writer = nil
	return state
}

// Resume forwards as another process did, which has sent at most margin packets of any stream since
// it exported the state. Nothing must have been forwarded to the subscriber yet.
func (s *Subscriber) Resume(state SubscriberState, writer PacketWriter, margin uint16, now time.Time) error {
	s.path.mu.Lock()
	s.path.first = state.Transport + margin
	s.path.mu.Unlock()
	var failures []error
	for _, stream := range state.Streams {
		if stream.Kind >= kinds {
			failures = append(failures, errKind)
			continue
		}
		config := stream.Config
		config.Writer = writer
		f := newForwarder(s.publisher.Track(stream.Kind), &s.path, config)
		stream.Rewritten.Sequence += margin
		f.rewriter = rewrite.Resume[*Layer](config.ClockRate, stream.Rewritten)
		f.rtxSequence = stream.RTX + margin
		f.packets, f.octets = stream.Packets, stream.Octets
		failures = append(failures, s.forward(stream.Kind, f, now))
		f.hurry()
	}
	return errors.Join(failures...)
}

// Skip leaves out so many numbers of all streams, which another process may have used. Video goes
// on with the next keyframe.
func (s *Subscriber) Skip(numbers uint16, now time.Time) {
	s.mu.Lock()
	forwarders := s.forwarders
	s.mu.Unlock()
	for _, f := range forwarders {
		if f == nil {
			continue
		}
		f.mu.Lock()
		state := f.rewriter.Export()
		state.Sequence += numbers
		f.rewriter = rewrite.Resume[*Layer](f.config.ClockRate, state)
		f.rtxSequence += numbers
		f.mu.Unlock()
		f.hurry()
		f.requestKeyframe(now)
	}
}

// hurry has the keyframe that the forwarder waits for asked for more often.
func (f *Forwarder) hurry() {
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	if target == nil {
		return
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	target.requests.Hurry()
}

var errKind = errors.New("the state has a stream that is neither audio nor video")
