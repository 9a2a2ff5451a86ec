package room

import (
	"crypto/sha256"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// Role decides what a participant may do.
type Role int

// The roles. The zero value may do least.
const (
	Subscriber Role = iota
	Publisher
	Moderator
	// PublisherOnly is a Publisher who receives nothing.
	PublisherOnly
)

func (r Role) mayPublish() bool  { return r != Subscriber }
func (r Role) mayReceive() bool  { return r != PublisherOnly }
func (r Role) mayModerate() bool { return r == Moderator }

// TokenDigest is the SHA-256 of a token's secret part. The zero value is the digest of no token.
type TokenDigest [sha256.Size]byte

// Desired is the complete desired state of one room.
type Desired struct {
	// UID identifies the room for its life; Key is what clients name it by in a URL. Both are
	// unique in a Registry.
	UID, Key string
	// SessionID is the name that clients are told.
	SessionID string
	// Tenant, Name and Created are the Session's namespace, its name there, and when it was
	// created: what the operator needs to tell of it. Without a tenant nothing is told.
	Tenant, Name string
	Created      time.Time
	// Proof is handed back to the operator with all of that.
	Proof []byte
	// Known says that the Session's beginning is told of already. It holds for a room that is made.
	Known bool
	// ForceMute is Snapshot.ForceMute of the pod before. It holds for a room that is made.
	ForceMute bool
	// EndsWhenEmpty says that the Session goes with its last user.
	EndsWhenEmpty bool
	// Generation is handed back in the Snapshot once this state holds.
	Generation int64
	// ForcedVideoCodec is "VP8", "VP9", "H264" or "". It holds for later publishers.
	ForcedVideoCodec string
	// AllowTranscoding lets a publisher in that does not offer the forced codec: nothing is
	// transcoded, the codec is then not forced.
	AllowTranscoding bool
	// Connections are all that may be in the room.
	Connections []Connection
	// Recordings are the one that runs, if any, and the last that has ended.
	Recordings []Recording
}

// Connection is the desired state of one participant.
type Connection struct {
	UID        string
	Generation int64
	// ID is the public connection id.
	ID    string
	Token TokenDigest
	// PrivateID is what the client resumes its connection by. A secret.
	PrivateID string
	// Spent says that the token was used already, here or on another pod.
	Spent      bool
	Role       Role
	ServerData string
	Record     bool
	ICEServers []ICEServer
	// MaxPublishKbps and MaxReceiveKbps bound video, the latter per stream. 0 is no limit.
	MaxPublishKbps, MaxReceiveKbps int
	Moderation                     Moderation
	// Presence is the participant as the pod had it that the room was on before; nil when nobody
	// was in the room by this Connection. It means nothing once the Connection is known here.
	Presence *Presence
}

// Moderation is what a participant may not publish, whatever its role. A stream that is not allowed
// any more ends.
type Moderation struct {
	// AudioBlocked and VideoBlocked forbid streams that have the kind.
	AudioBlocked, VideoBlocked bool
	// EndedStreamIDs are streams that must not be. The participant may publish again, as another
	// stream.
	EndedStreamIDs []string
}

func (m Moderation) allows(stream Stream) bool {
	blocked := m.AudioBlocked && stream.HasAudio || m.VideoBlocked && stream.HasVideo
	return !blocked && !slices.Contains(m.EndedStreamIDs, stream.ID)
}

// ICEServer is a STUN or TURN server that a client is told.
type ICEServer struct {
	URL, Username, Credential string
}

// State is how far the admission of a connection has come.
type State int

// The states of a connection:
//
//	Pending --token used--> Active --left, evicted, lost--> Disconnected
const (
	// Pending waits for its token to be used.
	Pending State = iota
	// Active is in the room, or has lost its socket and may still come back.
	Active
	// Disconnected has left, or has a spent token and was never seen here.
	Disconnected
)

// Snapshot is the complete observed state of one room.
type Snapshot struct {
	UID string
	// Generation of the Desired that was applied last.
	Generation int64
	// Connections are in the order of the desired state; one that has left stays until it is no
	// longer desired.
	Connections []ConnectionSnapshot
	// UDP and TCP count the peer connections by what their packets go over now.
	UDP, TCP int
	// ForceMute says that streams have to be muted (Participant.ForceMuteAll).
	ForceMute bool
	// Levels are the service levels of the last minute (Registry.MeasureLevels).
	Levels Levels
}

// ConnectionSnapshot is the observed state of one participant.
type ConnectionSnapshot struct {
	UID              string
	Generation       int64
	State            State
	ActiveTime       time.Time
	DisconnectedTime time.Time
	// Reason of the disconnection.
	Reason reasons.Reason
	// Client is what the client told of itself when it joined.
	Client Client
	// Published are the streams that it sends, Received what it receives, by creation.
	Published []Stream
	Received  []Reception
	// Restored says that it comes from another pod and its client is not back yet.
	Restored bool
}

// Reception is what is known of one subscription.
type Reception struct {
	SubscriptionID, StreamID string
	// Lasting says that it goes over to another pod: the id is LastingID.
	Lasting bool
	// Began is when the client was first told to receive the stream.
	Began time.Time
	// Delivery is what the client wants of the stream.
	media.Delivery
}

// Client is what a joining client tells of itself.
type Client struct {
	// Metadata is what it says for others to know.
	Metadata string
	Platform string
	// Address is the client's IP address.
	Address string
}

// Stream is what is known of one published stream.
type Stream struct {
	ID      string
	Created time.Time
	StreamOptions
	// MuteForced says that its owner was asked to mute the audio, and has not said yet that it has.
	MuteForced bool
}

// VideoType is what a video shows: Camera, or something else that the front ends know.
type VideoType string

// Camera is a video whose bitrate says how good the network is.
const Camera VideoType = "CAMERA"

// StreamOptions are what a publisher announces a stream with, as they are now.
type StreamOptions struct {
	HasAudio, HasVideo       bool
	AudioActive, VideoActive bool
	// TypeOfVideo is "" without video.
	TypeOfVideo VideoType
	// FrameRate is not positive when the publisher did not say.
	FrameRate       int
	VideoDimensions media.Dimensions
	// Name and Initials are what the publisher calls the stream; clients may show them.
	Name, Initials string
	// Loopback sends the publisher its own media back.
	Loopback bool
}

// Totals are counts over all rooms. Who joined by Claims is no active connection.
type Totals struct {
	Rooms, ActiveConnections, Publishers, Subscriptions int
}

// seat is one desired connection and what became of it. It belongs to its room and is guarded by
// the room's mutex.
type seat struct {
	desired     Connection
	claims      *Claims // of who has no Connection; nil otherwise
	state       State
	activated   time.Time
	left        time.Time
	reason      reasons.Reason
	client      Client
	socket      string       // over which it has joined, on whatever pod
	participant *Participant // while state is Active
}

func (s *seat) snapshot() ConnectionSnapshot {
	snapshot := ConnectionSnapshot{
		UID:              s.desired.UID,
		Generation:       s.desired.Generation,
		State:            s.state,
		ActiveTime:       s.activated,
		DisconnectedTime: s.left,
		Reason:           s.reason,
		Client:           s.client,
	}
	if s.participant != nil {
		snapshot.Published, snapshot.Received = s.participant.publications.live(), s.participant.subscriptions.received()
		snapshot.Restored = s.participant.restored
	}
	return snapshot
}

// mayPublish reports whether the participant may send a stream.
func (s *seat) mayPublish(stream Stream) bool {
	if s.claims != nil && (s.claims.Privileged || s.claims.Hidden) {
		return !s.claims.Hidden
	}
	return s.desired.Role.mayPublish() && s.desired.Moderation.allows(stream)
}

// mayReceive reports whether the participant may receive streams.
func (s *seat) mayReceive() bool {
	return s.claims != nil && s.claims.Privileged || s.desired.Role.mayReceive()
}

// mayModerate reports whether the participant may throw others out and end their streams.
func (s *seat) mayModerate() bool {
	return s.claims != nil && s.claims.Privileged || s.desired.Role.mayModerate()
}
