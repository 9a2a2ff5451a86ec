package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// participant is one user of a room, from its arrival until it leaves.
type participant struct {
	run                           *Run
	room                          int
	publishes, receives, impaired bool
	// replaces tells that it takes the place of one that has left.
	replaces bool

	notified chan roomclient.Notification

	mu            sync.Mutex // guards the fields below
	own           Totals     // of joining
	publisher     *roomclient.Publisher
	subscriptions map[string]*subscription // by stream; nil before the room is joined

	working sync.WaitGroup // receives what others publish, and closes what has ended
}

// subscription is a stream that a participant receives.
type subscription struct {
	owner      string                 // the connection that publishes it
	subscriber *roomclient.Subscriber // nil while it is being negotiated
}

// notifications that a participant may be behind.
const notifications = 4096

// leaveTime bounds how long leaving may take.
const leaveTime = 5 * time.Second

// live joins, stays until the context ends, and leaves. It returns why it could not join. joined is
// called as soon as it has joined, or failed to.
func (p *participant) live(ctx context.Context, joined func()) error {
	p.notified = make(chan roomclient.Notification, notifications)
	select {
	case p.run.slots <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	release := sync.OnceFunc(func() { <-p.run.slots })
	defer release()
	options, err := p.run.setup.Target.Admit(ctx, p.room, p.publishes)
	if err != nil {
		return p.failed(ctx, fmt.Errorf("asking for admission: %w", err))
	}
	defer p.run.setup.Target.Left(p.room, options)
	options.Notify = func(n roomclient.Notification) {
		select {
		case p.notified <- n:
		default: // it is far behind; what it misses it does not receive
		}
	}
	joining, cancel := context.WithTimeout(ctx, p.run.setup.Load.Patience)
	defer cancel()
	start := time.Now()
	client, err := roomclient.Dial(joining, options)
	if err != nil {
		return p.failed(ctx, err)
	}
	defer p.leave(client)
	living, stop := context.WithCancel(ctx)
	defer stop()
	if err := p.join(joining, client, start); err != nil {
		return p.failed(ctx, err)
	}
	release()
	joined()
	p.follow(living, client)
	return nil
}

// failed notes a join that did not succeed, unless it was given up because the run ends.
func (p *participant) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own.Joins.fail(err)
	return err
}

// leave ends everything that the participant has opened.
func (p *participant) leave(client *roomclient.Client) {
	p.working.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	_ = client.Leave(ctx) // the socket may have ended
	p.mu.Lock()
	publisher := p.publisher
	var subscribers []*roomclient.Subscriber
	for _, s := range p.subscriptions {
		if s.subscriber != nil {
			subscribers = append(subscribers, s.subscriber)
		}
	}
	p.mu.Unlock()
	if publisher != nil {
		_ = publisher.Close() // there is nothing to do about it
	}
	for _, s := range subscribers {
		_ = s.Close()
	}
}

// join joins the room, publishes, and receives what is published already.
func (p *participant) join(ctx context.Context, client *roomclient.Client, start time.Time) error {
	room, err := client.Join(ctx, "load")
	if err != nil {
		return err
	}
	if p.publishes {
		publisher, err := client.Publish(ctx, p.media(), p.run.setup.Load.Stream)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.publisher = publisher
		p.own.Publishes.succeed(time.Since(start))
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.subscriptions = map[string]*subscription{}
	p.mu.Unlock()
	var first time.Time
	var errs []error
	if p.receives {
		var receiving sync.WaitGroup
		for _, other := range room.Value {
			for _, stream := range other.Streams {
				receiving.Go(func() {
					at, err := p.receive(ctx, client, other.ID, stream.ID, stream.HasVideo)
					p.mu.Lock()
					defer p.mu.Unlock()
					if errs = append(errs, err); err == nil && (first.IsZero() || at.Before(first)) {
						first = at
					}
				})
			}
		}
		receiving.Wait()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first.IsZero() {
		p.own.Joins.succeedWithout()
	} else {
		p.own.Joins.succeed(first.Sub(start))
	}
	return nil
}

func (p *participant) media() *roomclient.Media {
	if p.impaired {
		return p.run.setup.Impaired
	}
	return p.run.setup.Media
}

// receive subscribes to a stream and waits for its first frame, whose time it returns.
func (p *participant) receive(ctx context.Context, client *roomclient.Client, owner, stream string, video bool) (time.Time, error) {
	s := &subscription{owner: owner}
	p.mu.Lock()
	_, known := p.subscriptions[stream]
	if !known {
		p.subscriptions[stream] = s
	}
	p.mu.Unlock()
	if known {
		return time.Time{}, fmt.Errorf("receiving: stream %s is published twice", stream)
	}
	subscriber, err := client.Subscribe(ctx, p.media(), stream)
	if err != nil {
		return time.Time{}, err
	}
	p.mu.Lock()
	s.subscriber = subscriber
	p.mu.Unlock()
	begun := subscriber.AudioBegun()
	if video {
		begun = subscriber.Begun()
	}
	select {
	case <-begun:
	case <-subscriber.Ended():
		return time.Time{}, errors.New("receiving: the peer connection has ended before the first frame")
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("waiting for the first frame: %w", ctx.Err())
	}
	if video {
		return subscriber.Video().FirstFrame, nil
	}
	return subscriber.Audio().FirstFrame, nil
}

// follow receives what others publish, and drops what they have published, until the context or the
// socket ends.
func (p *participant) follow(ctx context.Context, client *roomclient.Client) {
	for {
		select {
		case n := <-p.notified:
			if p.receives {
				p.heard(ctx, client, n)
			}
		case <-client.Done():
			p.lostSocket(ctx)
			return
		case <-ctx.Done():
			return
		}
	}
}

// lostSocket counts a socket that the server, or the network, has ended.
func (p *participant) lostSocket(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own.LostSockets++
}

// heard does what a notification asks for.
func (p *participant) heard(ctx context.Context, client *roomclient.Client, n roomclient.Notification) {
	var params struct {
		ID           string `json:"id"`
		ConnectionID string `json:"connectionId"`
		Streams      []struct {
			ID       string `json:"id"`
			HasVideo bool   `json:"hasVideo"`
		} `json:"streams"`
	}
	if json.Unmarshal(n.Params, &params) != nil {
		return // not one of those below
	}
	switch n.Method {
	case "participantPublished":
		for _, stream := range params.Streams {
			p.mu.Lock()
			_, known := p.subscriptions[stream.ID]
			p.mu.Unlock()
			if known {
				continue // joinRoom has told it
			}
			p.working.Go(func() {
				receiving, cancel := context.WithTimeout(ctx, p.run.setup.Load.Patience)
				defer cancel()
				_, err := p.receive(receiving, client, params.ID, stream.ID, stream.HasVideo)
				if err != nil {
					_ = p.failed(ctx, err) // it is counted
				}
			})
		}
	case "participantUnpublished", "participantLeft":
		p.drop(params.ConnectionID)
	}
}

// drop ends the subscriptions of what a connection has published. Their totals stay.
func (p *participant) drop(owner string) {
	p.mu.Lock()
	var ended []*roomclient.Subscriber
	for stream, s := range p.subscriptions {
		if s.owner == owner && s.subscriber != nil {
			ended = append(ended, s.subscriber)
			p.own.stream(p.impaired, s.subscriber)
			delete(p.subscriptions, stream)
		}
	}
	p.mu.Unlock()
	for _, s := range ended {
		p.working.Go(func() { _ = s.Close() })
	}
}

// mark starts the measurement of the longest gaps anew.
func (p *participant) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.subscriptions {
		if s.subscriber != nil {
			s.subscriber.Mark()
		}
	}
	p.own.Video.Longest, p.own.Impaired.Longest = 0, 0
}

// totals returns what the participant has seen since it came.
func (p *participant) totals() Totals {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.own.clone()
	if p.subscriptions != nil {
		t.Present = 1
	}
	for _, s := range p.subscriptions {
		if s.subscriber != nil {
			t.stream(p.impaired, s.subscriber)
			t.route(s.subscriber.Protocol())
		}
	}
	if p.publisher != nil {
		t.route(p.publisher.Protocol())
		for _, s := range p.publisher.Sent() {
			t.Sent.Packets += s.Packets
			t.Sent.Bytes += s.Bytes
			t.Sent.Keyframes += s.Keyframes
			t.Sent.NACKs += s.NACKs
			t.Sent.Repaired += s.Repaired
		}
	}
	return t
}
