package opentok

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/test/wait"
)

// A client whose pod is lost comes back to the next one as the same participant: it sends its
// streams anew, is offered what it received, and may do what it might before.
func TestAClientComesBackOnAnotherPod(t *testing.T) {
	w := newWorld(t)
	stream := room.Stream{
		ID: "str_CAM_A_con_A", Created: time.UnixMilli(1700000000000),
		StreamOptions: room.StreamOptions{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: room.Camera},
	}
	desired := room.Desired{UID: "uid", Key: "team.room", SessionID: "room"}
	for name, presence := range map[string]*room.Presence{
		"A": {Activated: stream.Created, Published: []room.Stream{stream}},
		"B": {Activated: stream.Created, Received: []room.Reception{{SubscriptionID: room.LastingID(stream.ID, "con_A"), StreamID: stream.ID}}},
	} {
		desired.Connections = append(desired.Connections, room.Connection{
			UID: name, ID: "con_" + name, PrivateID: "private-" + name, Spent: true, Role: room.Publisher, Presence: presence,
		})
	}
	w.rooms.Remove("uid", "")
	w.rooms.Apply(desired)

	a, b := w.dial("/opentok", "A"), w.dial("/opentok", "B")
	if got := a.call("resume", `{"reconnectionId":"private-A"}`); got != `{"awaitsMedia":true}` {
		t.Errorf("got %s", got)
	}
	if got := a.call("renegotiate", fmt.Sprintf(`{"streamId":%q,"sdpOffer":"again"}`, stream.ID)); got != `{"sdpAnswer":"answer to again"}` {
		t.Errorf("got %s", got)
	}
	if got := b.call("resume", `{"reconnectionId":"private-B"}`); got != `{"awaitsMedia":false}` {
		t.Errorf("got %s", got)
	}
	b.expect(`subscriptionRenewed {"sdpOffer":"offer 1 of audio+video","subscriptionId":"con_A"}`)
	b.refused("answer", `{"subscriptionId":"con_A","sdpAnswer":"answer"}`, codeInvalidParameter, nameInvalidParameter)
	b.call("answer", `{"subscriptionId":"con_A","sdpAnswer":"answer","renewed":true}`)
	a.publish(screenParams)
	b.expect(`streamCreated {"connectionId":"con_A","stream":` + screenOfA + `}`)
}

// A gateway that keeps a client's socket sends again what was not answered. What must not be done
// twice is refused; a stream that is there is answered for again.
func TestRequestsAreRepeated(t *testing.T) {
	w := newWorld(t, "A", "B")
	a, b := w.join("A"), w.join("B")
	if err := a.ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	header := http.Header{
		podhttp.HeaderHolds:  {"true"},
		podhttp.HeaderResume: {podhttp.Resumption{PrivateID: "private-A", PingInterval: 5 * time.Second}.Text()},
	}
	again := &client{t: t, name: "A", binary: true}
	wait.For(t, 10*time.Second, "the pod knows that the socket is gone", func() (err error) {
		again.ws, _, err = websocket.Dial(t.Context(), w.url+"/opentok?sessionId=team.room", &websocket.DialOptions{HTTPHeader: header})
		return err
	})
	t.Cleanup(func() { _ = again.ws.CloseNow() })
	again.refused("signal", `{}`, codeInternal, nameTimedOut)
	again.refused("unpublish", `{"streamId":"none"}`, codeInvalidStream, nameStreamNotFound)
	camera := again.publish(cameraParams) // it was not handled before
	if repeated := again.publish(cameraParams); repeated != camera {
		t.Errorf("the stream is %s, and then %s", camera, repeated)
	}
	other := strings.Replace(screenParams, `"offer"`, `"another"`, 1)
	if screen := again.publish(other); screen == camera || again.publish(other) != screen {
		t.Errorf("another stream is %s", screen)
	}
	b.expect(`streamCreated {"connectionId":"con_A","stream":`+cameraOfA+`}`, `streamCreated {"connectionId":"con_A","stream":`+screenOfA+`}`)
	again.binary = false
	if repeated := again.publish(strings.Replace(cameraParams, `{`, `{"again":true,`, 1)); repeated != camera {
		t.Errorf("the stream is %s, and when its client asks again it is %s", camera, repeated)
	}
	again.call("signal", `{"to":"con_B","data":"once"}`)
	b.expect(`signal {"from":"con_A","data":"once"}`)
}
