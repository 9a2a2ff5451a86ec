package opentok

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Clients of both protocols are in one room: each sees the others' streams, signals, changes and
// leaving under its own names and reasons. V speaks OpenVidu, A and M the other one.
func TestBothWorldsInOneRoom(t *testing.T) {
	w := newWorld(t, "A", "M:moderator", "V:moderator")
	a := w.join("A")
	v := w.joinOpenVidu("V")
	a.expect(`connectionCreated {"id":"con_V","createdAt":0,"data":"data of V","streams":[]}`)

	// Streams. The second one of a connection is another participant for clients of OpenVidu.
	camera, screen := a.publish(cameraParams), a.publish(screenParams)
	v.expect(`participantPublished {"id":"con_A","streams":[` + cameraForOpenVidu + `]}`)
	v.expect(furtherJoined, `participantPublished {"id":"con_further","streams":[`+furtherStream+`]}`)
	v.call("prepareReceiveVideoFrom", fmt.Sprintf(`{"sender":%q,"reconnect":false}`, camera))
	v.call("receiveVideoFrom", fmt.Sprintf(`{"sender":%q,"sdpAnswer":"answer"}`, camera))
	v.call("publishVideo", openViduCamera)
	a.expect(`streamCreated {"connectionId":"con_V","stream":{"id":"str_CAM_con_V","subscriptionId":"con_V","createdAt":0,"hasAudio":true,"hasVideo":true,` +
		`"name":"","initials":"","videoType":"camera","frameRate":15}}`)

	// Who joins later sees the same.
	late := w.join("M")
	late.call("ping", `{}`)
	v.expect(`participantJoined {"id":"con_M","createdAt":0,"metadata":"data of M"}`)
	a.expect(`connectionCreated {"id":"con_M","createdAt":0,"data":"data of M","streams":[]}`)

	// Changes.
	a.call("change", fmt.Sprintf(`{"streamId":%q,"videoActive":false}`, screen))
	a.call("change", fmt.Sprintf(`{"streamId":%q,"videoActive":false}`, camera))
	v.expect(`streamPropertyChanged {"connectionId":"con_further","streamId":"str_SCR_con_further","property":"videoActive","newValue":"false","reason":"publishProperty"}`)
	v.expect(`streamPropertyChanged {"connectionId":"con_A","streamId":"str_CAM_con_A","property":"videoActive","newValue":"false","reason":"publishProperty"}`)
	v.call("streamPropertyChanged", openViduChanged)
	a.expect(`streamPropertyChanged {"connectionId":"con_V","streamId":"str_CAM_con_V","hasAudio":false}`)

	// Signals.
	a.call("signal", `{"type":"chat","data":"hello"}`)
	v.expect(`sendMessage {"data":"hello","type":"signal:chat","from":"con_A"}`)
	a.expect(`signal {"from":"con_A","type":"chat","data":"hello"}`)
	v.call("sendMessage", `{"message":"{\"to\":[\"con_A\"],\"data\":\"hi\",\"type\":\"signal:chat\"}"}`)
	v.call("sendMessage", `{"message":"{\"to\":[\"con_A\"],\"data\":\"untyped\",\"type\":\"signal:signal\"}"}`)
	a.expect(`signal {"from":"con_V","type":"chat","data":"hi"}`, `signal {"from":"con_V","data":"untyped"}`)

	// Mute.
	m := late
	m.told = nil
	own := w.streamOf(t, "con_V")
	m.call("forceMute", fmt.Sprintf(`{"streamId":%q}`, own))
	v.expect(fmt.Sprintf(`sendMessage {"data":%q,"type":"signal:muteForced"}`, steady(own)))
	m.call("forceMuteAll", fmt.Sprintf(`{"excludedStreamIds":[%q,%q]}`, own, camera))
	a.expect(`forceMuteChanged {"active":true}`)

	// Force, in both directions.
	m.call("forceUnpublish", fmt.Sprintf(`{"streamId":%q}`, own))
	v.expect(`participantUnpublished {"connectionId":"con_V","reason":"forceUnpublishByUser"}`)
	a.expect(`streamDestroyed {"connectionId":"con_V","streamId":"str_CAM_con_V","reason":"forceUnpublished"}`)
	a.call("unpublish", fmt.Sprintf(`{"streamId":%q}`, screen))
	v.expect(`participantUnpublished {"connectionId":"con_further","reason":"unpublish"}`, `participantLeft {"connectionId":"con_further","reason":"disconnect"}`)
	v.call("forceUnpublish", fmt.Sprintf(`{"streamId":%q}`, camera))
	a.expect(`streamDestroyed {"connectionId":"con_A","streamId":"str_CAM_con_A","reason":"forceUnpublished"}`)
	v.expect(`participantUnpublished {"connectionId":"con_A","reason":"forceUnpublishByUser"}`)
	v.call("forceDisconnect", `{"connectionId":"con_A"}`)
	a.expect(`disconnected {"connectionId":"con_A","reason":"forceDisconnected"}`)
	v.expect(`participantLeft {"connectionId":"con_A","reason":"forceDisconnectByUser"}`)
	m.call("forceDisconnect", `{"connectionId":"con_V"}`)
	v.expect(`participantEvicted {"connectionId":"con_V","reason":"forceDisconnectByUser"}`)
}

// streamOf returns the id of the one stream of a connection.
func (w *world) streamOf(t *testing.T, connectionID string) string {
	t.Helper()
	snapshot, _ := w.rooms.Snapshot("uid")
	for _, c := range snapshot.Connections {
		for _, s := range c.Published {
			if strings.HasSuffix(s.ID, "_"+connectionID) {
				return s.ID
			}
		}
	}
	t.Fatalf("%s sends nothing", connectionID)
	return ""
}

const (
	cameraForOpenVidu = `{"id":"str_CAM_con_A","createdAt":0,"hasAudio":true,"hasVideo":true,"audioActive":true,"videoActive":true,` +
		`"typeOfVideo":"CAMERA","frameRate":30,"videoDimensions":"{\"width\":640,\"height\":480}","filter":{}}`
	furtherJoined = `participantJoined {"id":"con_further","createdAt":0,"metadata":"data of A"}`
	furtherStream = `{"id":"str_SCR_con_further","createdAt":0,"hasAudio":false,"hasVideo":true,"videoActive":true,` +
		`"typeOfVideo":"SCREEN","frameRate":-1,"filter":{}}`
)

// connectionIn returns the connection id at the end of a stream's id.
func connectionIn(streamID string) string { return streamID[strings.LastIndex(streamID, "con_"):] }

// A client of OpenVidu that joins sees another participant for each further stream of a connection.
// They leave with the connection.
func TestAClientOfOpenViduThatJoinsSeesFurtherStreams(t *testing.T) {
	w := newWorld(t, "A", "V")
	a := w.join("A")
	a.publish(cameraParams)
	a.publish(screenParams)
	v := w.dial("/openvidu", "V")
	answer := v.call("joinRoom", `{"token":"?sessionId=team.room&token=tok_V","session":"team.room"}`)
	_, got, _ := strings.Cut(steady(answer), `"value":`)
	want := `[{"id":"con_A","createdAt":0,"metadata":"data of A","streams":[` + cameraForOpenVidu + `]},` +
		`{"id":"con_further","createdAt":0,"metadata":"data of A","streams":[` + furtherStream + `]}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.call("leave", `{}`)
	v.expect(`participantLeft {"connectionId":"con_further","reason":"disconnect"}`, `participantLeft {"connectionId":"con_A","reason":"disconnect"}`)
}

// What a client of OpenVidu does with the participant that stands for a further stream is done with
// that stream: to receive it, and no more; to force it out, which leaves the other streams be. A
// signal to it is one to the client that sends the stream.
func TestAFurtherStreamIsAParticipantToClientsOfOpenVidu(t *testing.T) {
	w := newWorld(t, "A", "B", "V:moderator", "W")
	a, b := w.join("A"), w.join("B")
	v, other := w.joinOpenVidu("V"), w.joinOpenVidu("W")
	camera, screen := a.publish(cameraParams), a.publish(screenParams)
	standIn := connectionIn(screen)
	for _, stream := range []string{camera, screen} {
		v.call("prepareReceiveVideoFrom", fmt.Sprintf(`{"sender":%q,"reconnect":false}`, stream))
		v.call("receiveVideoFrom", fmt.Sprintf(`{"sender":%q,"sdpAnswer":"answer"}`, stream))
		v.call("onIceCandidate", fmt.Sprintf(`{"endpointName":%q,"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}`, connectionIn(stream)))
	}
	w.receives(t, "con_V", camera, screen)
	v.call("unsubscribeFromVideo", fmt.Sprintf(`{"sender":%q}`, standIn))
	w.receives(t, "con_V", camera)
	v.call("unsubscribeFromVideo", fmt.Sprintf(`{"sender":%q}`, standIn)) // again

	a.told, b.told, v.told, other.told = nil, nil, nil, nil
	v.call("sendMessage", fmt.Sprintf(`{"message":"{\"to\":[\"%s\"],\"data\":\"hi\",\"type\":\"signal:chat\"}"}`, standIn))
	v.call("forceDisconnect", fmt.Sprintf(`{"connectionId":%q}`, standIn))
	for {
		if told := notification(a.message()); strings.HasPrefix(told, "signal ") {
			if want := `signal {"from":"con_V","type":"chat","data":"hi"}`; told != want {
				t.Errorf("got %s, want %s", told, want)
			}
			break
		}
	}
	a.expect(`streamDestroyed {"connectionId":"con_A","streamId":"str_SCR_con_further","reason":"forceUnpublished"}`)
	v.expect(`participantUnpublished {"connectionId":"con_further","reason":"forceUnpublishByUser"}`,
		`participantLeft {"connectionId":"con_further","reason":"forceDisconnectByUser"}`)
	w.receives(t, "con_V", camera)
	if answer := v.ask("forceDisconnect", fmt.Sprintf(`{"connectionId":%q}`, standIn)); !strings.Contains(string(answer["error"]), "102") {
		t.Errorf("a stand-in that has left is put out: %s", answer["result"])
	}
	if answer := other.ask("forceDisconnect", `{"connectionId":"con_A"}`); !strings.Contains(string(answer["error"]), "401") {
		t.Errorf("somebody who may not puts A out: %s", answer["result"])
	}
}

// receives checks which streams a connection receives.
func (w *world) receives(t *testing.T, connectionID string, want ...string) {
	t.Helper()
	snapshot, _ := w.rooms.Snapshot("uid")
	for _, c := range snapshot.Connections {
		if c.UID != "uid-"+strings.TrimPrefix(connectionID, "con_") {
			continue
		}
		var got []string
		for _, one := range c.Received {
			got = append(got, one.StreamID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s receives %v, want %v", connectionID, got, want)
		}
		return
	}
	t.Errorf("%s is not there", connectionID)
}
