package rawclient

import (
	"context"
	"testing"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// NewMedia makes the peer connections of a test.
func NewMedia(t *testing.T) *roomclient.Media {
	t.Helper()
	media, err := roomclient.NewMedia(nil)
	if err != nil {
		t.Fatal(err)
	}
	return media
}

// Publishes publishes a stream until the end of the test.
func (c *Client) Publishes(media *roomclient.Media, stream roomclient.Stream) *roomclient.Publisher {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), 2*c.Patience)
	defer cancel()
	p, err := c.Publish(ctx, media, stream)
	if err != nil {
		c.T.Fatalf("%s: %v", c.Name, err)
	}
	c.T.Cleanup(func() { _ = p.Close() }) // the test is over
	return p
}

// Offers makes a peer connection that is not published, for callers that say something else than a
// browser does; Starts may follow.
func (c *Client) Offers(media *roomclient.Media, stream roomclient.Stream) *roomclient.Publisher {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), c.Patience)
	defer cancel()
	p, err := media.NewPublisher(ctx, stream)
	if err != nil {
		c.T.Fatalf("%s: %v", c.Name, err)
	}
	c.T.Cleanup(func() { _ = p.Close() }) // the test is over
	return p
}

// Starts connects a publisher with the server's answer.
func (c *Client) Starts(p *roomclient.Publisher, answer string) {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), 2*c.Patience)
	defer cancel()
	if err := p.Start(ctx, answer); err != nil {
		c.T.Fatalf("%s: %v", c.Name, err)
	}
}

// Receives receives a stream until the end of the test.
func (c *Client) Receives(media *roomclient.Media, streamID string) *roomclient.Subscriber {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), 2*c.Patience)
	defer cancel()
	s, err := c.Subscribe(ctx, media, streamID)
	if err != nil {
		c.T.Fatalf("%s: %v", c.Name, err)
	}
	c.T.Cleanup(func() { _ = s.Close() }) // the test is over
	return s
}
