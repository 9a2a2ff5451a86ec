package peer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// PublicationState is the connection of a publisher as a value, by which another engine can go on
// with it. It holds the keys of its media; see transport.State.
type PublicationState struct {
	Connection transport.State
	Lines      []LineState
	// Streams are those that have come so far, by SSRC: browsers say only at first what they carry.
	Streams map[uint32]EncodingState
}

// LineState is an m-line of the publisher's offer.
type LineState struct {
	Kind      sfu.Kind
	Codec     string // the name that sfu.Codec has
	Format    string // its parameters (fmtp)
	MID       string
	Direction string
	// Layers are the rids of the simulcast layers, from low to high.
	Layers []string
	// SSRC is the one that the offer declares, 0 for none.
	SSRC uint32
	// The payload types, and the numbers of header extensions.
	Payload, RTX                                            uint8
	TransportCC, MIDExtension, RID, RepairedRID, AudioLevel uint8
}

// EncodingState is what a stream carries.
type EncodingState struct {
	Line    int // of Lines
	RID     string
	Repairs bool
}

// Export returns the connection of the publisher as a value. Another engine needs it first before
// the peer gets the answer, and again when something has changed. It is empty before there is a
// connection.
func (p *Publication) Export() PublicationState {
	c := p.current()
	if c == nil {
		return PublicationState{}
	}
	state := PublicationState{Connection: c.conn.Export(), Streams: map[uint32]EncodingState{}}
	for _, line := range c.lines {
		state.Lines = append(state.Lines, line.export())
	}
	for ssrc, e := range c.demux.identified() {
		line := slices.IndexFunc(c.lines, func(l mediaLine) bool { return l.kind == e.line.kind })
		state.Streams[ssrc] = EncodingState{Line: line, RID: e.rid, Repairs: e.repairs}
	}
	return state
}

// TakeRelayed takes what the publisher has sent to the engine of its standby; see
// transport.Conn.TakeRelayed.
func (p *Publication) TakeRelayed(name string, packet []byte) {
	if c := p.current(); c != nil {
		c.conn.TakeRelayed(name, packet)
	}
}

func (p *Publication) current() *publisherConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn
}

// Freeze ends what this engine sends to the publisher; see transport.Conn.Freeze.
func (p *Publication) Freeze() {
	if c := p.current(); c != nil {
		c.conn.Freeze()
	}
}

var (
	errLine     = errors.New("the state has a stream of an m-line that there is not")
	errLoopback = errors.New("a publisher that gets its own media back can't go over")
)

// ImportPublication makes a publication whose publisher another engine serves, on standby; see
// transport.Sockets.Import. A publisher that has no connection yet may have one when it is
// followed. relay, when set, is the transport.Events.Relay of its connections.
func (e *Engine) ImportPublication(
	state PublicationState, options media.PublicationOptions, relay func(name string, packet []byte),
) (*Publication, error) {
	if options.Loopback {
		return nil, fmt.Errorf("importing publication: %w", errLoopback)
	}
	p := e.NewPublication(options).(*Publication)
	p.relay = relay
	if err := p.resume(state); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("importing publication: %w", err)
	}
	return p, nil
}

// resume imports the publisher's connection, in place of the one before. Without one in the state
// it does nothing.
func (p *Publication) resume(state PublicationState) error {
	if state.Connection.Name == "" {
		return nil
	}
	var lines []mediaLine
	for _, line := range state.Lines {
		lines = append(lines, line.line())
	}
	c, err := p.openPublisherConn(lines, true, func(events transport.Events) (*transport.Conn, error) {
		events.Relay = p.relay
		return p.engine.sockets.Import(state.Connection, events)
	})
	if err != nil {
		return err
	}
	if err := c.conn.Listen(); err != nil {
		c.life.close()
		return err
	}
	p.mu.Lock()
	before, closed := p.conn, p.closed
	if !closed {
		p.conn = c
	}
	if line := (&description{media: lines}).line(sfu.Video); line != nil {
		p.video = &line.codecs[0]
	}
	p.mu.Unlock()
	if closed {
		c.life.close()
		return media.ErrPublicationClosed
	}
	if before != nil {
		before.life.close()
	}
	return nil
}

// Follow notes what the other engine says of a publication that is on standby here. Another
// connection of the publisher takes the place of the one before.
func (p *Publication) Follow(state PublicationState) error {
	c := p.current()
	if c == nil || !c.conn.Is(state.Connection) {
		if err := p.resume(state); err != nil {
			return fmt.Errorf("following publication: %w", err)
		}
		if c = p.current(); c == nil {
			return nil // there is none yet
		}
	}
	streams := map[uint32]encoding{}
	for ssrc, e := range state.Streams {
		if e.Line < 0 || e.Line >= len(c.lines) {
			return fmt.Errorf("following publication: %w", errLine)
		}
		streams[ssrc] = encoding{line: &c.lines[e.Line], rid: e.RID, repairs: e.Repairs}
	}
	if err := c.conn.Follow(state.Connection); err != nil {
		return err
	}
	c.demux.know(streams)
	return nil
}

// TakeOver makes a publication that is on standby go on here; see transport.Conn.TakeOver. Without
// a connection there is nothing to go on with.
func (p *Publication) TakeOver(margin uint16) error {
	c := p.current()
	if c == nil {
		return nil
	}
	return c.conn.TakeOver(margin)
}

func (l mediaLine) export() LineState {
	used := l.codecs[0]
	return LineState{
		Kind: l.kind, Codec: used.name, Format: used.fmtp, MID: l.mid, Direction: string(l.direction), Layers: l.layers, SSRC: l.ssrc,
		Payload: used.payload, RTX: used.rtx,
		TransportCC: l.transportCC, MIDExtension: l.midExtension, RID: l.rid, RepairedRID: l.repairedRID, AudioLevel: l.audioLevel,
	}
}

func (l LineState) line() mediaLine {
	return mediaLine{
		kind: l.Kind, codecs: []codec{{name: l.Codec, fmtp: l.Format, payload: l.Payload, rtx: l.RTX}}, mid: l.MID, direction: direction(l.Direction),
		layers: l.Layers, ssrc: l.SSRC, transportCC: l.TransportCC, midExtension: l.MIDExtension, rid: l.RID,
		repairedRID: l.RepairedRID, audioLevel: l.AudioLevel,
	}
}

// SubscriptionState is a subscription as a value, by which another engine can go on with it. It
// holds the keys of its media; see transport.State.
type SubscriptionState struct {
	Connection transport.State
	Streams    sfu.SubscriberState
	// Delivery is what of them the subscriber wants.
	media.Delivery
}

// Export returns the subscription as a value. Another engine needs it first before the peer gets
// the offer, and again when something has changed.
func (s *Subscription) Export() SubscriptionState {
	// The numbers of the streams must not be behind those that the connection has encrypted.
	connection := s.conn.Export()
	s.publication.mu.Lock()
	followed := s.followed
	s.publication.mu.Unlock()
	state := SubscriptionState{Connection: connection, Delivery: s.delivers()}
	if followed != nil {
		state.Streams = *followed
	} else {
		state.Streams = s.subscriber.Export()
	}
	return state
}

// TakeRelayed takes what the subscriber has sent to the engine of its standby; see
// transport.Conn.TakeRelayed.
func (s *Subscription) TakeRelayed(name string, packet []byte) { s.conn.TakeRelayed(name, packet) }

// Freeze ends what this engine sends to the subscriber; see transport.Conn.Freeze.
func (s *Subscription) Freeze() { s.conn.Freeze() }

// ImportSubscription adds a subscriber that another engine serves, on standby; see
// transport.Sockets.Import. relay, when set, is the transport.Events.Relay of its connection.
func (p *Publication) ImportSubscription(
	state SubscriptionState, options media.SubscriptionOptions, relay func(name string, packet []byte),
) (*Subscription, error) {
	s := &Subscription{publication: p, options: options}
	s.note(state.Streams)
	err := s.open(func(events transport.Events) (*transport.Conn, error) {
		events.Relay = relay
		return p.engine.sockets.Import(state.Connection, events)
	}, s.resume)
	if err != nil {
		return nil, fmt.Errorf("importing subscription: %w", err)
	}
	s.Deliver(state.Delivery)
	if err := s.conn.Listen(); err != nil {
		s.life.close()
		return nil, fmt.Errorf("importing subscription: %w", err)
	}
	if err := p.add(s); err != nil {
		return nil, fmt.Errorf("importing subscription: %w", err)
	}
	return s, nil
}

// Follow notes what the other engine says of a subscription that is on standby here.
func (s *Subscription) Follow(state SubscriptionState) error {
	if err := s.conn.Follow(state.Connection); err != nil {
		return err
	}
	s.Deliver(state.Delivery)
	s.publication.mu.Lock()
	defer s.publication.mu.Unlock()
	s.note(state.Streams)
	return nil
}

// note keeps what the other engine says of the streams. The caller holds publication.mu, or is
// alone.
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
