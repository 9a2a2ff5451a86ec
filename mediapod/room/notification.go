package room

import "mediarooms.dev/mediarooms/internal/reasons"

// Notification is something that a participant is told. The types of this file are all there are; how they look on
// the wire is for the layer above.
type Notification interface {
	// Weight is about the number of bytes that it takes, for the bounds of queues.
	Weight() int
}

// Link is a participant's way to its client. It is called with the room locked: it queues, never blocks and never calls back.
type Link interface {
	// Notify queues a notification behind everything queued before.
	Notify(Notification)

	// Release ends the link, because the participant has another one now or has lost this one. It
	// returns the notifications that the client is not known to have received, oldest first. What is
	// queued later is dropped.
	Release() []Notification

	// Finish tells that the participant is out of the room for good. What was queued is still to be sent; the
	// client closes its socket by itself.
	Finish()
}

// ParticipantJoined is told to everybody who is in the room already (openvidu-rpc 3.1).
type ParticipantJoined struct {
	Participant Announcement
}

// ParticipantPublished is told to everybody but the publisher (3.2).
type ParticipantPublished struct {
	ConnectionID string
	Stream       Stream
}

// ParticipantUnpublished tells that a stream has ended while its publisher stays (3.3).
type ParticipantUnpublished struct {
	ConnectionID, Reason string
}

// ParticipantLeft is told to those who stay (3.4). It also ends the stream of the one who has left.
type ParticipantLeft struct {
	ConnectionID, Reason string
}

// ParticipantEvicted is told to the one who must go, and only to it (3.5).
type ParticipantEvicted struct {
	ConnectionID, Reason string
}

// SignalReceived carries a message of a participant, or of the server when From is "" (3.6).
type SignalReceived struct {
	From string
	Signal
}

// Signal is a message between participants. A nil field was not given.
type Signal struct {
	Type, Data *string
}

// StreamPropertyChanged tells everybody but the publisher about its stream (3.7).
type StreamPropertyChanged struct {
	ConnectionID, StreamID string
	Change                 PropertyChange
}

// PropertyChange is one property of a stream that has changed.
type PropertyChange struct {
	Property, Reason string
	// NewValue is JSON text.
	NewValue string
	// AudioActive, VideoActive and VideoDimensions are set when the property is the one of that name.
	AudioActive, VideoActive *bool
	VideoDimensions          *string
}

// ForciblyReconnectSubscriber makes a client build another peer connection for a stream that it receives (3.10).
type ForciblyReconnectSubscriber struct {
	ConnectionID, StreamID, SDPOffer string
}

// NetworkQualityLevelChanged tells everybody, the publisher too, how well a publisher's media arrives (8.1).
type NetworkQualityLevelChanged struct {
	ConnectionID string
	// NewValue is a level of package quality. OldValue is what the client was told before, or nil.
	NewValue int
	OldValue *int
}

// ConnectionPropertyChanged tells a participant that its own connection has changed (8.2).
type ConnectionPropertyChanged struct {
	Property, NewValue string
}

// baseWeight stands for everything of a notification that is short.
const baseWeight = 256

// Weight implements Notification.
func (n ParticipantJoined) Weight() int { return baseWeight + len(n.Participant.Metadata) }

// Weight implements Notification.
func (n ParticipantPublished) Weight() int { return baseWeight + len(n.Stream.VideoDimensions) }

// Weight implements Notification.
func (n ParticipantUnpublished) Weight() int { return baseWeight }

// Weight implements Notification.
func (n ParticipantLeft) Weight() int { return baseWeight }

// Weight implements Notification.
func (n ParticipantEvicted) Weight() int { return baseWeight }

// Weight implements Notification.
func (n SignalReceived) Weight() int {
	weight := baseWeight
	for _, text := range []*string{n.Type, n.Data} {
		if text != nil {
			weight += len(*text)
		}
	}
	return weight
}

// Weight implements Notification.
func (n StreamPropertyChanged) Weight() int { return baseWeight + len(n.Change.NewValue) }

// Weight implements Notification.
func (n ConnectionPropertyChanged) Weight() int { return baseWeight }

// Weight implements Notification.
func (n ForciblyReconnectSubscriber) Weight() int { return baseWeight + len(n.SDPOffer) }

// Weight implements Notification.
func (n NetworkQualityLevelChanged) Weight() int { return baseWeight }

// Why a participant, a stream or a Session is gone.
const (
	ReasonDisconnect              = string(reasons.Disconnect)
	ReasonForceDisconnectByUser   = string(reasons.ForceDisconnectByUser)
	ReasonForceDisconnectByServer = string(reasons.ForceDisconnectByServer)
	ReasonSessionClosedByServer   = string(reasons.SessionClosedByServer)
	ReasonNetworkDisconnect       = string(reasons.NetworkDisconnect)
	ReasonServerStopped           = string(reasons.ServerStopped)
	ReasonUnpublish               = string(reasons.Unpublish)
	ReasonForceUnpublishByUser    = string(reasons.ForceUnpublishByUser)
	ReasonForceUnpublishByServer  = string(reasons.ForceUnpublishByServer)
)
