// Package openvidu is the authority on how events of Sessions look in OpenVidu's JSON, in requests
// to webhooks and in call detail records. The documents have exactly the keys of the reference, in
// its order; null and absent differ. Times are milliseconds since 1970, durations whole seconds but
// for those of recordings.
package openvidu

import (
	"bytes"
	"encoding/json"
	"strconv"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
)

// location is what is said about where a participant is.
const location = "unknown"

type common struct {
	SessionID       string `json:"sessionId"`
	UniqueSessionID string `json:"uniqueSessionId"`
	Timestamp       int64  `json:"timestamp"`
}

// ending is what the end of something has besides.
type ending struct {
	StartTime int64  `json:"startTime"`
	Duration  int64  `json:"duration"`
	Reason    string `json:"reason"`
}

type sessionDocument struct {
	common
	*ending
}

type participantDocument struct {
	common
	ParticipantID string `json:"participantId"`
	ConnectionID  string `json:"connectionId"`
	Location      string `json:"location"`
	IP            string `json:"ip"`
	Platform      string `json:"platform"`
	ClientData    string `json:"clientData"`
	ServerData    string `json:"serverData"`
	*ending
}

type connectionDocument struct {
	common
	StreamID      string  `json:"streamId"`
	ParticipantID string  `json:"participantId"`
	ConnectionID  string  `json:"connectionId"`
	Connection    string  `json:"connection"`
	ReceivingFrom *string `json:"receivingFrom,omitempty"`
	*videoDocument
	AudioEnabled bool `json:"audioEnabled"`
	VideoEnabled bool `json:"videoEnabled"`
	*ending
}

// videoDocument is there only for a stream that has video.
type videoDocument struct {
	Source     string  `json:"videoSource"`
	Framerate  *int32  `json:"videoFramerate"`
	Dimensions *string `json:"videoDimensions"`
}

type signalDocument struct {
	common
	From *string  `json:"from"`
	To   []string `json:"to"`
	Type *string  `json:"type"`
	Data *string  `json:"data"`
}

// recordingDocument has no duration in whole seconds, unlike the others. Composed recordings with
// video would have more keys.
type recordingDocument struct {
	common
	StartTime  int64   `json:"startTime"`
	Duration   float64 `json:"duration"`
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	OutputMode string  `json:"outputMode"`
	HasAudio   bool    `json:"hasAudio"`
	HasVideo   bool    `json:"hasVideo"`
	Size       int64   `json:"size"`
	Status     string  `json:"status"`
	Reason     *string `json:"reason,omitempty"`
}

// Body returns what a webhook gets: the document of an event with its name in it.
func Body(room *controlv1.RoomIdentity, event *controlv1.RoomEvent) []byte {
	document := render(room, event)
	return append(document[:len(document)-1], `,"event":"`+events.Name(event)+`"}`...)
}

// Line returns the line of a call detail record, with its end: the document of an event under its
// name.
func Line(room *controlv1.RoomIdentity, event *controlv1.RoomEvent) []byte {
	return append(append([]byte(`{"`+events.Name(event)+`":`), render(room, event)...), "}\n"...)
}

// render returns the document of an event; of one that this version does not know, what all have.
func render(room *controlv1.RoomIdentity, event *controlv1.RoomEvent) []byte {
	about := common{
		SessionID:       room.GetSessionId(),
		UniqueSessionID: room.GetSessionId() + "_" + strconv.FormatInt(room.GetCreatedUnixMs(), 10),
		Timestamp:       event.GetTimeUnixMs(),
	}
	end := func(began int64, reason string) *ending {
		return &ending{StartTime: began, Duration: max(0, event.GetTimeUnixMs()-began) / 1000, Reason: reason}
	}
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_SessionDestroyed:
		return encode(sessionDocument{about, end(room.GetCreatedUnixMs(), e.SessionDestroyed.GetReason())})
	case *controlv1.RoomEvent_ParticipantJoined:
		return encode(aboutParticipant(about, e.ParticipantJoined.GetParticipant(), nil))
	case *controlv1.RoomEvent_ParticipantLeft:
		left := e.ParticipantLeft
		return encode(aboutParticipant(about, left.GetParticipant(), end(left.GetJoinedUnixMs(), left.GetReason())))
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		return encode(aboutConnection(about, e.WebrtcConnectionCreated.GetConnection(), nil))
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		destroyed := e.WebrtcConnectionDestroyed
		return encode(aboutConnection(about, destroyed.GetConnection(), end(destroyed.GetCreatedUnixMs(), destroyed.GetReason())))
	case *controlv1.RoomEvent_SignalSent:
		return encode(aboutSignal(about, e.SignalSent))
	case *controlv1.RoomEvent_RecordingStatusChanged:
		return encode(aboutRecording(about, e.RecordingStatusChanged))
	}
	return encode(sessionDocument{common: about})
}

func aboutParticipant(about common, p *controlv1.ParticipantIdentity, end *ending) participantDocument {
	return participantDocument{
		common: about, ParticipantID: p.GetConnectionId(), ConnectionID: p.GetConnectionId(), Location: location,
		IP: p.GetIp(), Platform: p.GetPlatform(), ClientData: p.GetClientData(), ServerData: p.GetServerData(), ending: end,
	}
}

func aboutConnection(about common, c *controlv1.WebrtcConnection, end *ending) connectionDocument {
	stream := c.GetStream()
	document := connectionDocument{
		common: about, StreamID: stream.GetStreamId(), ParticipantID: c.GetConnectionId(), ConnectionID: c.GetConnectionId(), Connection: "OUTBOUND",
		AudioEnabled: stream.GetHasAudio(), VideoEnabled: stream.GetHasVideo(), ending: end,
	}
	if from := c.GetReceivingFrom(); from != "" {
		document.Connection, document.ReceivingFrom = "INBOUND", &from
	}
	if stream.GetHasVideo() {
		document.videoDocument = &videoDocument{Source: stream.GetTypeOfVideo()}
		if rate := stream.GetFrameRate(); rate > 0 {
			document.Framerate = &rate
		}
		if dimensions := stream.GetVideoDimensions(); dimensions != "" {
			document.Dimensions = &dimensions
		}
	}
	return document
}

func aboutSignal(about common, s *controlv1.SignalSent) signalDocument {
	document := signalDocument{common: about, To: s.GetTo(), Type: s.Type, Data: s.Data}
	if document.To == nil {
		document.To = []string{}
	}
	if from := s.GetFrom(); from != "" {
		document.From = &from
	}
	return document
}

func aboutRecording(about common, r *controlv1.RecordingStatusChanged) recordingDocument {
	document := recordingDocument{
		common: about, StartTime: r.GetCreatedUnixMs(), Duration: float64(r.GetDurationMs()) / 1000, ID: r.GetId(), Name: r.GetName(),
		OutputMode: r.GetOutputMode(), HasAudio: r.GetHasAudio(), HasVideo: r.GetHasVideo(), Size: r.GetSizeBytes(), Status: r.GetStatus(),
	}
	if reason := r.GetReason(); reason != "" {
		document.Reason = &reason
	}
	return document
}

// encode writes a document as one line, with the characters of URLs and HTML as they are.
func encode(document any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	// A struct of texts and numbers always has a JSON form.
	_ = encoder.Encode(document)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
