package openvidu

import (
	"encoding/json"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	cases "mediarooms.dev/mediarooms/test/rest"
)

var at, began = time.UnixMilli(1700000009999), time.UnixMilli(1700000001000)

var room = &controlv1.RoomIdentity{Uid: "uid", Tenant: "team", Name: "object", SessionId: "Room_1", CreatedUnixMs: 1700000000123}

var camera = &controlv1.PublishedStream{
	StreamId: "str_CAM_A", HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30,
	VideoDimensions: events.VideoDimensions(640, 480),
}

func user(id string) *controlv1.ParticipantIdentity {
	return &controlv1.ParticipantIdentity{ConnectionId: id, Ip: "192.0.2.7", Platform: "Test <1>", ClientData: "", ServerData: `{"a":"&"}`}
}

func connection(id, from string, stream *controlv1.PublishedStream) *controlv1.WebrtcConnection {
	return &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: stream}
}

// The documents are those of openvidu-rest 5.3; keys counts them with "event", as catalogue case
// 158 does.
func TestDocuments(t *testing.T) {
	cases.Shows(t, 158, 161, 162, 165)
	audio := &controlv1.PublishedStream{StreamId: "str_MIC_A", HasAudio: true}
	untold := &controlv1.PublishedStream{StreamId: "str_CAM_A", HasVideo: true, TypeOfVideo: "SCREEN"}
	const about = `{"sessionId":"Room_1","uniqueSessionId":"Room_1_1700000000123","timestamp":1700000009999`
	for sentence, test := range map[string]struct {
		event *controlv1.RoomEvent
		name  string
		keys  int
		want  string
	}{
		"a session begins": {events.SessionCreated(at), "sessionCreated", 4, about + `}`},
		"a session ends": {events.SessionDestroyed(at, "lastParticipantLeft"), "sessionDestroyed", 7,
			about + `,"startTime":1700000000123,"duration":9,"reason":"lastParticipantLeft"}`},
		"a user joins": {events.ParticipantJoined(at, user("con_A")), "participantJoined", 11, about + `,"participantId":"con_A","connectionId":"con_A","location":"unknown",` +
			`"ip":"192.0.2.7","platform":"Test <1>","clientData":"","serverData":"{\"a\":\"&\"}"}`},
		"a user leaves": {events.ParticipantLeft(at, user("con_A"), began, "disconnect"), "participantLeft", 14, about + `,"participantId":"con_A","connectionId":"con_A","location":"unknown",` +
			`"ip":"192.0.2.7","platform":"Test <1>","clientData":"","serverData":"{\"a\":\"&\"}","startTime":1700000001000,"duration":8,"reason":"disconnect"}`},
		"a user sends": {events.WebRTCConnectionCreated(at, connection("con_A", "", camera)), "webrtcConnectionCreated", 13, about + `,"streamId":"str_CAM_A","participantId":"con_A",` +
			`"connectionId":"con_A","connection":"OUTBOUND","videoSource":"CAMERA","videoFramerate":30,"videoDimensions":"{\"width\":640,\"height\":480}",` +
			`"audioEnabled":true,"videoEnabled":true}`},
		"a user receives": {events.WebRTCConnectionCreated(at, connection("con_B", "con_A", camera)), "webrtcConnectionCreated", 14, about + `,"streamId":"str_CAM_A","participantId":"con_B",` +
			`"connectionId":"con_B","connection":"INBOUND","receivingFrom":"con_A","videoSource":"CAMERA","videoFramerate":30,` +
			`"videoDimensions":"{\"width\":640,\"height\":480}","audioEnabled":true,"videoEnabled":true}`},
		"a user no longer receives": {events.WebRTCConnectionDestroyed(at, connection("con_B", "con_A", camera), began, "unsubscribe"), "webrtcConnectionDestroyed", 17, about +
			`,"streamId":"str_CAM_A","participantId":"con_B","connectionId":"con_B","connection":"INBOUND","receivingFrom":"con_A",` +
			`"videoSource":"CAMERA","videoFramerate":30,"videoDimensions":"{\"width\":640,\"height\":480}","audioEnabled":true,"videoEnabled":true,` +
			`"startTime":1700000001000,"duration":8,"reason":"unsubscribe"}`},
		"a user no longer sends": {events.WebRTCConnectionDestroyed(at, connection("con_A", "", camera), began, "unpublish"), "webrtcConnectionDestroyed", 16, about +
			`,"streamId":"str_CAM_A","participantId":"con_A","connectionId":"con_A","connection":"OUTBOUND",` +
			`"videoSource":"CAMERA","videoFramerate":30,"videoDimensions":"{\"width\":640,\"height\":480}","audioEnabled":true,"videoEnabled":true,` +
			`"startTime":1700000001000,"duration":8,"reason":"unpublish"}`},
		"a stream has no video": {events.WebRTCConnectionCreated(at, connection("con_A", "", audio)), "webrtcConnectionCreated", 10, about + `,"streamId":"str_MIC_A","participantId":"con_A",` +
			`"connectionId":"con_A","connection":"OUTBOUND","audioEnabled":true,"videoEnabled":false}`},
		"a video's size and rate are not known": {events.WebRTCConnectionCreated(at, connection("con_A", "", untold)), "webrtcConnectionCreated", 13, about +
			`,"streamId":"str_CAM_A","participantId":"con_A","connectionId":"con_A","connection":"OUTBOUND","videoSource":"SCREEN","videoFramerate":null,` +
			`"videoDimensions":null,"audioEnabled":false,"videoEnabled":true}`},
		"a user signals": {events.SignalSent(at, &controlv1.SignalSent{From: "con_A", To: []string{"con_A", "con_B"}, Type: ptr.To("chat"), Data: ptr.To("")}), "signalSent", 8,
			about + `,"from":"con_A","to":["con_A","con_B"],"type":"chat","data":""}`},
		"a recording starts": {events.RecordingStatusChanged(at, &controlv1.RecordingStatusChanged{
			Id: "s~1", Name: "daily", Status: "started", OutputMode: "INDIVIDUAL", HasAudio: true, CreatedUnixMs: 1700000001000,
		}), "recordingStatusChanged", 13, about + `,"startTime":1700000001000,"duration":0,"id":"s~1","name":"daily","outputMode":"INDIVIDUAL","hasAudio":true,` +
			`"hasVideo":false,"size":0,"status":"started"}`},
		"a recording is ready": {events.RecordingStatusChanged(at, &controlv1.RecordingStatusChanged{
			Id: "s", Name: "s", Status: "ready", OutputMode: "INDIVIDUAL", HasAudio: true, HasVideo: true, CreatedUnixMs: 1700000001000,
			DurationMs: 2500, SizeBytes: 16, Reason: "automaticStop",
		}), "recordingStatusChanged", 14, about + `,"startTime":1700000001000,"duration":2.5,"id":"s","name":"s","outputMode":"INDIVIDUAL","hasAudio":true,` +
			`"hasVideo":true,"size":16,"status":"ready","reason":"automaticStop"}`},
		"the server signals": {events.SignalSent(at, &controlv1.SignalSent{To: []string{"con_B"}}), "signalSent", 8, about + `,"from":null,"to":["con_B"],"type":null,"data":null}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			if name := events.Name(test.event); name != test.name {
				t.Fatalf("it is called %q", name)
			}
			want := test.want[:len(test.want)-1] + `,"event":"` + test.name + `"}`
			if got := string(Body(room, test.event)); got != want {
				t.Errorf("body is\n%s\nwant\n%s", got, want)
			}
			if got := string(Line(room, test.event)); got != `{"`+test.name+`":`+test.want+"}\n" {
				t.Errorf("line is\n%s", got)
			}
			var keys map[string]any
			if err := json.Unmarshal(Body(room, test.event), &keys); err != nil || len(keys) != test.keys {
				t.Errorf("%d keys, want %d: %v", len(keys), test.keys, err)
			}
		})
	}
}
