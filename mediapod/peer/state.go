package peer

import (
	"fmt"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// SubscriptionState is a subscription as a value, by which another engine can go on with it. It holds
// the keys of its media; see transport.State.
type SubscriptionState struct {
	Connection transport.State
	Streams    sfu.SubscriberState
}

// Export returns the subscription as a value. Another engine needs it first before the peer gets the
// offer, and again when something has changed.
func (s *Subscription) Export() SubscriptionState {
	// The numbers of the streams must not be behind those that the connection has encrypted.
	connection := s.conn.Export()
	s.publication.mu.Lock()
	followed := s.followed
	s.publication.mu.Unlock()
	if followed != nil {
		return SubscriptionState{Connection: connection, Streams: *followed}
	}
	return SubscriptionState{Connection: connection, Streams: s.subscriber.Export()}
}

// Freeze ends what this engine sends to the subscriber; see transport.Conn.Freeze.
func (s *Subscription) Freeze() { s.conn.Freeze() }

// ImportSubscription adds a subscriber that another engine serves, on standby; see
// transport.Sockets.Import.
func (p *Publication) ImportSubscription(
	state SubscriptionState, rank transport.Rank, options media.SubscriptionOptions,
) (*Subscription, error) {
	s := &Subscription{publication: p, options: options}
	s.note(state.Streams)
	err := s.open(func(events transport.Events) (*transport.Conn, error) {
		return p.engine.ports.sockets.Import(state.Connection, rank, events)
	}, s.resume)
	if err == nil {
		err = p.add(s)
	}
	if err != nil {
		return nil, fmt.Errorf("importing subscription: %w", err)
	}
	return s, nil
}

// Follow notes what the other engine says of a subscription that is on standby here.
func (s *Subscription) Follow(state SubscriptionState) error {
	if err := s.conn.Follow(state.Connection); err != nil {
		return err
	}
	s.publication.mu.Lock()
	defer s.publication.mu.Unlock()
	s.note(state.Streams)
	return nil
}

// note keeps what the other engine says of the streams. The caller holds publication.mu, or is alone.
func (s *Subscription) note(streams sfu.SubscriberState) {
	s.followed, s.codecs, s.answered = &streams, nil, len(streams.Streams) > 0
	for _, stream := range streams.Streams {
		for name := range stream.Config.Codecs {
			s.codecs = append(s.codecs, codec{name: name})
		}
	}
}

// TakeOver makes a subscription that is on standby go on here; see transport.Conn.TakeOver.
func (s *Subscription) TakeOver(margin uint16) error {
	s.publication.mu.Lock()
	s.margin = margin
	s.publication.mu.Unlock()
	return s.conn.TakeOver(margin)
}

// resume starts the media from where the other engine has stopped.
func (s *Subscription) resume() {
	s.publication.mu.Lock()
	state, margin := s.followed, s.margin
	s.publication.mu.Unlock()
	if err := s.subscriber.Resume(*state, s.conn, margin, time.Now()); err != nil {
		s.life.logger.V(1).Info("Nothing to forward", "reason", err.Error())
	}
	s.publication.mu.Lock()
	s.followed = nil
	s.publication.mu.Unlock()
}
