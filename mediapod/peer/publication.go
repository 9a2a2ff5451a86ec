package peer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// Publication implements media.Publication: the stream, the publisher's current connection, and the
// subscriptions.
type Publication struct {
	engine  *Engine
	options media.PublicationOptions
	logger  logr.Logger
	stream  *sfu.Publisher
	relay   func(name string, packet []byte) // of connections on standby; nil when it was made here

	negotiating sync.Mutex // one answer at a time

	mu            sync.Mutex     // guards the fields below
	conn          *publisherConn // nil until the first answer
	video         *codec         // what the publisher was answered; nil until then, and without video
	subscriptions map[*Subscription]struct{}
	closed        bool
}

var _ media.Publication = (*Publication)(nil)

// Answer implements media.Publication.
func (p *Publication) Answer(_ context.Context, offer string) (string, error) {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	preferred := ""
	p.mu.Lock()
	if p.video != nil {
		preferred = p.video.name
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return "", fmt.Errorf("answering publisher: %w", media.ErrPublicationClosed)
	}
	d, err := readOffer(offer, p.options.ForcedVideoCodec, preferred)
	if err != nil {
		return "", fmt.Errorf("answering publisher: %w", err)
	}
	conn, answer, err := p.accept(d)
	if err != nil {
		return "", fmt.Errorf("answering publisher: %w", err)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		conn.life.close()
		return "", fmt.Errorf("answering publisher: %w", media.ErrPublicationClosed)
	}
	old := p.conn
	p.conn = conn
	if line := d.line(sfu.Video); line != nil {
		video := line.codecs[0]
		p.video = &video
	}
	var outdated []*Subscription
	for s := range p.subscriptions {
		if s.answered && p.outdates(s.codecs) {
			outdated = append(outdated, s)
		}
	}
	p.mu.Unlock()
	for _, s := range outdated {
		s.outdate(otherCodec)
	}
	conn.life.negotiated()
	if old != nil {
		old.life.close()
	}
	return answer, nil
}

// accept makes the connection for an offer.
func (p *Publication) accept(d *description) (*publisherConn, string, error) {
	c, err := p.newPublisherConn(d)
	if err != nil {
		return nil, "", err
	}
	answer, err := c.answer(d)
	if err != nil {
		c.life.close()
		return nil, "", err
	}
	return c, answer, nil
}

// tick does what time brings. It is to be called as sfu.Publisher.Tick.
func (p *Publication) tick(now time.Time) {
	p.stream.Tick(now)
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		conn.tick(now)
	}
}

// Transport implements media.Publication.
func (p *Publication) Transport() media.Transport {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn == nil {
		return media.NoTransport
	}
	return conn.life.route()
}

// Heard implements media.Publication.
func (p *Publication) Heard() time.Time {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn == nil {
		return time.Time{}
	}
	return conn.conn.Heard()
}

// AddICECandidate implements media.Publication.
func (p *Publication) AddICECandidate(candidate media.ICECandidate) error {
	return checkCandidate(candidate)
}

// Close implements media.Publication.
func (p *Publication) Close() error {
	p.mu.Lock()
	p.closed = true
	conn := p.conn
	subscriptions := make([]*Subscription, 0, len(p.subscriptions))
	for s := range p.subscriptions {
		subscriptions = append(subscriptions, s)
	}
	p.mu.Unlock()
	p.stream.Close()
	var closing sync.WaitGroup
	for _, s := range subscriptions {
		closing.Go(func() { _ = s.Close() })
	}
	if conn != nil {
		closing.Go(conn.life.close)
	}
	closing.Wait()
	p.engine.remove(p)
	return nil
}

// kinds are those that subscribers are offered, audio first (openvidu-rpc 4.7).
func (p *Publication) kinds() []sfu.Kind {
	var kinds []sfu.Kind
	if p.options.HasAudio {
		kinds = append(kinds, sfu.Audio)
	}
	if p.options.HasVideo {
		kinds = append(kinds, sfu.Video)
	}
	return kinds
}

// offered are the codecs that a subscriber is offered: for video the one that the publisher was
// answered, or else all that it may come to send.
func (p *Publication) offered() []codec {
	p.mu.Lock()
	video := p.video
	p.mu.Unlock()
	codecs := []codec{opus}
	if video != nil {
		return append(codecs, video.offered())
	}
	for _, c := range videoCodecs {
		if forced := p.options.ForcedVideoCodec; forced == "" || forced == c.name {
			codecs = append(codecs, c)
		}
	}
	return codecs
}

// outdates reports whether the publisher sends, as far as that is known, what is not among a
// subscriber's video codecs. The caller holds p.mu.
func (p *Publication) outdates(codecs []codec) bool {
	return p.video != nil && p.options.HasVideo &&
		!slices.ContainsFunc(codecs, func(c codec) bool { return c.name == p.video.name })
}
