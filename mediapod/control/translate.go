package control

import (
	"errors"
	"fmt"
	"math"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/levels"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// errInvalid marks a message of the operator that can't be applied.
var errInvalid = errors.New("invalid message")

// desiredRoom translates the desired state of a room.
func desiredRoom(message *controlv1.Room) (room.Desired, error) {
	desired := room.Desired{
		UID:              message.GetUid(),
		Key:              message.GetKey(),
		SessionID:        message.GetSessionId(),
		Generation:       message.GetGeneration(),
		ForcedVideoCodec: message.GetForcedVideoCodec(),
		AllowTranscoding: message.GetAllowTranscoding(),
		Tenant:           message.GetTenant(),
		Name:             message.GetName(),
		Created:          time.UnixMilli(message.GetCreatedUnixMs()),
		Known:            message.GetKnown(),
		EndsWhenEmpty:    message.GetEndsWhenEmpty(),
		Proof:            message.GetProof(),
		ForceMute:        message.GetForceMute(),
		Connections:      make([]room.Connection, 0, len(message.GetConnections())),
	}
	if desired.UID == "" || desired.Key == "" {
		return desired, fmt.Errorf("room %q with key %q: %w", desired.UID, desired.Key, errInvalid)
	}
	for _, recording := range message.GetRecordings() {
		desired.Recordings = append(desired.Recordings, desiredRecording(recording))
	}
	seen := make(map[string]bool, len(message.GetConnections()))
	for _, connection := range message.GetConnections() {
		if seen[connection.GetUid()] {
			return desired, fmt.Errorf("connection %q twice: %w", connection.GetUid(), errInvalid)
		}
		seen[connection.GetUid()] = true
		translated, err := desiredConnection(connection)
		if err != nil {
			return desired, err
		}
		desired.Connections = append(desired.Connections, translated)
	}
	givePresences(desired.Connections, message.GetConnections())
	return desired, nil
}

func desiredRecording(message *controlv1.Recording) room.Recording {
	recording := room.Recording{
		ID: message.GetId(), Name: message.GetName(), Stopped: message.GetStopped(), Reason: reasons.Reason(message.GetReason()),
	}
	for _, told := range message.GetRoles() {
		recording.Roles = append(recording.Roles, role(told))
	}
	return recording
}

func desiredConnection(message *controlv1.Connection) (room.Connection, error) {
	connection := room.Connection{
		UID:            message.GetUid(),
		Generation:     message.GetGeneration(),
		ID:             message.GetConnectionId(),
		PrivateID:      message.GetRpcSessionId(),
		Spent:          message.GetSpent(),
		Role:           roleOf(message),
		ServerData:     message.GetServerData(),
		Record:         message.GetRecord(),
		MaxPublishKbps: int(message.GetMaxPublishKbps()),
		MaxReceiveKbps: int(message.GetMaxReceiveKbps()),
		Moderation: room.Moderation{
			AudioBlocked:   message.GetModeration().GetAudioBlocked(),
			VideoBlocked:   message.GetModeration().GetVideoBlocked(),
			EndedStreamIDs: message.GetModeration().GetEndedStreamIds(),
		},
	}
	if connection.UID == "" || connection.ID == "" {
		return connection, fmt.Errorf("connection %q with id %q: %w", connection.UID, connection.ID, errInvalid)
	}
	if copy(connection.Token[:], message.GetTokenSha256()) != len(connection.Token) || len(message.GetTokenSha256()) != len(connection.Token) {
		return connection, fmt.Errorf("token digest of connection %q: %w", connection.UID, errInvalid)
	}
	for _, server := range message.GetIceServers() {
		connection.ICEServers = append(connection.ICEServers, room.ICEServer{
			URL:        server.GetUrl(),
			Username:   server.GetUsername(),
			Credential: server.GetCredential(),
		})
	}
	return connection, nil
}

// givePresences translates who is in the room, as the pod before had it. What is received of whom
// is gone is left out.
func givePresences(connections []room.Connection, messages []*controlv1.Connection) {
	publisher := make(map[string]string) // stream -> connection id
	for i, message := range messages {
		for _, stream := range message.GetPresence().GetPublishers() {
			publisher[stream.GetStreamId()] = connections[i].ID
		}
	}
	for i, message := range messages {
		before := message.GetPresence()
		if before == nil {
			continue
		}
		presence := &room.Presence{
			Activated: time.UnixMilli(before.GetActiveUnixMs()),
			Client:    room.Client{Metadata: before.GetClientData(), Platform: before.GetPlatform(), Address: before.GetIp()},
		}
		for _, stream := range before.GetPublishers() {
			presence.Published = append(presence.Published, publishedStream(stream))
		}
		withheld := make(map[string]*controlv1.Withheld, len(before.GetWithheld())) // by stream
		for _, kinds := range before.GetWithheld() {
			withheld[kinds.GetStreamId()] = kinds
		}
		for n, id := range before.GetSubscribers() {
			if publisher[id] == "" {
				continue
			}
			reception := room.Reception{
				SubscriptionID: room.LastingID(id, publisher[id]), StreamID: id, Lasting: true,
				Delivery: delivery(withheld[id]),
			}
			if began := before.GetSubscribedUnixMs(); n < len(began) && began[n] != 0 {
				reception.Began = time.UnixMilli(began[n])
			}
			presence.Received = append(presence.Received, reception)
		}
		connections[i].Presence = presence
	}
}

// delivery translates what a participant wants of a stream.
func delivery(withheld *controlv1.Withheld) media.Delivery {
	return media.Delivery{
		NoAudio: withheld.GetAudio(), NoVideo: withheld.GetVideo(), MaxFrameRate: int(withheld.GetMaxFrameRate()),
		MaxSize: media.Dimensions{Width: int(withheld.GetMaxWidth()), Height: int(withheld.GetMaxHeight())},
	}
}

// withheldOf translates back what a participant does not want of what it receives.
func withheldOf(reception room.Reception) *controlv1.Withheld {
	return &controlv1.Withheld{
		StreamId: reception.StreamID, Audio: reception.NoAudio, Video: reception.NoVideo,
		MaxWidth: int32(reception.MaxSize.Width), MaxHeight: int32(reception.MaxSize.Height), MaxFrameRate: int32(reception.MaxFrameRate),
	}
}

// publishedStream translates what is known of a stream. A frame rate that was not announced is told
// as 0, and clients are told -1.
func publishedStream(message *controlv1.PublishedStream) room.Stream {
	stream := room.Stream{
		ID: message.GetStreamId(), Created: time.UnixMilli(message.GetCreatedUnixMs()),
		StreamOptions: room.StreamOptions{
			HasAudio: message.GetHasAudio(), HasVideo: message.GetHasVideo(), AudioActive: message.GetAudioActive(), VideoActive: message.GetVideoActive(),
			TypeOfVideo: room.VideoType(message.GetTypeOfVideo()), FrameRate: int(message.GetFrameRate()), Loopback: message.GetLoopback(),
			Name: message.GetName(), Initials: message.GetInitials(),
		},
		MuteForced: message.GetMuteForced(),
	}
	if stream.HasVideo && stream.FrameRate == 0 {
		stream.FrameRate = -1
	}
	stream.VideoDimensions.Width, stream.VideoDimensions.Height = events.ParseVideoDimensions(message.GetVideoDimensions())
	return stream
}

// roleOf translates the role of a connection.
func roleOf(message *controlv1.Connection) room.Role {
	if found := role(message.GetRole()); found != room.Publisher || !message.GetReceivesNothing() {
		return found
	}
	return room.PublisherOnly
}

// role translates a role. One of a newer operator may do no more than a subscriber.
func role(message controlv1.Role) room.Role {
	switch message {
	case controlv1.Role_ROLE_PUBLISHER:
		return room.Publisher
	case controlv1.Role_ROLE_MODERATOR:
		return room.Moderator
	default:
		return room.Subscriber
	}
}

// roomStatus translates the observed state of a room.
func roomStatus(snapshot room.Snapshot, revision uint64) *controlv1.RoomStatus {
	status := &controlv1.RoomStatus{
		Uid:         snapshot.UID,
		Revision:    revision,
		Generation:  snapshot.Generation,
		Connections: make([]*controlv1.ConnectionStatus, 0, len(snapshot.Connections)),
		UdpMedia:    int32(snapshot.UDP),
		TcpMedia:    int32(snapshot.TCP),
		ForceMute:   snapshot.ForceMute,
		Levels:      roomLevels(snapshot.Levels),
	}
	for _, connection := range snapshot.Connections {
		status.Connections = append(status.Connections, connectionStatus(connection))
	}
	return status
}

// roomLevels translates service levels; a minute without news is nil.
func roomLevels(l room.Levels) *controlv1.RoomLevels {
	if l.Figures == (levels.Figures{}) {
		return nil
	}
	return &controlv1.RoomLevels{
		Joins: int32(l.Joins), FailedJoins: int32(l.Failed), MedianJoinMs: int32(min(l.MedianJoin.Milliseconds(), math.MaxInt32)),
		WorstLossPercent: int32(l.LostPercent), SinceUnixMs: events.UnixMilli(l.Since),
	}
}

func connectionStatus(connection room.ConnectionSnapshot) *controlv1.ConnectionStatus {
	status := &controlv1.ConnectionStatus{
		Uid:                connection.UID,
		Generation:         connection.Generation,
		State:              state(connection.State),
		ActiveUnixMs:       events.UnixMilli(connection.ActiveTime),
		DisconnectedUnixMs: events.UnixMilli(connection.DisconnectedTime),
		DisconnectReason:   string(connection.Reason),
		ClientData:         connection.Client.Metadata,
		Ip:                 connection.Client.Address,
		Platform:           connection.Client.Platform,
		Restored:           connection.Restored,
	}
	for _, reception := range connection.Received {
		status.Subscribers = append(status.Subscribers, reception.StreamID)
		status.SubscribedUnixMs = append(status.SubscribedUnixMs, events.UnixMilli(reception.Began))
		if reception.Lasting && reception.Delivery != (media.Delivery{}) {
			status.Withheld = append(status.Withheld, withheldOf(reception))
		}
	}
	for _, stream := range connection.Published {
		status.Publishers = append(status.Publishers, sentStream(stream))
	}
	return status
}

// sentStream translates what is known of a stream, with what events do not tell: the next pod of
// the room has to know it.
func sentStream(stream room.Stream) *controlv1.PublishedStream {
	message := stream.Published()
	message.Name, message.Initials, message.MuteForced = stream.Name, stream.Initials, stream.MuteForced
	return message
}

func state(observed room.State) controlv1.ConnectionState {
	switch observed {
	case room.Pending:
		return controlv1.ConnectionState_CONNECTION_STATE_PENDING
	case room.Active:
		return controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	default:
		return controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
	}
}
