package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// Subscription implements media.Subscription: one connection that receives a publication.
type Subscription struct {
	publication *Publication
	life        *life
	conn        *transport.Conn
	subscriber  *sfu.Subscriber
	streams     []streams // in the order of the offer
	options     media.SubscriptionOptions
	cover       cover
	delivery    atomic.Pointer[media.Delivery]

	negotiating sync.Mutex // one answer at a time
	outdating   sync.Once

	// Guarded by publication.mu.
	codecs   []codec // those that were offered
	answered bool
	lines    []mediaLine // those of the answer that are not rejected
	// followed is what another engine has said last of the streams, which may be behind by the
	// margin; nil when they are sent by this one.
	followed *sfu.SubscriberState
	margin   uint16
}

var _ media.Subscription = (*Subscription)(nil)

func (p *Publication) subscribe(options media.SubscriptionOptions) (*Subscription, string, error) {
	kinds := p.kinds()
	if len(kinds) == 0 {
		return nil, "", errors.New("publication has neither audio nor video")
	}
	s := &Subscription{publication: p, streams: newStreams(kinds), options: options, codecs: p.offered()}
	e := p.engine
	err := s.open(func(events transport.Events) (*transport.Conn, error) { return e.sockets.Open(e.identity.tls, events) }, s.forward)
	if err != nil {
		return nil, "", err
	}
	s.cover.begin(e, p.options.Room, s.conn)
	offer, err := s.offer()
	if err != nil {
		s.life.close()
		return nil, "", err
	}
	if err := p.add(s); err != nil {
		return nil, "", err
	}
	return s, offer, nil
}

// open makes the connection. What is called when packets can be sent starts the media.
func (s *Subscription) open(open func(transport.Events) (*transport.Conn, error), start func()) error {
	p := s.publication
	var err error
	s.conn, err = open(transport.Events{
		Connected: func() { s.life.connected() },
		Ended:     func(reason error) { s.life.over(reason) },
		Routed: func(tcp bool) {
			s.life.routed(over(tcp))
			s.subscriber.Rerouted(time.Now())
		},
		Unreached: func() { s.outdate("The subscriber is heard, and not reached") },
		Control:   s.control, Feedback: s.feedback,
	})
	if err != nil {
		return err
	}
	if s.subscriber, err = p.stream.Subscribe(s.conn); err != nil {
		s.conn.Close()
		return media.ErrPublicationClosed
	}
	s.subscriber.NotifyPause(s.options.PauseChanged)
	s.life = newLife(p.engine, &p.engine.gauges.subscribing, p.logger.WithValues("direction", "subscribe"),
		lifeEvents{connected: start, ended: s.subscriber.Close, rerouted: s.options.Rerouted}, s.conn.Close)
	return nil
}

// add makes a subscription one of the publication's, and closes it when that has ended.
func (p *Publication) add(s *Subscription) error {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.subscriptions[s] = struct{}{}
	}
	p.mu.Unlock()
	if closed {
		s.life.close()
		return media.ErrPublicationClosed
	}
	return nil
}

func (s *Subscription) offer() (string, error) {
	local, err := s.publication.engine.end(s.conn, s.cover.protection())
	if err != nil {
		return "", err
	}
	return writeOffer(local, s.streams, s.codecs)
}

// Answer implements media.Subscription.
func (s *Subscription) Answer(_ context.Context, answer string) error {
	s.negotiating.Lock()
	defer s.negotiating.Unlock()
	s.publication.mu.Lock()
	answered := s.answered
	s.publication.mu.Unlock()
	if answered {
		return fmt.Errorf("taking subscriber's answer: %w", badSDP("the offer was answered already"))
	}
	d, err := readAnswer(answer, s.publication.kinds())
	if err != nil {
		return fmt.Errorf("taking subscriber's answer: %w", err)
	}
	s.publication.mu.Lock()
	s.answered, s.lines = true, d.media
	outdated := s.publication.outdates(s.codecs)
	s.publication.mu.Unlock()
	s.life.negotiated()
	if err := s.conn.Start(d.remote); err != nil {
		return fmt.Errorf("taking subscriber's answer: %w", err)
	}
	if outdated { // the publisher came back with another codec meanwhile
		s.outdate(otherCodec)
	}
	return nil
}

// otherCodec is a reason to outdate a subscription.
const otherCodec = "The publisher has come back with a codec that the subscriber was not offered"

// outdate tells the subscription's owner that it needs a new one, and the log why.
func (s *Subscription) outdate(reason string) {
	s.outdating.Do(func() {
		s.life.logger.V(1).Info("A new subscription is needed", "reason", reason)
		if s.options.Outdated != nil {
			go s.options.Outdated()
		}
	})
}

// AddICECandidate implements media.Subscription.
func (s *Subscription) AddICECandidate(candidate media.ICECandidate) error {
	return checkCandidate(candidate)
}

// Deliver implements media.Subscription.
func (s *Subscription) Deliver(delivery media.Delivery) {
	now := time.Now()
	s.delivery.Store(&delivery)
	s.subscriber.Withhold(sfu.Audio, delivery.NoAudio, now)
	s.subscriber.Bound(layers.Bound{Pixels: delivery.MaxSize.Width * delivery.MaxSize.Height, FPS: delivery.MaxFrameRate}, now)
	s.subscriber.Withhold(sfu.Video, delivery.NoVideo, now)
}

// delivers returns what Deliver was told last.
func (s *Subscription) delivers() media.Delivery {
	if delivery := s.delivery.Load(); delivery != nil {
		return *delivery
	}
	return media.Delivery{}
}

// Close implements media.Subscription.
func (s *Subscription) Close() error {
	s.life.close()
	s.publication.mu.Lock()
	delete(s.publication.subscriptions, s)
	s.publication.mu.Unlock()
	return nil
}

// Transport implements media.Subscription.
func (s *Subscription) Transport() media.Transport { return s.life.route() }

// Heard implements media.Subscription.
func (s *Subscription) Heard() time.Time { return s.conn.Heard() }

// VideoPause implements media.Subscription.
func (s *Subscription) VideoPause() media.Pause {
	switch s.subscriber.VideoPause() {
	case layers.PathPause:
		return media.PathPause
	case layers.LimitPause:
		return media.LimitPause
	}
	return media.NoPause
}

// Loss implements media.Subscription.
func (s *Subscription) Loss() float64 { return s.subscriber.Loss() }

// control takes RTCP.
func (s *Subscription) control(packets []rtcp.Packet) {
	s.subscriber.HandleRTCP(packets, time.Now())
}

// feedback takes transport-wide feedback.
func (s *Subscription) feedback(raw []byte) {
	s.subscriber.HandleFeedback(raw, time.Now())
}

// forward starts the media, so that no keyframe is asked for before it can get through.
func (s *Subscription) forward() {
	s.publication.mu.Lock()
	lines := s.lines
	s.publication.mu.Unlock()
	for _, line := range lines {
		at := slices.IndexFunc(s.streams, func(offered streams) bool { return offered.kind == line.kind })
		config := s.streams[at].forwarder(line, s.conn, s.options.MaxVideoKbps)
		if err := s.subscriber.Forward(line.kind, config, time.Now()); err != nil {
			s.life.logger.V(1).Info("Nothing to forward", "reason", err.Error())
		}
	}
}

// forwarder describes the outgoing stream for which an m-line of the peer has the codecs. maxKbps
// limits video; 0 does not.
func (s streams) forwarder(line mediaLine, writer sfu.PacketWriter, maxKbps int) sfu.ForwarderConfig {
	config := sfu.ForwarderConfig{
		SSRC: s.media, RTXSSRC: s.rtx, ClockRate: line.codecs[0].clockRate(), TransportCC: line.transportCC,
		Codecs: map[string]sfu.PayloadTypes{}, Writer: writer,
	}
	if s.kind == sfu.Video {
		config.MaxKbps = maxKbps
	}
	for _, c := range line.codecs {
		if _, ok := config.Codecs[c.name]; ok {
			continue // another profile of the same
		}
		config.Codecs[c.name] = sfu.PayloadTypes{Media: c.payload, RTX: c.rtx}
		if c.rtx == 0 {
			config.RTXSSRC = 0
		}
	}
	return config
}
