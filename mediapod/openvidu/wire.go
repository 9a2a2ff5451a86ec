package openvidu

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// Version is the OpenVidu version that clients are told. They give up on one that is not a full
// semantic version.
const Version = "2.32.2"

// participant is an entry of joinRoom's value and the parameters of participantJoined (openvidu-rpc
// 2.1, 3.1). It has no role: the client would take the participant for itself. Streams are absent,
// not empty, when there is none.
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

// joinResult is the result of joinRoom without its value: the others in the room, which joinParts
// adds.
type joinResult struct {
	ID               string      `json:"id"`
	FinalUserID      string      `json:"finalUserId"`
	Created          int64       `json:"createdAt"`
	Metadata         string      `json:"metadata"`
	Session          string      `json:"session"`
	Version          string      `json:"version"`
	MediaServer      string      `json:"mediaServer"`
	VideoSimulcast   bool        `json:"videoSimulcast"`
	Record           bool        `json:"record"`
	Role             string      `json:"role"`
	Life             int64       `json:"life"`
	CustomICEServers []iceServer `json:"customIceServers"`
	RecordingID      string      `json:"recordingId,omitempty"`
	RecordingName    string      `json:"recordingName,omitempty"`
}

// recordingStarted and recordingStopped are the parameters of these (openvidu-rpc 3.11).
type recordingStarted struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type recordingStopped struct {
	ID     string         `json:"id"`
	Name   string         `json:"name"`
	Reason reasons.Reason `json:"reason"`
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
	ConnectionID string         `json:"connectionId"`
	Reason       reasons.Reason `json:"reason"`
}

// metadataSeparator stands between what a client and what the server says of a participant
// (openvidu-rpc 2.1). A client's part must not contain it.
const metadataSeparator = "%/%"

// metadata is what others are told of a participant: client data, then server data.
func metadata(a room.Announcement) string {
	if a.ClientData != "" && a.ServerData != "" {
		return a.ClientData + metadataSeparator + a.ServerData
	}
	return a.ClientData + a.ServerData
}

func wireParticipant(a room.Announcement) participant {
	p := participant{ID: a.ConnectionID, Created: a.Created.UnixMilli(), Metadata: metadata(a)}
	for _, s := range a.Streams {
		p.Streams = append(p.Streams, wireStream(s))
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
		wire.TypeOfVideo, wire.VideoDimensions = string(s.TypeOfVideo), wireDimensions(s.VideoDimensions)
	}
	return wire
}

// wireDimensions writes a size as clients do, "" when it is not known.
func wireDimensions(d media.Dimensions) string {
	if d == (media.Dimensions{}) {
		return ""
	}
	return fmt.Sprintf(`{"width":%d,"height":%d}`, d.Width, d.Height)
}

// readDimensions reads a size as clients write it; false when that is none.
func readDimensions(text string) (media.Dimensions, bool) {
	var size struct{ Width, Height float64 }
	if json.Unmarshal([]byte(text), &size) != nil || size.Width < 1 || size.Height < 1 {
		return media.Dimensions{}, false
	}
	side := func(pixels float64) int { return int(math.Round(min(pixels, math.MaxInt32))) }
	return media.Dimensions{Width: side(size.Width), Height: side(size.Height)}, true
}

var roleNames = map[room.Role]string{
	room.Subscriber: "SUBSCRIBER", room.Publisher: "PUBLISHER", room.PublisherOnly: "PUBLISHER", room.Moderator: "MODERATOR",
}

// streamPropertyChanged are the parameters of a notification.
type streamPropertyChanged struct {
	ConnectionID string `json:"connectionId"`
	StreamID     string `json:"streamId"`
	Property     string `json:"property"`
	NewValue     string `json:"newValue"`
	Reason       string `json:"reason"`
}

func wireChange(n room.StreamChanged) streamPropertyChanged {
	change := n.Change
	wire := streamPropertyChanged{n.ConnectionID, n.StreamID, change.Property, change.Value, change.Reason}
	switch {
	case change.AudioActive != nil:
		wire.Property, wire.NewValue = "audioActive", strconv.FormatBool(*change.AudioActive)
	case change.VideoActive != nil:
		wire.Property, wire.NewValue = "videoActive", strconv.FormatBool(*change.VideoActive)
	case change.VideoDimensions != nil: // encoded twice
		wire.Property, wire.NewValue = "videoDimensions", strconv.Quote(wireDimensions(*change.VideoDimensions))
	}
	return wire
}

// ownLimit is the reason by which a client is told that its own limit keeps it from a video.
const ownLimit = "videoMaxRecvBandwidth"

// wirePause tells one client of a pause as if the publisher had switched its video, which
// applications know how to show.
func wirePause(n room.VideoPaused) streamPropertyChanged {
	active := n.VideoActive && n.Pause != media.LimitPause
	return streamPropertyChanged{n.ConnectionID, n.StreamID, "videoActive", strconv.FormatBool(active), ownLimit}
}

type iceCandidate struct {
	SenderConnectionID string `json:"senderConnectionId"`
	EndpointName       string `json:"endpointName"`
	SDPMLineIndex      uint16 `json:"sdpMLineIndex"`
	SDPMid             string `json:"sdpMid"`
	Candidate          string `json:"candidate"`
}

// wireCandidate names the endpoint as the reference does (openvidu-rpc 3.8).
func wireCandidate(n room.CandidateAdded) iceCandidate {
	endpoint := n.StreamID
	if n.SubscriptionID != "" {
		endpoint = n.RecipientID + "_" + n.StreamID
	}
	return iceCandidate{n.ConnectionID, endpoint, n.Candidate.SDPMLineIndex, n.Candidate.SDPMid, n.Candidate.Candidate}
}

type connectionPropertyChanged struct {
	Property string `json:"property"`
	NewValue string `json:"newValue"`
}

// muteForced is how a client is told that a moderator wants it muted, for which the protocol has no
// word: as a signal of the server whose data is the stream's id. Its application may do it.
func muteForced(n room.StreamMuteForced) any {
	return map[string]string{"type": signalPrefix + "muteForced", "data": n.StreamID}
}

// encodeNotification writes what a client is told (openvidu-rpc section 3): the messages, none for
// what it is not told.
func encodeNotification(notification room.Notification) ([][]byte, error) {
	var messages [][]byte
	for _, n := range shown(notification) {
		message, err := encodeShown(n)
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}

// encodeShown writes one message.
func encodeShown(notification room.Notification) ([]byte, error) {
	var message struct {
		Method string
		Params any
	}
	switch n := notification.(type) {
	case room.ParticipantJoined:
		message.Method, message.Params = "participantJoined", wireParticipant(n.Participant)
	case room.ParticipantPublished:
		message.Method, message.Params = "participantPublished", struct {
			ID      string   `json:"id"`
			Streams []stream `json:"streams"`
		}{n.ConnectionID, []stream{wireStream(n.Stream)}}
	case room.ParticipantUnpublished:
		message.Method, message.Params = "participantUnpublished", departure{n.ConnectionID, n.Reason}
	case room.ParticipantLeft:
		message.Method, message.Params = "participantLeft", departure{n.ConnectionID, n.Reason}
	case room.ParticipantEvicted:
		message.Method, message.Params = "participantEvicted", departure(n)
	case room.SignalReceived:
		message.Method, message.Params = "sendMessage", struct {
			Data *string `json:"data,omitempty"`
			Type *string `json:"type,omitempty"`
			From string  `json:"from,omitempty"`
		}{n.Data, n.Type, n.From}
	case room.StreamChanged:
		message.Method, message.Params = "streamPropertyChanged", wireChange(n)
	case room.VideoPaused:
		message.Method, message.Params = "streamPropertyChanged", wirePause(n)
	case room.StreamRenewed:
		message.Method, message.Params = "forciblyReconnectSubscriber", struct {
			ConnectionID string `json:"connectionId"`
			StreamID     string `json:"streamId"`
			SDPOffer     string `json:"sdpOffer"`
		}{n.ConnectionID, n.StreamID, n.SDPOffer}
	case room.CandidateAdded:
		message.Method, message.Params = "iceCandidate", wireCandidate(n)
	case room.NetworkQualityLevelChanged:
		message.Method, message.Params = "networkQualityLevelChanged", struct {
			ConnectionID string `json:"connectionId"`
			NewValue     int    `json:"newValue"`
			OldValue     *int   `json:"oldValue,omitempty"`
		}(n)
	case room.StreamMuteForced:
		message.Method, message.Params = "sendMessage", muteForced(n)
	case room.RoleChanged:
		message.Method, message.Params = "connectionPropertyChanged", connectionPropertyChanged{"role", roleNames[n.Role]}
	case room.RecordingStarted:
		message.Method, message.Params = "recordingStarted", recordingStarted{n.ID, n.Name}
	case room.RecordingStopped:
		message.Method, message.Params = "recordingStopped", recordingStopped{n.ID, n.Name, n.Reason}
	case room.RecordChanged:
		message.Method, message.Params = "connectionPropertyChanged", connectionPropertyChanged{"record", strconv.FormatBool(n.Record)}
	default:
		return nil, fmt.Errorf("encoding a notification: unknown type %T", notification)
	}
	return jsonrpc.EncodeNotification(message.Method, message.Params)
}

// compact returns JSON text without needless space; what is not JSON stays as it is.
func compact(raw json.RawMessage) string {
	body, err := jsonrpc.Encode(raw)
	if err != nil {
		return string(raw)
	}
	return string(body)
}
