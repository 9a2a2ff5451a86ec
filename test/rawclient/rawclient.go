// Package rawclient is the authority on how tests take part in a room without a browser: with a
// client that shows every message of the server and sends any, and whose failures end the test.
package rawclient

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// Client is a client until the end of the test, in a room once it has joined. Methods that end the
// test are for the test's goroutine.
type Client struct {
	*roomclient.Client
	T *testing.T
	// Name is what errors call it.
	Name string
	// Patience is how long an answer or a notification may take; a media path may take twice as
	// long.
	Patience time.Duration
	// Joined is what joinRoom told, nil before.
	Joined *roomclient.Joined
}

// Dial opens a socket. A reconnection is tried again while the server refuses it for now, as
// browsers do: a gateway may learn of a room's new media pod after the test has.
func Dial(t *testing.T, name string, patience time.Duration, options roomclient.Options) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var client *roomclient.Client
	wait.For(t, patience, name+"'s socket to open", func() (err error) {
		if client, err = roomclient.Dial(ctx, options); err != nil && (!options.Reconnect || !errors.Is(err, roomclient.ErrUnavailable)) {
			t.Fatalf("%s: %v", name, err)
		}
		return err
	})
	t.Cleanup(client.Close)
	return &Client{Client: client, T: t, Name: name, Patience: patience}
}

// Joins calls joinRoom. The client's data is its name.
func (c *Client) Joins() {
	c.T.Helper()
	var err error
	if c.Joined, err = c.Join(c.T.Context(), c.Name); err != nil {
		c.T.Fatalf("%s: %v", c.Name, err)
	}
}

// ID is the connection id. The client has joined.
func (c *Client) ID() string { return c.Joined.ID }

// Gets waits for a notification whose members have these values, also one that came already, and
// returns all its members.
func (c *Client) Gets(method string, want map[string]any) map[string]any {
	c.T.Helper()
	return c.GetsWithin(c.Patience, method, want)
}

// GetsWithin is Gets with another patience.
func (c *Client) GetsWithin(within time.Duration, method string, want map[string]any) map[string]any {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), within)
	defer cancel()
	var found map[string]any
	_, err := c.WaitNotification(ctx, method, func(raw json.RawMessage) bool {
		var params map[string]any
		if json.Unmarshal(raw, &params) != nil {
			return false
		}
		for name, value := range want {
			if params[name] != value {
				return false
			}
		}
		found = params
		return true
	})
	if err != nil {
		var got []string
		for _, message := range c.Messages() {
			got = append(got, string(message.Raw))
		}
		c.T.Fatalf("%s: waiting for %s %v: %v; it got %q", c.Name, method, want, err, got)
	}
	return found
}

// Ends waits until the socket has ended; Err says why.
func (c *Client) Ends(within time.Duration) {
	c.T.Helper()
	select {
	case <-c.Done():
	case <-time.After(within):
		c.T.Fatalf("%s: the socket is still open after %v", c.Name, within)
	}
}
