package openvidu

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// The times of package signalling.
const (
	closeTimeout = 500 * time.Millisecond
	joinTimeout  = 60 * time.Second
	lingerTime   = 10 * time.Second
)

func (p *pod) state(name string) room.ConnectionSnapshot {
	p.t.Helper()
	snapshot, _ := p.rooms.Snapshot("uid")
	for _, connection := range snapshot.Connections {
		if connection.UID == "uid-"+name {
			return connection
		}
	}
	p.t.Fatalf("%s is not in the snapshot", name)
	return room.ConnectionSnapshot{}
}

func TestWhoStopsPingingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A", "B")
		a, b := p.join("A"), p.join("B")
		a.notification()
		alive := time.NewTicker(5 * time.Second)
		defer alive.Stop()
		joined := time.Now()
		for i := 0; p.state("A").State == room.Active; i++ {
			<-alive.C
			b.callThrough("ping", `{}`)
			synctest.Wait()
			if i > 10 {
				t.Fatal("A is still there")
			}
		}
		// 15 s without a ping, and 10 s to come back.
		if lost := p.state("A").DisconnectedTime.Sub(joined); lost != 25*time.Second {
			t.Errorf("lost after %v", lost)
		}
		var closed websocket.CloseError
		if err := <-a.ended; !errors.As(err, &closed) || closed.Code != websocket.StatusNormalClosure || closed.Reason != "Close for not receive ping from client" {
			t.Errorf("the socket ended with %v", err)
		}
		b.callThrough("ping", `{}`)
		if got := b.told; len(got) != 1 || got[0] != `participantLeft {"connectionId":"con_A","reason":"networkDisconnect"}` {
			t.Errorf("B was told %q", got)
		}
	})
}

// The pod's close frame is lost as well, and nobody answers it.
func TestWhoseNetworkIsGoneIsLostInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A")
		p.join("A")
		p.listener.last.cut.Store(true)
		joined := time.Now()
		time.Sleep(15*time.Second + 10*time.Second + closeTimeout)
		synctest.Wait()
		state := p.state("A")
		if state.State != room.Disconnected || state.Reason != reasons.NetworkDisconnect {
			t.Fatalf("%v after its network was cut, A is %v for %q", time.Since(joined), state.State, state.Reason)
		}
	})
}

// A pod whose gateway is lost keeps a client whose media goes on, and no other one: neither that of
// a gateway which says that the client has gone, nor that of one which never says so.
func TestWhoseGatewayIsLostStaysWhileItsMediaGoesOn(t *testing.T) {
	window := room.DefaultReconnectWindow
	for name, c := range map[string]struct {
		told  string // in the header
		last  string // the gateway's word
		stays bool
	}{
		"the gateway is lost":   {told: "true", stays: true},
		"the client has gone":   {told: "true", last: podhttp.ClientGone},
		"a gateway of long ago": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, signalling.DefaultLimits(), "A")
				a := p.dial(podhttp.HeaderHolds, "true", podhttp.HeaderTells, c.told)
				a.joinAs("A")
				a.publish(cameraParams)
				if c.last != "" {
					a.repeat(c.last)
				}
				_ = a.ws.CloseNow()
				lost := time.Now()
				for time.Since(lost) < 2*window {
					for _, publication := range p.engine.Publications() {
						publication.Hear(time.Now())
					}
					time.Sleep(time.Second)
				}
				if stays := p.state("A").State == room.Active; stays != c.stays {
					t.Errorf("A stays: %t, want %t", stays, c.stays)
				}
			})
		})
	}
}

// Whoever has not joined has a minute to do so, whatever else it does.
func TestWhoDoesNotJoinIsSentAway(t *testing.T) {
	for name, play := range map[string]func(*client){
		"it has said nothing":     func(*client) {},
		"it pings":                func(a *client) { a.call("ping", `{"interval":5000}`) },
		"it could not join":       func(a *client) { a.refused("joinRoom", joinParams("tok_X", "team.room")) },
		"it could not come back":  func(a *client) { a.refused("connect", `{"sessionId":"rpc-X"}`) },
		"it asks for what is not": func(a *client) { a.refused("nothing", `{}`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, signalling.DefaultLimits(), "A", "B")
				b := p.join("B")
				a := p.dial()
				play(a)
				for range 59 {
					time.Sleep(time.Second)
					a.call("ping", `{}`)
					b.call("ping", `{}`)
				}
				synctest.Wait()
				if got := p.server.Sockets(); got != 2 {
					t.Fatalf("after 59 s there are %d sockets", got)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if code := websocket.CloseStatus(<-a.ended); code != websocket.StatusPolicyViolation {
					t.Errorf("closed with %d", code)
				}
				b.call("ping", `{}`)
				if sockets, unjoined := p.server.Sockets(), p.server.UnjoinedSockets(); sockets != 1 || unjoined != 0 {
					t.Errorf("%d sockets, %d not joined", sockets, unjoined)
				}
			})
		})
	}
}

// What came of a message is kept until its end comes, so that must come soon.
func TestAMessageThatHasNoEndEndsTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A", "B")
		a, b := p.join("A"), p.join("B")
		message, err := a.ws.Writer(t.Context(), websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		beginning := `{"jsonrpc":"2.0","method":"echo","params":{"x":"` + strings.Repeat("x", 8000) // more than waits here
		if _, err := message.Write([]byte(beginning)); err != nil {
			t.Fatal(err)
		}
		if code := websocket.CloseStatus(<-a.ended); code != websocket.StatusPolicyViolation {
			t.Errorf("closed with %d", code)
		}
		if passed := time.Since(begun); passed != 10*time.Second {
			t.Errorf("closed after %v", passed)
		}
		b.callThrough("ping", `{}`)
	})
}

func TestASilentStrangerMayStayForAMinuteWhileItsBrowserAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		play func(*client)
		ends bool // before its minute is over
	}{
		"it has said nothing":         {play: func(*client) {}},
		"it has pinged only":          {play: func(a *client) { a.call("ping", `{"interval":5000}`) }},
		"its browser answers no more": {play: func(a *client) { a.deaf.Store(true); a.call("ping", `{"interval":5000}`) }, ends: true},
		"it has asked for something": {play: func(a *client) {
			a.call("ping", `{"interval":5000}`)
			a.refused("joinRoom", joinParams("tok_X", "team.room"))
		}, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, signalling.DefaultLimits(), "A")
				a := p.dial()
				c.play(a)
				time.Sleep(joinTimeout - time.Second)
				synctest.Wait()
				if ended := p.server.Sockets() == 0; ended != c.ends {
					t.Errorf("ended: %v", ended)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := p.server.Sockets(); got != 0 {
					t.Errorf("after its minute there are %d sockets", got)
				}
			})
		})
	}
}

// Sockets that do not join take no places from those who do, however many there are, and from
// wherever.
func TestWhoOnlyOpensSocketsShutsNobodyOut(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(*signalling.Limits)
		from  func(i int) string
		stay  int
	}{
		"from everywhere":   {func(l *signalling.Limits) { l.Unjoined = 5 }, func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }, 5},
		"from one address":  {func(l *signalling.Limits) { l.UnjoinedPerAddress = 5 }, func(int) string { return "198.51.100.1" }, 5},
		"from one network":  {func(l *signalling.Limits) { l.UnjoinedPerAddress = 5 }, func(i int) string { return fmt.Sprintf("2001:db8::%d", i) }, 5},
		"fewer than places": {func(l *signalling.Limits) { l.Unjoined, l.UnjoinedPerAddress = 100, 100 }, func(int) string { return "198.51.100.1" }, 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := signalling.DefaultLimits()
				limits.Sockets = 60
				c.limit(&limits)
				p := newPod(t, limits, "A", "B")
				a := p.join("A")
				strangers := make([]*client, 50)
				for i := range strangers {
					strangers[i] = p.dial(podhttp.HeaderAddress, c.from(i))
					synctest.Wait()
				}
				time.Sleep(closeTimeout)
				synctest.Wait()
				for i, stranger := range strangers {
					if i < len(strangers)-c.stay {
						if code := websocket.CloseStatus(<-stranger.ended); code != websocket.StatusTryAgainLater {
							t.Errorf("stranger %d ended with %d", i, code)
						}
						continue
					}
					stranger.call("ping", `{}`)
				}
				if got := p.server.UnjoinedSockets(); got != c.stay {
					t.Errorf("%d have not joined", got)
				}
				b := p.join("B")
				a.notification()
				a.call("echo", `{}`)
				b.call("echo", `{}`)
			})
		})
	}
}

func TestWhoComesBackHasNoTimeToJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A")
		a := p.join("A")
		_ = a.ws.CloseNow()
		back := p.dial()
		back.call("connect", `{"sessionId":"rpc-A"}`)
		for range 30 {
			time.Sleep(5 * time.Second)
			back.call("ping", `{"interval":5000}`)
		}
		if got := p.server.UnjoinedSockets(); got != 0 {
			t.Errorf("%d have not joined", got)
		}
	})
}

func TestALostClientComesBack(t *testing.T) {
	for name, lose := range map[string]func(*client){
		"its socket broke":             func(c *client) { _ = c.ws.CloseNow() },
		"it closed to reconnect":       func(c *client) { _ = c.ws.Close(4104, "Connection closed for reconnection") },
		"its old socket is still open": func(*client) {},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, signalling.DefaultLimits(), "A", "B", "C")
			a, b := p.join("A"), p.join("B")
			a.notification()
			stream := b.publish(cameraParams)
			a.notification()
			lose(a)
			p.join("C")
			b.expectPrefix(`participantJoined {"id":"con_C"`)

			back := p.dial()
			result := back.call("connect", `{"sessionId":"rpc-A","reconnect":true}`)
			if unquote(t, result["value"]) != "reconnection successful" || unquote(t, result["sessionId"]) != "rpc-A" {
				t.Errorf("got %s", show(result))
			}
			back.callThrough("ping", `{"interval":5000}`)
			back.callThrough("prepareReceiveVideoFrom", `{"sender":"`+stream+`","reconnect":true}`)
			b.callThrough("leaveRoom", `{}`)
			if got := back.untilLeft(); got != `participantLeft {"connectionId":"con_B","reason":"disconnect"}` {
				t.Errorf("got %s", got)
			}
			if got := p.state("A"); got.State != room.Active {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func (c *client) expectPrefix(prefix string) {
	c.t.Helper()
	if got := c.notification(); !strings.HasPrefix(got, prefix) {
		c.t.Errorf("got %s, want %s...", got, prefix)
	}
}

// untilLeft skips notifications until somebody leaves.
func (c *client) untilLeft() string {
	c.t.Helper()
	for {
		if got := c.notification(); strings.HasPrefix(got, "participantLeft") {
			return got
		}
	}
}

func TestWhatALostClientMissedIsToldAfterItsAnswer(t *testing.T) {
	p := newPod(t, signalling.DefaultLimits(), "A", "B", "C")
	a := p.join("A")
	_ = a.ws.CloseNow()
	b := p.join("B")
	b.publish(cameraParams)
	p.join("C")
	back := p.dial()
	back.call("connect", `{"sessionId":"rpc-A","reconnect":true}`) // its answer comes first
	back.expectPrefix(`participantJoined {"id":"con_B"`)
	back.expectPrefix(`participantPublished {"id":"con_B"`)
	back.expectPrefix(`participantJoined {"id":"con_C"`)
	back.call("echo", `{}`)
}

// Who loads a page anew in a full room waits for the place of the page before.
func TestTheUserOfAPageThatIsLeftLeavesSoon(t *testing.T) {
	for name, test := range map[string]struct {
		code   websocket.StatusCode
		window time.Duration
	}{
		"closed or loaded anew": {websocket.StatusGoingAway, time.Second},
		"for another socket":    {4104, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, signalling.DefaultLimits(), "A", "B")
				a, b := p.join("A"), p.join("B")
				_ = a.ws.Close(test.code, "")
				time.Sleep(test.window - time.Millisecond)
				synctest.Wait()
				if len(b.messages) > 0 {
					t.Errorf("B was told %s before %v were over", b.notification(), test.window)
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if len(b.messages) == 0 {
					t.Fatalf("B was told nothing after %v", test.window)
				}
				b.expect(`participantLeft {"connectionId":"con_A","reason":"networkDisconnect"}`)
			})
		})
	}
}

func TestWhoHasLeftIsClosedInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A")
		a := p.join("A")
		a.call("leaveRoom", `{}`)
		time.Sleep(lingerTime - time.Second)
		synctest.Wait()
		select {
		case err := <-a.ended:
			t.Errorf("closed early: %v", err)
		default:
		}
		time.Sleep(2 * time.Second)
		if got := websocket.CloseStatus(<-a.ended); got != websocket.StatusNormalClosure {
			t.Errorf("closed with %d", got)
		}
	})
}

func TestWhereNobodyCanBeLetIn(t *testing.T) {
	const want = "There is no available Media Node where to initialize session 'team.room'. Code: 204"
	params := joinParams("wss://host?sessionId=team.room&token=tok_A", "team.room")
	t.Run("the session waits for a pod", func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A")
		if got := p.dial(podhttp.HeaderSession, podhttp.SessionWaiting).refused("joinRoom", params); got.Code != 204 || got.Message != want {
			t.Errorf("got %+v", got)
		}
		p.join("A") // the token is as good as before
	})
	t.Run("the pod has too many sockets", func(t *testing.T) {
		limits := signalling.DefaultLimits()
		limits.Sockets = 1
		p := newPod(t, limits, "A", "B")
		a := p.join("A")
		if got := p.dial().refused("joinRoom", params); got.Code != 204 || got.Message != want {
			t.Errorf("got %+v", got)
		}
		a.call("echo", `{}`)
	})
}

func TestFiftyRoundsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A", "B")
		round := func() {
			p.rooms.Apply(desired("A", "B"))
			a, b := p.join("A"), p.join("B")
			a.notification()
			stream := a.publish(cameraParams)
			b.notification()
			b.call("prepareReceiveVideoFrom", `{"sender":"`+stream+`","reconnect":false}`)
			b.call("receiveVideoFrom", `{"sender":"`+stream+`","sdpAnswer":"answer"}`)
			a.call("leaveRoom", `{}`)
			_ = a.ws.Close(4102, "Connection closed by client")
			_ = b.ws.CloseNow()
			time.Sleep(20 * time.Second)
			p.rooms.Apply(desired())
			synctest.Wait()
		}
		round()
		before := goroutines()
		for range 50 {
			round()
		}
		if after := goroutines(); len(after) > len(before) {
			t.Errorf("%d goroutines, %d before:\n%s", len(after), len(before), strings.Join(after, "\n\n"))
		}
		if got := p.server.Sockets(); got != 0 {
			t.Errorf("%d sockets", got)
		}
		if publications, subscriptions := p.engine.Open(); publications+subscriptions != 0 {
			t.Errorf("%d publications, %d subscriptions are open", publications, subscriptions)
		}
	})
}

// goroutines returns the stacks of all goroutines but the runtime's own, which come and go.
func goroutines() []string {
	stacks := make([]byte, 4<<20)
	return strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
}

// Who is let go has left nothing: its socket ends, and on no other of this pod it is told that it
// is out.
func TestShutdownLetsParticipantsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, signalling.DefaultLimits(), "A")
		a, other := p.join("A"), p.dial()
		p.rooms.Stop()
		other.request("connect", connectParams("rpc-A"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.server.Shutdown(ctx)
		if err := <-a.ended; err == nil {
			t.Error("the socket ended without an error")
		}
		for message := range a.messages {
			t.Errorf("A was told %s", show(message))
		}
		if err := <-other.ended; err == nil {
			t.Error("the other socket ended without an error")
		}
		for message := range other.messages {
			t.Errorf("on another socket A was told %s", show(message))
		}
	})
}
