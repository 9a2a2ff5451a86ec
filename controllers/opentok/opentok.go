// Package opentok is the authority on how events of Sessions look to applications that were written
// for OpenTok: as its session monitoring and the callbacks of its archives tell them (opentok-rest
// 6). Times are milliseconds since 1970.
package opentok

import (
	"bytes"
	"encoding/json"
	"strings"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/opentokid"
	"mediarooms.dev/mediarooms/internal/reasons"
)

type document struct {
	SessionID string `json:"sessionId"`
	// ProjectID is the API key in the session's id, "" for an id of another form.
	ProjectID  string      `json:"projectId"`
	Event      string      `json:"event"`
	Reason     string      `json:"reason,omitempty"`
	Timestamp  int64       `json:"timestamp"`
	Connection *connection `json:"connection,omitempty"`
	Stream     *stream     `json:"stream,omitempty"`
}

// connection is a client. Of the one that sends a stream only the id is told.
type connection struct {
	ID        string  `json:"id"`
	CreatedAt int64   `json:"createdAt,omitempty"`
	Data      *string `json:"data,omitempty"`
}

type stream struct {
	ID         string     `json:"id"`
	Connection connection `json:"connection"`
	CreatedAt  int64      `json:"createdAt"`
	VideoType  string     `json:"videoType,omitempty"`
}

type archive struct {
	ID         string `json:"id"`
	Event      string `json:"event"`
	Status     string `json:"status"`
	Name       string `json:"name"`
	Reason     string `json:"reason"`
	SessionID  string `json:"sessionId"`
	ProjectID  string `json:"projectId"`
	CreatedAt  int64  `json:"createdAt"`
	UpdatedAt  int64  `json:"updatedAt"`
	Duration   int64  `json:"duration"`
	Size       int64  `json:"size"`
	OutputMode string `json:"outputMode"`
	HasAudio   bool   `json:"hasAudio"`
	HasVideo   bool   `json:"hasVideo"`
}

// archiveStates are the states of archives that are called otherwise than those of recordings.
var archiveStates = map[string]string{"ready": "available"}

// Knows says whether OpenTok has a document for an event: not for subscriptions and signals.
func Knows(event *controlv1.RoomEvent) bool {
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		return e.WebrtcConnectionCreated.GetConnection().GetReceivingFrom() == ""
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		return e.WebrtcConnectionDestroyed.GetConnection().GetReceivingFrom() == ""
	case *controlv1.RoomEvent_SessionCreated, *controlv1.RoomEvent_SessionDestroyed, *controlv1.RoomEvent_ParticipantJoined,
		*controlv1.RoomEvent_ParticipantLeft, *controlv1.RoomEvent_RecordingStatusChanged:
		return true
	}
	return false
}

// Body returns what a webhook gets: the document of an event that OpenTok knows.
func Body(room *controlv1.RoomIdentity, event *controlv1.RoomEvent) []byte {
	about := document{SessionID: room.GetSessionId(), ProjectID: opentokid.APIKeyOf(room.GetSessionId()), Timestamp: event.GetTimeUnixMs()}
	switch e := event.GetEvent().(type) {
	case *controlv1.RoomEvent_SessionCreated:
		about.Event = "sessionCreated"
	case *controlv1.RoomEvent_SessionDestroyed:
		about.Event = "sessionDestroyed"
	case *controlv1.RoomEvent_ParticipantJoined:
		about.Event, about.Connection = "connectionCreated", client(e.ParticipantJoined.GetParticipant(), event.GetTimeUnixMs())
	case *controlv1.RoomEvent_ParticipantLeft:
		about.Event, about.Connection = "connectionDestroyed", client(e.ParticipantLeft.GetParticipant(), e.ParticipantLeft.GetJoinedUnixMs())
		about.Reason = cause(e.ParticipantLeft.GetReason())
	case *controlv1.RoomEvent_WebrtcConnectionCreated:
		about.Event, about.Stream = "streamCreated", sent(e.WebrtcConnectionCreated.GetConnection(), event.GetTimeUnixMs())
	case *controlv1.RoomEvent_WebrtcConnectionDestroyed:
		about.Event, about.Stream = "streamDestroyed", sent(e.WebrtcConnectionDestroyed.GetConnection(), e.WebrtcConnectionDestroyed.GetCreatedUnixMs())
		about.Reason = streamCause(e.WebrtcConnectionDestroyed.GetReason())
	case *controlv1.RoomEvent_RecordingStatusChanged:
		return encode(archived(about, e.RecordingStatusChanged))
	}
	return encode(about)
}

func client(p *controlv1.ParticipantIdentity, joined int64) *connection {
	data := p.GetServerData()
	return &connection{ID: p.GetConnectionId(), CreatedAt: joined, Data: &data}
}

// sent returns a stream that somebody sends.
func sent(c *controlv1.WebrtcConnection, created int64) *stream {
	s := &stream{ID: c.GetStream().GetStreamId(), Connection: connection{ID: c.GetConnectionId()}, CreatedAt: created}
	if c.GetStream().GetHasVideo() {
		s.VideoType = strings.ToLower(c.GetStream().GetTypeOfVideo())
	}
	return s
}

// cause returns why somebody has left, as applications know it.
func cause(reason string) string {
	name := string(reasons.ParseLeaving(reason).Cause())
	return strings.ToLower(name[:1]) + name[1:]
}

// streamCause returns why a stream has ended.
func streamCause(reason string) string {
	switch reasons.Reason(reason) {
	case reasons.Unpublish:
		return cause(string(reasons.Disconnect))
	case reasons.ForceUnpublishByUser, reasons.ForceUnpublishByServer:
		return "forceUnpublished"
	}
	return cause(reason)
}

func archived(about document, r *controlv1.RecordingStatusChanged) archive {
	a := archive{
		ID: r.GetId(), Event: "archive", Status: r.GetStatus(), Name: r.GetName(), Reason: r.GetReason(), SessionID: about.SessionID, ProjectID: about.ProjectID,
		CreatedAt: r.GetCreatedUnixMs(), UpdatedAt: about.Timestamp, Duration: r.GetDurationMs() / 1000, Size: r.GetSizeBytes(),
		OutputMode: strings.ToLower(r.GetOutputMode()), HasAudio: r.GetHasAudio(), HasVideo: r.GetHasVideo(),
	}
	if known, otherwise := archiveStates[a.Status]; otherwise {
		a.Status = known
	}
	return a
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
