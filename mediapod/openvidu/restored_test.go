package openvidu

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

const streamOfA = "str_CAM_Q7ab_con_A"

// newRestoredPod makes a pod with a room that was on another one: A sends and receives nothing, B
// receives A, and C was not there.
func newRestoredPod(t *testing.T, platform string) *pod {
	t.Helper()
	p := newPod(t, signalling.DefaultLimits())
	d := desired("A", "B:subscriber", "C")
	at := time.Now().Add(-time.Minute)
	options := room.StreamOptions{
		HasAudio: true, HasVideo: true, AudioActive: true, TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: media.Dimensions{Width: 640, Height: 480},
	}
	for i := range d.Connections[:2] {
		d.Connections[i].Spent = true
		d.Connections[i].Presence = &room.Presence{Activated: at, Client: room.Client{Metadata: "client", Platform: platform}}
	}
	d.Connections[0].Presence.Published = []room.Stream{{ID: streamOfA, Created: at, StreamOptions: options}}
	d.Connections[1].Presence.Received = []room.Reception{{SubscriptionID: "con_A", StreamID: streamOfA}}
	p.rooms.Apply(d)
	return p
}

func connectParams(private string) string {
	return fmt.Sprintf(`{"sessionId":%q,"reconnect":true}`, private)
}

// A client whose own stream is awaited is answered when its browser has noticed that the media path
// is gone; one that only receives is answered at once, and made to receive anew.
func TestConnectToARestoredRoom(t *testing.T) {
	const settling = 500 * time.Millisecond // until B is made to receive anew, before A comes
	for _, test := range []struct {
		platform, held string
		after, want    time.Duration
		sought         string // for how long the gateway had looked for the pod, before the client knew
	}{
		{"Chrome 156.0 on Linux", "", 0, iceNotice - settling, ""},
		{"Firefox 153.0 on Linux", "1500", 0, iceNoticeFirefox - 1500*time.Millisecond, ""},
		{"Chrome 156.0 on Linux", "2500", 0, iceNotice - 2500*time.Millisecond, ""},
		{"Chrome 156.0 on Linux", "9500", 0, 0, ""},
		{"Firefox 153.0 on Linux", "600", 0, latestAnswer, ""},
		{"Chrome 156.0 on Linux", "1000", 3 * time.Second, iceNotice - 3*time.Second - settling, ""},
		{"Chrome 156.0 on Linux", "", 0, iceNotice - 2500*time.Millisecond - settling, "2500"},
		{"Chrome 156.0 on Linux", "3500", 0, iceNotice - 3500*time.Millisecond, "1000"},
	} {
		held, want := test.held, test.want
		synctest.Test(t, func(t *testing.T) {
			p := newRestoredPod(t, test.platform)
			if test.sought != "" {
				if c := p.dial(podhttp.HeaderResume, resumption("A"), podhttp.HeaderHeld, test.sought); c != nil || p.refused != http.StatusConflict {
					t.Errorf("A, who has to send anew, is resumed: %d", p.refused)
				}
			}
			time.Sleep(test.after)
			b := p.dial(podhttp.HeaderHeld, held)
			begun := time.Now()
			b.call("connect", connectParams("rpc-B"))
			if took := time.Since(begun); took != 0 {
				t.Errorf("B, who only receives, is answered after %v", took)
			}
			b.expect(`forciblyReconnectSubscriber {"connectionId":"con_A","streamId":"` + streamOfA + `","sdpOffer":"offer 1 of audio+video"}`)
			b.call("reconnectStream", `{"stream":"`+streamOfA+`","sdpString":"answer","forciblyReconnect":true}`)

			a := p.dial(podhttp.HeaderHeld, held)
			begun = time.Now()
			a.request("connect", connectParams("rpc-A"))
			a.answer()
			if took := time.Since(begun); took != want {
				t.Errorf("held for %q ms, A is answered after %v, want %v", held, took, want)
			}
			result := a.call("reconnectStream", `{"stream":"`+streamOfA+`","sdpString":"offer"}`)
			if unquote(t, result["id"]) != streamOfA || unquote(t, result["sdpAnswer"]) != "answer to offer" {
				t.Errorf("A gets %s", show(result))
			}
			again := p.dial()
			begun = time.Now()
			again.call("connect", connectParams("rpc-A"))
			if took := time.Since(begun); took != 0 {
				t.Errorf("A, who sends by now, is answered after %v", took)
			}
		})
	}
}

// While the answer to connect waits, everything else goes on.
func TestWhoWaitsForTheAnswerToConnectIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newRestoredPod(t, "")
		a := p.dial()
		a.request("connect", connectParams("rpc-A"))
		waiting := a.next - 1
		a.call("echo", "{}")
		c := p.dial()
		others := show(c.joinAs("C"))
		if want := `"streams":[{"id":"` + streamOfA + `"`; !strings.Contains(others, want) {
			t.Errorf("C is told of %s", others)
		}
		if told := a.notification(); !strings.Contains(told, `participantJoined {"id":"con_C"`) {
			t.Errorf("A is told %s", told)
		}
		c.call("prepareReceiveVideoFrom", `{"sender":"`+streamOfA+`","reconnect":false}`)
		c.call("receiveVideoFrom", `{"sender":"`+streamOfA+`","sdpAnswer":"answer"}`)
		if message := a.message(); string(message["id"]) != fmt.Sprint(waiting) || message["error"] != nil {
			t.Errorf("got %s", show(message))
		}
	})
}
