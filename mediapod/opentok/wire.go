package opentok

import (
	"fmt"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// joined is the result of connect without its connections: the others in the room, which joinParts
// adds.
type joined struct {
	SessionID      string      `json:"sessionId"`
	ReconnectionID string      `json:"reconnectionId"`
	Role           string      `json:"role"`
	ForceMute      bool        `json:"forceMute"`
	ICEServers     []iceServer `json:"iceServers"`
	Connection     connection  `json:"connection"`
	// Archive is the one that runs, if the client is told of it.
	Archive *archive `json:"archive,omitempty"`
}

// archive is a recording of the room.
type archive struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type iceServer struct {
	URLs       string `json:"urls"`
	Username   string `json:"username,omitempty"`
	Credential string `json:"credential,omitempty"`
}

// connection is a participant. Data is what the server says of it; what a client of OpenVidu says
// of itself is not in it, since applications take it for the server's.
type connection struct {
	ID      string   `json:"id"`
	Created int64    `json:"createdAt"`
	Data    string   `json:"data"`
	Streams []stream `json:"streams"`
}

// stream is a published stream. A subscription to it that outlives the pod has SubscriptionID.
// HasAudio and HasVideo mean that the kind is there and not muted.
type stream struct {
	ID              string      `json:"id"`
	SubscriptionID  string      `json:"subscriptionId"`
	Created         int64       `json:"createdAt"`
	HasAudio        bool        `json:"hasAudio"`
	HasVideo        bool        `json:"hasVideo"`
	Name            string      `json:"name"`
	Initials        string      `json:"initials"`
	VideoType       string      `json:"videoType,omitempty"`
	FrameRate       int         `json:"frameRate,omitempty"`
	VideoDimensions *dimensions `json:"videoDimensions,omitempty"`
}

type dimensions struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

var roleNames = map[room.Role]string{
	room.Subscriber: "subscriber", room.Publisher: "publisher", room.PublisherOnly: "publisheronly",
	room.Moderator: "moderator",
}

func wireJoined(j room.Joined) joined {
	wire := joined{
		SessionID: j.SessionID, ReconnectionID: j.PrivateID, Role: roleNames[j.Role], ForceMute: j.ForceMute,
		ICEServers: []iceServer{}, Connection: wireConnection(j.Self),
	}
	if j.Recording != nil {
		wire.Archive = &archive{j.Recording.ID, j.Recording.Name}
	}
	for _, server := range j.ICEServers {
		wire.ICEServers = append(wire.ICEServers, iceServer{server.URL, server.Username, server.Credential})
	}
	return wire
}

func wireConnection(a room.Announcement) connection {
	wire := connection{ID: a.ConnectionID, Created: a.Created.UnixMilli(), Data: a.ServerData, Streams: []stream{}}
	for _, s := range a.Streams {
		wire.Streams = append(wire.Streams, wireStream(s, a.ConnectionID))
	}
	return wire
}

func wireStream(s room.Stream, connectionID string) stream {
	wire := stream{
		ID: s.ID, SubscriptionID: room.LastingID(s.ID, connectionID), Created: s.Created.UnixMilli(), HasAudio: s.HasAudio && s.AudioActive, HasVideo: s.HasVideo && s.VideoActive,
		Name: s.Name, Initials: s.Initials,
	}
	if s.HasVideo {
		wire.VideoType, wire.FrameRate = videoTypeName(s.TypeOfVideo), max(0, s.FrameRate)
		wire.VideoDimensions = wireDimensions(s.VideoDimensions)
	}
	return wire
}

// videoTypeName returns what a video shows, as clients know it: what they have no word for is
// custom.
func videoTypeName(kind room.VideoType) string {
	for name, known := range videoTypes {
		if known == kind {
			return name
		}
	}
	return "custom"
}

// wireDimensions returns a size, nil when it is not known.
func wireDimensions(d media.Dimensions) *dimensions {
	if d == (media.Dimensions{}) {
		return nil
	}
	return &dimensions{d.Width, d.Height}
}

// causes are why a participant leaves, as applications know it.
var causes = map[reasons.Cause]string{
	reasons.ClientDisconnected: "clientDisconnected", reasons.ForceDisconnected: "forceDisconnected",
	reasons.NetworkDisconnected: "networkDisconnected",
}

// leavingReason returns why a participant has left, streamReason why a stream has ended
// (opentok-rpc 3.2).
func leavingReason(reason reasons.Reason) string { return causes[reason.Cause()] }

func streamReason(reason reasons.Reason) string {
	switch reason {
	case reasons.Unpublish:
		return causes[reasons.ClientDisconnected]
	case reasons.ForceUnpublishByUser, reasons.ForceUnpublishByServer:
		return "forceUnpublished"
	}
	return leavingReason(reason)
}

type streamChanged struct {
	ConnectionID    string      `json:"connectionId"`
	StreamID        string      `json:"streamId"`
	HasAudio        *bool       `json:"hasAudio,omitempty"`
	HasVideo        *bool       `json:"hasVideo,omitempty"`
	VideoDimensions *dimensions `json:"videoDimensions,omitempty"`
}

type videoPaused struct {
	StreamID       string `json:"streamId"`
	SubscriptionID string `json:"subscriptionId"`
	Paused         bool   `json:"paused"`
}

type signalReceived struct {
	From string  `json:"from,omitempty"`
	Type *string `json:"type,omitempty"`
	Data *string `json:"data,omitempty"`
}

type departure struct {
	ConnectionID string `json:"connectionId"`
	StreamID     string `json:"streamId,omitempty"`
	Reason       string `json:"reason"`
}

type candidateAdded struct {
	StreamID       string `json:"streamId"`
	SubscriptionID string `json:"subscriptionId,omitempty"`
	Candidate      string `json:"candidate"`
	SDPMid         string `json:"sdpMid"`
	SDPMLineIndex  uint16 `json:"sdpMLineIndex"`
}

// encodeNotification writes what a client is told (opentok-rpc 3), nil for what it is not.
func encodeNotification(notification room.Notification) ([]byte, error) {
	switch n := notification.(type) {
	case room.ParticipantJoined:
		return notify("connectionCreated", wireConnection(n.Participant))
	case room.ParticipantLeft:
		return notify("connectionDestroyed", departure{ConnectionID: n.ConnectionID, Reason: leavingReason(n.Reason)})
	case room.ParticipantEvicted:
		return notify("disconnected", departure{ConnectionID: n.ConnectionID, Reason: leavingReason(n.Reason)})
	case room.ParticipantPublished:
		return notify("streamCreated", struct {
			ConnectionID string `json:"connectionId"`
			Stream       stream `json:"stream"`
		}{n.ConnectionID, wireStream(n.Stream, n.ConnectionID)})
	case room.ParticipantUnpublished:
		return notify("streamDestroyed", departure{n.ConnectionID, n.StreamID, streamReason(n.Reason)})
	case room.StreamChanged:
		return encodeChange(n)
	case room.VideoPaused:
		return notify("videoPaused", videoPaused{n.StreamID, n.SubscriptionID, n.Pause != media.NoPause})
	case room.SignalReceived:
		return notify("signal", signalReceived{n.From, withoutPrefix(n.Type), n.Data})
	case room.StreamMuteForced:
		return notify("muteForced", map[string]string{"streamId": n.StreamID})
	case room.ForceMuteChanged:
		return notify("forceMuteChanged", map[string]bool{"active": n.Active})
	case room.StreamRenewed:
		return notify("subscriptionRenewed", map[string]string{"subscriptionId": n.SubscriptionID, "sdpOffer": n.SDPOffer})
	case room.CandidateAdded:
		return notify("iceCandidate", candidateAdded{
			n.StreamID, n.SubscriptionID, n.Candidate.Candidate, n.Candidate.SDPMid, n.Candidate.SDPMLineIndex,
		})
	case room.RoleChanged:
		return notify("roleChanged", map[string]string{"role": roleNames[n.Role]})
	case room.RecordingStarted:
		return notify("archiveStarted", archive{n.ID, n.Name})
	case room.RecordingStopped:
		return notify("archiveStopped", archive{n.ID, n.Name})
	case room.NetworkQualityLevelChanged, room.RecordChanged:
		return nil, nil
	}
	return nil, fmt.Errorf("encoding a notification: unknown type %T", notification)
}

func notify(method string, params any) ([]byte, error) {
	return jsonrpc.EncodeNotification(method, params)
}

// encodeChange writes a change of a stream, nil for one of a property that clients do not know.
func encodeChange(n room.StreamChanged) ([]byte, error) {
	wire := streamChanged{
		ConnectionID: n.ConnectionID, StreamID: n.StreamID, HasAudio: n.Change.AudioActive, HasVideo: n.Change.VideoActive,
	}
	if size := n.Change.VideoDimensions; size != nil {
		wire.VideoDimensions = wireDimensions(*size)
	}
	if wire.HasAudio == nil && wire.HasVideo == nil && wire.VideoDimensions == nil {
		return nil, nil
	}
	return notify("streamPropertyChanged", wire)
}
