package eventlog

import (
	"encoding/json"
	"testing"

	"k8s.io/utils/ptr"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	cases "mediarooms.dev/mediarooms/test/rest"
)

var room = &controlv1.RoomIdentity{Uid: "uid", Tenant: "team", Name: "object", SessionId: "Room_1", CreatedUnixMs: 1700000000123}

var camera = &controlv1.PublishedStream{
	StreamId: "str_CAM_A", HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30,
	VideoDimensions: `{"width":640,"height":480}`,
}

func joined(id string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_ParticipantJoined{ParticipantJoined: &controlv1.ParticipantJoined{Participant: user(id)}}}
}

func left(id, reason string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_ParticipantLeft{
		ParticipantLeft: &controlv1.ParticipantLeft{Participant: user(id), JoinedUnixMs: 1700000001000, Reason: reason},
	}}
}

func user(id string) *controlv1.ParticipantIdentity {
	return &controlv1.ParticipantIdentity{ConnectionId: id, Ip: "192.0.2.7", Platform: "Test <1>", ClientData: "", ServerData: `{"a":"&"}`}
}

func created(id, from string, stream *controlv1.PublishedStream) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_WebrtcConnectionCreated{WebrtcConnectionCreated: &controlv1.WebrtcConnectionCreated{
		Connection: &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: stream},
	}}}
}

func destroyed(id, from string, stream *controlv1.PublishedStream, reason string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_WebrtcConnectionDestroyed{WebrtcConnectionDestroyed: &controlv1.WebrtcConnectionDestroyed{
		Connection: &controlv1.WebrtcConnection{ConnectionId: id, ReceivingFrom: from, Stream: stream}, CreatedUnixMs: 1700000001000, Reason: reason,
	}}}
}

func begins() *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_SessionCreated{SessionCreated: &controlv1.SessionCreated{}}}
}

func ends(reason string) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_SessionDestroyed{SessionDestroyed: &controlv1.SessionDestroyed{Reason: reason}}}
}

func signal(s *controlv1.SignalSent) *controlv1.RoomEvent {
	return &controlv1.RoomEvent{Event: &controlv1.RoomEvent_SignalSent{SignalSent: s}}
}

// The documents are those of openvidu-rest 5.3; keys counts them with "event", as catalogue case 158 does.
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
		"a session begins": {begins(), "sessionCreated", 4, about + `}`},
		"a session ends": {ends("lastParticipantLeft"), "sessionDestroyed", 7,
			about + `,"startTime":1700000000123,"duration":9,"reason":"lastParticipantLeft"}`},
		"a user joins": {joined("con_A"), "participantJoined", 11, about + `,"participantId":"con_A","connectionId":"con_A","location":"unknown",` +
			`"ip":"192.0.2.7","platform":"Test <1>","clientData":"","serverData":"{\"a\":\"&\"}"}`},
		"a user leaves": {left("con_A", "disconnect"), "participantLeft", 14, about + `,"participantId":"con_A","connectionId":"con_A","location":"unknown",` +
			`"ip":"192.0.2.7","platform":"Test <1>","clientData":"","serverData":"{\"a\":\"&\"}","startTime":1700000001000,"duration":8,"reason":"disconnect"}`},
		"a user sends": {created("con_A", "", camera), "webrtcConnectionCreated", 13, about + `,"streamId":"str_CAM_A","participantId":"con_A",` +
			`"connectionId":"con_A","connection":"OUTBOUND","videoSource":"CAMERA","videoFramerate":30,"videoDimensions":"{\"width\":640,\"height\":480}",` +
			`"audioEnabled":true,"videoEnabled":true}`},
		"a user receives": {created("con_B", "con_A", camera), "webrtcConnectionCreated", 14, about + `,"streamId":"str_CAM_A","participantId":"con_B",` +
			`"connectionId":"con_B","connection":"INBOUND","receivingFrom":"con_A","videoSource":"CAMERA","videoFramerate":30,` +
			`"videoDimensions":"{\"width\":640,\"height\":480}","audioEnabled":true,"videoEnabled":true}`},
		"a user no longer receives": {destroyed("con_B", "con_A", camera, "unsubscribe"), "webrtcConnectionDestroyed", 17, about +
			`,"streamId":"str_CAM_A","participantId":"con_B","connectionId":"con_B","connection":"INBOUND","receivingFrom":"con_A",` +
			`"videoSource":"CAMERA","videoFramerate":30,"videoDimensions":"{\"width\":640,\"height\":480}","audioEnabled":true,"videoEnabled":true,` +
			`"startTime":1700000001000,"duration":8,"reason":"unsubscribe"}`},
		"a user no longer sends": {destroyed("con_A", "", camera, "unpublish"), "webrtcConnectionDestroyed", 16, about +
			`,"streamId":"str_CAM_A","participantId":"con_A","connectionId":"con_A","connection":"OUTBOUND",` +
			`"videoSource":"CAMERA","videoFramerate":30,"videoDimensions":"{\"width\":640,\"height\":480}","audioEnabled":true,"videoEnabled":true,` +
			`"startTime":1700000001000,"duration":8,"reason":"unpublish"}`},
		"a stream has no video": {created("con_A", "", audio), "webrtcConnectionCreated", 10, about + `,"streamId":"str_MIC_A","participantId":"con_A",` +
			`"connectionId":"con_A","connection":"OUTBOUND","audioEnabled":true,"videoEnabled":false}`},
		"a video's size and rate are not known": {created("con_A", "", untold), "webrtcConnectionCreated", 13, about +
			`,"streamId":"str_CAM_A","participantId":"con_A","connectionId":"con_A","connection":"OUTBOUND","videoSource":"SCREEN","videoFramerate":null,` +
			`"videoDimensions":null,"audioEnabled":false,"videoEnabled":true}`},
		"a user signals": {signal(&controlv1.SignalSent{From: "con_A", To: []string{"con_A", "con_B"}, Type: ptr.To("chat"), Data: ptr.To("")}), "signalSent", 8,
			about + `,"from":"con_A","to":["con_A","con_B"],"type":"chat","data":""}`},
		"the server signals": {signal(&controlv1.SignalSent{To: []string{"con_B"}}), "signalSent", 8, about + `,"from":null,"to":["con_B"],"type":null,"data":null}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			test.event.TimeUnixMs = 1700000009999
			e, known := newEntry("id", room, test.event)
			if !known || string(e.Name) != test.name {
				t.Fatalf("it is called %q", e.Name)
			}
			want := test.want[:len(test.want)-1] + `,"event":"` + test.name + `"}`
			if got := string(e.Body()); got != want {
				t.Errorf("body is\n%s\nwant\n%s", got, want)
			}
			if got := string(e.Line()); got != `{"`+test.name+`":`+test.want+"}\n" {
				t.Errorf("line is\n%s", got)
			}
			var keys map[string]any
			if err := json.Unmarshal(e.Body(), &keys); err != nil || len(keys) != test.keys {
				t.Errorf("%d keys, want %d: %v", len(keys), test.keys, err)
			}
		})
	}
	if _, known := newEntry("id", room, &controlv1.RoomEvent{}); known {
		t.Error("an event without a kind is told")
	}
}
