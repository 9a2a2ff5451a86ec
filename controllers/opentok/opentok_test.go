package opentok

import (
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
)

var (
	at, began = time.UnixMilli(1700000009999), time.UnixMilli(1700000001000)
	room      = &controlv1.RoomIdentity{SessionId: "2_MX4xMjM0NTZ-fjE3MDAwMDAwMDAwMDB-QWJDZEVmMDEyMzQ1Njc4OX5-", CreatedUnixMs: 1700000000123}
	user      = &controlv1.ParticipantIdentity{ConnectionId: "con_A", ClientData: "of the client", ServerData: "<Ann>"}
	screen    = &controlv1.PublishedStream{StreamId: "str_SCR_A", HasVideo: true, TypeOfVideo: "SCREEN"}
	sound     = &controlv1.PublishedStream{StreamId: "str_MIC_A", HasAudio: true}
)

func TestDocuments(t *testing.T) {
	const about = `{"sessionId":"2_MX4xMjM0NTZ-fjE3MDAwMDAwMDAwMDB-QWJDZEVmMDEyMzQ1Njc4OX5-","projectId":"123456","event":`
	sends := func(from string, stream *controlv1.PublishedStream) *controlv1.WebrtcConnection {
		return &controlv1.WebrtcConnection{ConnectionId: "con_A", ReceivingFrom: from, Stream: stream}
	}
	left := func(reason reasons.Reason) *controlv1.RoomEvent {
		return events.ParticipantLeft(at, user, began, reason)
	}
	const joined = `"connection":{"id":"con_A","createdAt":1700000001000,"data":"<Ann>"}}`
	const ofScreen = `"stream":{"id":"str_SCR_A","connection":{"id":"con_A"},"createdAt":1700000001000,"videoType":"screen"}}`
	for name, test := range map[string]struct {
		event *controlv1.RoomEvent
		want  string
	}{
		"a session begins": {events.SessionCreated(at), about + `"sessionCreated","timestamp":1700000009999}`},
		"a session ends":   {events.SessionDestroyed(at, "lastParticipantLeft"), about + `"sessionDestroyed","timestamp":1700000009999}`},
		"a client connects": {events.ParticipantJoined(at, user),
			about + `"connectionCreated","timestamp":1700000009999,"connection":{"id":"con_A","createdAt":1700000009999,"data":"<Ann>"}}`},
		"a client leaves":         {left("disconnect"), about + `"connectionDestroyed","reason":"clientDisconnected","timestamp":1700000009999,` + joined},
		"a client is put out":     {left("forceDisconnectByServer"), about + `"connectionDestroyed","reason":"forceDisconnected","timestamp":1700000009999,` + joined},
		"a client is lost":        {left("networkDisconnect"), about + `"connectionDestroyed","reason":"networkDisconnected","timestamp":1700000009999,` + joined},
		"a client is lost anyhow": {left("something new"), about + `"connectionDestroyed","reason":"networkDisconnected","timestamp":1700000009999,` + joined},
		"a stream begins": {events.WebRTCConnectionCreated(at, sends("", sound)),
			about + `"streamCreated","timestamp":1700000009999,"stream":{"id":"str_MIC_A","connection":{"id":"con_A"},"createdAt":1700000009999}}`},
		"a stream ends": {events.WebRTCConnectionDestroyed(at, sends("", screen), began, "unpublish"),
			about + `"streamDestroyed","reason":"clientDisconnected","timestamp":1700000009999,` + ofScreen},
		"a stream is ended": {events.WebRTCConnectionDestroyed(at, sends("", screen), began, "forceUnpublishByUser"),
			about + `"streamDestroyed","reason":"forceUnpublished","timestamp":1700000009999,` + ofScreen},
		"a stream is lost": {events.WebRTCConnectionDestroyed(at, sends("", screen), began, "networkDisconnect"),
			about + `"streamDestroyed","reason":"networkDisconnected","timestamp":1700000009999,` + ofScreen},
		"a subscription begins": {events.WebRTCConnectionCreated(at, sends("con_B", screen)), ""},
		"a subscription ends":   {events.WebRTCConnectionDestroyed(at, sends("con_B", screen), began, "unsubscribe"), ""},
		"a signal":              {events.SignalSent(at, &controlv1.SignalSent{From: "con_A"}), ""},
		"what is to come":       {&controlv1.RoomEvent{}, ""},
		"an archive": {events.RecordingStatusChanged(at, &controlv1.RecordingStatusChanged{
			Id: "s~1", Name: "daily", Status: "ready", OutputMode: "INDIVIDUAL", HasAudio: true, CreatedUnixMs: 1700000001000, DurationMs: 2500, SizeBytes: 16, Reason: "automaticStop",
		}), `{"id":"s~1","event":"archive","status":"available","name":"daily","reason":"automaticStop",` +
			`"sessionId":"2_MX4xMjM0NTZ-fjE3MDAwMDAwMDAwMDB-QWJDZEVmMDEyMzQ1Njc4OX5-","projectId":"123456","createdAt":1700000001000,"updatedAt":1700000009999,` +
			`"duration":2,"size":16,"outputMode":"individual","hasAudio":true,"hasVideo":false}`},
	} {
		if Knows(test.event) != (test.want != "") {
			t.Errorf("%s: it is known: %t", name, Knows(test.event))
		}
		if test.want == "" {
			continue
		}
		if got := string(Body(room, test.event)); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}
