package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// Subscription implements media.Subscription: one connection that receives a publication.
type Subscription struct {
	publication *Publication
	conn        *conn
	egress      *egress
	kinds       []sfu.Kind
	options     media.SubscriptionOptions

	negotiating sync.Mutex // one answer at a time
	outdating   sync.Once

	// Guarded by publication.mu.
	codecs   []codec // offered or, once there is an answer, accepted
	answered bool
}

var _ media.Subscription = (*Subscription)(nil)

func (p *Publication) subscribe(ctx context.Context, options media.SubscriptionOptions) (*Subscription, string, error) {
	s := &Subscription{publication: p, kinds: p.kinds(), options: options, codecs: p.offered()}
	if len(s.kinds) == 0 {
		return nil, "", errors.New("publication has neither audio nor video")
	}
	var err error
	logger := p.logger.WithValues("direction", "subscribe")
	s.conn, err = p.engine.newConn(sending, s.codecs, logger, connEvents{
		connected: s.connected, ended: s.ended, control: s.control,
	})
	if err != nil {
		return nil, "", err
	}
	offer, err := s.offer(ctx)
	if err != nil {
		s.conn.close()
		return nil, "", err
	}
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.subscriptions[s] = struct{}{}
	}
	p.mu.Unlock()
	if closed {
		s.conn.close()
		return nil, "", media.ErrPublicationClosed
	}
	return s, offer, nil
}

func (s *Subscription) offer(ctx context.Context) (string, error) {
	var err error
	s.egress, err = newEgress(s.conn, s.publication.stream, s.options.MaxVideoKbps)
	if errors.Is(err, sfu.ErrClosed) {
		return "", media.ErrPublicationClosed
	} else if err != nil {
		return "", err
	}
	for _, kind := range s.kinds {
		_, err := s.conn.pc.AddTransceiverFromTrack(
			&outgoing{egress: s.egress, kind: kind},
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly},
		)
		if err != nil {
			return "", fmt.Errorf("adding track: %w", err)
		}
	}
	offer, err := s.conn.pc.CreateOffer(nil)
	if err != nil {
		return "", fmt.Errorf("making offer: %w", err)
	}
	return s.conn.setLocal(ctx, offer, bitrates{})
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
	d, err := readAnswer(answer, s.kinds)
	if err != nil {
		return fmt.Errorf("taking subscriber's answer: %w", err)
	}
	accepted := d.codecs()
	s.publication.mu.Lock()
	rejected := s.publication.outdates(accepted) && !s.publication.outdates(s.codecs)
	s.publication.mu.Unlock()
	if rejected {
		return fmt.Errorf("taking subscriber's answer: %w: video", media.ErrCodecRejected)
	}
	if err := s.conn.setRemote(webrtc.SDPTypeAnswer, d); err != nil {
		return fmt.Errorf("taking subscriber's answer: %w", err)
	}
	s.publication.mu.Lock()
	s.answered, s.codecs = true, accepted
	outdated := s.publication.outdates(accepted)
	s.publication.mu.Unlock()
	s.conn.negotiated()
	if outdated { // the publisher came back with another codec meanwhile
		s.outdate()
	}
	return nil
}

// outdate tells the subscription's owner that it needs a new one.
func (s *Subscription) outdate() {
	s.outdating.Do(func() {
		s.conn.logger.V(1).Info("The publisher has come back with a codec that the subscriber was not offered")
		if s.options.Outdated != nil {
			go s.options.Outdated()
		}
	})
}

// AddICECandidate implements media.Subscription.
func (s *Subscription) AddICECandidate(candidate media.ICECandidate) error {
	return checkCandidate(candidate)
}

// Close implements media.Subscription.
func (s *Subscription) Close() error {
	s.conn.close()
	s.publication.mu.Lock()
	delete(s.publication.subscriptions, s)
	s.publication.mu.Unlock()
	return nil
}

func (s *Subscription) connected() { s.egress.start() }

// control takes RTCP. There is none before the answer, and so not before the egress.
func (s *Subscription) control(packets []rtcp.Packet) {
	s.egress.subscriber.HandleRTCP(packets, time.Now())
}

func (s *Subscription) ended() {
	if s.egress != nil {
		s.egress.subscriber.Close()
	}
}
