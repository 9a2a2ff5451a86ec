package room

import (
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// Notification is something that a participant is told. The types of this file are all there are;
// how they look on the wire is for the front ends.
type Notification interface {
	// Weight is about the number of bytes that it takes, for the bounds of queues.
	Weight() int
}

// Sink takes what a participant is told to its client. It is called with the room locked: it
// queues, never blocks and never calls back.
type Sink interface {
	// Notify queues a notification behind everything queued before.
	Notify(Notification)

	// Release ends the sink, because the participant has another one now or has lost this one. It
	// returns the notifications that the client is not known to have received, oldest first. What
	// is queued later is dropped.
	Release() []Notification

	// Move ends the sink, because another pod goes on with the participant. What was queued is
	// still to be sent; what is queued later is dropped.
	Move()

	// Finish says that the participant is out of the room for good. What was queued is still to be
	// sent; the client closes its socket by itself.
	Finish()
}

// ParticipantJoined is for everybody who is in the room already.
type ParticipantJoined struct {
	Participant Announcement
}

// ParticipantPublished is for everybody but the publisher.
type ParticipantPublished struct {
	ConnectionID string
	Stream       Stream
	// ClientData and ServerData are what the client and the server say of the publisher. They are
	// there where the stream's id does not end in the publisher's (LastingID).
	ClientData, ServerData string
}

// ParticipantUnpublished says that a stream has ended while its publisher stays.
type ParticipantUnpublished struct {
	ConnectionID, StreamID string
	Reason                 reasons.Reason
}

// ParticipantLeft is for those who stay. It also ends the streams of the one who has left, whose
// ids StreamIDs are.
type ParticipantLeft struct {
	ConnectionID string
	Reason       reasons.Reason
	StreamIDs    []string
}

// ParticipantEvicted is for the one who must go, and only for it.
type ParticipantEvicted struct {
	ConnectionID string
	Reason       reasons.Reason
}

// SignalReceived carries a message of a participant, or of the server when From is "".
type SignalReceived struct {
	From string
	Signal
}

// Signal is a message between participants. A nil field was not given.
type Signal struct {
	// Type and Data are what the recipients get.
	Type, Data *string
	// Topic is the type as events tell it.
	Topic *string
}

// StreamChanged tells everybody but the publisher about its stream.
type StreamChanged struct {
	ConnectionID, StreamID string
	Change                 StreamChange
}

// StreamRenewed makes a client build another peer connection for a subscription.
type StreamRenewed struct {
	// ConnectionID is the publisher's.
	ConnectionID, StreamID, SubscriptionID string
	SDPOffer                               string
}

// CandidateAdded gives a client a candidate of the server for one of its peer connections.
type CandidateAdded struct {
	// ConnectionID is the publisher's. SubscriptionID is "" when that is who is told.
	ConnectionID, StreamID, SubscriptionID string
	// RecipientID is the connection of who is told.
	RecipientID string
	Candidate   media.ICECandidate
}

// VideoPaused tells a participant whether and why it gets no video of a stream for now.
type VideoPaused struct {
	// ConnectionID is the publisher's.
	ConnectionID, StreamID, SubscriptionID string
	// Pause is why, and Before what the participant was told before.
	Pause, Before media.Pause
	// VideoActive says whether the publisher sends video.
	VideoActive bool
}

// StreamMuteForced tells the owner of a stream that a moderator wants its audio muted, which is for
// the client to do.
type StreamMuteForced struct {
	StreamID string
}

// ForceMuteChanged tells everybody whether streams have to be muted from now on.
type ForceMuteChanged struct {
	Active bool
}

// NetworkQualityLevelChanged tells everybody, the publisher too, how well a publisher's media
// arrives.
type NetworkQualityLevelChanged struct {
	ConnectionID string
	// NewValue is a level of package quality. OldValue is what the client was told before, or nil.
	NewValue int
	OldValue *int
}

// RoleChanged tells a participant that it has another role.
type RoleChanged struct {
	Role Role
}

// RecordChanged tells a participant whether it is recorded from now on.
type RecordChanged struct {
	Record bool
}

// baseWeight stands for everything of a notification that is short.
const baseWeight = 256

// Weight implements Notification.
func (n ParticipantJoined) Weight() int {
	return baseWeight + len(n.Participant.ClientData) + len(n.Participant.ServerData)
}

// Weight implements Notification.
func (n ParticipantPublished) Weight() int {
	return baseWeight + len(n.Stream.Name) + len(n.Stream.Initials) + len(n.ClientData) + len(n.ServerData)
}

// Weight implements Notification.
func (n ParticipantUnpublished) Weight() int { return baseWeight }

// Weight implements Notification.
func (n ParticipantLeft) Weight() int { return baseWeight * (1 + len(n.StreamIDs)) }

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
func (n StreamChanged) Weight() int { return baseWeight + len(n.Change.Value) }

// Weight implements Notification.
func (n StreamRenewed) Weight() int { return baseWeight + len(n.SDPOffer) }

// Weight implements Notification.
func (n CandidateAdded) Weight() int { return baseWeight }

// Weight implements Notification.
func (n VideoPaused) Weight() int { return baseWeight }

// Weight implements Notification.
func (n StreamMuteForced) Weight() int { return baseWeight }

// Weight implements Notification.
func (n ForceMuteChanged) Weight() int { return baseWeight }

// Weight implements Notification.
func (n NetworkQualityLevelChanged) Weight() int { return baseWeight }

// Weight implements Notification.
func (n RoleChanged) Weight() int { return baseWeight }

// Weight implements Notification.
func (n RecordChanged) Weight() int { return baseWeight }
