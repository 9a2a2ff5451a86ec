package rpc

import (
	"encoding/json"
	"fmt"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// Version is the OpenVidu version that clients are told. They give up on one that is not a full semantic version.
const Version = "2.32.2"

// participant is an entry of joinRoom's value and the parameters of participantJoined (openvidu-rpc 2.1, 3.1). It has no role: the client
// would take the participant for itself. Streams are absent, not empty, when there is none.
type participant struct {
	ID       string   `json:"id"`
	Created  int64    `json:"createdAt"`
	Metadata string   `json:"metadata"`
	Streams  []stream `json:"streams,omitempty"`
}

type stream struct {
	ID              string   `json:"id"`
	Created         int64    `json:"createdAt"`
	HasAudio        bool     `json:"hasAudio"`
	HasVideo        bool     `json:"hasVideo"`
	AudioActive     *bool    `json:"audioActive,omitempty"`
	VideoActive     *bool    `json:"videoActive,omitempty"`
	TypeOfVideo     string   `json:"typeOfVideo,omitempty"`
	FrameRate       *int     `json:"frameRate,omitempty"`
	VideoDimensions string   `json:"videoDimensions,omitempty"`
	Filter          struct{} `json:"filter"`
}

type joinResult struct {
	ID               string        `json:"id"`
	FinalUserID      string        `json:"finalUserId"`
	Created          int64         `json:"createdAt"`
	Metadata         string        `json:"metadata"`
	Value            []participant `json:"value"`
	Session          string        `json:"session"`
	Version          string        `json:"version"`
	MediaServer      string        `json:"mediaServer"`
	VideoSimulcast   bool          `json:"videoSimulcast"`
	Record           bool          `json:"record"`
	Role             string        `json:"role"`
	Life             int64         `json:"life"`
	CustomICEServers []iceServer   `json:"customIceServers"`
}

type sessionStatusResult struct {
	Life int64 `json:"life"`
}

type iceServer struct {
	URL        string `json:"url"`
	Username   string `json:"username,omitempty"`
	Credential string `json:"credential,omitempty"`
}

type publishResult struct {
	SDPAnswer string `json:"sdpAnswer"`
	ID        string `json:"id"`
	Created   int64  `json:"createdAt"`
}

type departure struct {
	ConnectionID string `json:"connectionId"`
	Reason       string `json:"reason"`
}

func wireParticipant(a room.Announcement) participant {
	p := participant{ID: a.ConnectionID, Created: a.Created.UnixMilli(), Metadata: a.Metadata}
	if a.Stream != nil {
		p.Streams = []stream{wireStream(*a.Stream)}
	}
	return p
}

func wireStream(s room.Stream) stream {
	wire := stream{ID: s.ID, Created: s.Created.UnixMilli(), HasAudio: s.HasAudio, HasVideo: s.HasVideo}
	if s.HasAudio {
		wire.AudioActive = &s.AudioActive
	}
	if s.HasVideo {
		wire.VideoActive, wire.FrameRate = &s.VideoActive, &s.FrameRate
		wire.TypeOfVideo, wire.VideoDimensions = s.TypeOfVideo, s.VideoDimensions
	}
	return wire
}

// encodeNotification writes what a client is told (openvidu-rpc section 3).
func encodeNotification(notification room.Notification) ([]byte, error) {
	message := struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{Version: "2.0"}

	switch n := notification.(type) {
	case room.ParticipantJoined:
		message.Method, message.Params = "participantJoined", wireParticipant(n.Participant)
	case room.ParticipantPublished:
		message.Method, message.Params = "participantPublished", struct {
			ID      string   `json:"id"`
			Streams []stream `json:"streams"`
		}{n.ConnectionID, []stream{wireStream(n.Stream)}}
	case room.ParticipantUnpublished:
		message.Method, message.Params = "participantUnpublished", departure(n)
	case room.ParticipantLeft:
		message.Method, message.Params = "participantLeft", departure(n)
	case room.ParticipantEvicted:
		message.Method, message.Params = "participantEvicted", departure(n)
	case room.SignalReceived:
		message.Method, message.Params = "sendMessage", struct {
			Data *string `json:"data,omitempty"`
			Type *string `json:"type,omitempty"`
			From string  `json:"from,omitempty"`
		}{n.Data, n.Type, n.From}
	case room.StreamPropertyChanged:
		message.Method, message.Params = "streamPropertyChanged", struct {
			ConnectionID string `json:"connectionId"`
			StreamID     string `json:"streamId"`
			Property     string `json:"property"`
			NewValue     string `json:"newValue"`
			Reason       string `json:"reason"`
		}{n.ConnectionID, n.StreamID, n.Change.Property, n.Change.NewValue, n.Change.Reason}
	case room.ForciblyReconnectSubscriber:
		message.Method, message.Params = "forciblyReconnectSubscriber", struct {
			ConnectionID string `json:"connectionId"`
			StreamID     string `json:"streamId"`
			SDPOffer     string `json:"sdpOffer"`
		}(n)
	case room.NetworkQualityLevelChanged:
		message.Method, message.Params = "networkQualityLevelChanged", struct {
			ConnectionID string `json:"connectionId"`
			NewValue     int    `json:"newValue"`
			OldValue     *int   `json:"oldValue,omitempty"`
		}(n)
	case room.ConnectionPropertyChanged:
		message.Method, message.Params = "connectionPropertyChanged", struct {
			Property string `json:"property"`
			NewValue string `json:"newValue"`
		}{n.Property, n.NewValue}
	default:
		return nil, fmt.Errorf("encoding a notification: unknown type %T", notification)
	}
	return encode(message)
}

// compact returns JSON text without needless space; what is not JSON stays as it is.
func compact(raw json.RawMessage) string {
	body, err := encode(raw)
	if err != nil {
		return string(raw)
	}
	return string(body)
}
