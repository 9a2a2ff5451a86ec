package opentok

import (
	"encoding/json"
	"fmt"
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

	// Streams. The second one of a connection does not exist for clients of OpenVidu.
	camera, screen := a.publish(cameraParams), a.publish(screenParams)
	published := `{"id":"str_CAM_con_A","createdAt":0,"hasAudio":true,"hasVideo":true,"audioActive":true,"videoActive":true,` +
		`"typeOfVideo":"CAMERA","frameRate":30,"videoDimensions":"{\"width\":640,\"height\":480}","filter":{}}`
	v.expect(`participantPublished {"id":"con_A","streams":[` + published + `]}`)
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

// A client of OpenVidu that joins is told of one stream of a connection.
func TestAClientOfOpenViduSeesOneStreamOfAConnection(t *testing.T) {
	w := newWorld(t, "A", "V")
	a := w.join("A")
	camera := a.publish(cameraParams)
	a.publish(screenParams)
	v := w.dial("/openvidu", "V")
	var joined struct {
		Value []struct {
			Metadata string
			Streams  []struct{ ID string }
		}
	}
	answer := v.call("joinRoom", `{"token":"?sessionId=team.room&token=tok_V","session":"team.room"}`)
	if err := json.Unmarshal([]byte(answer), &joined); err != nil {
		t.Fatal(err)
	}
	if len(joined.Value) != 1 || joined.Value[0].Metadata != "data of A" || len(joined.Value[0].Streams) != 1 || joined.Value[0].Streams[0].ID != camera {
		t.Errorf("got %+v", joined)
	}
	a.call("leave", `{}`)
	v.expect(`participantLeft {"connectionId":"con_A","reason":"disconnect"}`)
}
