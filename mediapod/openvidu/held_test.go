package openvidu

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// resumption returns what a gateway gives to the next media pod of a user.
func resumption(name string) string {
	return podhttp.Resumption{PrivateID: "rpc-" + name, PingInterval: 5 * time.Second}.Text()
}

// closeCode waits for the end of a socket.
func (c *client) closeCode() websocket.StatusCode {
	c.t.Helper()
	select {
	case err := <-c.ended:
		return websocket.CloseStatus(err)
	case <-time.After(30 * time.Second):
		c.t.Fatal("the socket stays open")
	}
	return 0
}

func TestAGatewayThatHoldsIsToldHowToResume(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B")
	a := p.dial(podhttp.HeaderHolds, "true")
	if other := p.dial(podhttp.HeaderHolds, "true"); a.resumption == "" || a.resumption == other.resumption {
		t.Errorf("of clients that have not joined the gateway is told %q and %q", a.resumption, other.resumption)
	}
	a.call("ping", `{"interval":5000}`)
	a.refused("joinRoom", joinParams("wss://host:4443?sessionId=team.room&token=tok_X", "team.room"))
	a.refused("connect", connectParams("rpc-X"))
	if len(a.binary) != 0 {
		t.Error("the gateway is told of somebody who is not in the room")
	}
	a.call("joinRoom", joinParams("wss://host:4443?sessionId=team.room&token=tok_A", "team.room"))
	if got := <-a.binary; got != resumption("A")+" "+strconv.Itoa(a.next-1) {
		t.Errorf("the gateway is told %q", got)
	}
	again := p.dial(podhttp.HeaderHolds, "true")
	again.call("connect", connectParams("rpc-A"))
	if got := <-again.binary; got != (podhttp.Resumption{PrivateID: "rpc-A"}).Text()+" "+strconv.Itoa(again.next-1) {
		t.Errorf("the gateway is told %q", got)
	}
	if code := a.closeCode(); code != websocket.StatusNormalClosure {
		t.Errorf("the socket that was replaced ends with %d: the gateway would resume it", code)
	}
}

func TestNobodyElseIsToldHowToResume(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A")
	a := p.join("A")
	a.call("echo", "{}")
	again := p.dial()
	again.call("connect", connectParams("rpc-A"))
	again.call("echo", "{}")
	if len(a.binary) != 0 || len(again.binary) != 0 || a.resumption != "" {
		t.Error("a client is told something for the gateway")
	}
}

// A client whose join the pod before has not answered joins here by what the gateway repeats, also
// when that pod has let it in; and so is its stream published. Nobody else comes in by its token.
func TestAJoinThatWasNotAnsweredIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newPod(t, signalling.DefaultLimits(), "A", "B")
		told := map[string]string{}
		for _, name := range []string{"A", "B", "X"} {
			c := first.dial(podhttp.HeaderHolds, "true")
			told[name] = c.resumption
			if name == "A" {
				c.call("joinRoom", joinParams("wss://host:4443?sessionId=team.room&token=tok_A", "team.room"))
			}
		}
		next := newPod(t, signalling.DefaultLimits())
		if c := next.dialRoom("team.other", podhttp.HeaderHolds, "true", podhttp.HeaderResume, told["A"]); c != nil || next.refused != http.StatusServiceUnavailable {
			t.Errorf("before the room is here the gateway is answered %d", next.refused)
		}
		next.rooms.Remove("uid", "")
		next.engine.TakeOver(first.engine, "uid")
		next.rooms.Apply(desired("A", "B"))
		stranger := next.dial(podhttp.HeaderHolds, "true", podhttp.HeaderResume, told["X"])
		stranger.refused("joinRoom", joinParams("wss://host:4443?sessionId=team.room&token=tok_A", "team.room"))
		for _, name := range []string{"A", "B"} {
			c := next.dial(podhttp.HeaderHolds, "true", podhttp.HeaderResume, told[name])
			if c.resumption != told[name] {
				t.Errorf("the socket of %s is another one at the next pod", name)
			}
			c.repeat(fmt.Sprintf(`{"jsonrpc":"2.0","method":"joinRoom","params":%s,"id":7}`,
				joinParams("wss://host:4443?sessionId=team.room&token=tok_"+name, "team.room")))
			if answer := c.message(); answer["error"] != nil || !strings.Contains(show(answer), "con_"+name) {
				t.Errorf("%s is answered %s", name, show(answer))
			}
			if got, want := <-c.binary, (podhttp.Resumption{PrivateID: "rpc-" + name}).Text()+" 7"; got != want {
				t.Errorf("the gateway is told %q, want %q", got, want)
			}
			publish := fmt.Sprintf(`{"jsonrpc":"2.0","method":"publishVideo","params":%s,"id":8}`, cameraParams)
			c.repeat(publish)
			once := c.message()
			c.repeat(publish)
			twice := c.message()
			if once["error"] != nil || twice["error"] != nil || string(once["result"]) == "" {
				t.Errorf("%s publishes: %s, repeated %s", name, show(once), show(twice))
			}
			c.send(publish)
			if refused := failure(t, c.message()); refused.Code != codeUserAlreadyStreams {
				t.Errorf("%s publishes a second stream: %+v", name, refused)
			}
		}
	})
}

// Where the media of a restored room goes on, its clients notice nothing.
func TestAClientThatIsHeldIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits())
		d := desired("A", "B")
		for i := range d.Connections {
			d.Connections[i].Spent, d.Connections[i].Presence = true, &room.Presence{Activated: time.Now()}
		}
		p.rooms.Apply(d)
		b := p.dial()
		b.call("connect", connectParams("rpc-B"))
		b.callThrough("sendMessage", `{"message":"{\"to\":[],\"data\":\"missed\",\"type\":\"signal:x\"}"}`)

		a := p.dial(podhttp.HeaderHolds, "true", podhttp.HeaderResume, resumption("A"))
		if told := a.notification(); !strings.Contains(told, `"data":"missed"`) {
			t.Errorf("A is told %s", told)
		}
		a.next = 40
		a.call("echo", "{}")
		if other := p.dial(podhttp.HeaderResume, resumption("A")); other != nil || p.refused != http.StatusServiceUnavailable {
			t.Errorf("a second gateway is answered %d while A has a socket", p.refused)
		}

		a.repeat(`{"jsonrpc":"2.0","method":"echo","params":{},"id":50}`)
		if message := a.message(); string(message["id"]) != "50" || message["error"] != nil {
			t.Errorf("echo, repeated: %s", show(message))
		}
		a.repeat(`{"jsonrpc":"2.0","method":"sendMessage","params":{"message":"{}"},"id":51}`)
		if refused := failure(t, a.message()); refused.Code != codeTransport {
			t.Errorf("sendMessage, repeated: %+v", refused)
		}
		b.repeat(`{"jsonrpc":"2.0","method":"echo","params":{},"id":52}`)
		b.call("echo", "{}")

		begun := time.Now()
		if code := a.closeCode(); code != websocket.StatusNormalClosure || time.Since(begun) != 15*time.Second {
			t.Errorf("a client that is silent after that ends with %d after %v", code, time.Since(begun))
		}
	})
}

// Who has to receive something anew keeps the socket, is answered what was asked, and is made
// another offer.
func TestWhoReceivesAnewIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newRestoredPod(t, "")
		b := p.dial(podhttp.HeaderHolds, "true", podhttp.HeaderResume, resumption("B"))
		b.repeat(`{"jsonrpc":"2.0","method":"receiveVideoFrom","params":{"sender":"` + streamOfA + `","sdpAnswer":"answer"},"id":7}`)
		if answer := b.message(); string(answer["id"]) != "7" || answer["error"] != nil {
			t.Errorf("the answer to an offer of the pod before, repeated: %s", show(answer))
		}
		if told := b.notification(); !strings.Contains(told, "forciblyReconnectSubscriber") || !strings.Contains(told, streamOfA) {
			t.Errorf("B is told %s", told)
		}
	})
}

func (c *client) repeat(request string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageBinary, []byte(request)); err != nil {
		c.t.Fatal(err)
	}
}

// Who has to do something must lose the socket; what may come here is worth another try.
func TestWhoIsNotResumed(t *testing.T) {
	p := newRestoredPod(t, "")
	for name, test := range map[string]struct {
		key, resumption string
		want            int
	}{
		"a stream to send anew":   {"team.room", resumption("A"), http.StatusConflict},
		"somebody unknown":        {"team.room", resumption("X"), http.StatusConflict},
		"somebody who is not in":  {"team.room", resumption("C"), http.StatusConflict},
		"nonsense":                {"team.room", "nonsense", http.StatusConflict},
		"a room that is not here": {"team.other", resumption("A"), http.StatusServiceUnavailable},
	} {
		if c := p.dialRoom(test.key, podhttp.HeaderResume, test.resumption); c != nil || p.refused != test.want {
			t.Errorf("%s: refused with %d, want %d", name, p.refused, test.want)
		}
	}
	p.rooms.LetGo("uid")
	if c := p.dial(podhttp.HeaderResume, resumption("A")); c != nil || p.refused != http.StatusServiceUnavailable {
		t.Errorf("a room that is gone: refused with %d", p.refused)
	}
}

// The sockets of a room that another pod goes on with end with the code by which a gateway knows.
func TestARoomThatIsLetGoTellsTheGateway(t *testing.T) {
	for name, end := range map[string]func(*pod){
		"let go": func(p *pod) { p.rooms.LetGo("uid") },
		"stop":   func(p *pod) { p.rooms.Stop() },
	} {
		p := newPod(t, signalling.DefaultLimits(), "A", "B")
		a, b := p.join("A"), p.join("B")
		a.notification()
		end(p)
		for _, c := range []*client{a, b} {
			if code := c.closeCode(); code != websocket.StatusServiceRestart {
				t.Errorf("%s: the socket ends with %d", name, code)
			}
		}
	}
}
