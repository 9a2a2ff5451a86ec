package peer

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// publisherConn is one connection of a publisher.
type publisherConn struct {
	publication *Publication
	conn        *transport.Conn
	life        *life
	demux       *demultiplexer
	lines       []mediaLine // of the offer

	// loopback sends the publisher its own media back; nil without. returned are the streams of
	// that, by m-line; those without an SSRC are not sent. Both are set before the connection
	// starts.
	loopback *sfu.Subscriber
	returned []streams
	// resumed tells that another engine has served the connection.
	resumed bool
	cover   cover

	mu     sync.Mutex // guards the fields below
	feeds  map[sfu.Kind]*sfu.Feed
	layers map[uint32]*sfu.Layer // by SSRC
	video  map[string]*sfu.Layer // by rid, "" without simulcast
}

// newPublisherConn makes the connection for an offer.
func (p *Publication) newPublisherConn(d *description) (*publisherConn, error) {
	e := p.engine
	c, err := p.openPublisherConn(d.media, false, func(events transport.Events) (*transport.Conn, error) {
		return e.sockets.Open(e.identity.tls, events)
	})
	if err != nil {
		return nil, err
	}
	if !p.options.Loopback { // what it gets back does not go over
		c.cover.begin(e, p.options.Room, c.conn)
	}
	if p.options.Loopback {
		if err := c.loop(); err != nil {
			c.life.close()
			return nil, err
		}
	}
	return c, nil
}

// openPublisherConn makes a connection for what an offer tells of.
func (p *Publication) openPublisherConn(
	lines []mediaLine, resumed bool, open func(transport.Events) (*transport.Conn, error),
) (*publisherConn, error) {
	c := &publisherConn{
		publication: p, lines: lines, resumed: resumed,
		feeds: map[sfu.Kind]*sfu.Feed{}, layers: map[uint32]*sfu.Layer{}, video: map[string]*sfu.Layer{},
	}
	c.demux = newDemultiplexer(lines, c.open)
	events := transport.Events{
		Connected: func() { c.life.connected() },
		Ended:     func(reason error) { c.life.over(reason) },
		Routed:    c.routed,
		Control:   c.control,
		Media:     c.demux.receive,
	}
	if p.options.Loopback {
		events.Feedback = c.feedback
	}
	var err error
	if c.conn, err = open(events); err != nil {
		c.demux.close()
		return nil, err
	}
	c.life = newLife(p.engine, &p.engine.gauges.publishing, p.logger.WithValues("direction", "publish"),
		lifeEvents{connected: c.connected, ended: c.ended, rerouted: p.options.Rerouted}, c.close)
	return c, nil
}

// routed notes that packets go by another path.
func (c *publisherConn) routed(tcp bool) {
	c.life.routed(over(tcp))
	if c.loopback != nil {
		c.loopback.Rerouted(time.Now())
	}
}

// loop sends the publisher its own media back, on the m-lines on which it wants to receive.
func (c *publisherConn) loop() error {
	var err error
	if c.loopback, err = c.publication.stream.Subscribe(c.conn); err != nil {
		return fmt.Errorf("subscribing to oneself: %w", err)
	}
	var kinds []sfu.Kind
	for _, line := range c.lines {
		kinds = append(kinds, line.kind)
	}
	c.returned = newStreams(kinds)
	for i, line := range c.lines {
		switch {
		case !line.direction.receives():
			c.returned[i] = streams{kind: line.kind}
		case line.codecs[0].rtx == 0:
			c.returned[i].rtx = 0
		}
	}
	return nil
}

// answer describes our end, and lets the publisher connect.
func (c *publisherConn) answer(d *description) (string, error) {
	local, err := c.publication.engine.end(c.conn, c.cover.protection())
	if err != nil {
		return "", err
	}
	answer, err := writeAnswer(local, d.media, c.returned, publisherBitrates(c.publication.options.MaxVideoKbps))
	if err != nil {
		return "", err
	}
	if err := c.conn.Start(d.remote); err != nil {
		return "", err
	}
	return answer, nil
}

// connected starts what is sent back, so that no keyframe is asked for before it can get through.
func (c *publisherConn) connected() {
	for i, s := range c.returned {
		if s.media == 0 {
			continue
		}
		if err := c.loopback.Forward(s.kind, s.forwarder(c.lines[i], c.conn, 0), time.Now()); err != nil {
			c.life.logger.V(1).Info("Nothing to forward", "reason", err.Error())
		}
	}
}

// open adds a layer for a stream that comes; what repairs a layer goes to that. It returns
// nobody when the publication has ended, or has layers enough.
func (c *publisherConn) open(e encoding, ssrc uint32) receiver {
	if e.repairs {
		return c.repairs(e.rid)
	}
	used := e.line.codecs[0]
	layer, err := c.publish(e, sfu.LayerConfig{
		SSRC: ssrc, PayloadType: used.payload, Codec: sfu.Codec{Name: used.name, ClockRate: used.clockRate()},
		AudioLevel: e.line.audioLevel, Feedback: c.conn, Resumed: c.resumed, Still: c.publication.options.Still,
	})
	if err != nil {
		return receiver{}
	}
	c.life.logger.V(1).Info("Track arrives", "kind", kindName(e.line.kind), "codec", used.name, "layer", e.rid)
	return receiver{
		take: layer.WriteBurst, takeNow: layer.WriteBurstNow,
		brief: func() bool { return layer.Brief() && c.publication.engine.sockets.Idle() },
	}
}

// publish adds a layer to the feed of its kind.
func (c *publisherConn) publish(e encoding, config sfu.LayerConfig) (*sfu.Layer, error) {
	config.Rank = max(slices.Index(e.line.layers, e.rid), 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := e.line.kind
	feed := c.feeds[kind]
	if feed == nil {
		feed = c.publication.stream.Track(kind).NewFeed()
		c.feeds[kind] = feed
	}
	layer, err := feed.Publish(config, time.Now())
	if err != nil {
		return nil, err
	}
	c.layers[config.SSRC] = layer
	if kind == sfu.Video {
		c.video[e.rid] = layer
	}
	return layer, nil
}

// repairs returns who takes the retransmissions of the layer with a rid.
func (c *publisherConn) repairs(rid string) receiver {
	return receiver{take: func(packets [][]byte, at time.Time) {
		c.mu.Lock()
		layer := c.video[rid]
		c.mu.Unlock()
		if layer == nil {
			return
		}
		for _, packet := range packets {
			_ = layer.WriteRepair(packet, at) // what is malformed is the publisher's loss
		}
	}}
}

// control takes RTCP.
func (c *publisherConn) control(packets []rtcp.Packet) {
	now := time.Now()
	for _, packet := range packets {
		if sr, ok := packet.(*rtcp.SenderReport); ok {
			c.mu.Lock()
			layer := c.layers[sr.SSRC]
			c.mu.Unlock()
			if layer != nil {
				layer.SenderReport(sr, now)
			}
		}
	}
	c.publication.stream.HandleRTCP(packets, now)
	if c.loopback != nil {
		c.loopback.HandleRTCP(packets, now)
	}
}

// feedback takes transport-wide feedback on what is sent back.
func (c *publisherConn) feedback(raw []byte) {
	if c.loopback != nil {
		c.loopback.HandleFeedback(raw, time.Now())
	}
}

// tick tells the peer when its packets arrived, when that is due.
func (c *publisherConn) tick(now time.Time) {
	if packets := c.demux.feedback.due(now); len(packets) > 0 {
		_ = c.conn.WriteRTCP(packets) // the peer takes what it is not told for lost
	}
}

// ended is called when the connection ends.
func (c *publisherConn) ended() {
	if c.loopback != nil {
		c.loopback.Close()
	}
}

// close waits until nothing of the connection runs any more.
func (c *publisherConn) close() {
	c.conn.Close()
	c.demux.close()
}
