package roomclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// Subscriber receives one stream and follows what comes.
type Subscriber struct {
	*peer
	media *Media
}

// Subscribe calls prepareReceiveVideoFrom and receiveVideoFrom and waits for the media path.
func (c *Client) Subscribe(ctx context.Context, media *Media, streamID string) (*Subscriber, error) {
	return c.subscribe(ctx, media, streamID, false)
}

// Resubscribe receives a stream by another peer connection with reconnectStream, as a browser does
// whose media path was lost. What it was received by before is the caller's to close.
func (c *Client) Resubscribe(ctx context.Context, media *Media, streamID string) (*Subscriber, error) {
	return c.subscribe(ctx, media, streamID, true)
}

func (c *Client) subscribe(ctx context.Context, media *Media, streamID string, again bool) (*Subscriber, error) {
	s, err := media.NewSubscriber()
	if err != nil {
		return nil, err
	}
	if err := s.negotiate(ctx, c, streamID, again); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// NewSubscriber makes a peer connection to receive with. The server knows nothing of it yet.
func (m *Media) NewSubscriber() (*Subscriber, error) {
	base, err := m.newPeer(newIncoming(m.options.Sample))
	if err != nil {
		return nil, err
	}
	if m.options.Feedback > 0 {
		m.feeder.add(base, m.options.Feedback)
	}
	return &Subscriber{peer: base, media: m}, nil
}

func (s *Subscriber) negotiate(ctx context.Context, c *Client, streamID string, again bool) error {
	var prepared struct {
		SDPOffer string `json:"sdpOffer"`
	}
	err := c.Call(ctx, "prepareReceiveVideoFrom", map[string]any{"sender": streamID, "reconnect": again}, &prepared)
	if err != nil {
		return err
	}
	sdp, err := s.Answer(ctx, prepared.SDPOffer)
	if err != nil {
		return err
	}
	if again {
		err = c.Call(ctx, "reconnectStream", map[string]any{"stream": streamID, "sdpString": sdp, "forciblyReconnect": false}, nil)
	} else {
		err = c.Call(ctx, "receiveVideoFrom", map[string]any{"sender": streamID, "sdpAnswer": sdp}, nil)
	}
	if err != nil {
		return err
	}
	return s.WaitConnected(ctx)
}

// Answer takes the server's offer and returns the answer to it, with all candidates inside.
func (s *Subscriber) Answer(ctx context.Context, offer string) (string, error) {
	s.incoming.table.Store(readTable(offer))
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("taking the offer: %w", err)
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("making an answer: %w", err)
	}
	return s.local(ctx, answer)
}

// Video is what was seen of the video so far.
func (s *Subscriber) Video() Reception { return s.incoming.video.snapshot(time.Now()) }

// Audio is what was seen of the audio so far. It has no frames.
func (s *Subscriber) Audio() Reception { return s.incoming.audio.snapshot(time.Now()) }

// Begun is closed at the first frame of the video; Subscriber.Video tells when that was.
func (s *Subscriber) Begun() <-chan struct{} { return s.incoming.video.begun }

// AudioBegun is closed at the first packet of the audio.
func (s *Subscriber) AudioBegun() <-chan struct{} { return s.incoming.audio.begun }

// Mark starts the measurement of the longest gap anew.
func (s *Subscriber) Mark() { s.incoming.video.mark() }

// Close ends the peer connection and waits for its readers. It tells the server nothing.
func (s *Subscriber) Close() error {
	s.media.feeder.remove(s.peer)
	return s.peer.Close()
}
