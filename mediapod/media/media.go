// Package media is the vocabulary between rooms and the media engine: the interfaces, options and
// errors by which a room publishes and subscribes. It is the single authority on that contract;
// package room uses it, package peer implements it, and neither imports the other.
package media

import (
	"context"
	"errors"
	"time"
)

// Engine makes the media side of a room: it terminates the peer connections of publishers and
// subscribers and forwards packets between them. It is all that a room knows of WebRTC.
// Implementations are safe for concurrent use.
type Engine interface {
	// NewPublication prepares a stream that nobody sends yet. It never blocks and starts nothing
	// that Close does not end. Subscriptions may be made before the publisher's first offer was
	// answered (a room that was moved to this pod must do so).
	NewPublication(options PublicationOptions) Publication

	// Subscribe makes a peer connection that receives the publication and returns the SDP offer for
	// it, with all of the server's ICE candidates inside. The offer has one m-line for each kind
	// that the publication was announced with. It fails with ErrPublicationClosed when the
	// publication has ended.
	Subscribe(ctx context.Context, publication Publication, options SubscriptionOptions) (Subscription, string, error)

	// Resume returns a stream of a room that another engine has served, with the publisher's
	// connection as it was, and ResumeSubscription what is received of it. They are false where
	// this engine has not taken over any: then it is made anew.
	Resume(options PublicationOptions) (Publication, bool)
	ResumeSubscription(publication Publication, options SubscriptionOptions) (Subscription, bool)

	// Remember has the engine that goes on with a room, should this one be lost, know what the room
	// has under a name; nil is nothing. It does not block.
	Remember(room, name string, memory Memory)

	// Remembered returns what a room has remembered that another engine has served, by name, where
	// this engine has taken it over.
	Remembered(room string) map[string]Memory
}

// Publication is one published stream: what a publisher's peer connection delivers, whoever
// receives it. Its methods are safe for concurrent use.
type Publication interface {
	// Answer answers an SDP offer of the publisher, with all of the server's ICE candidates inside.
	// The first call starts the stream; each later one replaces the publisher's peer connection and
	// splices what the new one delivers into the existing subscriptions (openvidu-rpc 2.18). An
	// error leaves the publication as it was before: ErrSDP or ErrForcedCodec when the offer is to
	// blame.
	Answer(ctx context.Context, offer string) (string, error)

	// AddICECandidate adds a candidate of the publisher; "" is the end of candidates. Candidates
	// that come before the first offer are kept (at most 64). A malformed one is ErrCandidate.
	AddICECandidate(candidate ICECandidate) error

	// Transport is what the publisher's media comes over now.
	Transport() Transport

	// Heard is when something authentic came from the publisher last; the zero value for never.
	Heard() time.Time

	// Reception returns what was observed of the publisher since it was last called. It is false
	// while there is nothing to say: no connection, or nothing arrived yet.
	Reception() (Reception, bool)

	// Close ends the stream and all subscriptions to it. It is idempotent and returns when nothing
	// of it runs any more.
	Close() error
}

// Subscription is one receiver of one publication. Its methods are safe for concurrent use.
type Subscription interface {
	// Answer takes the subscriber's SDP answer to the offer of Subscribe; media starts with it. A
	// subscriber that can't decode the video gets the audio alone. ErrSDP when the answer is
	// malformed, ErrCodecRejected when the subscriber can decode nothing of the stream.
	Answer(ctx context.Context, answer string) error

	// AddICECandidate adds a candidate of the subscriber, as in Publication.
	AddICECandidate(candidate ICECandidate) error

	// Deliver says what is sent; at first everything is. It may be called at any time, also before
	// the answer. An engine that takes the subscription over sends what this one did.
	Deliver(delivery Delivery)

	// Transport is what the media goes over now.
	Transport() Transport

	// Heard is when something came from the subscriber last, as in Publication.
	Heard() time.Time

	// VideoPause says why no video is sent for now; see PauseChanged.
	VideoPause() Pause

	// Loss is the share of packets that is lost on the way to the subscriber of late, from 0 to 1;
	// 0 while that is not known.
	Loss() float64

	// Close ends the subscription. It is idempotent and returns when nothing of it runs any more.
	Close() error
}

// Delivery says what of a stream a subscriber is sent. Its zero value is everything.
type Delivery struct {
	NoAudio bool `json:",omitempty"`
	NoVideo bool `json:",omitempty"`
	// MaxSize and MaxFrameRate are the most that is of use of the video, 0 for no bound: it is sent
	// in the best simulcast layer that has no more pixels, or else in the lowest, without those
	// temporal layers that bring more pictures. Video without layers is sent as it is.
	MaxSize      Dimensions `json:",omitzero"`
	MaxFrameRate int        `json:",omitempty"`
}

// Transport is what the packets of a peer connection go over.
type Transport int32

// Transports.
const (
	// NoTransport: the peer was not reached yet, or the connection has ended.
	NoTransport Transport = iota
	UDP
	// TCP is ICE-TCP (RFC 6544).
	TCP
)

// ICECandidate is a trickled candidate as browsers send and take it (RFC 8840). Candidate is at
// most 1024 bytes.
type ICECandidate struct {
	Candidate     string
	SDPMid        string
	SDPMLineIndex uint16
}

// Dimensions is the size of a video in pixels. The zero value is a size that is not known.
type Dimensions struct {
	Width, Height int
}

// PublicationOptions says what a stream was announced with, and its limits.
type PublicationOptions struct {
	// Room and StreamID name the stream: to an engine that takes it over, and in logs.
	Room, StreamID string
	// HasAudio and HasVideo are the kinds that subscribers are offered.
	HasAudio, HasVideo bool
	// Loopback sends the publisher its own media back on the same peer connection (openvidu-rpc
	// 4.5).
	Loopback bool
	// ForcedVideoCodec is "VP8", "VP9" or "H264", or "" when the publisher is free to choose.
	ForcedVideoCodec string
	// MaxVideoKbps bounds what the publisher is asked to send; 0 is no limit.
	MaxVideoKbps int
	// VideoDimensions is the size of the video as the client announced it.
	VideoDimensions Dimensions
	// Still tells that the video may stand still, as that of a screen.
	Still bool
	// Rerouted, when set, is called when Transport has changed. It must not block.
	Rerouted func() `json:"-"`
	// Trickle, when set, is called with a candidate of the server that was not in its description,
	// which the peer is to be told of (RFC 8838). It must not block.
	Trickle func(ICECandidate) `json:"-"`
}

// SubscriptionOptions are the limits of one receiver.
type SubscriptionOptions struct {
	// Participant and ID name the subscription among those to the stream.
	Participant, ID string
	// MaxVideoKbps bounds what the subscriber is sent; 0 is no limit.
	MaxVideoKbps int
	// Outdated, when set, is called at most once, from a goroutine of the engine's, when the
	// publisher has come back with a codec that this subscription was not offered, or when the
	// receiver is heard and not reached: it needs a new one (openvidu-rpc 3.10). It is not called
	// before the subscription was answered. It must not block.
	Outdated func() `json:"-"`
	// Rerouted, when set, is called when Transport has changed. It must not block.
	Rerouted func() `json:"-"`
	// PauseChanged, when set, is called when VideoPause has changed. It must not block, nor call
	// the subscription.
	PauseChanged func() `json:"-"`
	// Trickle, when set, is called with a candidate of the server that was not in its description,
	// which the peer is to be told of (RFC 8838). It must not block.
	Trickle func(ICECandidate) `json:"-"`
}

// Pause says why a subscriber gets no video of a stream for now, of which it wants the video.
type Pause int

// The values of Pause.
const (
	// NoPause: it gets the video, or there is none.
	NoPause Pause = iota
	// PathPause: the path to the subscriber carries next to none.
	PathPause
	// LimitPause: the least that there is of the video is far above MaxVideoKbps.
	LimitPause
)

// Reception is how well a publisher's media arrives.
type Reception struct {
	// Lost is the share of packets that did not arrive, repaired ones not counted, from 0 to 1.
	// What nobody receives is not repaired.
	Lost float64
	// Jitter is the interarrival jitter of RFC 3550, section 6.4.1, of the first packets of frames,
	// the greatest of the stream's kinds.
	Jitter time.Duration
	// RoundTrip is the round-trip time of the media path; 0 when it is not known.
	RoundTrip time.Duration
	// VideoKbps is what arrives, of all simulcast layers, TargetKbps what the publisher may and
	// should send at least for the video that it has announced: half of what browsers aim for at
	// that size (640x480 when it is not known), or its limit when that is less. Both are 0 without
	// video, or while it is muted or paused by the publisher.
	VideoKbps, TargetKbps int
}

// What an Engine refuses. They are wrapped with the details that a client may be told.
var (
	// ErrSDP marks a session description that can't be parsed or used.
	ErrSDP = errors.New("invalid SDP")
	// ErrCandidate marks a malformed ICE candidate.
	ErrCandidate = errors.New("invalid ICE candidate")
	// ErrForcedCodec marks an offer without the codec that the session forces.
	ErrForcedCodec = errors.New("forced codec not offered")
	// ErrCodecRejected marks a subscriber that can decode nothing of a stream.
	ErrCodecRejected = errors.New("codec rejected by the subscriber")
	// ErrPublicationClosed marks a publication that has ended.
	ErrPublicationClosed = errors.New("publication closed")
)
