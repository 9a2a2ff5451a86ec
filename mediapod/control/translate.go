package control

import (
	"errors"
	"fmt"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
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
		Connections:      make([]room.Connection, 0, len(message.GetConnections())),
	}
	if desired.UID == "" || desired.Key == "" {
		return desired, fmt.Errorf("room %q with key %q: %w", desired.UID, desired.Key, errInvalid)
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
	return desired, nil
}

func desiredConnection(message *controlv1.Connection) (room.Connection, error) {
	connection := room.Connection{
		UID:            message.GetUid(),
		Generation:     message.GetGeneration(),
		ID:             message.GetConnectionId(),
		PrivateID:      message.GetRpcSessionId(),
		Spent:          message.GetSpent(),
		Role:           role(message.GetRole()),
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
	}
	for _, connection := range snapshot.Connections {
		status.Connections = append(status.Connections, connectionStatus(connection))
	}
	return status
}

func connectionStatus(connection room.ConnectionSnapshot) *controlv1.ConnectionStatus {
	status := &controlv1.ConnectionStatus{
		Uid:                connection.UID,
		Generation:         connection.Generation,
		State:              state(connection.State),
		ActiveUnixMs:       unixMilli(connection.ActiveTime),
		DisconnectedUnixMs: unixMilli(connection.DisconnectedTime),
		DisconnectReason:   string(connection.Reason),
		ClientData:         connection.Client.Metadata,
		Ip:                 connection.Client.Address,
		Platform:           connection.Client.Platform,
	}
	for _, reception := range connection.Received {
		status.Subscribers = append(status.Subscribers, reception.StreamID)
	}
	for _, stream := range connection.Published {
		status.Publishers = append(status.Publishers, &controlv1.PublishedStream{
			StreamId:        stream.ID,
			CreatedUnixMs:   unixMilli(stream.Created),
			HasAudio:        stream.HasAudio,
			HasVideo:        stream.HasVideo,
			AudioActive:     stream.AudioActive,
			VideoActive:     stream.VideoActive,
			TypeOfVideo:     string(stream.TypeOfVideo),
			FrameRate:       max(0, int32(stream.FrameRate)), // 0 is unknown
			VideoDimensions: dimensions(stream.VideoDimensions),
		})
	}
	return status
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

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// dimensions writes a size as the operator keeps it: JSON text, or "" when it is not known.
func dimensions(d media.Dimensions) string {
	if d == (media.Dimensions{}) {
		return ""
	}
	return fmt.Sprintf(`{"width":%d,"height":%d}`, d.Width, d.Height)
}
